import { describe, expect, test } from "@jest/globals";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { RoutePolicy } from "../../src/domain/job/job.js";
import { planRoutes } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import {
  UNKNOWN_CONDITIONS,
  type Headroom,
  type RouteConditions,
  type RouteHealth,
} from "../../src/domain/route/route-condition.js";
import { withComparison } from "../../src/domain/route/route-decision.js";
import type { RoutePlan } from "../../src/domain/route/route.js";
import { LISTED_ONLY, RouteChooser, type RouteWish } from "../../src/pipeline/dispatch/route-chooser.js";
import { CATALOG } from "../support/simulation/fixture.js";

const NOW_MS = 1_800_000_000_000;
const BODY = '{"model":"sim","messages":[{"role":"user","content":"why"}]}';
const FACTS = readRequestFacts("openai.chat", BODY, BODY.length, null);

/** The simulated alias has alpha, then beta. */
function wish(more: Partial<RouteWish> = {}, policy: Partial<RoutePolicy> = {}): RouteWish {
  const all = { ...defaultPolicy("sim"), ...policy };
  return {
    plan: planRoutes(all, FACTS, CATALOG),
    facts: FACTS,
    policy: all,
    mode: "direct",
    deadlineMs: NOW_MS + 60_000,
    latestDeadlineMs: NOW_MS + 60_000,
    nowMs: NOW_MS,
    routeIndex: 0,
    tried: [],
    explain: false,
    ...more,
  };
}

function chooser(conditions: Partial<RouteConditions>, scored = false): RouteChooser {
  return new RouteChooser({
    routing: scored ? { ...LISTED_ONLY, scored: new Set(["sim"]) } : LISTED_ONLY,
    conditions: { ...UNKNOWN_CONDITIONS, ...conditions },
    likelyBatch: (_, mode) => mode === "batch",
  });
}

const open = (untilMs: number): RouteHealth => ({ state: "open", untilMs, because: "5 of 5 calls failed" });
const WELL: RouteHealth = { state: "closed", untilMs: null, because: null };
const healthOf = (states: Readonly<Record<string, RouteHealth>>): Partial<RouteConditions> => ({
  health: (account) => states[account] ?? WELL,
});
const headroomOf = (rooms: Readonly<Record<string, Headroom>>): Partial<RouteConditions> => ({
  headroom: ({ account }) => rooms[account] ?? { kind: "go" },
});
const FULL: Headroom = { kind: "wait", runAtMs: NOW_MS + 500, waitsFor: "concurrency", limit: "its places" };
const BETA = { kind: "route", index: 1, route: { account: "beta" } };

describe("in the written order", () => {
  test("the first is taken without a word, and nothing of the rest of its plan is looked at", () => {
    const { plan, ...rest } = wish();
    const looked = (): never => {
      throw new Error("the whole plan was worked out");
    };
    const closed: RoutePlan = Object.defineProperties(
      { ...plan },
      { routes: { get: looked }, rejected: { get: looked } },
    );
    const chosen = new RouteChooser().choose({ ...rest, plan: closed });
    expect(chosen).toEqual({ kind: "route", route: plan.first, index: 0 });
  });

  test("a first one that is full is waited for: the gate says so, nothing dearer is taken", () => {
    const chosen = chooser(headroomOf({ alpha: FULL })).choose(wish());
    expect(chosen).toEqual({ kind: "route", route: expect.objectContaining({ account: "alpha" }), index: 0 });
  });

  test("one that the estimate by bytes would rule out for ever is counted before", () => {
    const conditions: Partial<RouteConditions> = {
      headroom: ({ account }, tokens) =>
        account === "alpha" && tokens > 270 ? { kind: "never", because: "above tokens/min" } : { kind: "go" },
    };
    const by = (tokens: number) =>
      new RouteChooser({
        routing: LISTED_ONLY,
        conditions: { ...UNKNOWN_CONDITIONS, ...conditions },
        likelyBatch: () => false,
        countPrompt: () => tokens,
      }).choose(wish());
    expect(by(1)).toMatchObject({ kind: "route", route: { account: "alpha" } });
    expect(by(5000)).toMatchObject(BETA);
  });

  test.each<[string, Partial<RouteConditions>, string]>([
    ["whose circuit is open", healthOf({ alpha: open(NOW_MS + 9000) }), "5 of 5 calls failed"],
    [
      "that is degraded",
      healthOf({ alpha: { state: "degraded", untilMs: null, because: "2 failures in a row" } }),
      "2 failures in a row",
    ],
    [
      "whose account has spent",
      { spent: (account) => (account === "alpha" ? "95 % of its day is spent" : null) },
      "95 % of its day is spent",
    ],
    [
      "that never takes such a call",
      headroomOf({ alpha: { kind: "never", because: "above tokens/min" } }),
      "above tokens/min",
    ],
  ])("one %s is passed over, with the reason", (_what, conditions, because) => {
    expect(chooser(conditions).choose(wish())).toMatchObject({
      ...BETA,
      routes: {
        because: "the next in the list that can be called",
        rejected: [{ account: "alpha", model: "sim-alpha", because }],
      },
    });
  });

  test("a half-open one is called: what is let through is the gate's matter", () => {
    const half: RouteHealth = { state: "half_open", untilMs: null, because: "on trial" };
    expect(chooser(healthOf({ alpha: half })).choose(wish())).toMatchObject({ index: 0 });
  });

  test("of degraded ones all, the first", () => {
    const degraded: RouteHealth = { state: "degraded", untilMs: null, because: null };
    expect(chooser(healthOf({ alpha: degraded, beta: degraded })).choose(wish())).toMatchObject({ index: 0 });
  });

  test("one that is ruled out before the first is told of", () => {
    const chosen = new RouteChooser().choose(wish({}, { allowed: ["beta"] }));
    expect(chosen).toMatchObject({
      index: 0,
      route: { account: "beta" },
      routes: {
        because: "the only candidate that can serve it",
        rejected: [{ account: "alpha", because: "its tenant may only use beta" }],
      },
    });
  });
});

