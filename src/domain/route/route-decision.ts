import type { EpochMs } from "../ids.js";
import type { RejectedRoute, Route } from "./route.js";
import type { ScoredRoute } from "./score-routes.js";

/** Which route serves a job and why, by a batch or by a call of its own, with the numbers that decided. For `jobs show` and, when asked for, the result. */
export interface RouteDecision {
  readonly mode: "direct" | "batch";
  readonly account: string;
  readonly model: string;
  /** In words: "a batch is half the price and ends in time". */
  readonly because: string;
  /** Milliseconds, nano-dollars, tokens, as the names say; null: unknown. */
  readonly numbers: {
    readonly leftMs: number;
    readonly turnaroundP95Ms: number | null;
    readonly fillMs: number | null;
    readonly directMaxNanoUsd: string | null;
    readonly batchMaxNanoUsd: string | null;
    readonly tokens: number | null;
    readonly headroomTokens: number | null;
  };
  /** Why this route and not another; only there where there were several. */
  readonly routes?: RouteComparison;
}

export interface RouteComparison {
  /** In words: "the best score, 0.83". */
  readonly because: string;
  /** With the reason of each, in words. */
  readonly rejected: readonly RejectedRoute[];
  /** Only there where scores decided: the chosen one and those it was better than, in the order of the list. */
  readonly scored?: readonly ScoredRoute[];
}

/** A decision between routes, which may come with one about a batch. */
export function withComparison(
  decision: RouteDecision | undefined,
  routes: RouteComparison | undefined,
  { account, model }: Pick<Route, "account" | "model">,
  leftMs: EpochMs,
): RouteDecision | undefined {
  if (routes === undefined) return decision;
  if (decision !== undefined) return { ...decision, routes };
  const numbers = {
    leftMs,
    turnaroundP95Ms: null,
    fillMs: null,
    directMaxNanoUsd: null,
    batchMaxNanoUsd: null,
    tokens: null,
    headroomTokens: null,
  };
  return { mode: "direct", account, model, because: routes.because, numbers, routes };
}
