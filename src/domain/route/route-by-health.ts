import type { EpochMs } from "../ids.js";
import type { RouteName } from "./next-attempt.js";
import type { RouteConditions } from "./route-condition.js";

export interface HealthWish {
  /** At least one. */
  readonly routes: readonly RouteName[];
  /** Place of the route whose turn it is. */
  readonly turn: number;
  /** The routes of the tries before. */
  readonly tried: readonly RouteName[];
  readonly conditions: Pick<RouteConditions, "health">;
  readonly nowMs: EpochMs;
  readonly deadlineMs: EpochMs;
  /** A trial of the account may take so long before the next route has its turn. */
  readonly trialMs: (account: string) => number;
}

export type HealthChoice =
  | { readonly kind: "route"; readonly index: number }
  /** None may be called now. */
  | { readonly kind: "wait"; readonly runAtMs: EpochMs };

/** Best first. */
const RANKS = { well: 0, degraded: 1, tried: 2, triedDegraded: 3, inHaste: 4 } as const;
/** A trial that nobody with the time for it has taken up for so large a share of its time is anybody's. */
const LEFT_SHARE = 0.9;

/**
 * Which route is called, as far as providers' health says: the one whose turn it is when it is well, else the next that is and was not
 * tried before, then those that are degraded, then what was tried. One that is open is not called; one on trial is, if it can by a job that
 * has the time for a trial in vain. When all are open the first that may be tried again is waited for.
 */
export function routeByHealth(wish: HealthWish): HealthChoice {
  const { routes, turn } = wish;
  let best: { readonly index: number; readonly rank: number } | null = null;
  let runAtMs = Number.POSITIVE_INFINITY;
  for (let step = 0; step < routes.length; step += 1) {
    const index = (turn + step) % routes.length;
    const route = routes[index];
    if (route === undefined) continue;
    const judged = judge(wish, route, step === 0);
    if (judged.kind === "open") runAtMs = Math.min(runAtMs, judged.untilMs);
    else if (best === null || judged.rank < best.rank) best = { index, rank: judged.rank };
    if (best?.rank === RANKS.well) break;
  }
  if (best !== null) return { kind: "route", index: best.index };
  return { kind: "wait", runAtMs: Number.isFinite(runAtMs) ? runAtMs : wish.nowMs };
}

type Judged =
  { readonly kind: "open"; readonly untilMs: EpochMs } | { readonly kind: "callable"; readonly rank: number };

function judge(wish: HealthWish, route: RouteName, isTurn: boolean): Judged {
  const { conditions, nowMs, deadlineMs, trialMs, tried } = wish;
  const { state, untilMs } = conditions.health(route.account, route.model, nowMs);
  if (state === "open") return { kind: "open", untilMs: Math.max(untilMs ?? nowMs, nowMs + 1) };
  if (state === "half_open") {
    const neededMs = trialMs(route.account);
    const isLeft = untilMs !== null && untilMs - nowMs < neededMs * LEFT_SHARE;
    if (deadlineMs - nowMs < neededMs && !isLeft) return { kind: "callable", rank: RANKS.inHaste };
  }
  const isTried = !isTurn && tried.some((one) => one.account === route.account && one.model === route.model);
  if (state === "degraded") return { kind: "callable", rank: isTried ? RANKS.triedDegraded : RANKS.degraded };
  return { kind: "callable", rank: isTried ? RANKS.tried : RANKS.well };
}
