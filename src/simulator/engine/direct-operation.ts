/**
 * A direct call that works and is billed: one POST, one answer. The server, the batch engine and the faults know only this
 * interface, so a line of a batch goes through the same checks and gets the same answer as the direct call it stands for.
 *
 * `chatOperation` (chat-operation.ts) and `embeddingOperation` (embedding-operation.ts) make one from a provider's checks and shapes.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Usage } from "./bill-price.js";
import type { PricedModel, PriceTable } from "./price-table.js";
import type { Refusal } from "./refusal.js";

/** Ways in which an answer's usage can lie, for faults. */
export type UsageLie = "missing" | "negative" | "huge" | "not_a_number" | "wrong_total";

/** How a call was sent; some answers name it, and it decides the price. */
export type CallMode = "direct" | "batch";

/** What a call says. For a line of a batch the headers are those that its provider wants the line judged by. */
export type DirectRequest = {
  readonly headers: IncomingHttpHeaders;
  /** The named parts of the path. */
  readonly params: Readonly<Record<string, string>>;
  /** Parsed JSON. */
  readonly body: unknown;
};

export type DirectOperation = {
  /** By which fault rules name it: "openai.chat". */
  readonly name: string;
  /** As in Operation; the method is POST. */
  readonly path: string;
  /** Checks everything that follows the key. */
  check(request: DirectRequest, prices: PriceTable): { readonly call: DirectCall } | { readonly refusal: Refusal };
};

/** A request that passed all checks. */
export type DirectCall = {
  readonly model: PricedModel;
  readonly askedModel: string;
  /** Of the prompt's texts; it fixes the answer and the latency. */
  readonly promptDigest: string;
  readonly inputTokens: number;
  /** The longest answer, all choices together; left out: there is none. */
  readonly outputTokensMax?: number;
  answer(context: AnswerContext): DirectAnswer;
};

export type AnswerContext = {
  readonly bodyDigest: string;
  readonly seed: number;
  readonly requestId: string;
  readonly nowMs: number;
  readonly mode: CallMode;
};

/** A finished answer, with the variations that faults ask for. */
export type DirectAnswer = {
  readonly model: PricedModel;
  readonly usage: Usage;
  /** Part of `usage.outputTokens`. */
  readonly reasoningTokens: number;
  /** The body as JSON text. */
  bodyText(): string;
  /** The same body with a usage that lies. */
  lyingBodyText(lie: UsageLie): string;
  answeredBy(model: PricedModel): DirectAnswer;
  /** Without a word; one output token. */
  emptied(): DirectAnswer;
  /** The model declines. */
  declined(): DirectAnswer;
};
