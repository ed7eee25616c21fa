import { describe, expect, test } from "@jest/globals";
import type { PooledLine } from "../../src/domain/batch/queued-line.js";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { RouteDecision } from "../../src/domain/route/route-decision.js";
import { DispatchStage } from "../../src/pipeline/dispatch/dispatch-stage.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import type { RouteChoice } from "../../src/pipeline/dispatch/route-chooser.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { LinePlan, ServiceWish } from "../../src/pipeline/batch/line-planner.js";
import type { ClaimVerdict, Ledger } from "../../src/ports/ledger.js";
import { placesOf, POLICY, workOf } from "../support/work.js";
import { NO_RESCUE, quietParts } from "./dispatch-fixture.js";

const NOW_MS = 1_800_000_000_000;
const DECISION: RouteDecision = {
  mode: "batch",
  account: "beta",
  model: "sim-beta",
  because: "a batch ends in time",
  numbers: {
    leftMs: 3_600_000,
    turnaroundP95Ms: 60_000,
    fillMs: 1_000,
    directMaxNanoUsd: "2",
    batchMaxNanoUsd: "1",
    tokens: 20,
    headroomTokens: null,
  },
};
const POOLED: PooledLine = {
  pool: "beta|file|openai.chat|sim-beta",
  line: {
    account: "beta",
    provider: "openai",
    model: "sim-beta",
    routeIndex: 1,
    way: "file",
    lineFormat: "openai.chat",
    bytes: 200,
    tokens: 20,
    embeddingInputs: 0,
    prefix: 7,
    maxNanoUsd: 1n,
    lookAtMs: NOW_MS + 60_000,
  },
};

/** An execution whose first try, a line of alpha, failed: beta's turn. */
function waitingExecution(more: Partial<WaitingExecution> = {}): WaitingExecution {
  const { format, bodyText, latestDeadlineMs } = workOf(7, NOW_MS);
  return {
    key: { day: 20_000, no: 7 },
    tenant: "catalogue",
    state: "ready",
    format,
    policy: POLICY,
    bodyText,
    history: [],
    nextRouteIndex: 1,
    dueAtMs: NOW_MS,
    waitedFor: "concurrency",
    doubtful: null,
    nearestDeadlineMs: latestDeadlineMs,
    latestDeadlineMs,
    maxCostNanoUsd: null,
    mode: "auto",
    ...more,
  };
}

/** One claim of that execution under a line planner that says this; the ledger starts what is to be started. */
async function dispatched(waiting: WaitingExecution, plan: LinePlan, choice?: RouteChoice) {
  const seen = { verdicts: [] as ClaimVerdict[], wishes: [] as ServiceWish[], works: [] as Work[] };
  const slots = new Slots(
    new Map([
      ["alpha", 4],
      ["beta", 4],
    ]),
    () => 0,
  );
  const stop = { now: (): void => undefined };
  const claim: Ledger["claim"] = (request, decide) => {
    const outcome = { fenced: false, taken: 0, started: [], ended: [], outbox: [] };
    if (request.pick !== "run") return Promise.resolve(outcome);
    // As in a transaction that is tried again.
    decide(waiting);
    const verdict = decide(waiting);
    seen.verdicts.push(verdict);
    stop.now();
    const started = verdict.kind === "start" ? [{ execution: waiting, intent: verdict.intent }] : [];
    return Promise.resolve({ ...outcome, taken: 1, started });
  };
  const stage = new DispatchStage({
    ...quietParts(),
    ledger: { ...NO_RESCUE, claim, setAside: () => Promise.resolve(null) },
    session: sessionNo(1),
    lines: {
      plan: (wish) => {
        seen.wishes.push(wish);
        return plan;
      },
    },
    numbers: new NumberSource(() => Promise.resolve({ from: 1000, count: 5000 })),
    ...placesOf(slots),
    ...(choice === undefined ? {} : { chooser: { choose: () => choice } }),
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    claimSizeMax: 10,
    idlePollMs: 1,
    start: (work) => seen.works.push(work),
  });
  stop.now = () => {
    stage.stop();
  };
  await stage.run();
  return { ...seen, slotsFree: slots.free };
}

test("an execution that comes up again is decided anew, by the route whose turn it is, and may wait for a batch without a slot", async () => {
  const plan: LinePlan = { kind: "pool", pooled: POOLED, decision: DECISION };
  const { verdicts, wishes, works, slotsFree } = await dispatched(waitingExecution({ mode: "batch" }), plan);
  expect(verdicts).toEqual([plan]);
  expect(wishes).toMatchObject([
    {
      mode: "batch",
      nowMs: NOW_MS,
      deadlineMs: NOW_MS + 3_600_000,
      routeIndex: 1,
      again: true,
      facts: { format: "openai.chat" },
      plan: { accounts: ["alpha", "beta"] },
    },
  ]);
  expect(works).toEqual([]);
  expect(slotsFree).toBe(8);
});

test.each<[WaitingExecution["mode"], number]>([
  ["auto", 600_000],
  ["batch", 3_600_000],
])("of several jobs mode %s has to be in time for one %s ms from now", async (mode, leftMs) => {
  const waiting = waitingExecution({ mode, nearestDeadlineMs: NOW_MS + 600_000 });
  const { wishes } = await dispatched(waiting, { kind: "direct" });
  expect(wishes.map(({ deadlineMs }) => deadlineMs - NOW_MS)).toEqual([leftMs]);
});

