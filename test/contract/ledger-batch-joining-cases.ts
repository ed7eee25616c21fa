import { describe, expect, test } from "@jest/globals";
import type { WaitingExecution } from "../../src/domain/execution/execution.js";
import type { ClaimVerdict } from "../../src/ports/ledger.js";
import { digestOf, RENDER } from "../support/simulation/fixture.js";
import { HOUR_MS, promptOf, type BatchBench } from "./batch-bench.js";
import { ANSWER_NANO_USD, answerTo, costsIn, resultsIn, stagesIn } from "./ledger-bench.js";

const A = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const B = { jobId: "b", tenant: "catalogue", prompt: "how" } as const;
/** Too soon for a batch. */
const SOON_MS = 10_000;

/** Cases about jobs that join what waits for a batch, or is in one, and about those whose time runs out there. */
export function batchJoiningCases(at: { readonly batches: BatchBench }): void {
  const accept = async (...jobs: Parameters<BatchBench["bench"]["accept"]>[0]) =>
    (await at.batches.bench.accept(jobs)).kinds;
  /** One that the planner gave to a batch. */
  const patient = (jobId: string, lookInMs = HOUR_MS, ttlMs = 24 * HOUR_MS) =>
    at.batches.job({ ...A, jobId, ttlMs }, { lookInMs });
  /** One that can't wait for a batch. */
  const hurried = (jobId: string, ttlMs = SOON_MS) => at.batches.bench.job({ ...A, jobId, ttlMs }, true);
  const nearest = async () => (await at.batches.ledger.pools())[0]?.nearestLookAtMs;
  const sweep = (aheadMs = 0) =>
    at.batches.ledger.sweepPools(at.batches.session, at.batches.bench.nowMs() + aheadMs, 10);
  /** What a claim is asked about. */
  const modes = async (aheadMs = 60_000): Promise<readonly string[]> => {
    const seen: string[] = [];
    const decide = (waiting: WaitingExecution): ClaimVerdict => {
      seen.push(waiting.mode);
      return { kind: "wait", runAtMs: at.batches.bench.nowMs() + HOUR_MS, waitsFor: "concurrency" };
    };
    await at.batches.bench.claim(decide, "run", aheadMs);
    return seen;
  };

  describe("a job that joins one that waits for a batch", () => {
    test("waits with it, until the time of whoever has less", async () => {
      await at.batches.pool({ ...A, lookInMs: HOUR_MS });
      const sooner = await patient("b", HOUR_MS / 2);
      expect(await accept(sooner, await patient("c", 2 * HOUR_MS))).toEqual(["joined", "joined"]);
      expect(await nearest()).toBe(sooner.pooled?.line.lookAtMs);
      expect(await at.batches.waiting()).toHaveLength(1);
    });

    test("waits with it, in one group too", async () => {
      const jobs = [await patient("a", HOUR_MS), await patient("b", HOUR_MS / 2), await patient("c", 2 * HOUR_MS)];
      expect(await accept(...jobs)).toEqual(["pooled", "joined", "joined"]);
      expect(await nearest()).toBe(jobs[1]?.pooled?.line.lookAtMs);
    });

    test("turns it to a call of its own when it can't wait, at once", async () => {
      await at.batches.pool(A);
      expect(await accept(await hurried("b"))).toEqual(["joined"]);
      expect(await sweep(1)).toBe(1);
      expect(await modes()).toEqual(["direct"]);
    });

    test("turns it to a call of its own when it can't wait, in one group too", async () => {
      expect(await accept(await patient("a"), await hurried("b"))).toEqual(["queued", "joined"]);
      expect(await at.batches.ledger.pools()).toEqual([]);
      expect(await modes()).toEqual(["direct"]);
    });

    test("brings its nearer deadline, and expires alone", async () => {
      await at.batches.pool(A);
      await accept(await patient("b", HOUR_MS, 2 * HOUR_MS));
      expect(await sweep(HOUR_MS - 60_000)).toBe(0);
      expect(await sweep(3 * HOUR_MS)).toBe(1);
      const runAtMs = at.batches.bench.nowMs() + 4 * HOUR_MS;
      const { outbox } = await at.batches.bench.claim(
        () => ({ kind: "wait", runAtMs, waitsFor: "concurrency" }),
        "expire",
        3 * HOUR_MS,
      );
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "b", status: "expired" }]);
    });

    test("leaves the mode alone when it may wait", async () => {
      await at.batches.pool(A);
      await accept(await patient("b"));
      await sweep(2 * HOUR_MS);
      expect(await modes(2 * HOUR_MS + 60_000)).toEqual(["auto"]);
    });

    test("gets into the batch when it joins at the very moment of the binding", async () => {
      for (let round = 0; round < 10; round += 1) {
        const wish = { ...A, jobId: `first-${String(round)}`, prompt: `why ${String(round)}` };
        await at.batches.pool(wish);
        const batch = await at.batches.open();
        const bindings = await at.batches.bindings(await at.batches.waiting());
        const joiner = await at.batches.job({ ...wish, jobId: `second-${String(round)}` });
        const [joined] = await Promise.all([
          accept(joiner),
          at.batches.ledger.bindLines(at.batches.session, batch.no, bindings, at.batches.bench.nowMs()),
        ]);
        expect(joined).toEqual(["joined"]);
        const lines = await at.batches.lines(batch);
        const { outbox } = await at.batches.bench.finish(
          lines.map((line) => at.batches.ended(batch, line, answerTo(promptOf(line)))),
        );
        expect(resultsIn(outbox)).toHaveLength(2);
      }
    });
  });

  describe("a job that comes while an equal one is in a batch", () => {
    /** A line of a batch that is expected to end in an hour. */
    const submitted = async () => {
      const { batch, lines } = await at.batches.batchOf(A);
      const expectedAtMs = at.batches.bench.nowMs() + HOUR_MS;
      return { batch: await at.batches.bring(batch, "submitted", { expectedAtMs }), lines };
    };

    test("waits for it when it has the time, and shares its cost", async () => {
      const { batch, lines } = await submitted();
      expect(await accept(await patient("b", HOUR_MS, 2 * HOUR_MS))).toEqual(["joined"]);
      const { outbox } = await at.batches.bench.finish(
        lines.map((line) => at.batches.ended(batch, line, answerTo("why"))),
      );
      expect(resultsIn(outbox)).toEqual([
        { jobId: "a", status: "succeeded", served: "call", digest: digestOf("why"), code: null },
        { jobId: "b", status: "succeeded", served: "coalesced", digest: digestOf("why"), code: null },
      ]);
      expect(costsIn(outbox)).toEqual([
        { kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() },
        { kind: "charge", billing: "shared", nanoUsd: "0" },
      ]);
    });

    test("gets a call of its own when the batch is expected to end too late for it", async () => {
      await submitted();
      expect(await accept(await patient("b", 1000, HOUR_MS / 2))).toEqual(["pooled"]);
      expect(await accept(await hurried("c", HOUR_MS / 2))).toEqual(["joined"]);
    });

    test("gets a call of its own when it must not wait for a batch, whatever time it has", async () => {
      await submitted();
      expect(await accept(await hurried("b", 24 * HOUR_MS))).toEqual(["started"]);
    });

    test("waits for it while the provider does not have it yet: none could end sooner", async () => {
      await at.batches.batchOf(A);
      expect(await accept(await patient("b"))).toEqual(["joined"]);
      expect(await accept(await hurried("c"))).toEqual(["started"]);
    });

    test("waits for it once the batch has ended, however late that was", async () => {
      const { batch } = await submitted();
      await at.batches.save(batch, { state: "ended", endedAtMs: at.batches.bench.nowMs() });
      expect(await accept(await patient("b", 1000, HOUR_MS / 2))).toEqual(["joined"]);
    });
  });

  describe("a job whose deadline passes while its line is out", () => {
    const expire = (aheadMs: number, limit = 10) =>
      at.batches.ledger.expireBatched(at.batches.session, at.batches.bench.nowMs() + aheadMs, limit, RENDER);
    const NOBODY = { ended: [], outbox: [], waste: 0 };

    test("expires, once; the line goes on and is booked as what it costs", async () => {
      const { batch, lines } = await at.batches.batchOf({ ...A, ttlMs: 2 * HOUR_MS }, B);
      expect(await expire(HOUR_MS)).toEqual(NOBODY);
      const { ended, outbox } = await expire(3 * HOUR_MS);
      expect(ended).toMatchObject([{ status: "expired", code: "DEADLINE_EXCEEDED" }]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "expired", code: "DEADLINE_EXCEEDED" }]);
      expect(stagesIn(outbox)).toEqual(["batch"]);
      expect(await expire(3 * HOUR_MS)).toEqual(NOBODY);
      const [line] = await at.batches.lines(batch);
      expect(line).toEqual({ ...lines[0], latestDeadlineMs: null });
      const finished = await at.batches.bench.finish(
        lines.slice(0, 1).map((own) => at.batches.ended(batch, own, answerTo("why"))),
      );
      expect([resultsIn(finished.outbox), costsIn(finished.outbox)]).toEqual([
        [],
        [{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }],
      ]);
    });

    test("expires in steps, and no later one is forgotten", async () => {
      const hours = [2, 2, 2, 4];
      await at.batches.batchOf(
        ...hours.map((ttl, index) => ({
          ...{ jobId: `j${String(index)}`, tenant: "catalogue", prompt: `p${String(index)}` },
          ttlMs: ttl * HOUR_MS,
        })),
      );
      const counts = [];
      // Serial: one step after another.
      for (const aheadMs of [3, 3, 3, 5, 5]) counts.push((await expire(aheadMs * HOUR_MS, 2)).ended.length);
      expect(counts).toEqual([2, 1, 0, 1, 0]);
    });

    test("expires alone when it joined; the other one gets the answer", async () => {
      const { batch, lines } = await at.batches.batchOf({ ...A, ttlMs: 24 * HOUR_MS });
      await accept(await patient("b", HOUR_MS, 2 * HOUR_MS));
      expect(resultsIn((await expire(3 * HOUR_MS)).outbox)).toMatchObject([{ jobId: "b", status: "expired" }]);
      const { outbox } = await at.batches.bench.finish(
        lines.map((line) => at.batches.ended(batch, line, answerTo("why"))),
      );
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded", served: "call" }]);
    });

    test("expires when it joined after all others had", async () => {
      await at.batches.batchOf({ ...A, ttlMs: 2 * HOUR_MS });
      await expire(3 * HOUR_MS);
      await accept(await patient("b", HOUR_MS, 4 * HOUR_MS));
      expect(await expire(3 * HOUR_MS)).toEqual(NOBODY);
      expect(resultsIn((await expire(5 * HOUR_MS)).outbox)).toMatchObject([{ jobId: "b", status: "expired" }]);
    });

    test("expires when it joined at the very moment when another one did expire", async () => {
      for (let round = 0; round < 10; round += 1) {
        const wish = { ...A, jobId: `first-${String(round)}`, prompt: `why ${String(round)}` };
        await at.batches.batchOf({ ...wish, ttlMs: 2 * HOUR_MS });
        const joiner = await at.batches.job({ ...wish, jobId: `second-${String(round)}`, ttlMs: 4 * HOUR_MS });
        const [joined, first] = await Promise.all([accept(joiner), expire(3 * HOUR_MS)]);
        expect([joined, resultsIn(first.outbox).map(({ jobId }) => jobId)]).toEqual([["joined"], [wish.jobId]]);
        const second = await expire(5 * HOUR_MS);
        expect(resultsIn(second.outbox).map(({ jobId }) => jobId)).toEqual([`second-${String(round)}`]);
      }
    });

    test("keeps nothing when it breaks off between two statements", async () => {
      await at.batches.batchOf({ ...A, ttlMs: 2 * HOUR_MS });
      const broken: typeof RENDER = {
        ...RENDER,
        end: () => {
          throw new Error("the process dies here");
        },
      };
      const nowMs = at.batches.bench.nowMs() + 3 * HOUR_MS;
      await expect(at.batches.ledger.expireBatched(at.batches.session, nowMs, 10, broken)).rejects.toThrow(
        "the process dies here",
      );
      expect(resultsIn((await expire(3 * HOUR_MS)).outbox)).toHaveLength(1);
    });
  });
}
