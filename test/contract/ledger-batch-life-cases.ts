import { describe, expect, test } from "@jest/globals";
import { batchMark, type Batch } from "../../src/domain/batch/batch.js";
import { NO_COUNTS } from "../../src/domain/batch/provider-batch.js";
import type { LedgerKey, SessionNo } from "../../src/domain/ids.js";
import type { BatchLine } from "../../src/ports/batch-ledger.js";
import { RENDER } from "../support/simulation/fixture.js";
import { HOUR_MS, promptOf, type BatchBench } from "./batch-bench.js";
import { answerTo, costsIn, failureOf, resultsIn } from "./ledger-bench.js";

const A = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const keyOf = ({ attempt, execution }: BatchLine): LedgerKey => ({ no: attempt.no, day: execution.day });

function fail(): never {
  throw new Error("nothing is due");
}

/** Cases about batches as a whole: who holds them, how they change, what is remembered of them. `at.batches` is new for each case. */
export function batchLifeCases(at: { readonly batches: BatchBench }): void {
  holdingCases(at);
  changingCases(at);
  rememberingCases(at);
  orphanCases(at);
}

function orphanCases(at: { readonly batches: BatchBench }): void {
  const running = async () => {
    const { bench } = at.batches;
    const intent = await bench.intent(1);
    const { started } = await bench.claim(() => ({ kind: "start", intent }));
    const [call] = started;
    if (call === undefined) throw new Error("expected a call");
    return { execution: call.execution.key, intent: call.intent, wish: A };
  };

  describe("a batch that has failed", () => {
    test("is taken by whoever asks, once its lines are back", async () => {
      const batch = await at.batches.open();
      const other = await at.batches.other();
      const take = () => at.batches.ledger.takeFailed(other, batch.no);
      const failed = await at.batches.bring(batch, "failed");
      expect(await take()).toBeNull();
      const back = await at.batches.save(failed, { doneAtMs: at.batches.bench.nowMs() });
      expect(await take()).toEqual(back);
      if (back === null) throw new Error("expected a saved batch");
      expect(await at.batches.save(back, { trouble: "late" })).toBeNull();
      expect(await at.batches.save(back, { state: "submitted" }, {}, other)).not.toBeNull();
      expect(await take()).toBeNull();
    });

    test("is not taken by a session that has ended", async () => {
      const { batch } = await at.batches.givenUp(A);
      await at.batches.ledger.endSession(at.batches.session);
      expect(await at.batches.ledger.takeFailed(at.batches.session, batch.no)).toBeNull();
    });
  });

  describe("a batch that was given up and turns up", () => {
    test("has its lines out again, but not those that were left out before its seal", async () => {
      const { bench, ledger } = at.batches;
      await at.batches.pool(A, { jobId: "b", tenant: "catalogue", prompt: "how" });
      const batch = await at.batches.open();
      const [left, sent] = await at.batches.bind(batch);
      if (left === undefined || sent === undefined) throw new Error("expected two lines");
      await ledger.returnLines(at.batches.session, batch.no, [keyOf(left)], 10, bench.nowMs() - HOUR_MS);
      const nowMs = bench.nowMs();
      const creating = await at.batches.bring(batch, "creating", { sealedAtMs: nowMs - 1000 });
      const failed = await at.batches.save(creating, { state: "failed" });
      await ledger.returnLines(at.batches.session, batch.no, null, 10, nowMs);
      if (failed === null) throw new Error("expected a saved batch");
      await at.batches.save(failed, { doneAtMs: nowMs });
      const back = await at.batches.turnUp(batch);
      expect((await at.batches.lines(back)).map((line) => line.attempt.no)).toEqual([sent.attempt.no]);
      expect(await ledger.claimBatches(at.batches.session, bench.nowMs(), 10)).toEqual([back]);
    });

    test("serves a job that nobody has served yet, whether its row waits or a call is out", async () => {
      for (const isCalled of [false, true]) {
        // Serial: one after another in one ledger.
        const jobId = `waits ${String(isCalled)}`;
        const { batch, lines } = await at.batches.givenUp({ ...A, jobId, prompt: jobId });
        const call = isCalled ? await running() : null;
        const back = await at.batches.turnUp(batch, `batch of ${jobId}`);
        const [line] = lines;
        if (line === undefined) throw new Error("expected a line");
        const first = await at.batches.bench.finish([at.batches.ended(back, line, answerTo(jobId))]);
        expect(resultsIn(first.outbox)).toMatchObject([{ jobId, status: "succeeded" }]);
        expect(costsIn(first.outbox)).toMatchObject([{ billing: "charged" }]);
        if (call === null) {
          expect((await at.batches.bench.claim(() => fail())).taken).toBe(0);
          continue;
        }
        const second = await at.batches.bench.finish([at.batches.bench.ended(call, answerTo(jobId))]);
        expect([second.ended, costsIn(second.outbox)]).toMatchObject([[], [{ billing: "waste" }]]);
      }
    });

    test("is waste where a job has its answer, once", async () => {
      const { bench } = at.batches;
      const { batch, lines } = await at.batches.givenUp(A);
      const call = await running();
      await bench.finish([bench.ended(call, answerTo("why"))]);
      const back = await at.batches.turnUp(batch);
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      const late = at.batches.ended(back, line, answerTo("why"));
      const first = await bench.finish([late]);
      expect([first.ended, first.waste, costsIn(first.outbox)]).toMatchObject([[], 1, [{ billing: "waste" }]]);
      expect(await bench.finish([late])).toEqual({ ended: [], outbox: [], waste: 0 });
    });

    test("is not billed for a line that it did not run, and leaves the job to its call", async () => {
      const { bench } = at.batches;
      const { batch, lines } = await at.batches.givenUp(A);
      const call = await running();
      const back = await at.batches.turnUp(batch);
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      const unrun = await bench.finish([at.batches.ended(back, line, failureOf("cancelled", "answered", null))]);
      expect([unrun.ended, costsIn(unrun.outbox)]).toEqual([[], []]);
      const served = await bench.finish([bench.ended(call, answerTo("why"))]);
      expect(resultsIn(served.outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
    });
  });
}

function holdingCases(at: { readonly batches: BatchBench }): void {
  const claim = async (session: SessionNo, aheadMs = 0, limit = 10) =>
    (await at.batches.ledger.claimBatches(session, at.batches.bench.nowMs() + aheadMs, limit)).map(({ no }) => no);

  describe("a batch that is due", () => {
    test("comes to the router that holds it, not to another one while that lives", async () => {
      const batch = await at.batches.open();
      const other = await at.batches.other();
      expect([await claim(other), await claim(at.batches.session)]).toEqual([[], [batch.no]]);
    });

    test("comes as it was stored", async () => {
      const full = await detailed(at.batches);
      expect(await at.batches.ledger.claimBatches(at.batches.session, at.batches.bench.nowMs() + HOUR_MS, 10)).toEqual([
        full,
      ]);
    });

    test("comes to another router once the one that holds it has ended, and belongs to that", async () => {
      const { batch, lines } = await at.batches.batchOf(A);
      const [second, third] = [await at.batches.other(), await at.batches.other()];
      await at.batches.ledger.endSession(at.batches.session);
      expect([await claim(second), await claim(third)]).toEqual([[batch.no], []]);
      expect(await at.batches.save(batch, { state: "sealed" }, {}, second)).toMatchObject({
        state: "sealed",
        version: 1,
      });
      at.batches.bench.session = second;
      expect(await at.batches.lines(batch)).toEqual(lines);
    });

    test("comes to one of two routers that ask at the same time", async () => {
      const batch = await at.batches.open();
      const others = [await at.batches.other(), await at.batches.other()];
      await at.batches.ledger.endSession(at.batches.session);
      const claimed = await Promise.all(others.map((session) => claim(session)));
      expect(claimed.flat()).toEqual([batch.no]);
    });

    test("does not come before its time, or when nothing is left to be done", async () => {
      const nowMs = at.batches.bench.nowMs();
      const [later, sooner, never] = [await at.batches.open(), await at.batches.open(), await at.batches.open()];
      await at.batches.save(later, { nextAtMs: nowMs + 2 * HOUR_MS });
      await at.batches.save(sooner, { nextAtMs: nowMs + HOUR_MS });
      await at.batches.save(never, { nextAtMs: null });
      expect(await claim(at.batches.session, HOUR_MS / 2)).toEqual([]);
      expect(await claim(at.batches.session, 3 * HOUR_MS)).toEqual([sooner.no, later.no]);
      expect(await claim(at.batches.session, 3 * HOUR_MS, 1)).toEqual([sooner.no]);
    });

    test("does not come to a session that has ended", async () => {
      await at.batches.open();
      await at.batches.ledger.endSession(at.batches.session);
      expect(await claim(at.batches.session)).toEqual([]);
    });
  });
}

/** A batch in the middle of its ingest, with something in every field that a later step reads. */
async function detailed(batches: BatchBench): Promise<Batch> {
  const nowMs = batches.bench.nowMs();
  const batch = await batches.bring(await batches.open(), "ended", {
    ...{ sealedAtMs: nowMs, submittedAtMs: nowMs, expectedAtMs: nowMs + HOUR_MS, endedAtMs: nowMs, nextAtMs: nowMs },
    ...{ uploads: 2, fileId: "file-1", creates: 2, createAtMs: nowMs, providerBatchId: "batch_1" },
    ...{ lines: 3, linesBytes: 2 ** 33, tokens: 120, tries: 4, trouble: "the provider was away" },
  });
  const saved = await batches.save(batch, {
    state: "ingesting",
    seen: { state: "completed", unknownWord: "fine", counts: { ...NO_COUNTS, total: 3 }, atMs: nowMs },
    parts: [{ part: "results", ref: "file-2" }],
    cursor: { part: 0, byteOffset: 2 ** 32 + 1, lineNumber: 17, checksum: 0xffffffff },
    passes: 1,
    cancelAskedAtMs: nowMs,
    refusal: null,
    outcomes: { succeeded: 2, line_expired: 1 },
  });
  if (saved === null) throw new Error("expected a saved batch");
  return saved;
}

function changingCases(at: { readonly batches: BatchBench }): void {
  describe("a change of a batch", () => {
    test("counts its version, and is what the next claim gives", async () => {
      const batch = await at.batches.open();
      const saved = await at.batches.save(batch, { state: "sealed", lines: 2, trouble: "none" });
      expect(saved).toEqual({ ...batch, state: "sealed", lines: 2, trouble: "none", version: 1 });
      const claimed = await at.batches.ledger.claimBatches(at.batches.session, at.batches.bench.nowMs(), 10);
      expect(claimed).toEqual([saved]);
    });

    test("is made by one of two that read the same version", async () => {
      const batch = await at.batches.open();
      const saved = await Promise.all([
        at.batches.save(batch, { state: "sealed", trouble: "first" }),
        at.batches.save(batch, { state: "sealed", trouble: "second" }),
      ]);
      expect(saved.filter((result) => result !== null)).toHaveLength(1);
      expect(await at.batches.save(batch, { state: "failed" })).toBeNull();
    });

    test("is not made by a session that has ended, or was declared dead", async () => {
      const batch = await at.batches.open();
      const zombie = at.batches.session;
      const living = await at.batches.other();
      await at.batches.ledger.endSession(zombie);
      expect(await at.batches.save(batch, { state: "sealed" }, {}, zombie)).toBeNull();
      await at.batches.ledger.claimBatches(living, at.batches.bench.nowMs(), 10);
      expect(await at.batches.save(batch, { state: "sealed" }, {}, zombie)).toBeNull();
      expect(await at.batches.save(batch, { state: "sealed" }, {}, living)).not.toBeNull();
    });

    test("is not made by a living session that does not hold it", async () => {
      const batch = await at.batches.open();
      expect(await at.batches.save(batch, { state: "sealed" }, {}, await at.batches.other())).toBeNull();
    });

    test("is refused where the states don't allow it", async () => {
      const batch = await at.batches.open();
      await expect(at.batches.save(batch, { state: "submitted" })).rejects.toThrow("refused transition");
      expect(await at.batches.save(batch, { state: "sealed" })).not.toBeNull();
    });

    test("stores nothing of what goes with it when somebody was first", async () => {
      const batch = await at.batches.open();
      await at.batches.save(batch, { trouble: "first" });
      const create = { kind: "intent", mark: "m", fileId: null } as const;
      const nowMs = at.batches.bench.nowMs();
      expect(await at.batches.save(batch, { state: "sealed", creates: 1, createAtMs: nowMs }, { create })).toBeNull();
      expect(await at.batches.ledger.creates("alpha", 0)).toEqual([]);
    });

    test("gives no batch of the provider to two of ours", async () => {
      const first = await at.batches.bring(await at.batches.open(), "creating");
      const second = await at.batches.bring(await at.batches.open(), "creating");
      await at.batches.save(first, { state: "submitted", providerBatchId: "batch_1" });
      await expect(at.batches.save(second, { state: "submitted", providerBatchId: "batch_1" })).rejects.toThrow();
      const elsewhere = await at.batches.bring(await at.batches.open({ account: "beta" }), "creating");
      expect(await at.batches.save(elsewhere, { state: "submitted", providerBatchId: "batch_1" })).not.toBeNull();
    });
  });
}

function rememberingCases(at: { readonly batches: BatchBench }): void {
  describe("create intents", () => {
    test("are there before the call, and say what they came to", async () => {
      const nowMs = at.batches.bench.nowMs();
      const opened = await at.batches.open();
      const sealed = await at.batches.bring(opened, "sealed", { lines: 3 });
      const first = { ...sealed, state: "creating", creates: 1, createAtMs: nowMs } as const;
      const mark = batchMark(first);
      const create = { kind: "intent", mark, fileId: "file-1" } as const;
      const creating = await at.batches.save(sealed, first, { create });
      const told = {
        ...{ batchNo: opened.no, number: 1, mark, fileId: "file-1", lines: 3, intentAtMs: nowMs },
        ...{ settled: null, providerBatchId: null },
      };
      expect(await at.batches.ledger.creates("alpha", nowMs)).toEqual([told]);
      if (creating === null) throw new Error("expected a saved batch");
      const absent = { kind: "settled", as: "absent" } as const;
      const again = await at.batches.save(creating, { state: "sealed" }, { create: absent });
      if (again === null) throw new Error("expected a saved batch");
      const secondIntent = { kind: "intent", mark: "second", fileId: null } as const;
      const second = await at.batches.save(
        again,
        { state: "creating", creates: 2, createAtMs: nowMs + 1000 },
        { create: secondIntent },
      );
      if (second === null) throw new Error("expected a saved batch");
      const created = { kind: "settled", as: "created" } as const;
      await at.batches.save(second, { state: "submitted", providerBatchId: "batch_1" }, { create: created });
      expect(await at.batches.ledger.creates("alpha", nowMs)).toEqual([
        {
          ...{ batchNo: opened.no, number: 2, mark: "second", fileId: null, lines: 3, intentAtMs: nowMs + 1000 },
          ...{ settled: "created", providerBatchId: "batch_1" },
        },
        { ...told, settled: "absent" },
      ]);
      expect(await at.batches.ledger.creates("alpha", nowMs + 1)).toHaveLength(1);
      expect(await at.batches.ledger.creates("beta", 0)).toEqual([]);
    });
  });

  describe("turnarounds", () => {
    test("are those of batches that ended by themselves, newest first", async () => {
      const nowMs = at.batches.bench.nowMs();
      const ended = async (hours: number, changes: Partial<Batch> = {}, account = "alpha") =>
        at.batches.bring(await at.batches.open({ account }), "ended", {
          ...{ submittedAtMs: nowMs, endedAtMs: nowMs + hours * HOUR_MS, lines: hours * 100, ...changes },
        });
      await ended(2);
      await ended(3, {}, "beta");
      await ended(1);
      await ended(5, { cancelAskedAtMs: nowMs });
      await at.batches.bring(await at.batches.open(), "failed");
      const told = (account: string, hours: number) => ({
        ...{ account, model: "sim-alpha", lines: hours * 100, ms: hours * HOUR_MS, endedAtMs: nowMs + hours * HOUR_MS },
      });
      expect(await at.batches.ledger.turnarounds(nowMs, 10)).toEqual([
        told("beta", 3),
        told("alpha", 2),
        told("alpha", 1),
      ]);
      expect(await at.batches.ledger.turnarounds(nowMs + 2 * HOUR_MS, 10)).toHaveLength(2);
      expect(await at.batches.ledger.turnarounds(nowMs, 1)).toEqual([told("beta", 3)]);
    });
  });

  test("a batch that is done leaves its account and comes up again for its files", async () => {
    const { batch, lines } = await at.batches.batchOf(A);
    const ended = await at.batches.bring(batch, "ended");
    await at.batches.bench.finish(lines.map((line) => at.batches.ended(ended, line, answerTo(promptOf(line)))));
    const ingesting = await at.batches.save(ended, { state: "ingesting" });
    if (ingesting === null) throw new Error("expected a saved batch");
    const nextAtMs = at.batches.bench.nowMs() + HOUR_MS;
    const done = await at.batches.save(ingesting, { state: "done", nextAtMs });
    const [claimed] = await at.batches.ledger.claimBatches(at.batches.session, nextAtMs, 10);
    expect(claimed).toEqual(done);
    const later = nextAtMs + 48 * HOUR_MS;
    expect(await at.batches.ledger.expireBatched(at.batches.session, later, 10, RENDER)).toEqual({
      ...{ ended: [], outbox: [], waste: 0 },
    });
  });
}