describe("when none can be called", () => {
  const both = healthOf({ alpha: open(NOW_MS + 9000), beta: open(NOW_MS + 4000) });

  test("the job waits until the first of them is tried again", () => {
    expect(chooser(both).choose(wish({ routeIndex: 1 }))).toMatchObject({
      kind: "wait",
      runAtMs: NOW_MS + 4000,
      waitsFor: "breaker",
      index: 1,
    });
  });

  test("spent money is looked at again, and says so", () => {
    expect(chooser({ spent: () => "spent" }).choose(wish({ latestDeadlineMs: NOW_MS + 3_600_000 }))).toMatchObject({
      kind: "wait",
      waitsFor: "budget",
    });
  });

  test("an open one whose time has passed is looked at again later, not at once", () => {
    const stale = healthOf({ alpha: open(NOW_MS - 1), beta: open(NOW_MS) });
    expect(chooser(stale).choose(wish())).toMatchObject({ kind: "wait", runAtMs: NOW_MS + 1000 });
  });

  test("it fails when its last deadline is before that, with the reason of each", () => {
    const late = wish({ deadlineMs: NOW_MS + 4000, latestDeadlineMs: NOW_MS + 4000 });
    expect(chooser(both).choose(late)).toMatchObject({
      kind: "none",
      failure: {
        code: "NO_ROUTE_IN_TIME",
        message:
          "no route can be called before the deadline: alpha/sim-alpha: 5 of 5 calls failed; beta/sim-beta: 5 of 5 calls failed",
      },
    });
    // One of its jobs may still be served.
    expect(chooser(both).choose({ ...late, latestDeadlineMs: NOW_MS + 4001 })).toMatchObject({ kind: "wait" });
  });

  test("what never passes is a failure", () => {
    const never: Headroom = { kind: "never", because: "above tokens/min" };
    expect(chooser(headroomOf({ alpha: never, beta: never })).choose(wish())).toMatchObject({
      kind: "none",
      failure: { code: "NO_ROUTE", message: expect.stringContaining("beta/sim-beta: above tokens/min") },
    });
  });
});

describe("the latency that a job allows", () => {
  const fast = { failureRate: 0, p50Ms: 500, p95Ms: 900, calls: 50 };
  const slow = { ...fast, p95Ms: 1001 };
  const limited = wish({}, { maxLatencyMs: 1000 });

  test("rejects those that are slower, and those of which it is unknown", () => {
    const known = chooser({ statistics: (account) => (account === "alpha" ? slow : fast) });
    expect(known.choose(limited)).toMatchObject({
      ...BETA,
      routes: { rejected: [{ because: "one in twenty of its calls takes 1001 ms or more, the job allows 1000" }] },
    });
    const half = chooser({ statistics: (account) => (account === "alpha" ? null : fast) });
    expect(half.choose(limited)).toMatchObject({
      ...BETA,
      routes: { rejected: [{ because: "how long it takes is not known yet, the job allows 1000 ms" }] },
    });
  });

  test("unknown is no matter to a job that asks for none", () => {
    expect(chooser({ statistics: () => null }).choose(wish())).toMatchObject({ index: 0 });
  });
});

