import { describe, expect, test } from "@jest/globals";
import { createRoutePlanner } from "../../src/domain/route/plan-routes.js";
import { sessionNo } from "../../src/domain/ids.js";
import { DIRECT_ONLY, type LinePlan } from "../../src/pipeline/batch/line-planner.js";
import { NumberSource } from "../../src/pipeline/dispatch/number-source.js";
import { RouteChooser } from "../../src/pipeline/dispatch/route-chooser.js";
import { Slots } from "../../src/pipeline/dispatch/slots.js";
import { IntakePlanner } from "../../src/pipeline/intake/intake-planner.js";
import { IntakeStage, type IntakeParts } from "../../src/pipeline/intake/intake-stage.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { IntakeGroup } from "../../src/ports/ledger.js";
import {
  CATALOG,
  createSimulatedAdmission,
  jobValue,
  JOBS_TOPIC,
  recordAt,
  RENDER,
  RENDER_SETTINGS,
} from "../support/simulation/fixture.js";
import { metricsInto, placesOf } from "../support/work.js";
import { settled } from "./relay-fixture.js";

const NOW_MS = 1_000_000_000;
const quiet = (): undefined => undefined;

/** Accepts everything and keeps what it was asked. */
function stageOver(planner: IntakeParts["planner"], more: Partial<IntakeParts> = {}) {
  const groups: IntakeGroup[] = [];
  const errors: string[] = [];
  const stage = new IntakeStage({
    ledger: {
      accept: (group) => {
        groups.push(group);
        return Promise.resolve({
          kind: "accepted",
          day: 1,
          acceptedAtMs: NOW_MS,
          jobs: group.jobs.map(() => ({ kind: "queued" })),
          ended: [],
          outbox: [],
        });
      },
    },
    session: sessionNo(1),
    render: RENDER,
    renderSettings: RENDER_SETTINGS,
    planner,
    numbers: new NumberSource(() => Promise.resolve({ from: 1, count: 1000 })),
    ...placesOf(new Slots(new Map(), () => 0)),
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    random: { next: () => 0.5 },
    log: { debug: quiet, info: quiet, warn: quiet, error: (event) => errors.push(event) },
    metrics: { count: quiet, set: quiet, observe: quiet },
    inbox: { rewind: () => Promise.resolve(), accepted: quiet },
    groupSizeMax: 10,
    groupWaitMs: 0,
    queuedGroupsMax: 2,
    queuedBytesMax: 1_000_000,
    slotWaitMs: 0,
    mendable: () => false,
    doubt: () => ({ policy: "retry", retryMaxNanoUsd: 0n }),
    mayStart: () => true,
    backlog: { here: () => true, began: quiet },
    start: quiet,
    publish: quiet,
    fenced: quiet,
    ...more,
  });
  return { stage, groups, errors };
}

const PLANNER = new IntakePlanner(
  createSimulatedAdmission(),
  createRoutePlanner(CATALOG),
  new RouteChooser(),
  DIRECT_ONLY,
);
const runOf = (count: number) => {
  const valueOf = (no: number) => jobValue({ jobId: `job-${String(no)}`, tenant: "catalogue", prompt: "why" });
  const records = Array.from({ length: count }, (_unused, offset) => recordAt(0, offset, NOW_MS, valueOf(offset)));
  return { topic: JOBS_TOPIC, partition: 0, since: 0, upto: count, records };
};

test.each([
  ["two groups' records", 20, 21, {}],
  // A value of this test has more than 100 bytes and fewer than 200.
  ["the bytes that may wait", 1, 2, { queuedBytesMax: 200 }],
])("the next fetch waits while more than %s are queued", async (_bound, fits, tooMany, more) => {
  await stageOver(PLANNER, more).stage.offer(runOf(fits));

  const { stage, groups } = stageOver(PLANNER, more);
  let offered = false;
  const offer = stage.offer(runOf(tooMany)).then(() => {
    offered = true;
  });
  await settled();
  expect(offered).toBe(false);
  const running = stage.run();
  await offer;
  await settled();
  stage.stop();
  await running;
  expect(groups.flatMap(({ jobs }) => jobs)).toHaveLength(tooMany);
});

