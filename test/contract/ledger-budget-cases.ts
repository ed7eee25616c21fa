import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { BUDGET_LOOK_AGAIN_MS, budgetKey } from "../../src/domain/budget/budget.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { ClaimVerdict } from "../../src/ports/ledger.js";
import { tenantBudget } from "../support/budgets.js";
import { RENDER } from "../support/simulation/fixture.js";
import { commitmentCases } from "./ledger-commitment-cases.js";
import { correctionCases } from "./ledger-correction-cases.js";
import { levelCases } from "./ledger-budget-level-cases.js";
import { BatchBench, POOL, TO_BATCH, UNLIMITED } from "./batch-bench.js";
import {
  A,
  again,
  B,
  CALL,
  costing,
  ELSEWHERE,
  errorIn,
  fail,
  LINE,
  startOne,
  TENANT,
  wishNo,
  type At,
  type BudgetedLedger,
  type OpenBudgeted,
} from "./budget-bench.js";
import { ANSWER_NANO_USD, answerTo, codesIn, failureOf, LedgerBench, resultsIn } from "./ledger-bench.js";

/** One suite of cases about money for every ledger. */
export function budgetLedgerSuite(name: string, open: OpenBudgeted): void {
  describe(name, () => {
    let opened: BudgetedLedger | null = null;
    let bench: LedgerBench | null = null;
    const at: At = {
      get opened(): BudgetedLedger {
        if (opened === null) throw new Error("open a ledger first");
        return opened;
      },
      get bench(): LedgerBench {
        if (bench === null) throw new Error("open a ledger first");
        return bench;
      },
      get batches(): BatchBench {
        return new BatchBench(at.bench, at.opened.ledger);
      },
      open: async (limitNanoUsd) => {
        await at.openWith([tenantBudget(TENANT, limitNanoUsd)]);
      },
      openWith: async (budgets, waitersMax) => {
        opened = await open(budgets, waitersMax);
        bench = await LedgerBench.start(opened);
      },
      standing: async (budget = tenantBudget(TENANT, 0n)) => {
        const { settledNanoUsd, reservedNanoUsd } = await at.opened.standing(budgetKey(budget));
        return [settledNanoUsd, reservedNanoUsd];
      },
    };
    beforeEach(() => {
      opened = bench = null;
    });
    afterEach(async () => {
      await opened?.close();
    });

    beginningCases(at);
    endingCases(at);
    waitingCases(at);
    doubtCases(at);
    lineCases(at);
    raceCases(at);
    levelCases(at);
    commitmentCases(at);
    correctionCases(at);
  });
}

function beginningCases(at: At): void {
  describe("the money for a call", () => {
    test("is held at its maximum from the intent on, and a job without money waits", async () => {
      await at.open(CALL);
      const jobs = [await at.bench.job(A, true), await at.bench.job(B, true)];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["started", "queued"]);
      expect(await at.standing()).toEqual([0n, CALL]);
      expect(await at.opened.reservations()).toEqual([jobs[0]?.intent?.no]);
    });

    test("is not held for tenants without a budget", async () => {
      await at.open(0n);
      await at.bench.start(ELSEWHERE);
      expect(await at.opened.reservations()).toEqual([]);
    });

    test("is held once for all jobs of an execution: who joins needs none", async () => {
      await at.open(CALL);
      const jobs = [await at.bench.job(A, true), await at.bench.job({ ...A, jobId: "again" }, true)];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["started", "joined"]);
      expect((await at.bench.accept([await at.bench.job({ ...A, jobId: "later" }, true)])).kinds).toEqual(["joined"]);
      expect(await at.standing()).toEqual([0n, CALL]);
    });

    test("is not held by a group that breaks off", async () => {
      await at.open(CALL);
      const broken = { ...RENDER, end: () => fail() };
      const expired = { ...B, ttlMs: 0 };
      const group = await at.bench.group([await at.bench.job(A, true), await at.bench.job(expired, true)]);
      await expect(at.bench.ledger.accept(group, broken)).rejects.toThrow("the process dies here");
      expect(await at.opened.reservations()).toEqual([]);
      at.bench.next = 0;
      await at.bench.start({ ...A, jobId: "other" });
    });

    test("waits for a claim in a group that cancels jobs", async () => {
      await at.open(CALL);
      const jobs = [await at.bench.job(A, true)];
      const cancels = [{ tenant: TENANT, jobId: "unknown", behind: 1 }];
      expect((await at.bench.accept(jobs, { cancels })).kinds).toEqual(["queued"]);
      expect((await startOne(at)).started).toHaveLength(1);
      expect(await at.standing()).toEqual([0n, CALL]);
    });
  });
}

