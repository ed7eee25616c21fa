import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ATTEMPT_OUTCOMES } from "../../src/domain/failure.js";
import { decideAfter, decideAfterDoubt } from "../../src/domain/route/next-attempt.js";
import type {
  DoubtFacts,
  FailedAttemptFacts,
  NextAttempt,
  NextRoute,
  RouteName,
  TriedRoute,
} from "../../src/domain/route/next-attempt.js";

const A: RouteName = { account: "a", model: "m" };
const B: RouteName = { account: "b", model: "m" };
const A2: RouteName = { account: "a", model: "m2" };
const B2: RouteName = { account: "b", model: "m2" };
const C: RouteName = { account: "c", model: "m" };
const sized = (route: RouteName, contextTokens: number | null): NextRoute => ({ ...route, contextTokens });
const NOW = 1_000_000;
const LIMITS = { attemptsMax: 5, backoffBaseMs: 100, backoffMaxMs: 1_000, retryAfterMaxMs: 60_000 };
const ASKS_ON = { ...LIMITS, onContentRefused: "nextRoute" } as const;
const LIMITED = { outcome: "rate_limited", httpStatus: 429 } as const;
const BAD = { outcome: "bad_answer", httpStatus: 200 } as const;
const KEY = { outcome: "auth_failed", httpStatus: 401 } as const;
const GONE = { outcome: "auth_failed", httpStatus: 404 } as const;
const GONE_BEFORE = { outcome: "auth_failed", faultOf: "model" } as const;
const DAYS_10 = 10 * 24 * 3_600_000;

const factsOf = (more: Partial<FailedAttemptFacts>): FailedAttemptFacts => ({
  outcome: "overloaded",
  sent: "answered",
  httpStatus: 503,
  retryAfterMs: null,
  attemptNumber: 1,
  routes: [A, B],
  routeIndex: 0,
  tried: [A],
  nowMs: NOW,
  latestDeadlineMs: NOW + 3_600_000,
  limits: LIMITS,
  ...more,
});
const again = (routeIndex: number, waitMs: number, waitsFor: "retry_after" | "backoff" | null): NextAttempt => ({
  kind: "again",
  routeIndex,
  runAtMs: NOW + waitMs,
  waitsFor,
});
const end = (code: string) => ({ kind: "end", code });
const doubt = { kind: "doubt" };
const ONE = { routes: [A] };

