import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ATTEMPT_OUTCOMES } from "../../src/domain/failure.js";
import { decideAfter, decideAfterDoubt } from "../../src/domain/route/next-attempt.js";
import type { DoubtFacts, FailedAttemptFacts, NextAttempt, RouteName } from "../../src/domain/route/next-attempt.js";

const A: RouteName = { account: "a", model: "m" };
const B: RouteName = { account: "b", model: "m" };
const NOW = 1_000_000;
const LIMITS = { attemptsMax: 5, backoffBaseMs: 100, backoffMaxMs: 1_000, retryAfterMaxMs: 60_000 };
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
      "rate limited: the same candidate after backoff",
      { outcome: "rate_limited", httpStatus: 429 },
      again(0, 50, "backoff"),
    ],
    [
      "rate limited with Retry-After: not before it, jitter on top",
      { outcome: "rate_limited", httpStatus: 429, retryAfterMs: 2_000 },
      again(0, 2_050, "retry_after"),
    ],
    [
      "rate limited twice: the next candidate",
      { outcome: "rate_limited", httpStatus: 429, attemptNumber: 2, tried: [A, A], retryAfterMs: 2_000 },
      again(1, 0, null),
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
    ["a key that is refused: the next candidate", { outcome: "auth_failed", httpStatus: 401 }, again(1, 0, null)],
    ["money gone: the next candidate", { outcome: "quota_exhausted", httpStatus: 429 }, again(1, 0, null)],
    ["an unknown status: the next candidate", { outcome: "unclassified", httpStatus: 418 }, again(1, 0, null)],
    [
      "a bad answer was paid and known: the next candidate",
      { outcome: "bad_answer", httpStatus: 200 },
      again(1, 0, null),
    ],
    ["refused: the end", { outcome: "refused", httpStatus: 400 }, end("PROVIDER_REFUSED")],
    ["content refused: the end", { outcome: "content_refused", httpStatus: 400 }, end("CONTENT_REFUSED")],
    ["too long: the end", { outcome: "context_too_long", httpStatus: 400 }, end("CONTEXT_TOO_LONG")],
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
});
