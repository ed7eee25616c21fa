import type { Failure } from "../../domain/failure.js";
import type { EpochMs } from "../../domain/ids.js";
import type { RoutePolicy } from "../../domain/job/job.js";
import type { RouteName } from "../../domain/route/next-attempt.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
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
  | { readonly kind: "none"; readonly failure: Failure };

/**
 * Which of its plan's routes a request takes next. The plan's order never changes, since stored attempts name routes by their place in
 * it; what changes with the time is which of them is chosen. Takes nothing and waits for nothing.
 */
export class RouteChooser {
  choose({ plan, routeIndex }: RouteWish): RouteChoice {
    const { first } = plan;
    if (first === null) {
      const message = plan.failure?.message ?? "no candidate can serve this job any more";
      const code = plan.failure?.code ?? "NO_ROUTE";
      return { kind: "none", failure: { code, message, provider: null, retryAtMs: null } };
    }
    return { kind: "route", ...routeAt(plan, first, routeIndex) };
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
