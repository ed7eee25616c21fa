import { batchId } from "../batch/batch.js";
import type { WaitingExecution } from "../execution/execution.js";
import type { EpochMs } from "../ids.js";
import { withMargin } from "./choose-mode.js";
import { routeMaxCostNanoUsd } from "./plan-routes.js";
import type { RequestFacts } from "./request-facts.js";
import type { RouteComparison, RouteDecision } from "./route-decision.js";
import type { Route, RoutePlan } from "./route.js";

/**
 * Whether a call is made beside a line that is still out in a batch, since only that can still make a job's deadline: pure. It is paid
 * beside the line, so it waits for the last moment at which a call can be counted on, and for as long as the batch itself is expected
 * before the deadline. Jobs that insist on a batch get none: their senders rather miss the deadline than pay a call.
 */

/** What an alias allows. */
export interface RescueLimits {
  /** By the name of an alias: most that the call may cost, nano-dollars. No entry: never. */
  readonly maxNanoUsd: ReadonlyMap<string, bigint>;
  readonly lookEveryMs: number;
}

export interface RescueTimes {
  readonly nowMs: EpochMs;
  /** The nearest of the jobs that wait. */
  readonly deadlineMs: EpochMs;
  /** When the batch is expected to have ended; null: not known. */
  readonly expectedAtMs: EpochMs | null;
  /** 95 of 100 calls are answered within this time. */
  readonly callP95Ms: number;
  /** The next look comes so much later. */
  readonly lookEveryMs: number;
}

/** So long before a deadline a call is made at the latest: as batches are, it is given a margin. */
export function rescueAheadMs(callP95Ms: number, lookEveryMs: number): number {
  return withMargin(callP95Ms) + lookEveryMs;
}

export function isRescueDue({ nowMs, deadlineMs, expectedAtMs, callP95Ms, lookEveryMs }: RescueTimes): boolean {
  const leftMs = deadlineMs - nowMs;
  if (leftMs <= 0 || leftMs > rescueAheadMs(callP95Ms, lookEveryMs)) return false;
  const comesInTime = expectedAtMs !== null && nowMs < expectedAtMs && expectedAtMs < deadlineMs;
  return !comesInTime;
}

export interface RescueFacts {
  readonly waiting: Pick<WaitingExecution, "line" | "mode" | "policy" | "nearestDeadlineMs" | "nextRouteIndex">;
  readonly facts: RequestFacts;
  readonly plan: RoutePlan;
  readonly nowMs: EpochMs;
  readonly callP95Ms: (route: Route) => number;
  /** As of any call, by what is known right now. @param turn the place of the route whose turn it is. Null: none can be called now. */
  readonly choose: (routes: readonly Route[], turn: number) => ChosenRoute | null;
}

/** One of several routes by its place, with why it and not another, where there is something to say. */
export interface ChosenRoute {
  readonly index: number;
  readonly routes?: RouteComparison;
}

/** The call to make, by which route. */
export interface RescueCall extends ChosenRoute {
  readonly route: Route;
  readonly maxNanoUsd: bigint;
}

/** By one of the routes that cost no more than is allowed. Null: none, or not now. */
export function chooseRescue(
  { waiting, facts, plan, nowMs, callP95Ms, choose }: RescueFacts,
  { maxNanoUsd: allowed, lookEveryMs }: RescueLimits,
): RescueCall | null {
  const { line, mode, policy, nearestDeadlineMs: deadlineMs, nextRouteIndex } = waiting;
  const most = allowed.get(policy.model);
  if (line === undefined || most === undefined || mode === "batch") return null;
  const affordable = plan.routes.flatMap((route, index): RescueCall[] => {
    const maxNanoUsd = routeMaxCostNanoUsd(route, facts);
    return maxNanoUsd > most ? [] : [{ route, index, maxNanoUsd }];
  });
  if (affordable.length === 0) return null;
  const turn = affordable.findIndex(({ index }) => index === nextRouteIndex);
  const chosen = choose(
    affordable.map(({ route }) => route),
    Math.max(0, turn),
  );
  const call = chosen === null ? undefined : affordable[chosen.index];
  if (chosen === null || call === undefined) return null;
  const { expectedAtMs } = line;
  const times = { nowMs, deadlineMs, expectedAtMs, callP95Ms: callP95Ms(call.route), lookEveryMs };
  if (!isRescueDue(times)) return null;
  return chosen.routes === undefined ? call : { ...call, routes: chosen.routes };
}

/** Why the call was made, for whoever gets its answer. */
export function rescueDecision(
  { line, nearestDeadlineMs }: Pick<WaitingExecution, "line" | "nearestDeadlineMs">,
  { route, maxNanoUsd, routes }: RescueCall,
  nowMs: EpochMs,
): RouteDecision {
  const where = line === undefined ? "a batch" : batchId(line.batchNo);
  return {
    mode: "direct",
    account: route.account,
    model: route.model,
    because: `a rescue: its line is still out in ${where}, and only a call of its own is counted on before the deadline`,
    numbers: {
      leftMs: nearestDeadlineMs - nowMs,
      turnaroundP95Ms: null,
      fillMs: null,
      directMaxNanoUsd: maxNanoUsd.toString(),
      batchMaxNanoUsd: null,
      tokens: null,
      headroomTokens: null,
    },
    ...(routes === undefined ? {} : { routes }),
  };
}
