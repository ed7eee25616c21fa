import { describe, expect, test } from "@jest/globals";
import type { Batch } from "../../src/domain/batch/batch.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { BatchLine, LineStart } from "../../src/ports/batch-ledger.js";
import type { ProviderAnswer, ProviderFailure } from "../../src/ports/provider.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import { HOUR_MS, POOL, promptOf, type BatchBench } from "./batch-bench.js";
import { ANSWER_NANO_USD, answerTo, costsIn, failureOf, recordsOf, resultsIn } from "./ledger-bench.js";
import { DECIDED_AGAIN } from "../support/batch-rows.js";

const A = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const B = { jobId: "b", tenant: "catalogue", prompt: "how" } as const;

/** Cases about lines of a group: they become calls, each with an intent of its own. `at.batches` is new for each case. */
export function groupCases(at: { readonly batches: BatchBench }): void {
  const openGroup = async (...wishes: readonly JobWish[]): Promise<{ group: Batch; lines: readonly BatchLine[] }> => {
    await at.batches.pool(...wishes);
    const group = await at.batches.open({ way: "calls" });
    const lines = await at.batches.bind(group);
    const sealed = await at.batches.save(group, { state: "sealed", lines: lines.length });
    if (sealed === null) throw new Error("expected a sealed group");
    const open = await at.batches.save(sealed, {
      state: "submitted",
      expectedAtMs: at.batches.bench.nowMs() + HOUR_MS,
    });
    if (open === null) throw new Error("expected an open group");
    return { group: open, lines };
  };
  const startOf = async (line: BatchLine): Promise<LineStart> => ({
    execution: line.execution,
    lineNo: line.attempt.no,
    intent: { ...line.attempt, no: await at.batches.bench.number(), startedAtMs: at.batches.bench.nowMs() + 5 },
  });
  const begin = (group: Batch, starts: readonly LineStart[], session: SessionNo = at.batches.session) =>
    at.batches.ledger.startLines(session, group.no, starts);
  const called = (
    group: Batch,
    line: BatchLine,
    { intent }: LineStart,
    outcome: ProviderAnswer | ProviderFailure = answerTo(promptOf(line)),
  ) => at.batches.ended(group, { ...line, attempt: intent }, outcome);
  const first = <Item>([item]: readonly Item[]): Item => {
    if (item === undefined) throw new Error("expected one");
    return item;
  };
  const counts = (group: Batch) => at.batches.ledger.lineCounts(group.no);

  describe("a line of a group", () => {
    test("becomes a call of the session that starts it, under a new number and with what it was bound with", async () => {
      const { group, lines } = await openGroup(A, B);
      const line = first(lines);
      const start = await startOf(line);
      expect(await counts(group)).toEqual({ open: 2, outcomes: {} });
      expect(await begin(group, [start])).toEqual(new Set([start.intent.no]));
      expect(await at.batches.lines(group)).toEqual(lines.slice(1));
      const key = { no: start.intent.no, day: line.execution.day };
      expect(await at.batches.ledger.linesByAttempt(group.no, [{ ...key, no: line.attempt.no }, key])).toMatchObject([
        { attempt: { ...line.attempt, no: start.intent.no, startedAtMs: start.intent.startedAtMs }, state: "ended" },
      ]);
      const open = await at.batches.ledger.openAttempts([{ execution: line.execution, attempt: start.intent }]);
      expect(open).toEqual(new Set([start.intent.no]));
      expect(await counts(group)).toEqual({ open: 2, outcomes: {} });
      const { outbox } = await at.batches.bench.finish([called(group, line, start)]);
      expect(resultsIn(outbox)).toMatchObject([{ status: "succeeded", served: "call" }]);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }]);
      expect(await counts(group)).toEqual({ open: 1, outcomes: { succeeded: 1 } });
    });

    test("is started once, however often and by however many it is asked for", async () => {
      const { group, lines } = await openGroup(A);
      const starts = [await startOf(first(lines)), await startOf(first(lines))];
      const begun = await Promise.all(starts.map((start) => begin(group, [start])));
      expect(begun.map(({ size }) => size).sort()).toEqual([0, 1]);
      expect(await begin(group, [await startOf(first(lines))])).toEqual(new Set());
      expect(await counts(group)).toEqual({ open: 1, outcomes: {} });
    });

    test("is not started by a session that does not hold its group, or has ended", async () => {
      const { group, lines } = await openGroup(A);
      const other = await at.batches.other();
      expect(await begin(group, [await startOf(first(lines))], other)).toEqual(new Set());
      await at.batches.ledger.endSession(at.batches.session);
      expect(await begin(group, [await startOf(first(lines))])).toEqual(new Set());
      expect(await at.batches.lines(group)).toEqual(lines);
    });

    test("is not started before its group is open, nor when that was told to stop", async () => {
      const { batch, lines } = await at.batches.batchOf(A);
      expect(await begin(batch, [await startOf(first(lines))])).toEqual(new Set());
      const { group, lines: others } = await openGroup(B);
      await at.batches.save(group, { state: "cancelling" });
      expect(await begin(group, [await startOf(first(others))])).toEqual(new Set());
    });

    test("that was answered otherwise is not started, and goes back without another row", async () => {
      const { bench, ledger, session } = at.batches;
      const held = await bench.start({ ...A, ttlMs: 24 * HOUR_MS });
      await bench.finish([bench.ended(held, failureOf("connection_failed", "perhaps", null))]);
      await bench.claim((waiting) => {
        const pooled = { pool: POOL, line: at.batches.line(bench.nowMs() + HOUR_MS) };
        return { kind: "pool", pooled, decision: { ...DECIDED_AGAIN, because: waiting.state } };
      });
      const { group, lines } = await openGroup();
      await bench.finish([bench.ended(held, answerTo("why"))]);
      const line = first(lines);
      expect(await begin(group, [await startOf(line)])).toEqual(new Set());
      const key = { no: line.attempt.no, day: line.execution.day };
      expect(await ledger.returnLines(session, group.no, [key], 1, bench.nowMs())).toBe(1);
      expect(await counts(group)).toEqual({ open: 0, outcomes: { not_sent: 1 } });
      expect((await bench.claim(neverAsked)).taken).toBe(0);
    });

    test("that failed is decided anew, with its try in the history", async () => {
      const { group, lines } = await openGroup(A);
      const start = await startOf(first(lines));
      await begin(group, [start]);
      const failed = called(group, first(lines), start, failureOf("overloaded", "answered", 500));
      await at.batches.bench.finish([failed]);
      const seen: unknown[] = [];
      await at.batches.bench.claim((waiting) => {
        seen.push(...waiting.history);
        return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "backoff" };
      });
      expect(seen).toMatchObject([{ number: 1, no: start.intent.no, mode: "batch", batch: { no: group.no } }]);
      expect(await counts(group)).toEqual({ open: 0, outcomes: { overloaded: 1 } });
    });

    test("whose bytes never left is given back like any call", async () => {
      const { bench, ledger, session } = at.batches;
      const { group, lines } = await openGroup(A);
      const start = await startOf(first(lines));
      await begin(group, [start]);
      await ledger.giveBack(session, [{ execution: start.execution, attempt: start.intent }], bench.nowMs());
      expect(await counts(group)).toEqual({ open: 0, outcomes: { not_sent: 1 } });
      const seen: string[] = [];
      await bench.claim((waiting) => {
        seen.push(promptOf(waiting), String(waiting.history.length));
        return { kind: "wait", runAtMs: bench.nowMs() + HOUR_MS, waitsFor: "concurrency" };
      });
      expect(seen).toEqual(["why", "0"]);
    });

    test("is in doubt when the session that called it is gone, though another one bound it long before", async () => {
      const { bench, ledger } = at.batches;
      const { group, lines } = await openGroup(A, B);
      const second = await at.batches.other();
      await ledger.endSession(at.batches.session);
      const living = await at.batches.other();
      // What the second session says of its attempts: none of its own is below.
      expect(await ledger.beat(second, await bench.number())).toBe(true);
      expect((await ledger.claimBatches(second, bench.nowMs(), 10)).map(({ no }) => no)).toEqual([group.no]);
      const start = await startOf(first(lines));
      expect((await begin(group, [start], second)).size).toBe(1);
      await ledger.endSession(second);
      expect(await ledger.recoverDeadSessions(living, 60_000, () => 0, RENDER)).toBe(1);
      expect(await counts(group)).toEqual({ open: 2, outcomes: {} });
      expect(await at.batches.lines(group)).toEqual(lines.slice(1));
      bench.session = living;
      const intent = await bench.intent(2);
      const doubtful: unknown[] = [];
      const { outbox, started } = await bench.claim((waiting) => {
        doubtful.push(waiting.doubtful);
        return { kind: "start", intent };
      });
      expect(doubtful).toEqual([{ ...start.intent, batchNo: group.no }]);
      expect(started).toHaveLength(1);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
      const cost = recordsOf(outbox, "cost")[0]?.value?.toString("utf8") ?? "";
      expect(JSON.parse(cost)).toMatchObject({ mode: "batch", batchId: `b-${String(group.no)}` });
      expect(await counts(group)).toEqual({ open: 1, outcomes: { in_doubt: 1 } });
    });

    test("once it is called serves a job that can't wait for the group, as any call does", async () => {
      const { bench } = at.batches;
      const { group, lines } = await openGroup(A);
      const soon = { ...A, ttlMs: 60_000 };
      await begin(group, [await startOf(first(lines))]);
      expect((await bench.accept([await bench.job({ ...soon, jobId: "soon" }, false)])).kinds).toEqual(["joined"]);
    });
  });
}

const neverAsked = (): never => {
  throw new Error("expected no row");
};
