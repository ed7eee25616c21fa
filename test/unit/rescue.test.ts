import { describe, expect, test } from "@jest/globals";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import {
  chooseRescue,
  isRescueDue,
  rescueDecision,
  type RescueFacts,
  type RescueTimes,
} from "../../src/domain/route/rescue.js";
import { CallTimes } from "../../src/pipeline/dispatch/call-times.js";
import { PLAN_ROUTES } from "../support/simulation/fixture.js";

const NOW_MS = 1_796_126_400_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

describe("a line needs a rescue", () => {
  /** A call is counted on within 30 s, and given a minute more; the next look comes 5 s later. */
  const due = (leftMs: number, expectedInMs: number | null, changes: Partial<RescueTimes> = {}): boolean =>
    isRescueDue({
      nowMs: NOW_MS,
      deadlineMs: NOW_MS + leftMs,
      expectedAtMs: expectedInMs === null ? null : NOW_MS + expectedInMs,
      callP95Ms: 30_000,
      lookEveryMs: 5000,
      ...changes,
    });

  test.each<readonly [string, boolean, boolean]>([
    ["at the last look before a call would be too late", due(95_000, HOUR_MS), true],
    ["not a moment sooner", due(95_001, HOUR_MS), false],
    ["as long as there is any time", due(1, HOUR_MS), true],
    ["not at the deadline", due(0, HOUR_MS), false],
    ["not after it", due(-1, HOUR_MS), false],
    ["when nobody knows when its batch ends", due(80_000, null), true],
    ["when its batch should have ended", due(80_000, 0), true],
    ["when its batch is expected at the deadline", due(80_000, 80_000), true],
    ["not while its batch is expected before", due(80_000, 79_999), false],
    ["sooner where calls take long", due(14 * MINUTE_MS, HOUR_MS, { callP95Ms: 11 * MINUTE_MS }), false],
    ["by a quarter of a long call's time", due(825_000 + 5000, HOUR_MS, { callP95Ms: 11 * MINUTE_MS }), true],
  ])("%s", (_when, is, expected) => {
    expect(is).toBe(expected);
  });
});

