import { FAILURE_POLICY, faultOf } from "../failure.js";
import type { AfterFailure, AttemptOutcome, ErrorCode, FailurePolicy, FaultOf } from "../failure.js";
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
  /** What follows a refusal for the content of the request; left out: the end. */
  readonly onContentRefused?: "fail" | "nextRoute";
}

/** A route as its place in the plan names it. */
export interface RouteName {
  readonly account: string;
  readonly model: string;
}

/** A route of the plan. */
export interface NextRoute extends RouteName {
  /** Its context window; null or left out: unknown. */
  readonly contextTokens?: number | null;
}

/** A route that was called, and what came of it as far as it is known. */
export interface TriedRoute extends RouteName {
  readonly outcome?: AttemptOutcome;
  /** Whose fault it was; left out: as the outcome alone says. */
  readonly faultOf?: FaultOf;
}

/** Where the execution stands when one more attempt may follow. */
export interface RetryFacts {
  /** Number of the attempt that ended, from 1. */
  readonly attemptNumber: number;
  /** The plan's routes, at least one. */
  readonly routes: readonly NextRoute[];
  /** Place of the failed attempt's route in `routes`. */
  readonly routeIndex: number;
  /** The routes of all attempts so far, the failed one included, oldest first. */
  readonly tried: readonly TriedRoute[];
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
  /** It was answered, and the provider has the answer no more: asking again would be paid again. Left out: no. */
  readonly lost?: boolean;
}

interface Again {
  readonly kind: "again";
  readonly routeIndex: number;
  readonly runAtMs: EpochMs;
  readonly waitsFor: "retry_after" | "backoff" | null;
}

export type NextAttempt =
  | Again
  | { readonly kind: "end"; readonly code: ErrorCode }
  /** It may have been billed: settled after the grace with `decideAfterDoubt`. */
  | { readonly kind: "doubt" };

/** @param random in [0, 1), from outside. */
export function decideAfter(given: FailedAttemptFacts, random: number): NextAttempt {
  const facts = withLast(given, given.outcome, faultOf(given.outcome, given.httpStatus));
  const then = whatFollows(facts);
  if (then === "doubt") return { kind: "doubt" };
  const code = endCode(facts);
  if (then === "stop" || facts.attemptNumber >= facts.limits.attemptsMax) return { kind: "end", code };
  if (facts.nowMs >= facts.latestDeadlineMs) return { kind: "end", code };
  return followed(then, facts, random) ?? { kind: "end", code };
}

/** Null: nothing can follow. */
function followed(
  then: Exclude<AfterFailure, "doubt" | "stop">,
  facts: FailedAttemptFacts,
  random: number,
): Again | null {
  switch (then) {
    case "next_route":
      return nextRoute(facts, facts.outcome, random);
    case "next_or_wait":
      return nextOrWait(facts, random);
    case "wider_route":
      return widerRoute(facts);
    case "same_route":
      return atOnce(facts, facts.routeIndex);
    case "same_route_once":
      return cameToBefore(facts) ? null : atOnce(facts, facts.routeIndex);
    case "by_policy":
      return facts.limits.onContentRefused === "nextRoute" ? freshRoute(facts, facts.outcome) : null;
  }
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
  const doubtful = withLast(facts, "in_doubt", FAILURE_POLICY.in_doubt.of);
  const next = mayRetry ? nextRoute(doubtful, "in_doubt", random) : null;
  return next ?? { kind: "end", code: "IN_DOUBT" };
}

/**
 * The policy's word, corrected by what is known of the wire. Nothing sent: nothing can have been billed. Bytes perhaps sent and no answer:
 * it may have been. An error status is an answer, and no provider here bills one; a garbled or cut 200 very likely was billed.
 */
