import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { RENDER } from "../support/simulation/fixture.js";
import { BatchBench, HOUR_MS, POOL, promptOf, TO_BATCH, UNLIMITED, type WholeLedger } from "./batch-bench.js";
import { batchJoiningCases } from "./ledger-batch-joining-cases.js";
import { batchLifeCases } from "./ledger-batch-life-cases.js";
import { batchLineCases } from "./ledger-batch-line-cases.js";
import { groupCases } from "./ledger-group-cases.js";
import { rescueCases } from "./ledger-rescue-cases.js";
import { eventsIn, failureOf, LedgerBench, resultsIn, type OpenLedger } from "./ledger-bench.js";

const A = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const B = { jobId: "b", tenant: "catalogue", prompt: "how" } as const;
const C = { jobId: "c", tenant: "catalogue", prompt: "who" } as const;
const LOADS = { readyRows: 10, outboxRows: 10 } as const;

interface OpenWholeLedger extends OpenLedger {
  readonly ledger: WholeLedger;
}

/** One suite of cases about batches for every ledger. */
export function batchLedgerSuite(name: string, open: () => Promise<OpenWholeLedger>): void {
  describe(name, () => {
    let opened: OpenWholeLedger;
    let batches: BatchBench;
    // The bench of the case that runs, for cases in other files.
    const at = {
      get batches(): BatchBench {
        return batches;
      },
    };
    beforeEach(async () => {
      opened = await open();
      batches = new BatchBench(await LedgerBench.start(opened), opened.ledger);
    });
    afterEach(async () => {
      await opened.close();
    });

    poolCases(at);
    claimCases(at);
    allowanceCases(at);
    batchLineCases(at);
    batchJoiningCases(at);
    batchLifeCases(at);
    groupCases(at);
    rescueCases(at);
  });
}

