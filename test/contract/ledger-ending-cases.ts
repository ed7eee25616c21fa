import { describe, expect, test } from "@jest/globals";
import { RENDER } from "../support/simulation/fixture.js";
import type { EndedJob, FinishedCall } from "../../src/ports/ledger.js";
import { ANSWER_NANO_USD, answerTo, costsIn, failureOf, type LedgerBench } from "./ledger-bench.js";

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
const statusOf = (ended: readonly EndedJob[]): readonly string[] =>
  ended.map(({ status, code }) => [status, ...(code === null ? [] : [code])].join(" "));

/** Cases of the ledger's suite about what it tells of jobs that a transaction ended, and of the money that it booked. */
export function endingCases(at: { readonly bench: LedgerBench }): void {
  describe("a group of records tells of the jobs that ended with it", () => {
    test("served from a stored answer, out of time, cancelled within the group", async () => {
      await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
      const jobs = [
        await at.bench.job({ ...WISH, jobId: "b" }, true),
        await at.bench.job({ ...WISH, jobId: "c", prompt: "late", ttlMs: 0 }, true),
        await at.bench.job({ ...WISH, jobId: "d", prompt: "unwanted" }, true),
        await at.bench.job({ ...WISH, jobId: "e", prompt: "wanted" }, true),
      ];
      const { kinds, ended, acceptedAtMs } = await at.bench.accept(jobs, {
        cancels: [{ tenant: "catalogue", jobId: "d", behind: 3 }],
      });
      expect(kinds.slice(0, 3)).toEqual(["cached", "expired", "cancelled"]);
      expect(statusOf(ended)).toEqual(["succeeded", "expired DEADLINE_EXCEEDED", "cancelled CANCELLED"]);
      expect(new Set(ended.flatMap((job) => [job.acceptedAtMs, job.endedAtMs]))).toEqual(new Set([acceptedAtMs]));
    });

    test("those of earlier groups that its cancels ended, since they were accepted", async () => {
      const first = await at.bench.accept([await at.bench.job(WISH, true)]);
      expect(first.ended).toEqual([]);
      const cancels = [{ tenant: "catalogue", jobId: "a", behind: 0 }];
      const { ended, acceptedAtMs } = await at.bench.accept([], { cancels });
      expect(ended).toEqual([
        { status: "cancelled", code: "CANCELLED", acceptedAtMs: first.acceptedAtMs, endedAtMs: acceptedAtMs },
      ]);
      expect((await at.bench.accept([], { cancels })).ended).toEqual([]);
    });
  });

  describe("what calls came to tells of the money that is booked", () => {
    test("once a call, whoever else it serves, and once when it is told again", async () => {
      const held = [await at.bench.start(WISH), await at.bench.start({ ...WISH, jobId: "b", prompt: "how" })];
      expect((await at.bench.accept([await at.bench.job({ ...WISH, jobId: "c" }, true)])).kinds).toEqual(["joined"]);
      const calls = held.map((one) => at.bench.ended(one, answerTo(one.wish.prompt)));
      const { ended, booked } = await at.bench.finish(calls);
      expect(statusOf(ended)).toEqual(["succeeded", "succeeded", "succeeded"]);
      expect(booked).toEqual(new Map([["catalogue", 2n * ANSWER_NANO_USD]]));
      expect(await at.bench.finish(calls)).not.toHaveProperty("booked");
    });

    test("a call that serves nobody is booked all the same, one that was not billed is not", async () => {
      const late = await at.bench.start({ ...WISH, ttlMs: 10_000 });
      const key = late.execution;
      await at.bench.ledger.expire(at.bench.session, [key], at.bench.nowMs() + 11_000, RENDER);
      const served = await at.bench.finish([at.bench.ended(late, answerTo("why"))]);
      expect([served.ended, served.booked]).toEqual([[], new Map([["catalogue", ANSWER_NANO_USD]])]);
      const failed = await at.bench.start({ ...WISH, jobId: "b", prompt: "how" });
      const refused = await at.bench.finish([at.bench.ended(failed, failureOf("refused", "answered", 400))]);
      expect(statusOf(refused.ended)).toEqual(["failed PROVIDER_REFUSED"]);
      expect(refused).not.toHaveProperty("booked");
    });

    test("a call in doubt is booked when its answer turns up, as the correction that it is", async () => {
      const held = await at.bench.start(WISH);
      const doubt: FinishedCall = {
        ...at.bench.ended(held, failureOf("connection_failed", "perhaps", null)),
        verdict: { kind: "doubt", settleAtMs: at.bench.nowMs() },
      };
      expect(await at.bench.finish([doubt])).not.toHaveProperty("booked");
      const failure = { code: "IN_DOUBT", message: "", provider: null, retryAtMs: null } as const;
      const claimed = await at.bench.claim(() => ({ kind: "fail", failure }));
      expect(statusOf(claimed.ended)).toEqual(["failed IN_DOUBT"]);
      expect(costsIn(claimed.outbox)).toMatchObject([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
      const { booked, outbox } = await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(costsIn(outbox)).toMatchObject([{ kind: "adjustment", nanoUsd: ANSWER_NANO_USD.toString() }]);
      expect(booked).toEqual(new Map([["catalogue", ANSWER_NANO_USD]]));
    });
  });
}
