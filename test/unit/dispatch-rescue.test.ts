import { expect, test } from "@jest/globals";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import { sessionNo } from "../../src/domain/ids.js";
import { UNKNOWN_CONDITIONS, type RouteConditions } from "../../src/domain/route/route-condition.js";
import { CallTimes } from "../../src/pipeline/dispatch/call-times.js";
import { DispatchStage } from "../../src/pipeline/dispatch/dispatch-stage.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { LISTED_ONLY, RouteChooser } from "../../src/pipeline/dispatch/route-chooser.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { ClaimVerdict, Ledger } from "../../src/ports/ledger.js";
import { placesOf, POLICY, workOf } from "../support/work.js";
import { quietParts } from "./dispatch-fixture.js";

const NOW_MS = 1_800_000_000_000;
const NOTHING = { fenced: false, taken: 0, started: [], ended: [], outbox: [] };

/** A line of alpha that is out, of a job whose deadline is near; alpha is listed before beta. */
function lineOut(): WaitingExecution {
  const { format, bodyText } = workOf(7, NOW_MS);
  return {
    key: { day: 20_000, no: 7 },
    tenant: "catalogue",
    state: "running",
    ...{ format, bodyText, policy: POLICY, history: [], nextRouteIndex: 0, doubtful: null, maxCostNanoUsd: null },
    dueAtMs: NOW_MS,
    waitedFor: "batch_fill",
    nearestDeadlineMs: NOW_MS + 20_000,
    latestDeadlineMs: NOW_MS + 20_000,
    mode: "auto",
    line: { attemptNo: 7, number: 1, batchNo: 17, account: "alpha", provider: "openai", expectedAtMs: null },
  };
}

/** What a dispatch stage says of it, under these conditions. */
async function verdict(conditions: Partial<RouteConditions>): Promise<ClaimVerdict | undefined> {
  const found: ClaimVerdict[] = [];
  const places = new Map(["alpha", "beta"].map((name) => [name, 4] as const));
  const rescue: Ledger["rescue"] = (_, decide) => {
    found.push(decide(lineOut()));
    stage.stop();
    return Promise.resolve(NOTHING);
  };
  const stage: DispatchStage = new DispatchStage({
    ...quietParts(),
    ledger: { rescue, claim: () => Promise.resolve(NOTHING), setAside: () => Promise.resolve(null) },
    session: sessionNo(1),
    lines: { plan: () => ({ kind: "direct" }) },
    numbers: new NumberSource(() => Promise.resolve({ from: 1000, count: 5000 })),
    ...placesOf(new Slots(places, () => 0)),
    chooser: new RouteChooser({
      routing: LISTED_ONLY,
      conditions: { ...UNKNOWN_CONDITIONS, ...conditions },
      likelyBatch: () => false,
    }),
    rescue: { maxNanoUsd: new Map([["sim", 1_000_000_000n]]), lookEveryMs: 1000 },
    callTimes: new CallTimes(1000),
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    claimSizeMax: 10,
    idlePollMs: 1,
  });
  await stage.run();
  return found[0];
}

const started = (account: string, index: number) => ({
  kind: "start",
  intent: { account, routeIndex: index, number: 2, supersedes: 7 },
  decision: { mode: "direct", account },
});
const open = (...accounts: readonly string[]): Pick<RouteConditions, "health"> => ({
  health: (account) =>
    accounts.includes(account)
      ? { state: "open", untilMs: NOW_MS + 9000, because: "5 of 5 calls failed" }
      : { state: "closed", untilMs: null, because: null },
});

test("a line that may be late is rescued by the route whose turn it is", async () => {
  expect(await verdict({})).toMatchObject(started("alpha", 0));
});

test.each<[string, Partial<RouteConditions>, string]>([
  ["has an open circuit", open("alpha"), "5 of 5 calls failed"],
  [
    "has spent enough",
    { spent: (account) => (account === "alpha" ? "it has spent 96 % of its day" : null) },
    "it has spent 96 % of its day",
  ],
  [
    "has a limit that never holds the call",
    { headroom: ({ account }) => (account === "alpha" ? { kind: "never", because: "too long" } : { kind: "go" }) },
    "too long",
  ],
  [
    "fails calls",
    {
      health: (account) => ({
        state: account === "alpha" ? "degraded" : "closed",
        untilMs: null,
        because: "it failed",
      }),
    },
    "it failed",
  ],
])("by another one while that one %s", async (_what, conditions, because) => {
  const rejected = [{ account: "alpha", model: "sim-alpha", because }];
  expect(await verdict(conditions)).toMatchObject({ ...started("beta", 1), decision: { routes: { rejected } } });
});

test("and by none while none can be called", async () => {
  expect(await verdict(open("alpha", "beta"))).toEqual({ kind: "line" });
});