test("a record that the gateway fails to read becomes a dead letter INTERNAL; its neighbours are accepted and the session goes on", async () => {
  const { stage, groups, errors } = stageOver({
    plan: (record, decoded, nowMs) => {
      if (record.offset === 1) throw new RangeError("a bug of ours");
      return PLANNER.plan(record, decoded, nowMs);
    },
  });
  const wish = (jobId: string) => jobValue({ jobId, tenant: "catalogue", prompt: jobId });
  const records = ["a", "b", "c"].map((jobId, offset) => recordAt(0, offset, NOW_MS, wish(jobId)));
  const running = stage.run();
  await stage.offer({ topic: JOBS_TOPIC, partition: 0, since: 0, upto: 3, records });
  await settled();
  stage.stop();
  await running;
  expect(groups).toHaveLength(1);
  const [group] = groups;
  expect(group?.jobs.map(({ job }) => job.jobId)).toEqual(["a", "c"]);
  expect(group?.moves).toMatchObject([{ partition: 0, since: 0, upto: 3 }]);
  expect(group?.refused.map(({ code, offset }) => [code, offset])).toEqual([["INTERNAL", 1]]);
  expect(errors).toEqual(["intake.record_unreadable"]);
});

test.each([
  ["has a result too, since its tenant and id are proven", 1, ["dead_letter", "result"]],
  ["has a dead letter alone when the ledger refuses that as well", 2, ["dead_letter"]],
])("a record that the ledger refuses on its own %s", async (_what, refusals, kinds) => {
  let left = refusals;
  const stored: IntakeGroup[] = [];
  const { stage } = stageOver(PLANNER, {
    ledger: {
      accept: (group) => {
        left -= 1;
        if (left >= 0) return Promise.reject(new Error("a constraint"));
        stored.push(group);
        return Promise.resolve({ kind: "accepted", day: 1, acceptedAtMs: NOW_MS, jobs: [], ended: [], outbox: [] });
      },
    },
  });
  const running = stage.run();
  await stage.offer(runOf(1));
  await settled();
  stage.stop();
  await running;
  const [record] = stored.flatMap(({ refused }) => refused);
  expect(record).toMatchObject({ code: "INTERNAL", message: "the ledger refused this record: a constraint" });
  expect(record?.outgoing.map(({ kind }) => kind)).toEqual(kinds);
});

/** Waits for a batch of alpha. */
const POOLED: Extract<LinePlan, { kind: "pool" }> = {
  kind: "pool",
  pooled: {
    pool: "alpha|file|openai.chat|sim-alpha",
    line: {
      account: "alpha",
      provider: "openai",
      model: "sim-alpha",
      routeIndex: 0,
      way: "file",
      lineFormat: "openai.chat",
      bytes: 200,
      tokens: 20,
      embeddingInputs: 0,
      prefix: 7,
      maxNanoUsd: 9n,
      lookAtMs: NOW_MS + 60_000,
    },
  },
  decision: {
    mode: "batch",
    account: "alpha",
    model: "sim-alpha",
    because: "a batch is half the price",
    numbers: {
      leftMs: 1,
      turnaroundP95Ms: null,
      fillMs: null,
      directMaxNanoUsd: null,
      batchMaxNanoUsd: null,
      tokens: null,
      headroomTokens: null,
    },
  },
};

/** Plans the jobs at these offsets for a batch, all others for a call of their own. */
function plannerWithBatches(isPooled: (offset: number) => boolean): IntakeParts["planner"] {
  return {
    plan: (record, decoded, nowMs) => {
      const plan = PLANNER.plan(record, decoded, nowMs);
      if (plan.kind !== "job") return plan;
      const line: LinePlan = isPooled(record.offset)
        ? POOLED
        : { kind: "direct", decision: { ...POOLED.decision, mode: "direct" } };
      return { kind: "job", planned: { ...plan.planned, line } };
    },
  };
}

/** Runs until all that was offered is accepted. */
async function accepted(planner: IntakeParts["planner"], count: number, more: Partial<IntakeParts>) {
  const { stage, groups } = stageOver(planner, more);
  const running = stage.run();
  await stage.offer(runOf(count));
  await settled();
  stage.stop();
  await running;
  return groups;
}

