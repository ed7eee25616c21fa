import { afterEach, describe, expect, test } from "@jest/globals";
import { newBatch, type Batch } from "../../src/domain/batch/batch.js";
import { sessionNo } from "../../src/domain/ids.js";
import { GroupCalls, type GroupCallsParts } from "../../src/pipeline/batch/group-calls.js";
import { LineRoutes } from "../../src/pipeline/batch/line-routes.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { BatchLine } from "../../src/ports/batch-ledger.js";
import { PLAN_ROUTES } from "../support/simulation/fixture.js";
import { logInto, NO_HEALTH, workOf } from "../support/work.js";

const NOW_MS = 1_800_000_000_000;

function groupOf(no: number): Batch {
  const wanted = { no, account: "alpha", provider: "openai", pool: "alpha|calls|openai.chat|sim-alpha", lines: 9 };
  return newBatch({
    ...wanted,
    way: "calls",
    lineFormat: "openai.chat",
    model: "sim-alpha",
    tokens: 9,
    createdAtMs: NOW_MS,
  });
}

function lineOf(no: number, batchNo: number, more: Partial<BatchLine> = {}): BatchLine {
  const { execution, intent, format, policy, bodyText, history, latestDeadlineMs } = workOf(no, NOW_MS - 60_000);
  const attempt = { ...intent, batchNo };
  return {
    ...{ execution, attempt, format, policy, bodyText, history, latestDeadlineMs },
    ...{ decision: null, maxCostNanoUsd: null, state: "batched", ...more },
  };
}

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** Groups with these lines, four places at their account and two for them; the loop runs, and goes on when the test says so. */
function running(lines: readonly BatchLine[], more: Partial<GroupCallsParts> = {}) {
  const open = [...lines];
  const seen = { works: [] as Work[], returned: [] as number[], log: [] as string[] };
  const state = { ms: 0, backlog: false };
  let wake: (() => void)[] = [];
  const slots = new Slots(new Map([["alpha", 4]]), () => state.ms, new Map([["alpha", 2]]));
  const numbers = new NumberSource(() => Promise.resolve({ from: 1000, count: 5000 }));
  const take = (no: number): void => {
    open.splice(
      open.findIndex(({ attempt }) => attempt.no === no),
      1,
    );
  };
  const calls = new GroupCalls({
    ledger: {
      openLines: (batchNo, _after, limit) =>
        Promise.resolve(open.filter(({ attempt }) => attempt.batchNo === batchNo).slice(0, limit)),
      startLines: (_session, _batchNo, starts) => {
        for (const { lineNo } of starts) take(lineNo);
        return Promise.resolve(new Set(starts.map(({ intent }) => intent.no)));
      },
      returnLines: (_session, _batchNo, keys) => {
        for (const { no } of keys ?? []) {
          take(no);
          seen.returned.push(no);
        }
        return Promise.resolve(keys?.length ?? 0);
      },
    },
    session: sessionNo(3),
    groups: new Map([["alpha", {}]]),
    settings: { lookEveryMs: 100, groupSizeMax: 500, pollMinMs: 1000 },
    routes: new LineRoutes(PLAN_ROUTES),
    numbers,
    health: NO_HEALTH,
    slots,
    clock: {
      nowMs: () => NOW_MS,
      monotonicMs: () => state.ms,
      sleep: (_ms, signal) =>
        new Promise((resolve) => {
          wake.push(resolve);
          signal?.addEventListener("abort", () => {
            resolve();
          });
        }),
    },
    log: logInto(seen.log),
    mendable: () => true,
    backlog: () => state.backlog,
    mayStart: () => true,
    start: (work) => seen.works.push(work),
    ...more,
  });
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  /** Time passes, and the loop looks again. */
  const after = async (ms: number): Promise<void> => {
    await settled();
    state.ms += ms;
    for (const resolve of wake.splice(0)) resolve();
    wake = [];
    await settled();
  };
  const end = async (work: Work): Promise<void> => {
    slots.release("alpha", true, work.batch !== undefined);
    numbers.close(work.intent.no);
    await settled();
  };
  stops.push(() => {
    calls.stop();
  });
  void calls.run();
  const called = (): readonly number[] => seen.works.map(({ execution }) => execution.no);
  return { calls, slots, numbers, seen, state, after, end, called };
}