function endingCases(at: At): void {
  describe("the money of a call that ended", () => {
    test("is what it cost, and the rest is free again", async () => {
      await at.open(CALL + ANSWER_NANO_USD);
      await at.bench.finish([at.bench.ended(await at.bench.start(A), answerTo("why"))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, 0n]);
      await at.bench.start(B);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, CALL]);
    });

    test("counts once when its end is told twice", async () => {
      await at.open(2n * CALL);
      const call = at.bench.ended(await at.bench.start(A), answerTo("why"));
      await at.bench.start(B);
      await at.bench.finish([call]);
      await at.bench.finish([call]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, CALL]);
    });

    test("is its maximum when nobody knows what it cost", async () => {
      await at.open(CALL);
      const suspect = { ...answerTo("why"), usageSuspect: true };
      await at.bench.finish([at.bench.ended(await at.bench.start(A), suspect)]);
      expect(await at.standing()).toEqual([CALL, 0n]);
    });

    test("is nothing when the provider refused it, whether it is tried again or not", async () => {
      await at.open(2n * CALL);
      const [one, two] = [await at.bench.start(A), await at.bench.start(B)];
      await at.bench.finish([
        at.bench.ended(one, failureOf("overloaded", "answered", 500)),
        at.bench.ended(two, failureOf("refused", "answered", 400)),
      ]);
      expect(await at.standing()).toEqual([0n, 0n]);
    });

    test("is nothing when it was never sent", async () => {
      await at.open(CALL);
      const held = await at.bench.start(A);
      await at.bench.ledger.giveBack(
        at.bench.session,
        [{ execution: held.execution, attempt: held.intent }],
        at.bench.nowMs(),
      );
      expect(await at.standing()).toEqual([0n, 0n]);
      expect((await startOne(at)).started).toHaveLength(1);
    });

    test("[A3] is nothing when its router died before it sent it, and its money when that is not known", async () => {
      await at.open(2n * CALL);
      await at.bench.start(A);
      const sent = await at.bench.start(B);
      const stamp = await at.bench.ledger.sessionStamp(at.bench.session);
      const over = { session: at.bench.session, stamp, mayHaveSent: new Set([sent.intent.no]) };
      await at.bench.ledger.takeBackUnsent(over, at.bench.nowMs());
      expect(await at.opened.reservations()).toEqual([sent.intent.no]);
      expect(await at.standing()).toEqual([0n, CALL]);
    });

    test("stays held when the job is cancelled: the call is out", async () => {
      await at.open(CALL);
      const held = await at.bench.start(A);
      await at.bench.accept([], { cancels: [{ tenant: TENANT, jobId: "a", behind: 0 }], moves: [] });
      expect(await at.standing()).toEqual([0n, CALL]);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, 0n]);
    });
  });
}