test("what was accepted is told with its end; a group whose position has moved starts nothing, and its partition is read again without what is queued", async () => {
  const told: unknown[] = [];
  const inbox: IntakeParts["inbox"] = {
    rewind: (topic, partition) => {
      told.push(["rewind", topic, partition]);
      return Promise.resolve();
    },
    accepted: (...position) => told.push(["accepted", ...position]),
  };
  const slots = new Slots(new Map([["alpha", 8]]), () => 0);
  const parts = { ...placesOf(slots), backlog: { here: () => false, began: quiet }, inbox };
  const { topic, partition } = runOf(1);
  await accepted(PLANNER, 1, parts);
  expect(told).toEqual([["accepted", topic, partition, 1]]);

  told.length = 0;
  const groups: IntakeGroup[] = [];
  const ledger: IntakeParts["ledger"] = {
    accept: (group) => {
      groups.push(group);
      return Promise.resolve({ kind: "moved", partitions: group.moves });
    },
  };
  // Two groups of records are queued.
  await accepted(PLANNER, 16, { ...parts, ledger });
  expect(told).toEqual([["rewind", topic, partition]]);
  expect(groups.map(({ jobs }) => jobs.map(({ intent }) => intent?.account))).toEqual([
    Array.from({ length: 8 }, () => "alpha"),
  ]);
  expect(slots.freeOf("alpha")).toBe(8);
});

test("the first record after a rest waits for nobody; the next one, which came while its group was out, for company", async () => {
  const waits: number[] = [];
  let endFirst = (): void => undefined;
  const isOut = new Promise<void>((resolve) => {
    endFirst = resolve;
  });
  const sizes: number[] = [];
  const { stage } = stageOver(PLANNER, {
    groupWaitMs: 7,
    clock: {
      nowMs: () => NOW_MS,
      monotonicMs: () => 0,
      sleep: (ms) => {
        waits.push(ms);
        return Promise.resolve();
      },
    },
    ledger: {
      accept: async (group) => {
        sizes.push(group.jobs.length);
        await isOut;
        const jobs = group.jobs.map(() => ({ kind: "queued" as const }));
        return { kind: "accepted", day: 1, acceptedAtMs: NOW_MS, jobs, ended: [], outbox: [] };
      },
    },
  });
  const running = stage.run();
  await settled();
  const [first, second] = [runOf(1), { ...runOf(2), since: 1 }];
  await stage.offer(first);
  await settled();
  expect([sizes, waits.includes(7)]).toEqual([[1], false]);
  await stage.offer({ ...second, records: second.records.slice(1) });
  endFirst();
  await settled();
  stage.stop();
  await running;
  expect([sizes, waits.filter((ms) => ms > 0)]).toEqual([[1, 1], [7]]);
});

test("a cancel says how many of its group's jobs came before it", async () => {
  const plan: IntakeParts["planner"]["plan"] = (record, decoded, nowMs) =>
    record.offset % 2 === 0
      ? PLANNER.plan(record, decoded, nowMs)
      : { kind: "cancel", tenant: "catalogue", jobId: `job-${String(record.offset)}` };
  const [group] = await accepted({ plan }, 4, { groupWaitMs: 1 });
  expect(group?.cancels).toEqual([
    { tenant: "catalogue", jobId: "job-1", behind: 1 },
    { tenant: "catalogue", jobId: "job-3", behind: 2 },
  ]);
});

test("a group's records count for the topics that they came from, and all headers that results do not get", async () => {
  const counted = new Map<string, number>();
  const { stage, groups } = stageOver(PLANNER, { groupWaitMs: 1, metrics: metricsInto(counted) });
  const headers = Array.from({ length: 35 }, (_unused, no) => ({ name: `x-${String(no)}`, value: Buffer.from("v") }));
  const wish = { jobId: "a", tenant: "catalogue", prompt: "why" };
  const runFrom = (topic: string, value: Buffer) => {
    const record = { ...recordAt(0, 0, NOW_MS, value), topic, headers };
    return { topic, partition: 0, since: 0, upto: 1, records: [record] };
  };
  await stage.offer(runFrom(JOBS_TOPIC, jobValue(wish)));
  await stage.offer(runFrom("other.jobs", Buffer.from('{"jobId":"b","tenant":"catalogue","nobody":1}')));
  const running = stage.run();
  await settled();
  stage.stop();
  await running;
  expect(groups.map(({ jobs, refused }) => [jobs.length, refused.length])).toEqual([[1, 1]]);
  expect([...counted].filter(([name, count]) => name.startsWith("sluice_records_total") && count > 0)).toEqual([
    [`sluice_records_total ${JOBS_TOPIC} accepted`, 1],
    ["sluice_records_total other.jobs refused", 1],
  ]);
  expect(counted.get("sluice_headers_dropped_total")).toBe(6);
});

