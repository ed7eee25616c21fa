/** A chat call between its request and its answer, in words that fit every provider. */
import type { Usage } from "./bill-price.js";
import type { PricedModel } from "./price-table.js";

/** A request that passed all checks: what is needed to answer and to bill it. */
export type ChatCall = {
  readonly model: PricedModel;
  readonly askedModel: string;
  /** Every text of the prompt in order: the system prompt, then each message's texts. */
  readonly texts: readonly string[];
  readonly inputTokens: number;
  readonly outputTokensMax: number;
  readonly stopSequences: readonly string[];
  readonly choices: number;
  readonly wantsJson: boolean;
  readonly thinks: boolean;
};

export type FinishReason = "stop" | "length" | "stop_sequence" | "refusal";

export type ChatAnswer = {
  readonly requestId: string;
  readonly createdSeconds: number;
  readonly model: PricedModel;
  readonly text: string;
  readonly choices: number;
  readonly finish: FinishReason;
  /** The stop sequence that ended the text, if one did. */
  readonly stopSequence: string | null;
  readonly usage: Usage;
  /** Part of `usage.outputTokens`. */
  readonly reasoningTokens: number;
};