describe("by score", () => {
  const fails = (rate: number) => ({ failureRate: rate, p50Ms: 500, p95Ms: 900, calls: 50 });

  test("equal ones: the first in the list, with what each scored", () => {
    const chosen = chooser({}, true).choose(wish());
    expect(chosen).toMatchObject({ index: 0, routes: { because: "the best score of 2, 0.7", rejected: [] } });
    const scored = chosen.kind === "route" ? (chosen.routes?.scored ?? []) : [];
    // 60 bytes are 20 tokens and the overhead of the kind; at 1 and 4 dollars a million, 256 of answer.
    expect(scored).toMatchObject([
      { account: "alpha", score: 0.7, cost: 1, latency: 0.5, reliability: 0.5 },
      { account: "beta", score: 0.7, cost: 1, latency: 0.5, reliability: 0.5 },
    ]);
  });

  test("one that fails three times in ten is charged for its retries", () => {
    const chosen = chooser({ statistics: (account) => fails(account === "alpha" ? 0.3 : 0) }, true).choose(wish());
    expect(chosen).toMatchObject(BETA);
    const [alpha, beta] = chosen.kind === "route" ? (chosen.routes?.scored ?? []) : [];
    expect(alpha?.cost).toBe(0.7);
    expect(Number(alpha?.expectedNanoUsd)).toBeCloseTo(Number(beta?.expectedNanoUsd) / 0.7, -1);
  });

  test("one whose commitment covers the call costs nothing, and the reason says what is left of it", () => {
    // 60 bytes and the overhead at 1 dollar a million, 256 tokens of answer at 4: about 0.0012 dollars at most.
    const left = (nanoUsd: bigint) => ({ committedLeft: (account: string) => (account === "beta" ? nanoUsd : null) });
    const chosen = chooser(left(12_349_999_999n), true).choose(wish());
    expect(chosen).toMatchObject({
      ...BETA,
      routes: { because: "the best score of 2, 0.7; covered by the account's commitment, 12.34 USD left" },
    });
    expect(chosen.kind === "route" ? chosen.routes?.scored : []).toMatchObject([
      { account: "alpha", cost: 0 },
      { account: "beta", cost: 1, expectedNanoUsd: "0", committedLeftNanoUsd: "12349999999" },
    ]);
    for (const tooLittle of [0n, 1_000_000n])
      expect(chooser(left(tooLittle), true).choose(wish())).toMatchObject({
        index: 0,
        routes: { because: "the best score of 2, 0.7" },
      });
  });

  test("a full one is passed over while another can go; when all are full, the one that waits least", () => {
    expect(chooser(headroomOf({ alpha: FULL }), true).choose(wish())).toMatchObject({
      ...BETA,
      routes: { rejected: [{ account: "alpha", because: "its places is used up for now" }] },
    });
    const later: Headroom = { ...FULL, runAtMs: NOW_MS + 501 };
    expect(chooser(headroomOf({ alpha: later, beta: FULL }), true).choose(wish())).toMatchObject(BETA);
  });

  test("after a failure that asks for the same route again, it is that one; else one that was not tried", () => {
    const tried = [{ account: "alpha", model: "sim-alpha" }];
    expect(chooser({}, true).choose(wish({ tried, routeIndex: 0 }))).toMatchObject({
      index: 0,
      routes: { because: "the best score of 2, 0.7" },
    });
    expect(chooser({}, true).choose(wish({ tried, routeIndex: 1 }))).toMatchObject({
      ...BETA,
      routes: { rejected: [{ account: "alpha", because: "it was tried before" }] },
    });
  });

  test("one candidate alone has nothing to be compared with", () => {
    const one = wish();
    const plan = planRoutes({ ...one.policy, model: "alpha/sim-alpha" }, FACTS, CATALOG);
    const chosen = chooser({}, true).choose({ ...one, plan, policy: { ...one.policy, model: "alpha/sim-alpha" } });
    expect(chosen).toEqual({ kind: "route", route: plan.first, index: 0 });
  });
});

test("a decision between routes stands beside the one about a batch, and alone says what was left of the time", () => {
  const routes = { because: "the best score of 2, 0.7", rejected: [] };
  const { first } = wish().plan;
  const alone = withComparison(undefined, routes, first!, 60_000);
  expect(alone).toMatchObject({
    mode: "direct",
    account: "alpha",
    because: routes.because,
    numbers: { leftMs: 60_000 },
    routes,
  });
  const both = withComparison({ ...alone!, because: "a batch is no cheaper" }, routes, first!, 60_000);
  expect(both).toMatchObject({ because: "a batch is no cheaper", routes });
  expect(withComparison(undefined, undefined, first!, 1)).toBeUndefined();
});