describe("while a group's transaction is out", () => {
  /** Two groups' records; offsets as they are planned, and the end of the first transaction, which the test brings about. */
  async function firstGroupOut() {
    const clock = { monotonicMs: 0 };
    const planned: number[] = [];
    const plan: IntakeParts["planner"]["plan"] = (record, decoded, nowMs) => {
      planned.push(record.offset);
      return PLANNER.plan(record, decoded, nowMs);
    };
    const groups: IntakeGroup[] = [];
    let end = quiet as () => void;
    const ledger: IntakeParts["ledger"] = {
      accept: async (group) => {
        groups.push(group);
        if (groups.length === 1) await new Promise<void>((resolve) => (end = resolve));
        const jobs = group.jobs.map(() => ({ kind: "queued" as const }));
        return { kind: "accepted", day: 1, acceptedAtMs: NOW_MS, jobs, ended: [], outbox: [] };
      },
    };
    const { stage } = stageOver(
      { plan },
      {
        ledger,
        clock: { nowMs: () => NOW_MS, monotonicMs: () => clock.monotonicMs, sleep: () => Promise.resolve() },
      },
    );
    const running = stage.run();
    await stage.offer(runOf(20));
    await settled();
    return {
      planned,
      groups,
      clock,
      /** The stage accepts the rest and stops. */
      rest: async () => {
        end();
        await settled();
        stage.stop();
        await running;
      },
    };
  }
  const offsets = (from: number, count: number) => Array.from({ length: count }, (_unused, index) => from + index);

  test("what comes next is planned, once, and goes into the next one as it was planned", async () => {
    const { planned, groups, rest } = await firstGroupOut();
    expect([groups.length, planned]).toEqual([1, offsets(0, 20)]);
    await rest();
    expect(planned).toEqual(offsets(0, 20));
    expect(groups.map(({ jobs }) => jobs.map(({ job }) => job.jobId))).toEqual([
      offsets(0, 10).map((no) => `job-${String(no)}`),
      offsets(10, 10).map((no) => `job-${String(no)}`),
    ]);
  });

  test("it may take long: then what was planned is planned anew, by the routes of now", async () => {
    const { planned, groups, clock, rest } = await firstGroupOut();
    clock.monotonicMs = 1000;
    await rest();
    expect(planned).toEqual([...offsets(0, 20), ...offsets(10, 10)]);
    expect(groups).toHaveLength(2);
  });
});

test("a job that waits for a batch takes no slot and has no call; the decision goes along with each", async () => {
  const slots = new Slots(new Map([["alpha", 8]]), () => 0);
  const planner = plannerWithBatches((offset) => offset !== 1);
  const [group] = await accepted(planner, 3, {
    ...placesOf(slots),
    backlog: { here: () => false, began: quiet },
    groupWaitMs: 1,
  });
  expect(group?.jobs).toMatchObject([
    { intent: null, pooled: POOLED.pooled, decision: { mode: "batch" } },
    { intent: { account: "alpha" }, decision: { mode: "direct" } },
    { intent: null, pooled: POOLED.pooled, decision: { mode: "batch" } },
  ]);
  expect(group?.jobs[1]).not.toHaveProperty("pooled");
});

test("what waits for a batch is no backlog of calls; what is queued is, and what starts takes its decision along", async () => {
  const fates = ["pooled", "started", "pooled"] as const;
  const began: string[] = [];
  const works: Work[] = [];
  const acceptAs = (kinds: readonly ("pooled" | "started" | "queued")[]): IntakeParts["ledger"] => ({
    accept: () =>
      Promise.resolve({
        kind: "accepted",
        day: 1,
        acceptedAtMs: NOW_MS,
        jobs: kinds.map((kind) => ({ kind })),
        ended: [],
        outbox: [],
      }),
  });
  const parts = {
    ...placesOf(new Slots(new Map([["alpha", 8]]), () => 0)),
    backlog: { here: () => false, began: () => began.push("began") },
    groupWaitMs: 1,
    start: (work: Work) => works.push(work),
  };
  const planner = plannerWithBatches((offset) => offset !== 1);
  await accepted(planner, 3, { ...parts, ledger: acceptAs(fates) });
  expect(began).toEqual([]);
  expect(works).toMatchObject([{ decision: { mode: "direct", because: "a batch is half the price" } }]);
  // It had a place and no money: that keeps nobody else from a place.
  await accepted(planner, 3, { ...parts, ledger: acceptAs(["pooled", "queued", "pooled"]) });
  expect(began).toEqual([]);
  const full = { ...parts, ...placesOf(new Slots(new Map([["alpha", 0]]), () => 0)) };
  await accepted(planner, 3, { ...full, ledger: acceptAs(["pooled", "queued", "pooled"]) });
  expect(began).toEqual(["began"]);
});

