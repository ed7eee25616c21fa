import type { Usage } from "../cost/usage.js";
import type { JsonObject } from "./json.js";

/**
 * What a chat answer says, whatever its format. The model's reasoning is no part of it, nor are citations and other remarks about
 * the text: no format shows those of another provider, and whoever asks to see them is only sent to a provider that speaks the job's
 * own format.
 */
export interface ChatAnswer {
  /** The provider's id of the answer without its usual prefix. */
  readonly id: string | null;
  /** As the provider named it. */
  readonly model: string | null;
  /** Unix seconds; null when the provider did not say. */
  readonly createdAt: number | null;
  /** At least one. */
  readonly choices: readonly Choice[];
  readonly usage: Usage;
}

export interface Choice {
  /** Blocks of text joined; empty when there is none. */
  readonly text: string;
  readonly calls: readonly AnswerCall[];
  readonly finish: Finish;
}

export interface AnswerCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: JsonObject;
}

export type Finish =
  | { readonly kind: "stop" }
  | { readonly kind: "length" }
  | { readonly kind: "tool_calls" }
  /** By the model or by the provider's filter; the explanation is what it said about it. */
  | { readonly kind: "refused"; readonly explanation: string | null }
  /** Ended early in a way that has no common word; `word` is the provider's own. */
  | { readonly kind: "other"; readonly word: string };