function whatFollows(facts: FailedAttemptFacts): AfterFailure {
  if (facts.lost === true) return "stop";
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

type Cause = Exclude<AttemptOutcome, "succeeded">;

/** The same, with what came of the last try, which is the one that failed. */
function withLast<Facts extends RetryFacts>(facts: Facts, outcome: Cause, fault: FaultOf): Facts {
  const last = facts.tried.at(-1);
  if (last === undefined) return facts;
  return { ...facts, tried: [...facts.tried.slice(0, -1), { ...last, outcome, faultOf: fault }] };
}

/**
 * Another account at once; without one this candidate again, not before it said so. Another model of the account when it stays bad, asks
 * for more than is honoured, or the wait is too long.
 */
function nextOrWait(facts: FailedAttemptFacts, random: number): Again | null {
  const elsewhere = freshRoute(facts, facts.outcome);
  if (elsewhere !== null) return elsewhere;
  const again = afterItsWait(facts, random);
  const isHopeless = again === null || staysBad(facts) || (facts.retryAfterMs ?? 0) > facts.limits.retryAfterMaxMs;
  return (isHopeless ? siblingRoute(facts, random) : null) ?? again;
}

/** By whatever route. */
function cameToBefore({ tried, outcome }: FailedAttemptFacts): boolean {
  return tried.slice(0, -1).some((one) => one.outcome === outcome);
}

function afterItsWait(facts: FailedAttemptFacts, random: number): Again | null {
  const { limits, retryAfterMs } = facts;
  if (retryAfterMs === null) return afterBackoff(facts, facts.routeIndex, random);
  // Jitter on top, never below: all who were told the same second would come back together.
  const waitMs = Math.min(retryAfterMs, limits.retryAfterMaxMs) + Math.ceil(random * limits.backoffBaseMs);
  const runAtMs = facts.nowMs + waitMs;
  if (runAtMs >= facts.latestDeadlineMs) return null;
  return { kind: "again", routeIndex: facts.routeIndex, runAtMs, waitsFor: "retry_after" };
}

function staysBad({ tried }: RetryFacts): boolean {
  const [before, last] = tried.slice(-2);
  return before !== undefined && last !== undefined && isSame(before, last);
}

/** The next candidate that may do better at once; when there is none, one after this in turn, after backoff. */
function nextRoute(facts: RetryFacts, cause: Cause, random: number): Again | null {
  const elsewhere = freshRoute(facts, cause) ?? siblingRoute(facts, random);
  return elsewhere ?? afterBackoff(facts, turnAfter(facts), random);
}

/** At once: the first that was not tried, at an account that did not fail for the same cause and is not barred. */
function freshRoute(facts: RetryFacts, cause: Cause): Again | null {
  const failed = accountsThat(facts, cause);
  const isFresh = (route: NextRoute): boolean => isOpen(facts, route) && !failed.has(route.account);
  return atOnce(facts, facts.routes.findIndex(isFresh));
}

/** After backoff: one that was not tried, at an account that failed for the same cause but may have got over it. */
function siblingRoute(facts: RetryFacts, random: number): Again | null {
  const found = facts.routes.findIndex((route) => isOpen(facts, route));
  return found === -1 ? null : afterBackoff(facts, found, random);
}

/** At once: one that was not tried and takes longer prompts than this one. */
function widerRoute(facts: RetryFacts): Again | null {
  const window = facts.routes[facts.routeIndex]?.contextTokens ?? null;
  if (window === null) return null;
  const isWider = (route: NextRoute): boolean => isOpen(facts, route) && (route.contextTokens ?? 0) > window;
  return atOnce(facts, facts.routes.findIndex(isWider));
}

/** The one behind this that is not barred; when all are, their trouble may be over by then. */
function turnAfter(facts: RetryFacts): number {
  const { routes, routeIndex } = facts;
  const turns = routes.map((_route, step) => (routeIndex + 1 + step) % routes.length);
  const isTurn = (index: number): boolean => routes[index] !== undefined && !isBarred(facts, routes[index]);
  return turns.find(isTurn) ?? (routeIndex + 1) % routes.length;
}

/** Accounts that failed for this cause, where it was theirs. */
function accountsThat({ tried }: RetryFacts, cause: Cause): ReadonlySet<string> {
  const failed = tried.filter((one) => one.outcome === cause && wasFaultOf(one) === "account");
  return new Set(failed.map(({ account }) => account));
}

function wasFaultOf({ outcome, faultOf: fault }: TriedRoute): FaultOf | null {
  if (outcome === undefined || outcome === "succeeded") return null;
  return fault ?? FAILURE_POLICY[outcome].of;
}

/** It was not tried, and nothing bars it. */
function isOpen(facts: RetryFacts, route: RouteName): boolean {
  return !facts.tried.some((one) => isSame(one, route)) && !isBarred(facts, route);
}

/** Nothing serves it before a person has done something: its account, or only this model of it. */
function isBarred({ tried }: RetryFacts, route: RouteName): boolean {
  return tried.some(
    (one) => bars(one.outcome) && (wasFaultOf(one) === "model" ? isSame(one, route) : one.account === route.account),
  );
}

function bars(outcome: AttemptOutcome | undefined): boolean {
  if (outcome === undefined || outcome === "succeeded") return false;
  const policy: FailurePolicy = FAILURE_POLICY[outcome];
  return policy.bars === true;
}

function isSame(one: RouteName, other: RouteName): boolean {
  return one.account === other.account && one.model === other.model;
}

function atOnce(facts: RetryFacts, routeIndex: number): Again | null {
  return routeIndex === -1 ? null : { kind: "again", routeIndex, runAtMs: facts.nowMs, waitsFor: null };
}

function afterBackoff(facts: RetryFacts, routeIndex: number, random: number): Again | null {
  const { backoffBaseMs, backoffMaxMs } = facts.limits;
  const ceilingMs = Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(facts.attemptNumber - 1, 30));
  const runAtMs = facts.nowMs + Math.ceil(random * ceilingMs);
  return runAtMs >= facts.latestDeadlineMs ? null : { kind: "again", routeIndex, runAtMs, waitsFor: "backoff" };
}
