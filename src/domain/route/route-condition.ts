import type { WaitReason } from "../execution/waits.js";
import type { EpochMs } from "../ids.js";
import type { Tier } from "../job/job.js";
import type { FormatFamily } from "./format-family.js";
import type { Route } from "./route.js";

/**
 * What is known right now of a route beyond the catalog: whether its provider is well, how fast and how reliable it was of late, whether a
 * limit leaves room, what its account has spent, or has paid for and not used. Looked up in memory for every choice, so nothing here waits or fails; what is unknown is
 * said to be unknown.
 */
export interface RouteConditions {
  health(account: string, model: string, nowMs: EpochMs): RouteHealth;
  /** Null: too few calls of late to say anything. */
  statistics(account: string, model: string, nowMs: EpochMs): RouteStatistics | null;
  /**
   * Takes nothing.
   * @param tokens what the call counts for: estimated prompt and longest answer.
   * @param endpoint and `tier`: of its job, for limits that go by them.
   */
  headroom(route: Route, tokens: number, nowMs: EpochMs, endpoint: FormatFamily, tier: Tier): Headroom;
  /** Why the account should be left alone for what it has spent, in words; null: it need not be. */
  spent(account: string, nowMs: EpochMs): string | null;
  /** Nano-dollars of what is paid for the account anyway that no call has used or may use yet; null: none is known of. */
  committedLeft(account: string, nowMs: EpochMs): bigint | null;
}

export interface RouteHealth {
  /** `degraded`: behind those that are well; `open`: not called; `half_open`: called for a trial, by what the gate lets through. */
  readonly state: "closed" | "degraded" | "open" | "half_open";
  /** When an open one is tried again, or the chance of a trial is over; null: neither. */
  readonly untilMs: EpochMs | null;
  /** In words, for people; null when it is closed. */
  readonly because: string | null;
}

export interface RouteStatistics {
  /** Share of recent calls that failed in a way that says something of the provider, 0 to 1. */
  readonly failureRate: number;
  /** How long answered calls took. */
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** Calls these figures come from. */
  readonly calls: number;
  /** Share of the prompt tokens that were read from the provider's cache, 0 to 1; left out: unknown. */
  readonly cachedInputShare?: number;
}

export type Headroom =
  | { readonly kind: "go" }
  | { readonly kind: "wait"; readonly runAtMs: EpochMs; readonly waitsFor: WaitReason; readonly limit: string }
  /** More than the limit ever allows at once; in words. */
  | { readonly kind: "never"; readonly because: string };

const WELL: RouteHealth = { state: "closed", untilMs: null, because: null };

/** Nothing is known of any route. */
export const UNKNOWN_CONDITIONS: RouteConditions = {
  health: () => WELL,
  statistics: () => null,
  headroom: () => ({ kind: "go" }),
  spent: () => null,
  committedLeft: () => null,
};

/** How much speaks against giving a route anything now: its calls fail at times, or its circuit is open or its account has spent enough. */
const BEHIND_WELL = { closed: 0, half_open: 0, degraded: 1, open: 2 } as const satisfies Record<
  RouteHealth["state"],
  number
>;

/** The place among others of a route that is to get a line: those with less are asked first. No limit of calls holds a line. */
export function placeForLine(
  conditions: Pick<RouteConditions, "health" | "spent">,
  { account, model }: Pick<Route, "account" | "model">,
  nowMs: EpochMs,
): number {
  const { state } = conditions.health(account, model, nowMs);
  return conditions.spent(account, nowMs) === null ? BEHIND_WELL[state] : BEHIND_WELL.open;
}
