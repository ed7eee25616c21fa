import { FAILURE_POLICY } from "../failure.js";
import type { AfterFailure, AttemptOutcome, ErrorCode } from "../failure.js";
import type { EpochMs } from "../ids.js";

/**
 * What follows an attempt that did not succeed: pure, so that the simulation and the tables of the tests can ask it everything. The
 * policy itself is `FAILURE_POLICY`; here it is applied to what is known of routes, clock and deadline.
 *
 * Bounds: at most `attemptsMax` attempts whatever happens, and no attempt begins at or after the deadline.
 */

export interface RetryLimits {
  readonly attemptsMax: number;
  /** Full jitter: the wait is random between 0 and `backoffBaseMs` doubled per attempt, at most `backoffMaxMs`. */
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  /** A provider's Retry-After counts up to this; some have said ten days. */
  readonly retryAfterMaxMs: number;
}

/** A route as its place in the plan names it. */
export interface RouteName {
  readonly account: string;
  readonly model: string;
}

/** Where the execution stands when one more attempt may follow. */
export interface RetryFacts {
  /** Number of the attempt that ended, from 1. */
  readonly attemptNumber: number;
  /** The plan's routes, at least one. */
  readonly routes: readonly RouteName[];
  /** Place of the failed attempt's route in `routes`. */
  readonly routeIndex: number;
  /** The routes of all attempts so far, the failed one included, oldest first. */
  readonly tried: readonly RouteName[];
  readonly nowMs: EpochMs;
  readonly latestDeadlineMs: EpochMs;
  readonly limits: RetryLimits;
}

export interface FailedAttemptFacts extends RetryFacts {
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  /** Whether bytes may have reached the provider; "answered" when it said something. */
  readonly sent: "no" | "perhaps" | "answered";
  /** Status of the provider's answer; null without one. */
  readonly httpStatus: number | null;
  readonly retryAfterMs: number | null;
}

export type NextAttempt =
  | {
      readonly kind: "again";
      readonly routeIndex: number;
      readonly runAtMs: EpochMs;
      readonly waitsFor: "retry_after" | "backoff" | null;
    }
  | { readonly kind: "end"; readonly code: ErrorCode }
  /** It may have been billed: settled after the grace with `decideAfterDoubt`. */
  | { readonly kind: "doubt" };

/** @param random in [0, 1), from outside. */
export function decideAfter(facts: FailedAttemptFacts, random: number): NextAttempt {
  const then = whatFollows(facts);
  if (then === "doubt") return { kind: "doubt" };
  const code = endCode(facts);
  if (then === "stop" || facts.attemptNumber >= facts.limits.attemptsMax) return { kind: "end", code };
  if (facts.nowMs >= facts.latestDeadlineMs) return { kind: "end", code };
  return (then === "same_route" ? sameRoute(facts, random) : nextRoute(facts, random)) ?? { kind: "end", code };
}

export interface DoubtFacts extends RetryFacts {
  /** The route's policy, or the job's when stricter. */
  readonly policy: "retry" | "fail";
  /** What the doubtful attempt may have cost at most, and the most that may be risked twice; nano-dollars. */
  readonly maxNanoUsd: bigint;
  readonly retryMaxNanoUsd: bigint;
}

/** Ends a doubt whose grace is over and that no look-up could settle: pay again, or end the jobs with `IN_DOUBT`. */
export function decideAfterDoubt(facts: DoubtFacts, random: number): Exclude<NextAttempt, { readonly kind: "doubt" }> {
  const mayRetry =
    facts.policy === "retry" &&
    facts.maxNanoUsd <= facts.retryMaxNanoUsd &&
    facts.attemptNumber < facts.limits.attemptsMax &&
    facts.nowMs < facts.latestDeadlineMs;
  const next = mayRetry ? nextRoute(facts, random) : null;
  return next ?? { kind: "end", code: "IN_DOUBT" };
}

/**
 * The policy's word, corrected by what is known of the wire. Nothing sent: nothing can have been billed. Bytes perhaps sent and no answer:
 * it may have been. An error status is an answer, and no provider here bills one; a garbled or cut 200 very likely was billed.
 */
