/**
 * What differs between the providers' direct chat calls, as one interface with one implementation a provider. The
 * server knows only this; a batch API will be another interface beside it, using the same checks and answers.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { ChatAnswer, ChatCall } from "./chat-call.js";
import type { PriceTable, ProviderName } from "./price-table.js";

/** An error answer. Each provider writes it in its own shape; Anthropic's has no code and no param. */
export type Refusal = {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
  readonly message: string;
};

/** Ways in which an answer's usage can lie, for faults. */
export type UsageLie = "missing" | "negative" | "huge" | "not_a_number" | "wrong_total";

export type DirectApi = {
  readonly provider: ProviderName;
  readonly path: string;
  readonly requestIdHeader: string;
  /** The key a request carries, or why it carries none. */
  readKey(headers: IncomingHttpHeaders): { readonly key: string } | { readonly refusal: Refusal };
  readonly wrongKey: Refusal;
  /** Checks everything that follows the key. `body` is parsed JSON. */
  check(
    headers: IncomingHttpHeaders,
    body: unknown,
    prices: PriceTable,
  ): { readonly call: ChatCall } | { readonly refusal: Refusal };
  /** The answer's body as JSON text, put together by hand: it is on every call's way. */
  answerJson(answer: ChatAnswer): string;
  lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown;
  errorBody(refusal: Refusal, requestId: string): Record<string, unknown>;
  /** This provider's own error for a plain fault of the server, the key or the transport. */
  refusalFor(status: number, message: string): Refusal;
};