function waitingCases(at: At): void {
  describe("a job that there is no money for", () => {
    test("waits while only what is held is in the way, and is due at once when that is free", async () => {
      await at.open(CALL + ANSWER_NANO_USD);
      const held = await at.bench.start(A);
      await at.bench.accept([await at.bench.job(B, false)]);
      expect((await startOne(at)).started).toEqual([]);
      expect((await startOne(at, BUDGET_LOOK_AGAIN_MS - 1000)).taken).toBe(0);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect((await startOne(at)).started).toMatchObject([{ execution: { waitedFor: "budget" } }]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, CALL]);
    });

    test("is looked at again after a while, whatever nobody told it", async () => {
      await at.open(CALL);
      await at.bench.start(A);
      await at.bench.accept([await at.bench.job(B, false)]);
      await startOne(at);
      expect((await startOne(at, BUDGET_LOOK_AGAIN_MS + 1000)).taken).toBe(1);
      expect((await startOne(at, BUDGET_LOOK_AGAIN_MS - 1000)).taken).toBe(0);
    });

    test("[I1] fails once what is spent leaves too little, and can be replayed", async () => {
      await at.open(CALL);
      await at.bench.finish([at.bench.ended(await at.bench.start(A), answerTo("why"))]);
      await at.bench.accept([await at.bench.job(B, true)]);
      const { started, outbox } = await startOne(at);
      expect(started).toEqual([]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "b", status: "failed", code: "BUDGET_EXCEEDED" }]);
      expect(codesIn(outbox)).toEqual(["BUDGET_EXCEEDED"]);
      expect(errorIn(outbox)).toMatchObject({ class: "budget", replayable: true });
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, 0n]);
    });

    test("[I1] and with it all that wait, soon: each that hears it tells some others", async () => {
      await at.open(CALL);
      const held = await at.bench.start(A);
      const jobs = [];
      // Serial: each takes the next offset.
      for (let no = 0; no < 7; no += 1) jobs.push(await at.bench.job(wishNo(no), false));
      await at.bench.accept(jobs);
      const intents = await Promise.all(jobs.map(() => at.bench.intent(1)));
      await at.bench.claim(() => ({ kind: "start", intent: intents.pop() ?? fail() }), "run", 0);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      const ended: number[] = [];
      for (let round = 0; round < 3; round += 1) ended.push((await startOne(at)).ended.length);
      expect(ended).toEqual([1, 4, 2]);
    });

    test("expires at its deadline", async () => {
      await at.open(CALL);
      await at.bench.start(A);
      await at.bench.accept([await at.bench.job({ ...B, ttlMs: 30_000 }, false)]);
      await startOne(at);
      const { ended } = await at.bench.claim(() => fail(), "expire", 31_000);
      expect(ended).toMatchObject([{ status: "expired", code: "DEADLINE_EXCEEDED" }]);
    });

    test("costs others nothing: a smaller call behind it and another tenant's go on", async () => {
      await at.open(CALL + 10n);
      await at.bench.start(A);
      const small = await at.bench.job({ ...B, jobId: "small", prompt: "small" }, true);
      const jobs = [
        await at.bench.job(B, true),
        { ...small, intent: costing(small.intent, 10n) },
        await at.bench.job(ELSEWHERE, true),
      ];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["queued", "started", "started"]);
      expect(await at.standing()).toEqual([0n, CALL + 10n]);
    });

    test("does not wait when its call can cost nothing", async () => {
      await at.open(0n);
      const free = await at.bench.job(A, true);
      expect((await at.bench.accept([{ ...free, intent: costing(free.intent, 0n) }])).kinds).toEqual(["started"]);
      expect(await at.opened.reservations()).toEqual([]);
    });
  });
}