function whatFollows(facts: FailedAttemptFacts): AfterFailure {
  const then: AfterFailure = FAILURE_POLICY[facts.outcome].then;
  if (facts.sent === "no") return then === "doubt" ? "next_route" : then;
  if (facts.sent === "perhaps") return facts.httpStatus === null || isSuccess(facts.httpStatus) ? "doubt" : then;
  if (facts.outcome === "bad_response" && facts.httpStatus !== null && !isSuccess(facts.httpStatus))
    return "next_route";
  return then;
}

function isSuccess(httpStatus: number): boolean {
  return httpStatus >= 200 && httpStatus < 300;
}

/** A call that timed out before it was sent is no doubt, so its last word can't be either. */
function endCode(facts: FailedAttemptFacts): ErrorCode {
  const { code } = FAILURE_POLICY[facts.outcome];
  return code === "IN_DOUBT" ? "PROVIDER_UNAVAILABLE" : code;
}

/** The same candidate after its wait; another one when it stays bad, asks for more than is honoured, or the wait is too long. */
function sameRoute(facts: FailedAttemptFacts, random: number): NextAttempt | null {
  const { limits, retryAfterMs } = facts;
  const asked = retryAfterMs ?? 0;
  if (staysBad(facts) || asked > limits.retryAfterMaxMs) {
    const fresh = freshRoute(facts);
    if (fresh !== null) return atOnce(facts, fresh);
  }
  if (retryAfterMs === null) return afterBackoff(facts, facts.routeIndex, random) ?? atOnceElsewhere(facts);
  // Jitter on top, never below: all who were told the same second would come back together.
  const waitMs = Math.min(asked, limits.retryAfterMaxMs) + Math.ceil(random * limits.backoffBaseMs);
  const runAtMs = facts.nowMs + waitMs;
  if (runAtMs >= facts.latestDeadlineMs) return atOnceElsewhere(facts);
  return { kind: "again", routeIndex: facts.routeIndex, runAtMs, waitsFor: "retry_after" };
}

function staysBad(facts: RetryFacts): boolean {
  const [before, last] = facts.tried.slice(-2);
  return before !== undefined && last !== undefined && isSameRoute(before, last);
}

function atOnceElsewhere(facts: RetryFacts): NextAttempt | null {
  const fresh = freshRoute(facts);
  return fresh === null ? null : atOnce(facts, fresh);
}

/** The next untried candidate at once; when all were tried, the one after this in turn, after backoff. */
function nextRoute(facts: RetryFacts, random: number): Exclude<NextAttempt, { readonly kind: "doubt" }> | null {
  const fresh = freshRoute(facts);
  if (fresh !== null) return atOnce(facts, fresh);
  return afterBackoff(facts, (facts.routeIndex + 1) % facts.routes.length, random);
}

function freshRoute(facts: RetryFacts): number | null {
  const found = facts.routes.findIndex((route) => !facts.tried.some((tried) => isSameRoute(tried, route)));
  return found === -1 ? null : found;
}

function isSameRoute(one: RouteName, other: RouteName): boolean {
  return one.account === other.account && one.model === other.model;
}

function atOnce(facts: RetryFacts, routeIndex: number): Exclude<NextAttempt, { readonly kind: "doubt" }> {
  return { kind: "again", routeIndex, runAtMs: facts.nowMs, waitsFor: null };
}

function afterBackoff(
  facts: RetryFacts,
  routeIndex: number,
  random: number,
): Exclude<NextAttempt, { readonly kind: "doubt" }> | null {
  const { backoffBaseMs, backoffMaxMs } = facts.limits;
  const ceilingMs = Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(facts.attemptNumber - 1, 30));
  const runAtMs = facts.nowMs + Math.ceil(random * ceilingMs);
  return runAtMs >= facts.latestDeadlineMs ? null : { kind: "again", routeIndex, runAtMs, waitsFor: "backoff" };
}
