import { describe, expect, test } from "@jest/globals";
import { windowAt } from "../../src/domain/budget/budget-window.js";
import { SpentAccounts } from "../../src/pipeline/budget/spent-accounts.js";
import { accountBudget, commitmentOf } from "../support/budgets.js";
import { A, B, CALL, LINE, startOne, type At } from "./budget-bench.js";
import { ANSWER_NANO_USD, answerTo } from "./ledger-bench.js";

const MONTH = commitmentOf("alpha", CALL);
const DAY = accountBudget("alpha", 10n * CALL);

/** Cases about what is paid for an account whether it is used or not. */
export function commitmentCases(at: At): void {
  describe("what is paid for an account ahead", () => {
    test("is counted whoever calls, beside the day's limit of the same account, and refuses nothing when it is used up", async () => {
      await at.openWith([DAY, MONTH]);
      const held = await at.bench.start({ ...A, tenant: "shop" });
      await at.bench.start(B);
      expect(await at.standing(MONTH)).toEqual([0n, 2n * CALL]);
      expect(await at.standing(DAY)).toEqual([0n, 2n * CALL]);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await at.standing(MONTH)).toEqual([ANSWER_NANO_USD, CALL]);
      await at.bench.accept([await at.bench.job({ ...B, jobId: "queued", prompt: "late" }, false)]);
      expect((await startOne(at)).started).toHaveLength(1);
      expect(await at.standing(MONTH)).toEqual([ANSWER_NANO_USD, 2n * CALL]);
    });

    test("is not counted for another account, nor a call that was never sent", async () => {
      await at.openWith([MONTH]);
      const job = await at.bench.job(A, true);
      const intent = job.intent === null ? null : { ...job.intent, account: "beta" };
      expect((await at.bench.accept([{ ...job, intent }])).kinds).toEqual(["started"]);
      expect(await at.standing(MONTH)).toEqual([0n, 0n]);
      const held = await at.bench.start(B);
      const given = { execution: held.execution, attempt: held.intent };
      await at.bench.ledger.giveBack(at.bench.session, [given], at.bench.nowMs());
      expect(await at.standing(MONTH)).toEqual([0n, 0n]);
    });

    test("is counted for the lines of a batch, at their price", async () => {
      await at.openWith([MONTH]);
      const { batch, lines } = await at.batches.batchOf(A, B);
      expect(await at.standing(MONTH)).toEqual([0n, 2n * LINE]);
      await at.batches.bring(batch, "ended");
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      await at.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
      expect(await at.standing(MONTH)).toEqual([ANSWER_NANO_USD, LINE]);
    });

    test("is told to whoever chooses routes, with what is left of the month", async () => {
      await at.openWith([DAY, commitmentOf("alpha", 3n * CALL)]);
      await at.bench.finish([at.bench.ended(await at.bench.start(A), answerTo("why"))]);
      await at.bench.start(B);
      const known = new SpentAccounts();
      for (const standing of await at.opened.ledger.standings()) known.seen(standing, standing);
      const nowMs = at.bench.nowMs();
      expect(known.committedLeft("alpha", nowMs)).toBe(2n * CALL - ANSWER_NANO_USD);
      expect(known.committedLeft("beta", nowMs)).toBeNull();
      expect(known.committedLeft("alpha", windowAt("month", "UTC", nowMs).untilMs ?? 0)).toBeNull();
    });
  });
}