describe("the call beside a line", () => {
  const POLICY: WaitingExecution["policy"] = {
    model: "sim",
    chain: "standard",
    providers: null,
    capabilities: [],
    selfHostedOnly: false,
    regions: null,
    expect: { jsonSchema: false, notEmpty: true, complete: false },
    onDoubt: null,
  };
  const WAITING = {
    line: { attemptNo: 7, number: 1, batchNo: 17, account: "alpha", provider: "openai", expectedAtMs: null },
    mode: "auto",
    policy: POLICY,
    nearestDeadlineMs: NOW_MS + 50_000,
    nextRouteIndex: 0,
  } as const;
  const bodyText = JSON.stringify({ model: "sim", messages: [{ role: "user", content: "why" }], max_tokens: 100 });
  const facts = readRequestFacts("openai.chat", bodyText, Buffer.byteLength(bodyText), null);
  const plan = PLAN_ROUTES(POLICY, facts);
  /** 100 tokens of answer, and at most one of prompt for each byte, at 4 and 1 US dollars a million. */
  const MAX_NANO_USD = 100n * 4000n + BigInt(Buffer.byteLength(bodyText)) * 1000n;

  function choose(
    changes: Partial<Omit<WaitingExecution, "mode" | "line">> & Pick<Partial<WaitingExecution>, "mode"> = {},
    allowed: readonly (readonly [string, bigint])[] = [["sim", 10_000_000n]],
    callP95Ms: (account: string) => number = () => 1000,
    choice: RescueFacts["choose"] = (_, turn) => ({ index: turn }),
  ) {
    const asked = { waiting: { ...WAITING, ...changes }, facts, plan, nowMs: NOW_MS, choose: choice };
    const limits = { maxNanoUsd: new Map(allowed), lookEveryMs: 1000 };
    return chooseRescue({ ...asked, callP95Ms: ({ account }) => callP95Ms(account) }, limits);
  }

  test("goes by the route whose turn it is, with its bound", () => {
    const call = choose();
    expect([call?.route.account, call?.index]).toEqual(["alpha", 0]);
    expect(call?.maxNanoUsd).toBeGreaterThanOrEqual(MAX_NANO_USD);
    expect(choose({ nextRouteIndex: 1 })?.route.account).toBe("beta");
    expect(choose({ nextRouteIndex: 9 })?.route.account).toBe("alpha");
  });

  test("is not made where the alias does not allow it, or is no alias", () => {
    expect(choose({}, [])).toBeNull();
    expect(choose({}, [["other", 10_000_000n]])).toBeNull();
    expect(choose({ policy: { ...POLICY, model: "alpha/sim-alpha" } })).toBeNull();
  });

  test("is not made when it may cost more than is allowed, to the nano-dollar", () => {
    const most = choose()?.maxNanoUsd ?? 0n;
    expect(choose({}, [["sim", most]])?.maxNanoUsd).toBe(most);
    expect(choose({}, [["sim", most - 1n]])).toBeNull();
  });

  test("is not made for jobs that insist on a batch", () => {
    expect(choose({ mode: "batch" })).toBeNull();
    expect(choose({ mode: "direct" })).not.toBeNull();
  });

  test("is made when its own route's calls are just in time", () => {
    const soon = { nearestDeadlineMs: NOW_MS + 80_000 };
    expect(choose(soon)).toBeNull();
    expect(choose(soon, undefined, (account) => (account === "alpha" ? 30_000 : 1))?.route.account).toBe("alpha");
    expect(choose(soon, undefined, (account) => (account === "beta" ? 30_000 : 1))).toBeNull();
  });

  test("goes by the route that the choice between those that may be paid takes, and is timed by that one", () => {
    const asked: [string[], number][] = [];
    const takes =
      (account: string | null): RescueFacts["choose"] =>
      (routes, turn) => {
        asked.push([routes.map((route) => route.account), turn]);
        const index = routes.findIndex((route) => route.account === account);
        return index === -1 ? null : { index };
      };
    expect(choose({}, undefined, undefined, takes("beta"))).toMatchObject({ route: { account: "beta" }, index: 1 });
    expect(choose({ nextRouteIndex: 1 }, undefined, undefined, takes(null))).toBeNull();
    expect(asked).toEqual([
      [["alpha", "beta"], 0],
      [["alpha", "beta"], 1],
    ]);
    const soon = { nearestDeadlineMs: NOW_MS + 80_000 };
    const slow = (account: string): number => (account === "beta" ? 30_000 : 1);
    expect(choose(soon, undefined, slow, takes("alpha"))).toBeNull();
    expect(choose(soon, undefined, slow, takes("beta"))?.route.account).toBe("beta");
  });

  test("says what spoke against the others", () => {
    const routes = { because: "the next in the list that can be called", rejected: [] };
    const call = choose({}, undefined, undefined, () => ({ index: 1, routes }));
    if (call === null) throw new Error("expected a call");
    expect(rescueDecision(WAITING, call, NOW_MS)).toMatchObject({ account: "beta", routes });
  });

  test("says why it was made", () => {
    const call = choose();
    if (call === null) throw new Error("expected a call");
    expect(rescueDecision(WAITING, call, NOW_MS)).toMatchObject({
      mode: "direct",
      account: "alpha",
      because: "a rescue: its line is still out in b-17, and only a call of its own is counted on before the deadline",
      numbers: { leftMs: 50_000, directMaxNanoUsd: call.maxNanoUsd.toString() },
    });
  });
});

describe("what calls take", () => {
  const ROUTE = { account: "alpha", model: "sim-alpha" };

  test("is what is stated until enough were answered, then what 95 of 100 took", () => {
    const times = new CallTimes(30_000);
    expect(times.at(NOW_MS)).toMatchObject({ longestP95Ms: 30_000 });
    expect(times.at(NOW_MS).p95Ms(ROUTE)).toBe(30_000);
    for (let ms = 1; ms <= 20; ms += 1) times.answered(ROUTE, ms * 100, NOW_MS);
    expect(times.at(NOW_MS).p95Ms(ROUTE)).toBe(2000);
    expect(times.at(NOW_MS).p95Ms({ account: "beta", model: "sim-beta" })).toBe(30_000);
  });

  test("goes by the newest hundred of the last hour", () => {
    const times = new CallTimes(1000);
    for (let call = 0; call < 100; call += 1) times.answered(ROUTE, 90_000, NOW_MS);
    expect(times.at(NOW_MS)).toMatchObject({ longestP95Ms: 90_000 });
    expect(times.at(NOW_MS + HOUR_MS + 1).p95Ms(ROUTE)).toBe(1000);
    for (let call = 0; call < 100; call += 1) times.answered(ROUTE, 500, NOW_MS);
    expect(times.at(NOW_MS).p95Ms(ROUTE)).toBe(500);
  });
});