function poolCases(at: { readonly batches: BatchBench }): void {
  describe("a job for a batch", () => {
    test("waits in its pool and is no row for a call", async () => {
      const [job] = await at.batches.pool(A);
      const nowMs = at.batches.bench.nowMs();
      const [pool, ...others] = await at.batches.ledger.pools();
      expect(others).toEqual([]);
      expect(pool).toMatchObject({ pool: POOL, lines: 1, bytes: 100, tokens: 40 });
      expect(Math.abs((pool?.oldestAtMs ?? 0) - nowMs)).toBeLessThan(60_000);
      expect(pool?.nearestLookAtMs).toBe(job?.pooled?.line.lookAtMs);
      expect((await at.batches.bench.claim(neverAsked)).taken).toBe(0);
    });

    test("counts for back-pressure as one that waits for a call does", async () => {
      const [job] = await at.batches.pool(A);
      const load = await at.batches.ledger.load(LOADS, []);
      expect([load.readyRows, load.readyBytes]).toEqual([1, Buffer.byteLength(job?.job.bodyText ?? "")]);
      await at.batches.bench.accept([await at.batches.bench.job(B, false)]);
      expect((await at.batches.ledger.load(LOADS, [])).readyRows).toBe(2);
      expect((await at.batches.ledger.load({ ...LOADS, readyRows: 1 }, [])).readyRows).toBe(1);
    });

    test("is told as the line that it will be, with the decision that led there", async () => {
      const line = { bytes: 1234, tokens: 2 ** 40, embeddingInputs: 3, prefix: 2 ** 53 - 1, maxNanoUsd: 2n ** 60n };
      const [job] = await at.batches.pool({ ...A, line });
      const [waiting] = await at.batches.waiting();
      expect(waiting).toMatchObject({ tenant: "catalogue", line: job?.pooled?.line, attempts: 0 });
      expect(waiting?.execution.no).toBe(job?.no);
      const [bound] = await at.batches.bind(await at.batches.open());
      expect(bound?.decision).toEqual(TO_BATCH);
    });

    test("keeps nothing of a group that breaks off between two statements", async () => {
      const jobs = [await at.batches.job(A), await at.batches.bench.job({ ...B, ttlMs: 0 }, false)];
      const group = await at.batches.bench.group(jobs);
      await expect(at.batches.ledger.accept(group, BROKEN)).rejects.toThrow("the process dies here");
      expect(await at.batches.ledger.pools()).toEqual([]);
      expect(await at.batches.ledger.accept(group, RENDER)).toMatchObject({
        kind: "accepted",
        jobs: [{ kind: "pooled" }, { kind: "expired" }],
      });
    });

    test("goes to the queue of calls when its time is over, and not before", async () => {
      await at.batches.pool({ ...A, lookInMs: 1000 }, { ...B, lookInMs: 5000 }, { ...C, ttlMs: 2000, lookInMs: 9000 });
      const sweep = (aheadMs: number, limit = 10) =>
        at.batches.ledger.sweepPools(at.batches.session, at.batches.bench.nowMs() + aheadMs, limit);
      expect(await sweep(-1000)).toBe(0);
      // One by its own time, one by its job's deadline; the limit holds.
      expect([await sweep(3000, 1), await sweep(3000), await sweep(3000)]).toEqual([1, 1, 0]);
      expect((await at.batches.waiting()).map(({ execution }) => execution.no)).toHaveLength(1);
      const seen: string[] = [];
      const { outbox, taken } = await at.batches.bench.claim((waiting) => {
        seen.push(promptOf(waiting));
        return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "concurrency" };
      });
      expect([taken, seen]).toEqual([2, ["why"]]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "c", status: "expired" }]);
    });

    test("is not swept by a session that has ended", async () => {
      await at.batches.pool({ ...A, lookInMs: -1000 });
      const dead = await at.batches.other();
      await at.batches.ledger.endSession(dead);
      expect(await at.batches.ledger.sweepPools(dead, at.batches.bench.nowMs(), 10)).toBe(0);
      expect(await at.batches.ledger.sweepPools(at.batches.session, at.batches.bench.nowMs(), 10)).toBe(1);
    });
  });

  describe("pools", () => {
    test("are told apart, each with its sums", async () => {
      await at.batches.pool(
        { ...A, line: { bytes: 10, tokens: 5 } },
        { ...B, line: { bytes: 20, tokens: 6 } },
        { ...C, pool: "beta|inline|*|*", line: { bytes: 30, tokens: 7 } },
      );
      const told = (await at.batches.ledger.pools()).map(({ pool, lines, bytes, tokens }) => [
        pool,
        lines,
        bytes,
        tokens,
      ]);
      expect(told.sort()).toEqual([
        [POOL, 2, 32, 11],
        ["beta|inline|*|*", 1, 31, 7],
      ]);
      expect((await at.batches.waiting("beta|inline|*|*")).map(({ line }) => line.bytes)).toEqual([30]);
    });

    test("give out their lines with the tenants in turn and the nearest deadlines of each first", async () => {
      const wish = (jobId: string, tenant: string, hours: number) => ({
        ...{ jobId, tenant, prompt: jobId },
        ttlMs: hours * HOUR_MS,
      });
      const jobs = await at.batches.pool(
        wish("c20", "catalogue", 20),
        wish("c10", "catalogue", 10),
        wish("c15", "catalogue", 15),
        wish("s12", "shop", 12),
      );
      const names = new Map(jobs.map(({ no, job }) => [no, job.jobId]));
      const order = async (limit: number) =>
        (await at.batches.ledger.waitingLines(POOL, limit)).map(({ tenant, execution }) => [
          tenant,
          names.get(execution.no),
        ]);
      const inTurn = [
        ["catalogue", "c10"],
        ["shop", "s12"],
        ["catalogue", "c15"],
        ["catalogue", "c20"],
      ];
      expect(await order(1000)).toEqual(inTurn);
      expect(await order(2)).toEqual(inTurn.slice(0, 2));
    });
  });
}

const neverAsked = (): never => {
  throw new Error("asked about an execution that waits for a batch");
};

const BROKEN: typeof RENDER = {
  ...RENDER,
  end: () => {
    throw new Error("the process dies here");
  },
};