test("groups are as large as the slots allow those that need one: jobs for batches are not held up by them", async () => {
  const sizesOf = async (isPooled: (offset: number) => boolean) => {
    const groups = await accepted(plannerWithBatches(isPooled), 20, {
      ...placesOf(new Slots(new Map([["alpha", 2]]), () => 0)),
      backlog: { here: () => false, began: quiet },
    });
    return groups.map(({ jobs }) => jobs.length);
  };
  // Before anything is planned each may need a slot; after that all of the queue's ten fit.
  expect((await sizesOf(() => true)).slice(0, 2)).toEqual([2, 10]);
  // Half of them need one, and two are free.
  expect((await sizesOf((offset) => offset % 2 === 0)).slice(0, 3)).toEqual([2, 4, 4]);
});

test("a job that no route can be called for takes no slot and has no call", async () => {
  const slots = new Slots(new Map([["alpha", 8]]), () => 0);
  const plan: IntakeParts["planner"]["plan"] = (record, decoded, nowMs) => {
    const planned = PLANNER.plan(record, decoded, nowMs);
    const waits = planned.kind === "job" && record.offset === 1;
    return waits ? { ...planned, planned: { ...planned.planned, waits } } : planned;
  };
  const parts = { ...placesOf(slots), backlog: { here: () => false, began: quiet }, groupWaitMs: 1 };
  const [group] = await accepted({ plan }, 2, parts);
  expect(group?.jobs).toMatchObject([{ intent: { account: "alpha" } }, { intent: null }]);
});

describe("a group where a rate limit has to grant each call", () => {
  /** Sizes of the groups of 10 records, at most 10 each, with a gate that says so of what could start, one answer a look. */
  const sizesOf = async (answers: readonly (number | null)[], slotWaitMs: number): Promise<readonly number[]> => {
    let [look, nowMs] = [0, 0];
    const { gate } = placesOf(new Slots(new Map([["alpha", 100]]), () => 0));
    gate.startable = () => answers[Math.min(look++, answers.length - 1)] ?? null;
    gate.changed = () => Promise.resolve();
    const groups = await accepted(PLANNER, 10, {
      gate,
      slotWaitMs,
      backlog: { here: () => false, began: quiet },
      clock: { nowMs: () => NOW_MS, monotonicMs: () => (nowMs += 10), sleep: () => Promise.resolve() },
    });
    return groups.map(({ jobs }) => jobs.length);
  };

  test("is as large as the grants, and waits a moment for more", async () => {
    expect(await sizesOf([3, 0, 0, 4, 10], 1000)).toEqual([3, 4, 3]);
  });

  test("goes into rows when none come, and at once when a limit is used up", async () => {
    expect(await sizesOf([0], 50)).toEqual([10]);
    expect(await sizesOf([null], 1000)).toEqual([10]);
  });
});

describe("a group behind rows that wait for a place", () => {
  /** Whether the 10 records' jobs have intents. @param looks how often the rows are found waiting still. */
  const startedBehind = async (looks: number, slotWaitMs: number): Promise<readonly boolean[]> => {
    let [looked, nowMs] = [0, 0];
    const groups = await accepted(PLANNER, 10, {
      ...placesOf(new Slots(new Map([["alpha", 100]]), () => 0)),
      slotWaitMs,
      backlog: { here: () => (looked += 1) <= looks, began: quiet },
      clock: { nowMs: () => NOW_MS, monotonicMs: () => (nowMs += 10), sleep: () => Promise.resolve() },
    });
    return groups.flatMap(({ jobs }) => jobs.map(({ intent }) => intent !== null));
  };

  test("waits a moment for them, and has its calls", async () => {
    expect(new Set(await startedBehind(3, 1000))).toEqual(new Set([true]));
  });

  test("goes into rows itself when they wait for longer", async () => {
    const started = await startedBehind(1000, 30);
    expect([started.length, new Set(started)]).toEqual([10, new Set([false])]);
  });
});