describe("calls of a group's lines", () => {
  test("are as many at once as the account lets them be, in the group's order, the next as one ends", async () => {
    const at = running([11, 12, 13, 14].map((no) => lineOf(no, 5)));
    at.calls.add(groupOf(5));
    await at.after(100);
    expect(at.called()).toEqual([11, 12]);
    const [first] = at.seen.works;
    if (first === undefined) throw new Error("expected a call");
    expect(first).toMatchObject({
      batch: { no: 5, providerBatchId: null },
      intent: { batchNo: 5, startedAtMs: NOW_MS },
    });
    expect(first.intent.no).toBeGreaterThanOrEqual(1000);
    expect(first.route.price).toEqual(first.route.batchPrice);
    await at.end(first);
    expect(at.called()).toEqual([11, 12, 13]);
    at.state.ms += 100; // one call's end gives a place ahead for so long
    expect([at.slots.freeOf("alpha"), at.numbers.openCount]).toEqual([2, 2]);
  });

  test("come from the older group first", async () => {
    const at = running([lineOf(21, 8), lineOf(11, 5), lineOf(12, 5), lineOf(13, 5)]);
    at.calls.add(groupOf(8));
    at.calls.add(groupOf(5));
    await at.after(100);
    expect(at.called()).toEqual([11, 12]);
  });

  test("begin no more once their group is dropped", async () => {
    const at = running([11, 12, 13].map((no) => lineOf(no, 5)));
    at.calls.add(groupOf(5));
    await at.after(100);
    at.calls.drop(5);
    for (const work of [...at.seen.works]) await at.end(work);
    await at.after(100);
    expect(at.called()).toEqual([11, 12]);
  });

  test("leave the places to direct jobs that are due, until those have left one alone for a second", async () => {
    const at = running([lineOf(11, 5)]);
    at.state.backlog = true;
    at.calls.add(groupOf(5));
    await at.after(100);
    await at.after(999);
    expect(at.called()).toEqual([]);
    await at.after(1);
    expect(at.called()).toEqual([11]);
  });

  test("are not made for a line that nobody waits for or that no route serves any more: it goes back", async () => {
    const foreign = lineOf(12, 5);
    const at = running([
      lineOf(11, 5, { latestDeadlineMs: null }),
      { ...foreign, attempt: { ...foreign.attempt, model: "gone" } },
      lineOf(13, 5),
    ]);
    at.calls.add(groupOf(5));
    await at.after(100);
    await at.after(100);
    expect([at.seen.returned, at.called()]).toEqual([[11, 12], [13]]);
    expect(at.slots.freeOf("alpha")).toBe(3);
  });

  test("keep no place and no number when the ledger does not store their intents", async () => {
    const at = running([lineOf(11, 5)], {
      ledger: {
        openLines: () => Promise.resolve([lineOf(11, 5)]),
        startLines: () => Promise.reject(new Error("away")),
        returnLines: () => Promise.resolve(0),
      },
    });
    at.calls.add(groupOf(5));
    await at.after(100);
    expect([at.slots.freeOf("alpha"), at.numbers.openCount, at.called()]).toEqual([4, 0, []]);
    expect(at.seen.log).toEqual(["warn batch.calls_failed"]);
  });

  test("of a group that is another session's by now are not made, nor asked for again", async () => {
    let asked = 0;
    const at = running([], {
      ledger: {
        openLines: () => {
          asked += 1;
          return Promise.resolve([lineOf(11, 5)]);
        },
        startLines: () => Promise.resolve(new Set<number>()),
        returnLines: () => Promise.resolve(0),
      },
    });
    at.calls.add(groupOf(5));
    await at.after(100);
    await at.after(100);
    expect([asked, at.called(), at.slots.freeOf("alpha"), at.numbers.openCount]).toEqual([1, [], 4, 0]);
  });
});