function claimCases(at: { readonly batches: BatchBench }): void {
  const toPool = (lookInMs = HOUR_MS) =>
    at.batches.bench.claim(() => ({
      kind: "pool",
      pooled: { pool: POOL, line: at.batches.line(at.batches.bench.nowMs() + lookInMs) },
      decision: TO_BATCH,
    }));

  describe("a claim that gives an execution to a batch", () => {
    test("lets it wait in its pool, with the tries that it has had", async () => {
      const { bench } = at.batches;
      const held = await bench.start(A);
      await bench.finish([bench.ended(held, failureOf("overloaded", "answered", 500))]);
      const [before, claimed] = [await at.batches.ledger.load(LOADS, []), await toPool()];
      expect([claimed.taken, claimed.started]).toEqual([1, []]);
      expect(await at.batches.waiting()).toMatchObject([{ execution: held.execution, attempts: 1 }]);
      const after = await at.batches.ledger.load(LOADS, []);
      expect([after.readyRows, after.readyBytes]).toEqual([1, before.readyBytes]);
      const [line] = await at.batches.bind(await at.batches.open());
      expect(line).toMatchObject({ decision: TO_BATCH, attempt: { number: 2 }, history: [{ outcome: "overloaded" }] });
    });

    test("settles its doubt, and the line follows the doubt in the history", async () => {
      const { bench } = at.batches;
      const held = await bench.start(A);
      await bench.finish([bench.ended(held, failureOf("connection_failed", "perhaps", null))]);
      const { outbox } = await toPool();
      expect(eventsIn(outbox)).toMatchObject([{ kind: "attempt.settled" }]);
      const [line] = await at.batches.bind(await at.batches.open());
      expect(line).toMatchObject({ attempt: { number: 2 }, history: [{ no: held.intent.no, outcome: "in_doubt" }] });
    });

    test("tells how long its jobs have: the nearest deadline and the latest", async () => {
      const { bench } = at.batches;
      const jobs = [
        await bench.job({ ...A, ttlMs: 2 * HOUR_MS }, false),
        await bench.job({ ...A, jobId: "b", ttlMs: 5 * HOUR_MS }, false),
      ];
      await bench.accept(jobs);
      const told: number[] = [];
      await bench.claim((waiting) => {
        told.push(waiting.nearestDeadlineMs, waiting.latestDeadlineMs);
        return { kind: "wait", runAtMs: bench.nowMs(), waitsFor: "concurrency" };
      });
      expect(told).toEqual(jobs.map(({ job }) => job.deadlineMs));
    });
  });
}