test("a call of its own takes the decision along, for its result and for the ledger", async () => {
  const decision: RouteDecision = { ...DECISION, mode: "direct" };
  const { verdicts, works } = await dispatched(waitingExecution(), { kind: "direct", decision });
  expect(verdicts).toMatchObject([{ kind: "start", intent: { account: "beta", routeIndex: 1 }, decision }]);
  expect(works).toMatchObject([{ intent: { account: "beta" }, decision }]);
});

test("where there was nothing to choose there is no decision", async () => {
  const { verdicts, works } = await dispatched(waitingExecution(), { kind: "direct" });
  expect(verdicts[0]).not.toHaveProperty("decision");
  expect(works[0]).not.toHaveProperty("decision");
});

test("a job that asks for a batch and can't get one any more fails in words", async () => {
  const { verdicts } = await dispatched(waitingExecution({ mode: "batch" }), {
    kind: "refused",
    code: "NO_ROUTE_IN_TIME",
    message: "no batch can be made: 95 of 100 batches end within 4 h",
  });
  expect(verdicts).toEqual([
    {
      kind: "fail",
      failure: {
        code: "NO_ROUTE_IN_TIME",
        message: "no batch can be made: 95 of 100 batches end within 4 h",
        provider: null,
        retryAtMs: null,
      },
    },
  ]);
});

test("what follows a doubt is a call: the line planner isn't asked", async () => {
  const { intent } = workOf(7, NOW_MS);
  const doubtful = waitingExecution({ state: "in_doubt", doubtful: intent, waitedFor: "doubt" });
  const { verdicts, wishes } = await dispatched(doubtful, { kind: "pool", pooled: POOLED, decision: DECISION });
  expect(wishes).toEqual([]);
  expect(verdicts).toMatchObject([{ kind: "start", intent: { number: 2 } }]);
});

describe("what the choice between routes says", () => {
  const { route } = workOf(7, NOW_MS);
  const waits: RouteChoice = { kind: "wait", runAtMs: NOW_MS + 9000, waitsFor: "breaker", route, index: 0 };

  test("while no route can be called the execution waits, without a slot, and no batch is asked about", async () => {
    const { verdicts, wishes, slotsFree } = await dispatched(waitingExecution(), { kind: "direct" }, waits);
    expect(verdicts).toEqual([{ kind: "wait", runAtMs: NOW_MS + 9000, waitsFor: "breaker" }]);
    expect([wishes, slotsFree]).toEqual([[], 8]);
  });

  test("but one that insists on a batch waits for that", async () => {
    const plan: LinePlan = { kind: "pool", pooled: POOLED, decision: DECISION };
    const { verdicts } = await dispatched(waitingExecution({ mode: "batch" }), plan, waits);
    expect(verdicts).toMatchObject([{ kind: "pool" }]);
  });

  test("goes along with the call, for its result and for the ledger", async () => {
    const routes = { because: "the best score of 2, 0.7", rejected: [] };
    const chosen: RouteChoice = { kind: "route", route, index: 0, routes };
    const { verdicts, works } = await dispatched(waitingExecution(), { kind: "direct" }, chosen);
    expect(verdicts).toMatchObject([
      { kind: "start", intent: { account: "alpha" }, decision: { mode: "direct", routes } },
    ]);
    expect(works).toMatchObject([{ decision: { because: "the best score of 2, 0.7" } }]);
  });

  test("with all that speaks against others when a job that waits for it asks, though the first of the list is taken", async () => {
    const waiting = waitingExecution({ policy: { ...POLICY, providers: ["beta"] }, nextRouteIndex: 0 });
    const [untold, told] = [
      await dispatched(waiting, { kind: "direct" }),
      await dispatched({ ...waiting, explain: true }, { kind: "direct" }),
    ];
    const rejected = [{ account: "alpha", because: "the job allows only the providers beta" }];
    // The plan itself ruled alpha out, which is told in any case; the free first one of two is told of only when asked.
    expect(untold.verdicts).toMatchObject([{ kind: "start", decision: { routes: { rejected } } }]);
    expect(told.verdicts).toMatchObject([{ kind: "start", decision: { routes: { rejected } } }]);
    const first = waitingExecution({ nextRouteIndex: 0 });
    expect((await dispatched(first, { kind: "direct" })).verdicts[0]).not.toHaveProperty("decision");
    const { verdicts, works } = await dispatched({ ...first, explain: true }, { kind: "direct" });
    const routes = { because: "the first in the list that can serve it", rejected: [] };
    expect(verdicts).toMatchObject([{ kind: "start", decision: { mode: "direct", account: "alpha", routes } }]);
    expect(works).toMatchObject([{ decision: { routes } }]);
  });

  test("goes along with a line by the same route, and not with one by another", async () => {
    const plan: LinePlan = { kind: "pool", pooled: POOLED, decision: DECISION };
    const routes = { because: "the best score of 2, 0.7", rejected: [] };
    const chosen = (index: number): RouteChoice => ({ kind: "route", route, index, routes });
    const { verdicts } = await dispatched(waitingExecution(), plan, chosen(1));
    expect(verdicts).toEqual([{ ...plan, decision: { ...DECISION, routes } }]);
    expect((await dispatched(waitingExecution(), plan, chosen(0))).verdicts).toEqual([plan]);
  });
});