function doubtCases(at: At): void {
  const die = async (): Promise<SessionNo> => {
    const next = await at.bench.ledger.openSession("next");
    await at.bench.ledger.recoverDeadSessions(next, -1000, () => 0, RENDER);
    at.bench.session = await at.bench.ledger.openSession("bench");
    return next;
  };

  describe("the money of a call in doubt", () => {
    test("stays held until its answer comes", async () => {
      await at.open(CALL);
      const held = await at.bench.start(A);
      await die();
      expect(await at.standing()).toEqual([0n, CALL]);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, 0n]);
    });

    test("stays held when the doubt is settled by policy, and the next try needs its own", async () => {
      await at.open(2n * CALL);
      const held = await at.bench.start(A);
      await die();
      const { started } = await startOne(at, 0, 2);
      expect(await at.standing()).toEqual([0n, 2n * CALL]);
      await at.bench.finish([at.bench.ended(again(started[0], A), answerTo("why"))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, CALL]);
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(await at.standing()).toEqual([2n * ANSWER_NANO_USD, 0n]);
    });

    test("leaves none for the next try: that waits, with the doubt in its history", async () => {
      await at.open(CALL);
      const held = await at.bench.start(A);
      await die();
      expect((await startOne(at, 0, 2)).started).toEqual([]);
      let seen: unknown = null;
      await at.bench.claim(({ state, history, waitedFor }) => {
        seen = { state, waitedFor, tries: history.map(({ no, outcome }) => [no, outcome]) };
        return { kind: "wait", runAtMs: at.bench.nowMs() + 1, waitsFor: "budget" };
      });
      expect(seen).toEqual({ state: "ready", waitedFor: "budget", tries: [[held.intent.no, "in_doubt"]] });
      // The late answer serves the job, and frees what is left.
      const { outbox } = await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, 0n]);
    });

    test("is what an operator says that it cost", async () => {
      await at.open(CALL);
      const held = await at.bench.start(A);
      await die();
      expect(await at.opened.resolve({ no: held.intent.no, day: held.execution.day }, 77n)).toBe(true);
      expect(await at.standing()).toEqual([77n, 0n]);
    });
  });
}