function allowanceCases(at: { readonly batches: BatchBench }): void {
  const open = async (limits: object, changes = {}) =>
    at.batches.ledger.openBatch(at.batches.session, await at.batches.wanted(changes), { ...UNLIMITED, ...limits });
  const full = (limit: string, tokensLeft: number | null = null, retryAtMs: number | null = null) => ({
    ...{ kind: "full", limit, tokensLeft, retryAtMs },
  });

  describe("a new batch", () => {
    test("is empty, is being built, and counts as what it may become", async () => {
      const wanted = await at.batches.wanted();
      const opened = await at.batches.ledger.openBatch(at.batches.session, wanted, UNLIMITED);
      expect(opened).toMatchObject({
        kind: "opened",
        batch: { ...wanted, state: "building", linesBytes: 0, version: 0 },
      });
      expect(await at.batches.lines(await at.batches.open())).toEqual([]);
    });

    test("is not opened by a session that has ended", async () => {
      const dead = await at.batches.other();
      await at.batches.ledger.endSession(dead);
      expect(await at.batches.ledger.openBatch(dead, await at.batches.wanted(), UNLIMITED)).toEqual({ kind: "fenced" });
    });

    test("waits while the account's tokens are taken, until a batch has ended", async () => {
      const first = await at.batches.open({ tokens: 900 });
      await at.batches.open({ tokens: 5000, account: "beta" });
      expect(await open({ tokensMax: 1800 }, { tokens: 901 })).toEqual(full("enqueued_tokens", 900));
      expect(await open({ tokensMax: 1800 }, { tokens: 900 })).toMatchObject({ kind: "opened" });
      expect(await open({ tokensMax: 1800 }, { tokens: 1 })).toEqual(full("enqueued_tokens", 0));
      await at.batches.bring(first, "ended");
      expect(await open({ tokensMax: 1800 }, { tokens: 900 })).toMatchObject({ kind: "opened" });
    });

    test("counts with what was bound to it once it is sealed", async () => {
      const first = await at.batches.open({ tokens: 900, lines: 9 });
      await at.batches.save(first, { state: "sealed", tokens: 100, lines: 2 });
      expect(await open({ tokensMax: 1000, linesMax: 10 }, { tokens: 901, lines: 1 })).toEqual(
        full("enqueued_tokens", 900),
      );
      expect(await open({ tokensMax: 1000, linesMax: 10 }, { tokens: 900, lines: 8 })).toMatchObject({
        kind: "opened",
      });
    });

    test("waits while the account's lines are taken", async () => {
      await at.batches.open({ lines: 10 });
      expect(await open({ linesMax: 19 })).toEqual(full("queued_lines"));
      expect(await open({ linesMax: 20 })).toMatchObject({ kind: "opened" });
    });

    test("waits while as many batches are open as may be; one that failed is not", async () => {
      const first = await at.batches.open();
      expect(await open({ openBatchesMax: 1 })).toEqual(full("open_batches"));
      await at.batches.bring(first, "failed");
      expect(await open({ openBatchesMax: 1 })).toMatchObject({ kind: "opened" });
    });

    test("waits for the answer to the creation of another one where the provider keeps no mark", async () => {
      const first = await at.batches.open();
      expect(await open({ oneAtATime: true })).toEqual(full("one_at_a_time"));
      const creating = await at.batches.bring(first, "creating");
      expect(await open({ oneAtATime: true })).toEqual(full("one_at_a_time"));
      await at.batches.save(creating, { state: "submitted" });
      expect(await open({ oneAtATime: true })).toMatchObject({ kind: "opened" });
    });

    test("is opened by one of two routers when there is room for one", async () => {
      const other = await at.batches.other();
      const limits = { ...UNLIMITED, tokensMax: 1999 };
      const wanted = [await at.batches.wanted(), await at.batches.wanted()] as const;
      const opened = await Promise.all([
        at.batches.ledger.openBatch(at.batches.session, wanted[0], limits),
        at.batches.ledger.openBatch(other, wanted[1], limits),
      ]);
      expect(opened.map(({ kind }) => kind).sort()).toEqual(["full", "opened"]);
    });
  });

  describe("what a refusal taught about an account's tokens", () => {
    test("holds until its time, and says when that is", async () => {
      const untilMs = at.batches.bench.nowMs() + HOUR_MS;
      await at.batches.ledger.holdAccount("alpha", 500, untilMs);
      expect(await open({ tokensMax: 9000 }, { tokens: 501 })).toEqual(full("enqueued_tokens", 500, untilMs));
      expect(await open({}, { tokens: 501, account: "beta" })).toMatchObject({ kind: "opened" });
      expect(await open({ tokensMax: 400 }, { tokens: 401 })).toEqual(full("enqueued_tokens", 400));
      expect(await open({}, { tokens: 501, createdAtMs: untilMs })).toMatchObject({ kind: "opened" });
    });

    test("is the lower of two", async () => {
      const [soonMs, lateMs] = [at.batches.bench.nowMs() + HOUR_MS, at.batches.bench.nowMs() + 2 * HOUR_MS];
      await at.batches.ledger.holdAccount("alpha", 500, lateMs);
      await at.batches.ledger.holdAccount("alpha", 700, soonMs);
      expect(await open({}, { tokens: 501 })).toEqual(full("enqueued_tokens", 500, lateMs));
      await at.batches.ledger.holdAccount("alpha", 300, soonMs);
      expect(await open({}, { tokens: 301 })).toEqual(full("enqueued_tokens", 300, lateMs));
    });

    test("is forgotten when it is over, however low it was", async () => {
      const nowMs = at.batches.bench.nowMs();
      await at.batches.ledger.holdAccount("alpha", 100, nowMs - HOUR_MS);
      await at.batches.ledger.holdAccount("alpha", 500, nowMs + HOUR_MS);
      expect(await open({}, { tokens: 500 })).toMatchObject({ kind: "opened" });
    });
  });
}
