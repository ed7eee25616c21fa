import { describe, expect, test } from "@jest/globals";
import type { LedgerKey } from "../../src/domain/ids.js";
import { accountBudget, commitmentOf, tenantBudget } from "../support/budgets.js";
import { RENDER } from "../support/simulation/fixture.js";
import { A, again, B, CALL, LINE, startOne, TENANT, wishNo, type At } from "./budget-bench.js";
import { ANSWER_NANO_USD, answerTo, resultsIn, type Held } from "./ledger-bench.js";

const SUSPECT = { usageSuspect: true } as const;
const RISK = tenantBudget(TENANT, 100n * CALL, { department: "risk" });
const SALES = tenantBudget(TENANT, 100n * CALL, { department: "sales" });
const MONTH = tenantBudget(TENANT, 100n * CALL, { window: "month", timeZone: "Asia/Tokyo" });
const DAY = accountBudget("alpha", 100n * CALL);
const COMMITTED = commitmentOf("alpha", 100n * CALL);

/** Cases about costs that were counted, and that a bill corrects. */
export function correctionCases(at: At): void {
  suspectCases(at);
  doubtCases(at);
  overrunCases(at);
}

const keyOf = ({ intent, execution }: Held): LedgerKey => ({ no: intent.no, day: execution.day });

async function suspectAnswer(at: At, wish: Parameters<At["bench"]["start"]>[0]): Promise<Held> {
  const held = await at.bench.start(wish);
  await at.bench.finish([at.bench.ended(held, { ...answerTo(wish.prompt), ...SUSPECT })]);
  return held;
}

function suspectCases(at: At): void {
  describe("the money of a call of suspect usage", () => {
    test("is what the bill says, once, in every budget that counted its maximum", async () => {
      const budgets = [RISK, MONTH, DAY, COMMITTED];
      await at.openWith([...budgets, SALES]);
      const held = await suspectAnswer(at, { ...A, labels: { department: "risk" } });
      await at.bench.start({ ...B, labels: { department: "risk" } });
      for (const budget of budgets) expect([budget, await at.standing(budget)]).toEqual([budget, [CALL, CALL]]);
      expect(await at.opened.resolve(keyOf(held), 70n, "by bill")).toBe(true);
      for (const budget of budgets) expect([budget, await at.standing(budget)]).toEqual([budget, [70n, CALL]]);
      expect(await at.standing(SALES)).toEqual([0n, 0n]);
      for (const billed of [70n, 71n]) expect(await at.opened.resolve(keyOf(held), billed, "by bill")).toBe(false);
      for (const budget of budgets) expect([budget, await at.standing(budget)]).toEqual([budget, [70n, CALL]]);
    });

    test("is counted with the others', which stay", async () => {
      await at.open(10n * CALL);
      await at.bench.finish([at.bench.ended(await at.bench.start(A), answerTo("why"))]);
      const [one, two] = [await suspectAnswer(at, B), await suspectAnswer(at, wishNo(3))];
      expect(await at.standing()).toEqual([ANSWER_NANO_USD + 2n * CALL, 0n]);
      await Promise.all([
        at.opened.resolve(keyOf(one), 5n, "by bill"),
        at.opened.resolve(keyOf(one), 5n, "by bill"),
        at.opened.resolve(keyOf(two), 0n, "by bill"),
      ]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD + 5n, 0n]);
    });

    test("is corrected for a line as for a call", async () => {
      await at.openWith([MONTH, DAY]);
      const { batch, lines } = await at.batches.batchOf(A, B);
      await at.batches.bring(batch, "ended");
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      await at.bench.finish([at.batches.ended(batch, line, { ...answerTo("why"), ...SUSPECT })]);
      expect(await at.standing(DAY)).toEqual([LINE, LINE]);
      const key = { no: line.attempt.no, day: line.execution.day };
      expect(await at.opened.resolve(key, 9n, "by bill")).toBe(true);
      expect(await at.standing(DAY)).toEqual([9n, LINE]);
      expect(await at.standing(MONTH)).toEqual([9n, LINE]);
    });

    test("is no operator's to say, and a known cost no bill's", async () => {
      await at.open(10n * CALL);
      const suspect = await suspectAnswer(at, A);
      const known = await at.bench.start(B);
      await at.bench.finish([at.bench.ended(known, answerTo("how"))]);
      expect(await at.opened.resolve(keyOf(suspect), 7n)).toBe(false);
      expect(await at.opened.resolve(keyOf(known), 7n, "by bill")).toBe(false);
      expect(await at.standing()).toEqual([CALL + ANSWER_NANO_USD, 0n]);
    });

    test("lets one that waits for money go on, as far as it was too much", async () => {
      await at.open(2n * CALL);
      const suspect = await suspectAnswer(at, A);
      await at.bench.start(wishNo(1));
      await at.bench.accept([await at.bench.job(B, false)]);
      expect((await startOne(at)).started).toEqual([]);
      expect((await startOne(at)).taken).toBe(0);
      await at.opened.resolve(keyOf(suspect), 0n, "by bill");
      expect((await startOne(at)).started).toMatchObject([{ execution: { waitedFor: "budget" } }]);
      expect(await at.standing()).toEqual([0n, 2n * CALL]);
    });

    test("is no budget's that did not count it", async () => {
      await at.openWith([tenantBudget("shop", CALL)]);
      const held = await suspectAnswer(at, A);
      expect(await at.opened.resolve(keyOf(held), 70n, "by bill")).toBe(true);
      expect(await at.standing(tenantBudget("shop", CALL))).toEqual([0n, 0n]);
      expect(await at.standing()).toEqual([0n, 0n]);
    });
  });
}

