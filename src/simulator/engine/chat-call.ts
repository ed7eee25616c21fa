/** A chat call between its request and its answer, in words that fit every provider. */
import type { Usage } from "./bill-price.js";
import type { CallMode } from "./direct-operation.js";
import type { JsonObject } from "./field-checks.js";
import type { PricedModel } from "./price-table.js";

/** A function that the model may call. */
export type ChatTool = {
  readonly name: string;
  /** JSON schema of its arguments; null = no arguments. */
  readonly parameters: JsonObject | null;
};

/** What the request says about calling tools. */
export type ToolUse = {
  readonly tools: readonly ChatTool[];
  /** "asked" = only when the prompt asks by the stated rule; "forced" = at least one; otherwise the name of the one to call. */
  readonly choice: "none" | "asked" | "forced" | { readonly name: string };
  /** false = one call at most. */
  readonly parallel: boolean;
  /** Text of the last message when the user wrote it, else "": where the prompt may ask for a call. */
  readonly lastUserText: string;
};

/** Tokens of the input, each in one place at most. */
export type CacheUse = { readonly readTokens: number; readonly writeTokens: number; readonly write1hTokens: number };

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
  /** true: the answer shows that it was thought about. */
  readonly showsThoughts?: boolean;
  /** What of the input is read from and written to the prompt cache, where the request says so; otherwise a rule does (chat-answer.ts). */
  readonly cacheUse?: CacheUse;
  /** Given: the answer is a JSON value that satisfies it (schema-value.ts says which schemas can be). */
  readonly jsonSchema?: JsonObject | null;
  readonly toolUse?: ToolUse | null;
};

export type FinishReason = "stop" | "length" | "stop_sequence" | "tool_calls" | "refusal";

export type ToolCall = { readonly id: string; readonly name: string; readonly argumentsJson: string };

export type ChatAnswer = {
  readonly requestId: string;
  readonly createdSeconds: number;
  readonly mode: CallMode;
  readonly model: PricedModel;
  readonly text: string;
  /** When not empty, `text` is "". */
  readonly toolCalls: readonly ToolCall[];
  readonly choices: number;
  readonly finish: FinishReason;
  /** The stop sequence that ended the text, if one did. */
  readonly stopSequence: string | null;
  /** A word of the provider's own for what stopped the prompt or the answer, in place of that of `finish`. */
  readonly stopped?: { readonly where: "prompt" | "answer"; readonly word: string };
  readonly usage: Usage;
  /** Part of `usage.outputTokens`. */
  readonly reasoningTokens: number;
  readonly showsThoughts: boolean;
};