function lineCases(at: At): void {
  describe("the money for the lines of a batch", () => {
    test("is held when they are bound, and a line without money leaves the batch and its pool", async () => {
      await at.open(LINE);
      const { batch, lines } = await at.batches.batchOf(A, B, ELSEWHERE);
      expect(lines.map(({ execution }) => execution.no)).toHaveLength(2);
      expect(await at.standing()).toEqual([0n, LINE]);
      expect(await at.opened.reservations()).toHaveLength(1);
      expect(await at.opened.ledger.pools()).toEqual([]);
      expect((await at.bench.claim(() => fail(), "run", BUDGET_LOOK_AGAIN_MS - 1000)).taken).toBe(0);
      await at.opened.ledger.returnLines(at.bench.session, batch.no, null, 100, at.bench.nowMs());
      expect(await at.standing()).toEqual([0n, 0n]);
    });

    test("is what each cost, at its end", async () => {
      await at.open(2n * LINE);
      const { batch, lines } = await at.batches.batchOf(A, B);
      await at.batches.bring(batch, "ended");
      const [one, two] = lines;
      if (one === undefined || two === undefined) throw new Error("expected two lines");
      await at.bench.finish([at.batches.ended(batch, one, answerTo("why"))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, LINE]);
      await at.bench.finish([at.batches.ended(batch, two, failureOf("line_expired", "answered", null))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, 0n]);
    });

    test("wakes a line that waited for it, which may go into the next batch", async () => {
      await at.open(LINE);
      const { batch, lines } = await at.batches.batchOf(A, B);
      expect(lines).toHaveLength(1);
      await at.opened.ledger.returnLines(at.bench.session, batch.no, null, 100, at.bench.nowMs());
      const line = at.batches.line(at.bench.nowMs() + 60_000);
      const pooled: ClaimVerdict = { kind: "pool", pooled: { pool: POOL, line }, decision: TO_BATCH };
      expect((await at.bench.claim(() => pooled, "run", 0)).taken).toBe(2);
      expect(await at.batches.waiting()).toHaveLength(2);
    });

    test("is asked for before a job waits for a batch: one that could not pay is told so", async () => {
      await at.open(LINE - 1n);
      const job = await at.batches.job(A);
      expect((await at.bench.accept([job])).kinds).toEqual(["queued"]);
      const line = at.batches.line(at.bench.nowMs() + 60_000);
      const { outbox } = await at.bench.claim(() => ({
        kind: "pool",
        pooled: { pool: POOL, line },
        decision: TO_BATCH,
      }));
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "failed", code: "BUDGET_EXCEEDED" }]);
    });

    test("is held once more, whatever there is, when a batch that was given up turns up", async () => {
      await at.open(LINE);
      const { batch, lines } = await at.batches.givenUp(A);
      expect(await at.standing()).toEqual([0n, 0n]);
      const call = costing(await at.bench.intent(1), LINE);
      const { started } = await at.bench.claim(() => ({ kind: "start", intent: call }));
      expect([started.length, await at.standing()]).toEqual([1, [0n, LINE]]);
      const back = await at.batches.turnUp(batch);
      expect(await at.standing()).toEqual([0n, 2n * LINE]);
      expect(await at.opened.reservations()).toHaveLength(2);
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      await at.bench.finish([at.batches.ended(back, line, answerTo("why"))]);
      expect(await at.standing()).toEqual([ANSWER_NANO_USD, LINE]);
      expect(await at.opened.reservations()).toEqual([call.no]);
    });

    test("does not pay for a call beside one: that needs its own, and without it the line goes on", async () => {
      await at.open(CALL + ANSWER_NANO_USD - 1n);
      const { batch, lines } = await at.batches.batchOf({ ...A, ttlMs: 100_000 });
      await at.batches.bring(batch, "submitted");
      const [line] = lines;
      if (line === undefined) throw new Error("expected a line");
      const rescue = async () => {
        const intent = { ...(await at.bench.intent(2)), supersedes: line.attempt.no };
        const nowMs = at.bench.nowMs();
        const look = { nowMs, limit: 10, models: ["sim"], deadlineMs: nowMs + 120_000, after: 0 };
        return at.opened.ledger.rescue(
          { ...look, session: at.bench.session },
          () => ({ kind: "start", intent }),
          RENDER,
        );
      };
      const item = await at.bench.job(B, true);
      const intent = costing(item.intent, CALL - LINE) ?? fail();
      const { day } = await at.bench.accept([{ ...item, intent }]);
      const other = { execution: { day, no: item.no }, intent, wish: B };
      expect(await rescue()).toMatchObject({ started: [], ended: [] });
      expect(await at.standing()).toEqual([0n, CALL]);
      // What the other one cost leaves too little for ever: also that is no reason to fail while the line is out.
      await at.bench.finish([at.bench.ended(other, answerTo("how"))]);
      expect(await rescue()).toMatchObject({ started: [], ended: [] });
      expect((await at.bench.claim(() => fail(), "run", BUDGET_LOOK_AGAIN_MS + 1000)).taken).toBe(0);
      const { outbox } = await at.bench.finish([at.batches.ended(batch, line, answerTo("why"))]);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "succeeded" }]);
      expect(await at.standing()).toEqual([2n * ANSWER_NANO_USD, 0n]);
    });

    test("keeps one that could pay later out of a batch until then", async () => {
      await at.open(CALL);
      await at.bench.start(A);
      expect((await at.bench.accept([await at.batches.job(B)])).kinds).toEqual(["queued"]);
      const line = at.batches.line(at.bench.nowMs() + 60_000);
      const pooled: ClaimVerdict = { kind: "pool", pooled: { pool: POOL, line }, decision: TO_BATCH };
      expect((await at.bench.claim(() => pooled, "run", 0)).taken).toBe(1);
      expect((await at.bench.claim(() => pooled, "run", BUDGET_LOOK_AGAIN_MS - 1000)).taken).toBe(0);
      expect(await at.batches.waiting()).toEqual([]);
    });
  });
}

