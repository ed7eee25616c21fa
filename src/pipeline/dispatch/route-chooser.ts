import type { WaitReason } from "../../domain/execution/waits.js";
import type { Failure } from "../../domain/failure.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RoutePolicy } from "../../domain/job/job.js";
import type { RouteName } from "../../domain/route/next-attempt.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import { routeByHealth } from "../../domain/route/route-by-health.js";
import { UNKNOWN_CONDITIONS, type RouteConditions } from "../../domain/route/route-condition.js";
import type { Route, RoutePlan } from "../../domain/route/route.js";

/** A request that is to be served, and what the choice of its route goes by. */
export interface RouteWish {
  readonly plan: RoutePlan;
  readonly facts: RequestFacts;
  readonly policy: RoutePolicy;
  readonly tenant: string;
  readonly deadlineMs: EpochMs;
  readonly nowMs: EpochMs;
  /** Place in the plan of the route whose turn it is; one that is not there: the first. */
  readonly routeIndex: number;
  /** The routes of the tries before, oldest first. */
  readonly tried: readonly RouteName[];
}

export type RouteChoice =
  | { readonly kind: "route"; readonly route: Route; readonly index: number }
  /** No route may be called now; `route`: the one whose turn it is. */
  | {
      readonly kind: "wait";
      readonly route: Route;
      readonly index: number;
      readonly runAtMs: EpochMs;
      readonly waitsFor: WaitReason;
    }
  | { readonly kind: "none"; readonly failure: Failure };

/**
 * Which of its plan's routes a request takes next. The plan's order never changes, since stored attempts name routes by their place in
 * it; what changes with the time is which of them is chosen. Takes nothing and waits for nothing.
 */
export class RouteChooser {
  readonly #conditions: RouteConditions;
  readonly #trialMs: (account: string) => number;

  /** @param trialMs how long a trial of an account that was not well may take. */
  constructor(conditions: RouteConditions = UNKNOWN_CONDITIONS, trialMs: (account: string) => number = () => 0) {
    this.#conditions = conditions;
    this.#trialMs = trialMs;
  }

  choose(wish: RouteWish): RouteChoice {
    const { plan, routeIndex } = wish;
    const { first } = plan;
    if (first === null) {
      const message = plan.failure?.message ?? "no candidate can serve this job any more";
      const code = plan.failure?.code ?? "NO_ROUTE";
      return { kind: "none", failure: { code, message, provider: null, retryAtMs: null } };
    }
    const turn = routeAt(plan, first, routeIndex);
    const { account, model } = turn.route;
    if (this.#conditions.health(account, model, wish.nowMs).state === "closed") return { kind: "route", ...turn };
    return this.#elsewhere(wish, first, turn);
  }

  /** Only here the whole plan is needed, which may cost a translation. */
  #elsewhere(
    { plan, tried, nowMs, deadlineMs }: RouteWish,
    first: Route,
    turn: { readonly route: Route; readonly index: number },
  ): RouteChoice {
    const { routes } = plan;
    const conditions = this.#conditions;
    const trialMs = this.#trialMs;
    const chosen = routeByHealth({ routes, turn: turn.index, tried, conditions, nowMs, deadlineMs, trialMs });
    if (chosen.kind === "route") return { kind: "route", ...routeAt(plan, first, chosen.index) };
    return { kind: "wait", ...turn, runAtMs: chosen.runAtMs, waitsFor: "breaker" };
  }
}

/** The first route stands for one that is no longer there; only others than the first need the whole plan. */
export function routeAt(
  plan: RoutePlan,
  first: Route,
  index: number,
): { readonly route: Route; readonly index: number } {
  const route = index === 0 ? first : plan.routes[index];
  return route === undefined ? { route: first, index: 0 } : { route, index };
}
