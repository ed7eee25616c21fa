import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { routeByHealth, type HealthWish } from "../../src/domain/route/route-by-health.js";
import type { RouteHealth } from "../../src/domain/route/route-condition.js";

const NOW = 1_000_000;
const ROUTES = ["a", "b", "c"].map((account) => ({ account, model: "m" }));
const [A, B] = [
  { account: "a", model: "m" },
  { account: "b", model: "m" },
];

type States = Readonly<Record<string, RouteHealth["state"] | readonly ["open" | "half_open", number]>>;

const healthIn =
  (states: States) =>
  (account: string): RouteHealth => {
    const known = states[account] ?? "closed";
    const [state, untilMs] = typeof known === "string" ? [known, null] : [known[0], NOW + known[1]];
    return { state, untilMs, because: null };
  };
const wish = (states: States, more: Partial<HealthWish> = {}): HealthWish => ({
  ...{ routes: ROUTES, turn: 0, tried: [], conditions: { health: healthIn(states) }, nowMs: NOW },
  ...{ deadlineMs: NOW + 3_600_000, trialMs: () => 60_000, ...more },
});
const route = (index: number) => ({ kind: "route", index });

describe("the route that is called", () => {
  test.each<[string, HealthWish, unknown]>([
    ["all well: the one whose turn it is", wish({}, { turn: 1 }), route(1)],
    ["the first is open: the next", wish({ a: "open" }), route(1)],
    ["the last is open: around to the first", wish({ c: "open" }, { turn: 2 }), route(0)],
    ["a degraded one goes behind those that are well", wish({ a: "degraded" }), route(1)],
    [
      "all degraded: the one whose turn it is",
      wish({ a: "degraded", b: "degraded", c: "degraded" }, { turn: 2 }),
      route(2),
    ],
    ["open and degraded: the degraded one", wish({ a: "open", b: "open", c: "degraded" }), route(2)],
    [
      "one that was tried comes after one that is degraded",
      wish({ b: "open", c: "degraded" }, { turn: 1, tried: [A] }),
      route(2),
    ],
    [
      "one that was tried is called when nothing else may be",
      wish({ b: "open", c: "open" }, { turn: 1, tried: [A] }),
      route(0),
    ],
    ["the turn counts though it was tried", wish({}, { turn: 1, tried: [B] }), route(1)],
    ["one on trial is called in its turn", wish({ a: "half_open" }), route(0)],
    ["but not by a job that has no time for it", wish({ a: "half_open" }, { deadlineMs: NOW + 59_999 }), route(1)],
    [
      "unless nothing else may be called",
      wish({ a: "half_open", b: "open", c: "open" }, { deadlineMs: NOW + 59_999 }),
      route(0),
    ],
    [
      "or nobody with more time has come for a while",
      wish({ a: ["half_open", 53_000] }, { deadlineMs: NOW + 59_999 }),
      route(0),
    ],
    [
      "all open: waits for the first to be tried again",
      wish({ a: ["open", 900], b: ["open", 300], c: ["open", 500] }),
      { kind: "wait", runAtMs: NOW + 300 },
    ],
    [
      "an end that has passed is not waited for in no time",
      wish({ a: ["open", -900], b: ["open", 300], c: ["open", 500] }),
      { kind: "wait", runAtMs: NOW + 1 },
    ],
  ])("%s", (_what, asked, expected) => {
    expect(routeByHealth(asked)).toEqual(expected);
  });

  test("is never an open one, and there is one whenever one is not open", () => {
    const states = fc.constantFrom<RouteHealth["state"]>("closed", "degraded", "open", "half_open");
    fc.assert(
      fc.property(
        fc.tuple(states, states, states),
        fc.nat(2),
        fc.subarray(ROUTES),
        fc.nat(120_000),
        ([a, b, c], turn, tried, leftMs) => {
          const chosen = routeByHealth(wish({ a, b, c }, { turn, tried, deadlineMs: NOW + leftMs }));
          const all = [a, b, c];
          if (chosen.kind === "route") expect(all[chosen.index]).not.toBe("open");
          else expect(all).toEqual(["open", "open", "open"]);
        },
      ),
    );
  });
});