/** A call whose router died, and whose doubt was settled by policy: its job goes on with a call of its own. */
async function settledDoubt(at: At): Promise<Held> {
  const held = await at.bench.start(A);
  const next = await at.bench.ledger.openSession("next");
  await at.bench.ledger.recoverDeadSessions(next, -1000, () => 0, RENDER);
  at.bench.session = await at.bench.ledger.openSession("bench");
  const { started } = await startOne(at, 0, 2);
  await at.bench.finish([at.bench.ended(again(started[0], A), answerTo("why"))]);
  return held;
}

function doubtCases(at: At): void {
  describe("the money of a call whose doubt was resolved", () => {
    test("is what each later bill says, once", async () => {
      await at.openWith([MONTH, DAY]);
      const held = await settledDoubt(at);
      const standings = async () => [await at.standing(MONTH), await at.standing(DAY)];
      const both = (settled: bigint, reserved = 0n) => [
        [settled, reserved],
        [settled, reserved],
      ];
      expect(await standings()).toEqual(both(ANSWER_NANO_USD, CALL));
      expect(await at.opened.resolve(keyOf(held), 0n)).toBe(true);
      expect(await standings()).toEqual(both(ANSWER_NANO_USD));
      for (const billed of [90n, 60n, 0n, 75n]) {
        expect(await at.opened.resolve(keyOf(held), billed, "by bill")).toBe(true);
        expect(await standings()).toEqual(both(ANSWER_NANO_USD + billed));
        expect(await at.opened.resolve(keyOf(held), billed, "by bill")).toBe(false);
        expect(await at.opened.resolve(keyOf(held), 1n)).toBe(false);
        expect(await standings()).toEqual(both(ANSWER_NANO_USD + billed));
      }
    });

    test("is not counted a second time when its answer comes after all", async () => {
      await at.openWith([MONTH]);
      const held = await settledDoubt(at);
      await at.opened.resolve(keyOf(held), 90n, "by bill");
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await at.standing(MONTH)).toEqual([ANSWER_NANO_USD + 90n, 0n]);
    });

    test("is what its late answer cost, which a bill does not change", async () => {
      await at.openWith([MONTH]);
      const held = await settledDoubt(at);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await at.opened.resolve(keyOf(held), 90n, "by bill")).toBe(false);
      expect(await at.standing(MONTH)).toEqual([2n * ANSWER_NANO_USD, 0n]);
    });
  });
}

function overrunCases(at: At): void {
  describe("[I1] a bill that takes what is spent beyond a hard limit", () => {
    test("ends nothing that runs, and new jobs fail until the limit is raised", async () => {
      const limitNanoUsd = 2n * CALL + ANSWER_NANO_USD;
      await at.open(limitNanoUsd);
      const doubtful = await settledDoubt(at);
      await at.opened.resolve(keyOf(doubtful), 0n);
      const [running, other] = [await at.bench.start(B), await at.bench.start(wishNo(1))];
      await at.bench.accept([await at.bench.job(wishNo(2), false)]);
      expect((await startOne(at)).started).toEqual([]);
      // Nearly the whole limit: with what is reserved it is beyond it.
      expect(await at.opened.resolve(keyOf(doubtful), 2n * CALL, "by bill")).toBe(true);
      const [settled, reserved] = await at.standing();
      expect([settled, reserved]).toEqual([ANSWER_NANO_USD + 2n * CALL, 2n * CALL]);
      expect(settled + reserved > limitNanoUsd).toBe(true);
      // Both calls end as any; what they cost is settled on top.
      const { outbox } = await at.bench.finish([
        at.bench.ended(running, answerTo("how")),
        at.bench.ended(other, answerTo("p1")),
      ]);
      expect(resultsIn(outbox)).toMatchObject([{ status: "succeeded" }, { status: "succeeded" }]);
      expect(await at.standing()).toEqual([3n * ANSWER_NANO_USD + 2n * CALL, 0n]);
      // The one that waited hears it when it is looked at again, a new one at once.
      await at.bench.accept([await at.bench.job(wishNo(3), true)]);
      const failed = [await startOne(at), await startOne(at)].flatMap((claimed) => resultsIn(claimed.outbox));
      expect(failed.map(({ jobId, code }) => [jobId, code]).sort()).toEqual([
        ["j2", "BUDGET_EXCEEDED"],
        ["j3", "BUDGET_EXCEEDED"],
      ]);
      expect(await at.standing()).toEqual([3n * ANSWER_NANO_USD + 2n * CALL, 0n]);
    });
  });
}
