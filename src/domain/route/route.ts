import type { ModelPrice } from "../cost/price.js";

export type ProviderKind = "openai" | "anthropic" | "openai-compatible";

/** One way to serve a request now: an account, the model's name there, and what it costs. */
export interface Route {
  /** The entry of `providers` in the config: an account. */
  readonly account: string;
  readonly kind: ProviderKind;
  /** The model's name at the provider. */
  readonly model: string;
  readonly mode: "direct";
  readonly price: ModelPrice;
  /** Sent when the caller set no output cap, and the bound of the maximum cost. */
  readonly maxOutputTokens: number;
  readonly contextTokens: number | null;
}

export interface RejectedRoute {
  readonly account: string;
  readonly model: string;
  /** In words, for people: "claude-main speaks anthropic.messages, the job is openai.chat". */
  readonly because: string;
}

export interface RoutePlan {
  /** In the order they are tried. Empty: the job has no route. */
  readonly routes: readonly Route[];
  readonly rejected: readonly RejectedRoute[];
  /** Why there is no route at all; null when there is one. */
  readonly failure: { readonly code: "UNKNOWN_MODEL" | "NO_ROUTE" | "NO_PRICE"; readonly message: string } | null;
}