describe("after an attempt that failed", () => {
  test.each<[string, Partial<FailedAttemptFacts>, unknown]>([
    ["overloaded: the next candidate at once", {}, again(1, 0, null)],
    [
      "overloaded, all tried: the next in turn after backoff (0.5 x 100 x 2)",
      { routeIndex: 1, tried: [A, B], attemptNumber: 2 },
      again(0, 100, "backoff"),
    ],
    ["overloaded, only one: the same after backoff", ONE, again(0, 50, "backoff")],
    [
      "backoff grows to its maximum",
      { ...ONE, attemptNumber: 4, limits: { ...LIMITS, backoffMaxMs: 300 } },
      again(0, 150, "backoff"),
    ],
    ["the last attempt ends it", { attemptNumber: 5 }, end("PROVIDER_UNAVAILABLE")],
    ["a passed deadline ends it", { latestDeadlineMs: NOW }, end("PROVIDER_UNAVAILABLE")],
    ["a wait that ends at the deadline ends it", { ...ONE, latestDeadlineMs: NOW + 50 }, end("PROVIDER_UNAVAILABLE")],
    [
      "rate limited: the other account at once, whatever its Retry-After",
      { outcome: "rate_limited", httpStatus: 429, retryAfterMs: 2_000 },
      again(1, 0, null),
    ],
    [
      "rate limited, only one: the same after backoff",
      { ...ONE, outcome: "rate_limited", httpStatus: 429 },
      again(0, 50, "backoff"),
    ],
    [
      "rate limited with Retry-After, only one: not before it, jitter on top",
      { ...ONE, outcome: "rate_limited", httpStatus: 429, retryAfterMs: 2_000 },
      again(0, 2_050, "retry_after"),
    ],
    [
      "rate limited at both: this one again, not before it said",
      { outcome: "rate_limited", httpStatus: 429, routeIndex: 1, tried: [A, B], attemptNumber: 2, retryAfterMs: 2_000 },
      again(1, 2_050, "retry_after"),
    ],
    [
      "rate limited twice, none left: it waits",
      { ...ONE, outcome: "rate_limited", httpStatus: 429, attemptNumber: 2, tried: [A, A], retryAfterMs: 2_000 },
      again(0, 2_050, "retry_after"),
    ],
    [
      "ten days of Retry-After: the other candidate",
      { outcome: "rate_limited", httpStatus: 429, retryAfterMs: DAYS_10 },
      again(1, 0, null),
    ],
    [
      "ten days of Retry-After, none left: up to the cap",
      { ...ONE, outcome: "rate_limited", httpStatus: 429, retryAfterMs: DAYS_10 },
      again(0, 60_050, "retry_after"),
    ],
    [
      "Retry-After beyond the deadline: the other candidate",
      { outcome: "rate_limited", httpStatus: 429, retryAfterMs: 9_000, latestDeadlineMs: NOW + 5_000 },
      again(1, 0, null),
    ],
    [
      "Retry-After beyond the deadline, none left: the end",
      { ...ONE, outcome: "rate_limited", httpStatus: 429, retryAfterMs: 9_000, latestDeadlineMs: NOW + 5_000 },
      end("PROVIDER_UNAVAILABLE"),
    ],
    [
      "rate limited, another model of the account: this one again first, not before it said",
      { ...LIMITED, routes: [A, A2], retryAfterMs: 2_000 },
      again(0, 2_050, "retry_after"),
    ],
    [
      "rate limited twice, another model of the account: that, after backoff",
      { ...LIMITED, routes: [A, A2], attemptNumber: 2, tried: [A, A], retryAfterMs: 2_000 },
      again(1, 100, "backoff"),
    ],
    [
      "Retry-After beyond the deadline, another model of the account: that, after backoff",
      { ...LIMITED, routes: [A, A2], retryAfterMs: 9_000, latestDeadlineMs: NOW + 5_000 },
      again(1, 50, "backoff"),
    ],
    ["overloaded: another account before another model of the same", { routes: [A, A2, B] }, again(2, 0, null)],
    [
      "overloaded at both accounts: a model of them that was not tried, after backoff",
      { routes: [A, A2, B], routeIndex: 2, tried: [{ ...A, outcome: "overloaded" }, B], attemptNumber: 2 },
      again(1, 100, "backoff"),
    ],
    [
      "rate limited before, overloaded now: another model of the account that had another trouble, at once",
      { routes: [A, B, A2], routeIndex: 1, tried: [{ ...A, outcome: "rate_limited" }, B], attemptNumber: 2 },
      again(2, 0, null),
    ],
    [
      "a bad answer is the model's fault: another model of the same account",
      { ...BAD, routes: [A, A2] },
      again(1, 0, null),
    ],
    ["a refused key: never another model of the account", { ...KEY, routes: [A, A2, B] }, again(2, 0, null)],
    [
      "a refused key, then another account overloaded: that one again, the barred one never",
      { routes: [A, A2, B], routeIndex: 2, tried: [{ ...A, outcome: "auth_failed" }, B], attemptNumber: 2 },
      again(2, 100, "backoff"),
    ],
    [
      "a refused key, one account: its breaker holds it back, and the job waits",
      { ...KEY, ...ONE },
      again(0, 50, "backoff"),
    ],
    [
      "a model that is not there: another model of the account, at once",
      { ...GONE, routes: [A, A2, B] },
      again(1, 0, null),
    ],
    [
      "a model that is not offered: another model of the account, at once",
      { ...GONE, httpStatus: 501, routes: [A, A2, B] },
      again(1, 0, null),
    ],
    [
      "a model that the key may not use: another model of the account, at once",
      { ...GONE, httpStatus: 403, routes: [A, A2, B] },
      again(1, 0, null),
    ],
    [
      "a model that is not there, then another of its account overloaded: another account at once",
      { routes: [A, A2, B], routeIndex: 1, tried: [{ ...A, ...GONE_BEFORE }, A2], attemptNumber: 2 },
      again(2, 0, null),
    ],
    [
      "a model that is not there, all others overloaded: the next in turn that is there, after backoff",
      {
        routes: [A, A2, B],
        routeIndex: 2,
        tried: [{ ...A, ...GONE_BEFORE }, { ...A2, outcome: "overloaded" }, B],
        attemptNumber: 3,
      },
      again(1, 200, "backoff"),
    ],
    [
      "a model that is not there, then a refused key of another account: another model of the first, at once",
      { ...KEY, routes: [A, B, A2], routeIndex: 1, tried: [{ ...A, ...GONE_BEFORE }, B], attemptNumber: 2 },
      again(2, 0, null),
    ],
    [
      "a model that is not there, after an account whose key is refused: never another of that account",
      {
        ...GONE,
        routes: [A, B, A2, B2],
        routeIndex: 1,
        tried: [{ ...A, outcome: "auth_failed" }, B],
        attemptNumber: 2,
      },
      again(3, 0, null),
    ],
    [
      "a model that is not there, the only one: it waits, as what was mended may be there by then",
      { ...GONE, ...ONE },
      again(0, 50, "backoff"),
    ],
    ["a key that is refused: the next candidate", { outcome: "auth_failed", httpStatus: 401 }, again(1, 0, null)],
    ["money gone: the next candidate", { outcome: "quota_exhausted", httpStatus: 429 }, again(1, 0, null)],
    ["an unknown status: the next candidate", { outcome: "unclassified", httpStatus: 418 }, again(1, 0, null)],
    [
      "a bad answer was paid and known: the next candidate",
      { outcome: "bad_answer", httpStatus: 200 },
      again(1, 0, null),
    ],
    ["a line that expired: the same route at once", { outcome: "line_expired", sent: "no" }, again(0, 0, null)],
    [
      "a line that expired, last time: no deadline has passed",
      { outcome: "line_expired", sent: "no", attemptNumber: 5 },
      end("PROVIDER_UNAVAILABLE"),
    ],
    [
      "a line whose batch was cancelled at the provider: the same route at once",
      { outcome: "cancelled", sent: "no", tried: [{ ...A, outcome: "cancelled" }, A], attemptNumber: 2 },
      again(0, 0, null),
    ],
    [
      "a line whose batch was cancelled at the provider, last time: nobody cancelled the job",
      { outcome: "cancelled", sent: "no", attemptNumber: 5 },
      end("PROVIDER_UNAVAILABLE"),
    ],
    ["a line that is missing: the same route at once", { outcome: "line_missing", sent: "no" }, again(0, 0, null)],
    [
      "a line that is missing for the second time: the end",
      { outcome: "line_missing", sent: "no", tried: [{ ...B, outcome: "line_missing" }, A], attemptNumber: 2 },
      end("PROVIDER_LOST"),
    ],
    [
      "a line whose answer the provider has lost: the end",
      { outcome: "line_missing", sent: "no", lost: true },
      end("PROVIDER_LOST"),
    ],
    ["refused: the end", { outcome: "refused", httpStatus: 400 }, end("PROVIDER_REFUSED")],
    ["content refused: the end", { outcome: "content_refused", httpStatus: 400 }, end("CONTENT_REFUSED")],
    [
      "content refused, where the config asks on: the next account",
      { outcome: "content_refused", httpStatus: 400, limits: ASKS_ON },
      again(1, 0, null),
    ],
    [
      "content refused, where the config asks on: never another model of the same account, and never again after a wait",
      { outcome: "content_refused", httpStatus: 400, limits: ASKS_ON, routes: [A, A2] },
      end("CONTENT_REFUSED"),
    ],
    [
      "content refused at both accounts: the end",
      { outcome: "content_refused", limits: ASKS_ON, routeIndex: 1, tried: [{ ...A, outcome: "content_refused" }, B] },
      end("CONTENT_REFUSED"),
    ],
    ["too long, windows unknown: the end", { outcome: "context_too_long", httpStatus: 400 }, end("CONTEXT_TOO_LONG")],
    [
      "too long: the next with a larger window, also of the same account",
      { outcome: "context_too_long", httpStatus: 400, routes: [sized(A, 8), sized(B, 8), sized(A2, 9), sized(C, 99)] },
      again(2, 0, null),
    ],
    [
      "too long, no larger window: the end",
      { outcome: "context_too_long", httpStatus: 400, routes: [sized(A, 8), sized(B, 8), sized(C, null)] },
      end("CONTEXT_TOO_LONG"),
    ],
    [
      "too long, the larger window was tried: the end",
      { outcome: "context_too_long", routes: [sized(A, 8), sized(B, 9)], tried: [{ ...B, outcome: "overloaded" }, A] },
      end("CONTEXT_TOO_LONG"),
    ],
    [
      "too long, the larger window is at an account whose key is refused: the end",
      {
        outcome: "context_too_long",
        routes: [sized(A, 8), sized(B2, 9)],
        tried: [{ ...B, outcome: "auth_failed" }, A],
      },
      end("CONTEXT_TOO_LONG"),
    ],
    [
      "connection failed before a byte: the next candidate",
      { outcome: "connection_failed", sent: "no", httpStatus: null },
      again(1, 0, null),
    ],
    [
      "connection failed after the request: doubt",
      { outcome: "connection_failed", sent: "perhaps", httpStatus: null },
      doubt,
    ],
    ["timed out after the request: doubt", { outcome: "timed_out", sent: "perhaps", httpStatus: null }, doubt],
    ["timed out in the middle of an answer: doubt", { outcome: "timed_out", sent: "answered", httpStatus: 200 }, doubt],
    [
      "timed out waiting for a socket: the next candidate",
      { outcome: "timed_out", sent: "no", httpStatus: null },
      again(1, 0, null),
    ],
    [
      "timed out waiting for a socket, last time",
      { outcome: "timed_out", sent: "no", httpStatus: null, attemptNumber: 5 },
      end("PROVIDER_UNAVAILABLE"),
    ],
    [
      "a garbled or cut 200 may have been billed: doubt",
      { outcome: "bad_response", sent: "answered", httpStatus: 200 },
      doubt,
    ],
    ["garbage that is not HTTP: doubt", { outcome: "bad_response", sent: "perhaps", httpStatus: null }, doubt],
    [
      "a redirect billed nothing: the next candidate",
      { outcome: "bad_response", sent: "answered", httpStatus: 302 },
      again(1, 0, null),
    ],
    [
      "a redirect, last time",
      { outcome: "bad_response", sent: "answered", httpStatus: 302, attemptNumber: 5 },
      end("PROVIDER_BAD_RESPONSE"),
    ],
    [
      "in doubt is doubt even after the last attempt",
      { outcome: "in_doubt", sent: "perhaps", httpStatus: null, attemptNumber: 5 },
      doubt,
    ],
  ])("%s", (_what, more, expected) => {
    expect(decideAfter(factsOf(more), 0.5)).toEqual(expected);
  });
});

