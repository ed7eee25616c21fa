import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { RouteName } from "../../src/domain/route/next-attempt.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import { UNKNOWN_CONDITIONS, type RouteHealth } from "../../src/domain/route/route-condition.js";
import { RouteScorer, type RouteAnswer, type RouteQuestion } from "../../src/domain/route/score-routes.js";
import { workOf } from "../support/work.js";

const NOW = 1_000_000;
const HOUR_MS = 3_600_000;
const TRIAL_MS = 60_000;
const BODY = '{"model":"sim","messages":[]}';
const ROUTES = ["a", "b", "c"].map((account) => ({ ...workOf(1, NOW).route, account, model: "m" }));
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

interface Asked {
  readonly states: States;
  readonly turn: number;
  readonly tried: readonly RouteName[];
  readonly leftMs: number;
}

const wish = (states: States, more: Partial<Omit<Asked, "states">> = {}): Asked => ({
  ...{ states, turn: 0, tried: [], leftMs: HOUR_MS },
  ...more,
});
const route = (index: number) => ({ kind: "route", index });

function chosen({ states, turn, tried, leftMs }: Asked): RouteAnswer {
  const question: RouteQuestion = {
    ...{ routes: ROUTES, order: "listed", turn, tried, leftMs, nowMs: NOW },
    facts: readRequestFacts("openai.chat", BODY, BODY.length, null),
    ...{
      textTokens: 10,
      mode: "direct",
      tier: "standard",
      rules: undefined,
      maxLatencyMs: null,
      latencyBudgetMs: 30_000,
    },
    weights: { cost: 1, latency: 1, reliability: 1 },
  };
  const conditions = { ...UNKNOWN_CONDITIONS, health: healthIn(states) };
  return new RouteScorer(
    conditions,
    () => false,
    () => TRIAL_MS,
  ).choose(question);
}

describe("the route that is called", () => {
  test.each<[string, Asked, unknown]>([
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
    ["but not by a job that has no time for it", wish({ a: "half_open" }, { leftMs: 59_999 }), route(1)],
    ["unless nothing else may be called", wish({ a: "half_open", b: "open", c: "open" }, { leftMs: 59_999 }), route(0)],
    ["or nobody with more time has come for a while", wish({ a: ["half_open", 53_000] }, { leftMs: 59_999 }), route(0)],
    [
      "all open: waits for the first to be tried again",
      wish({ a: ["open", 900], b: ["open", 300], c: ["open", 500] }),
      { kind: "wait", runAtMs: NOW + 300, waitsFor: "breaker" },
    ],
    [
      "an end that has passed is looked at in a second",
      wish({ a: ["open", -900], b: ["open", 3000], c: ["open", 5000] }),
      { kind: "wait", runAtMs: NOW + 1000, waitsFor: "breaker" },
    ],
  ])("%s", (_what, asked, expected) => {
    expect(chosen(asked)).toEqual(expected);
  });

  test("is never an open one, and there is one whenever one is not open", () => {
    const states = fc.constantFrom<RouteHealth["state"]>("closed", "degraded", "open", "half_open");
    fc.assert(
      fc.property(
        fc.tuple(states, states, states),
        fc.nat(2),
        fc.subarray<RouteName>(ROUTES),
        fc.nat(120_000),
        ([a, b, c], turn, tried, leftMs) => {
          const answer = chosen(wish({ a, b, c }, { turn, tried, leftMs }));
          const all = [a, b, c];
          if (answer.kind === "route") expect(all[answer.index]).not.toBe("open");
          else expect(all).toEqual(["open", "open", "open"]);
        },
      ),
    );
  });
});
