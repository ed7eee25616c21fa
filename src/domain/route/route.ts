import type { ModelPrice } from "../cost/price.js";

/** A word of the adapters' registry, such as `openai`; the config lets no other through. */
export type ProviderKind = string;

/** One way to serve a request now: an account, the model's name there, and what it costs. */
export interface Route {
  /** The entry of `providers` in the config: an account. */
  readonly account: string;
  readonly kind: ProviderKind;
  /** The model's name at the provider. */
  readonly model: string;
  /** Of a call of its own. */
  readonly price: ModelPrice;
  /** Of a line in a batch; null: unknown, so none is made. */
  readonly batchPrice: ModelPrice | null;
  /** Sent when the caller set no output cap, and the bound of the maximum cost. */
  readonly maxOutputTokens: number;
  readonly contextTokens: number | null;
  /** What a call may cost beyond the request's own bytes and the output. */
  readonly unseen: UnseenTokens;
}

/** Tokens that a provider may count though they are no bytes of the request. */
export interface UnseenTokens {
  /** Separators, a chat template's opening, the hidden system prompt of tool use: a call. */
  readonly overheadTokens: number;
  /** The most that one picture counts. */
  readonly imageTokensMax: number;
}

export interface RejectedRoute {
  readonly account: string;
  readonly model: string;
  /** In words, for people: "claude-main speaks anthropic.messages, the job is openai.chat". */
  readonly because: string;
}

export interface RoutePlan {
  /** The first of `routes`; null when the job has no route. */
  readonly first: Route | null;
  /** In the order they are tried. May be worked out when it is first looked at, which costs a translation of the request. */
  readonly routes: readonly Route[];
  /** The same. */
  readonly rejected: readonly RejectedRoute[];
  /** Accounts of `routes`, and of candidates that a translation may still rule out; known at once. */
  readonly accounts: readonly string[];
  /** How many of `rejected` are known at once. */
  readonly ruledOut: number;
  /** Why there is no route at all; null when there is one. */
  readonly failure: { readonly code: "UNKNOWN_MODEL" | "NO_ROUTE" | "NO_PRICE"; readonly message: string } | null;
}
