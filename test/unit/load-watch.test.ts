import { beforeEach, describe, expect, test } from "@jest/globals";
import { LoadWatch } from "../../src/app/session/load-watch.js";
import type { LedgerLoad } from "../../src/ports/ledger.js";
import { logInto } from "../support/work.js";

const MARKS = { jobsMax: 100, bytesMax: 1000, outboxRowsMax: 50, resumeAt: 0.8 };
const IDLE: LedgerLoad = {
  readyRows: 0,
  readyBytes: 0,
  outboxRecords: 0,
  refusedRecords: 0,
  oldestRunnableMs: null,
  liveRouters: 1,
};

let turns: string[];
let lines: string[];
let gauges: Map<string, number>;
let asked: unknown[];
let openIntents: number;
let found: LedgerLoad | Error;
let watch: LoadWatch;

beforeEach(() => {
  [turns, lines, asked, gauges, openIntents, found] = [[], [], [], new Map(), 0, IDLE];
  watch = new LoadWatch({
    ledger: {
      load: (limits, refusing) => {
        asked.push(limits, refusing);
        return found instanceof Error ? Promise.reject(found) : Promise.resolve(found);
      },
    },
    consumer: { pause: () => turns.push("pause"), resume: () => turns.push("resume") },
    freeSlots: () => new Map([["alpha", 3]]),
    openIntents: () => openIntents,
    refusingTopics: () => ["side"],
    marks: MARKS,
    clock: { nowMs: () => 10_000 },
    log: logInto(lines),
    metrics: {
      count: () => undefined,
      set: (name, labels, value) => gauges.set([name, ...Object.values(labels)].join(" "), value),
      observe: () => undefined,
    },
  });
});

/** Looks at each load in turn. @returns what the consumer was told. */
async function looks(...loads: readonly Partial<LedgerLoad>[]): Promise<readonly string[]> {
  for (const load of loads) {
    found = { ...IDLE, ...load };
    await watch.look(); // in order
  }
  return turns;
}

const reasons = () =>
  [...gauges].flatMap(([name, value]) =>
    name.startsWith("sluice_backpressure ") && value === 1 ? [name.slice(20)] : [],
  );

describe.each([
  ["pending_jobs", { readyRows: 101 }, { readyRows: 100 }, { readyRows: 81 }, { readyRows: 80 }],
  ["pending_bytes", { readyBytes: 1001 }, { readyBytes: 1000 }, { readyBytes: 801 }, { readyBytes: 800 }],
  ["outbox_rows", { outboxRecords: 51 }, { outboxRecords: 50 }, { outboxRecords: 41 }, { outboxRecords: 40 }],
] as const)("the mark for %s", (reason, above, at, aboveResume, resume) => {
  test("stops fetching once it is passed, not when it is reached", async () => {
    expect(await looks(at)).toEqual([]);
    expect(reasons()).toEqual([]);
    expect(await looks(above)).toEqual(["pause"]);
    expect(reasons()).toEqual([reason]);
    expect(lines).toEqual(["warn intake.paused"]);
  });

  test("lets it go on at the given part of it, and says each turn once", async () => {
    expect(await looks(above, above, at, aboveResume)).toEqual(["pause"]);
    expect(reasons()).toEqual([reason]);
    expect(await looks(resume)).toEqual(["pause", "resume"]);
    expect(reasons()).toEqual([]);
    expect(await looks(aboveResume)).toEqual(["pause", "resume"]);
    expect(lines).toEqual(["warn intake.paused", "warn intake.resumed"]);
  });
});

test("fetching goes on only when all marks allow it", async () => {
  expect(
    await looks({ readyBytes: 1001 }, { readyBytes: 900, readyRows: 90 }, { readyBytes: 0, readyRows: 90 }),
  ).toEqual(["pause"]);
  expect(reasons()).toEqual(["pending_jobs"]);
  expect(await looks({ readyRows: 80, readyBytes: 800 })).toEqual(["pause", "resume"]);
});

test("calls that have not ended count as jobs", async () => {
  openIntents = 60;
  expect(await looks({ readyRows: 40 }, { readyRows: 41 })).toEqual(["pause"]);
  expect(gauges.get("sluice_pending_jobs")).toBe(101);
});

test("what waits for refusing topics counts from the mark on", async () => {
  expect(await looks({ refusedRecords: 100 }, { refusedRecords: 101 })).toEqual(["pause"]);
  expect(gauges.get("sluice_outbox_rows")).toBe(101);
});

test("the ledger is asked to count one beyond the marks at most", async () => {
  await looks({ readyBytes: 640, oldestRunnableMs: 7000 });
  expect(asked).toEqual([{ readyRows: 101, outboxRows: 51 }, ["side"]]);
  expect(gauges.get("sluice_pending_bytes")).toBe(640);
  expect(gauges.get("sluice_oldest_runnable_seconds")).toBe(3);
});

test("a ledger that can't be asked leaves fetching as it is; what this router knows by itself is told all the same", async () => {
  await looks({ readyBytes: 1001 });
  gauges.clear();
  found = new Error("away");
  await expect(watch.look()).rejects.toThrow("away");
  expect(turns).toEqual(["pause"]);
  expect([...gauges]).toEqual([["sluice_free_slots alpha", 3]]);
});

test("tells the places for calls of each account, and how many routers live", async () => {
  await looks({ liveRouters: 4 });
  expect([gauges.get("sluice_free_slots alpha"), gauges.get("sluice_live_routers")]).toEqual([3, 4]);
});