function raceCases(at: At): void {
  describe("[I2] 100 jobs at once with money for one", () => {
    test("one is begun, when they come through ten routers", async () => {
      await at.open(2n * CALL - 1n);
      const routers = await Promise.all(
        Array.from({ length: 10 }, (_, partition) => LedgerBench.start(at.opened, 10 + partition)),
      );
      const kinds = await Promise.all(
        routers.map(async (router, index) => {
          const jobs = [];
          // Serial: each takes the next offset.
          for (let no = 0; no < 10; no += 1) jobs.push(await router.job(wishNo(index * 10 + no), true));
          return (await router.accept(jobs)).kinds;
        }),
      );
      expect(kinds.flat().filter((kind) => kind === "started")).toHaveLength(1);
      expect(await at.standing()).toEqual([0n, CALL]);
    });

    test("one is begun, when ten routers claim them", async () => {
      await at.open(2n * CALL - 1n);
      const jobs = [];
      // Serial: each takes the next offset.
      for (let no = 0; no < 100; no += 1) jobs.push(await at.bench.job(wishNo(no), false));
      await at.bench.accept(jobs);
      const intents = await Promise.all(jobs.map(() => at.bench.intent(1)));
      const claims = await Promise.all(
        Array.from({ length: 10 }, () =>
          at.bench.claim(() => ({ kind: "start", intent: intents.pop() ?? fail() }), "run", 0),
        ),
      );
      expect(claims.reduce((sum, { taken }) => sum + taken, 0)).toBe(100);
      expect(claims.flatMap(({ started }) => started)).toHaveLength(1);
      expect(await at.standing()).toEqual([0n, CALL]);
    });

    test("as many lines are bound as there is money for, when two routers bind", async () => {
      await at.open(5n * LINE);
      await at.batches.pool(...Array.from({ length: 20 }, (_, no) => wishNo(no)));
      const other = await at.batches.other();
      const waiting = await at.batches.waiting();
      const bind = async (session: SessionNo, lines: typeof waiting) => {
        const opened = await at.opened.ledger.openBatch(session, await at.batches.wanted(), UNLIMITED);
        if (opened.kind !== "opened") throw new Error("expected a batch");
        const bindings = await at.batches.bindings(lines);
        return at.opened.ledger.bindLines(session, opened.batch.no, bindings, at.bench.nowMs());
      };
      const bound = await Promise.all([bind(at.bench.session, waiting.slice(0, 10)), bind(other, waiting.slice(10))]);
      expect(bound.reduce((sum, { attempts }) => sum + attempts.length, 0)).toBe(5);
      expect(await at.standing()).toEqual([0n, 5n * LINE]);
    });

    test("[E5] ends and beginnings at once leave what they must", async () => {
      await at.open(3n * CALL);
      const held = [await at.bench.start(wishNo(0)), await at.bench.start(wishNo(1)), await at.bench.start(wishNo(2))];
      const jobs = [];
      for (let no = 3; no < 30; no += 1) jobs.push(await at.bench.job(wishNo(no), false)); // serial: as above
      await at.bench.accept(jobs);
      // Each claim may be tried again, and take again what another put back and money woke.
      const intents = await Promise.all(Array.from({ length: jobs.length * 10 }, () => at.bench.intent(1)));
      const [claims] = await Promise.all([
        Promise.all(
          Array.from({ length: 5 }, () =>
            at.bench.claim(() => ({ kind: "start", intent: intents.pop() ?? fail() }), "run", 0),
          ),
        ),
        ...held.map((one) => at.bench.finish([at.bench.ended(one, answerTo(one.wish.prompt))])),
      ]);
      const begun = claims.flatMap(({ started }) => started).length;
      expect(begun).toBeLessThanOrEqual(2);
      expect(await at.standing()).toEqual([3n * ANSWER_NANO_USD, BigInt(begun) * CALL]);
      expect(await at.opened.reservations()).toHaveLength(begun);
    });
  });
}