describe("when a doubt's grace is over", () => {
  const doubtOf = (more: Partial<DoubtFacts>): DoubtFacts => ({
    ...factsOf({}),
    policy: "retry",
    maxNanoUsd: 10n,
    retryMaxNanoUsd: 10n,
    ...more,
  });

  test.each<[string, Partial<DoubtFacts>, unknown]>([
    ["retry goes on at the next candidate", {}, again(1, 0, null)],
    ["retry goes on at the same one when it is the only one", ONE, again(0, 50, "backoff")],
    ["fail ends it", { policy: "fail" }, end("IN_DOUBT")],
    ["too dear to pay twice ends it", { maxNanoUsd: 11n }, end("IN_DOUBT")],
    ["the last attempt ends it", { attemptNumber: 5 }, end("IN_DOUBT")],
    ["the deadline ends it", { latestDeadlineMs: NOW }, end("IN_DOUBT")],
  ])("%s", (_what, more, expected) => {
    expect(decideAfterDoubt(doubtOf(more), 0.5)).toEqual(expected);
  });
});

describe("any run of failures", () => {
  const failures = fc.array(
    fc.record({
      outcome: fc.constantFrom(...ATTEMPT_OUTCOMES.filter((one) => one !== "succeeded")),
      sent: fc.constantFrom("no", "perhaps", "answered"),
      httpStatus: fc.constantFrom(null, 200, 302, 400, 429, 503),
      retryAfterMs: fc.option(fc.nat(DAYS_10)),
      random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      tookMs: fc.nat(20_000),
    }),
    { minLength: 30, maxLength: 30 },
  );

  test("ends within attemptsMax, and no attempt begins at or after the deadline", () => {
    fc.assert(
      fc.property(
        failures,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 600_000 }),
        (run, routeCount, attemptsMax, budgetMs) => {
          const routes = Array.from({ length: routeCount }, (_unused, index) => ({
            account: `r${String(index)}`,
            model: "m",
          }));
          const tried: RouteName[] = [];
          let [routeIndex, nowMs, attempts, ended] = [0, NOW, 0, false];
          for (const failure of run) {
            attempts += 1;
            tried.push(routes[routeIndex] ?? A);
            nowMs += failure.tookMs;
            const facts = {
              ...failure,
              attemptNumber: attempts,
              routes,
              routeIndex,
              tried,
              nowMs,
              latestDeadlineMs: NOW + budgetMs,
              limits: { ...LIMITS, attemptsMax },
            };
            const first = decideAfter(facts, failure.random);
            const next =
              first.kind === "doubt"
                ? decideAfterDoubt({ ...facts, policy: "retry", maxNanoUsd: 0n, retryMaxNanoUsd: 0n }, failure.random)
                : first;
            if (next.kind === "end") {
              ended = true;
              break;
            }
            expect(next.runAtMs).toBeGreaterThanOrEqual(nowMs);
            expect(next.runAtMs).toBeLessThan(facts.latestDeadlineMs);
            expect(next.routeIndex).toBeLessThan(routeCount);
            ({ routeIndex, runAtMs: nowMs } = next);
          }
          expect(ended).toBe(true);
          expect(attempts).toBeLessThanOrEqual(attemptsMax);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("never goes at once to an account that failed for the same cause, nor ever to a barred one while another is left", () => {
    const causes = fc.constantFrom("rate_limited", "overloaded", "connection_failed", "auth_failed", "quota_exhausted");
    fc.assert(
      fc.property(
        fc.array(causes, { minLength: 8, maxLength: 8 }),
        fc.shuffledSubarray([A, A2, B, B2, C], { minLength: 2 }),
        (run, routes) => {
          const tried: TriedRoute[] = [];
          let routeIndex = 0;
          for (const [at, outcome] of run.entries()) {
            tried.push({ ...(routes[routeIndex] ?? A), outcome });
            const facts = {
              ...factsOf({ outcome, httpStatus: null, routes, routeIndex, tried, attemptNumber: at + 1 }),
            };
            const next = decideAfter({ ...facts, sent: "no", limits: { ...LIMITS, attemptsMax: 100 } }, 0.5);
            if (next.kind !== "again") throw new Error(`expected another try, got ${next.kind}`);
            const { account } = routes[next.routeIndex] ?? A;
            const before = tried.filter((one) => one.account === account);
            const barredAccounts = new Set(tried.filter(isBarred).map((one) => one.account));
            if (next.waitsFor === null) expect(before.filter((one) => one.outcome === outcome)).toEqual([]);
            if (routes.some((route) => !barredAccounts.has(route.account))) expect(before.filter(isBarred)).toEqual([]);
            ({ routeIndex } = next);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

const isBarred = ({ outcome }: TriedRoute): boolean => outcome === "auth_failed" || outcome === "quota_exhausted";
