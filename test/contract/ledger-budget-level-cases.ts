import { describe, expect, test } from "@jest/globals";
import { BUDGET_LOOK_AGAIN_MS, type Budget } from "../../src/domain/budget/budget.js";
import { windowAt } from "../../src/domain/budget/budget-window.js";
import type { IntakeJob } from "../../src/domain/result/outgoing.js";
import type { ClaimVerdict } from "../../src/ports/ledger.js";
import { accountBudget, tenantBudget } from "../support/budgets.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import { POOL, TO_BATCH, UNLIMITED } from "./batch-bench.js";
import { A, again, B, CALL, costing, errorIn, fail, LINE, startOne, TENANT, wishNo, type At } from "./budget-bench.js";
import { ANSWER_NANO_USD, answerTo, codesIn, LedgerBench, resultsIn } from "./ledger-bench.js";

const TENANTS = tenantBudget(TENANT, 10n * CALL);
const RISK = tenantBudget(TENANT, 5n * CALL, { department: "risk" });
const SALES = tenantBudget(TENANT, 5n * CALL, { department: "sales" });
const KYC = tenantBudget(TENANT, 4n * CALL, { application: "kyc", window: "month", timeZone: "Europe/Berlin" });
const SOFT = tenantBudget(TENANT, 1n, { department: "risk", application: "kyc", kind: "soft", window: "day" });
const ALPHA = accountBudget("alpha", 10n * CALL);

const IN_RISK = { department: "risk" } as const;
const IN_SALES = { department: "sales" } as const;
const IN_KYC = { department: "risk", application: "kyc" } as const;

function limited(budget: Budget, limitNanoUsd: bigint): Budget {
  const { stopsAtNanoUsd } = budget;
  return { ...budget, limitNanoUsd, ...(stopsAtNanoUsd === undefined ? {} : { stopsAtNanoUsd: limitNanoUsd }) };
}

/** Cases about budgets of several levels. */
export function levelCases(at: At): void {
  countingCases(at);
  wakingCases(at);
  accountCases(at);
  batchCases(at);
  crowdCases(at);
}

function countingCases(at: At): void {
  describe("the money of several levels", () => {
    test("is held in every budget that a call counts in, and settled in all of them", async () => {
      await at.openWith([TENANTS, RISK, SALES, KYC, SOFT, ALPHA]);
      const held = await at.bench.start({ ...A, labels: IN_KYC });
      const counted = [TENANTS, RISK, KYC, SOFT, ALPHA];
      for (const budget of counted) expect([budget, await at.standing(budget)]).toEqual([budget, [0n, CALL]]);
      expect(await at.standing(SALES)).toEqual([0n, 0n]);
      expect(await at.opened.reservations()).toEqual(counted.map(() => held.intent.no));
      await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
      for (const budget of counted)
        expect([budget, await at.standing(budget)]).toEqual([budget, [ANSWER_NANO_USD, 0n]]);
      expect(await at.opened.reservations()).toEqual([]);
    });

    test("is told with the windows that are, also of budgets that nothing was spent of", async () => {
      await at.openWith([limited(TENANTS, CALL), KYC, ALPHA]);
      await at.bench.start(A);
      const { sinceMs, untilMs } = windowAt("month", "Europe/Berlin", at.bench.nowMs());
      expect(await at.opened.ledger.standings()).toMatchObject([
        { budget: { limitNanoUsd: CALL }, sinceMs: 0, untilMs: null, settledNanoUsd: 0n, reservedNanoUsd: CALL },
        { budget: KYC, sinceMs, untilMs, settledNanoUsd: 0n, reservedNanoUsd: 0n },
        { budget: ALPHA, settledNanoUsd: 0n, reservedNanoUsd: CALL },
      ]);
    });

    test("is held in none when one of them has no room, which the others then have", async () => {
      await at.openWith([limited(TENANTS, CALL), limited(RISK, CALL - 1n), SOFT]);
      const jobs = [
        await at.bench.job({ ...A, labels: IN_KYC }, true),
        await at.bench.job({ ...B, labels: IN_SALES }, true),
      ];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["queued", "started"]);
      expect(await at.standing(limited(TENANTS, CALL))).toEqual([0n, CALL]);
      expect(await at.standing(RISK)).toEqual([0n, 0n]);
      expect(await at.standing(SOFT)).toEqual([0n, 0n]);
    });

    test("says which level failed a job, and when there may be money again", async () => {
      const daily = { ...limited(RISK, CALL), window: "day", timeZone: "Asia/Tokyo" } as const;
      await at.openWith([TENANTS, daily]);
      await at.bench.finish([at.bench.ended(await at.bench.start({ ...A, labels: IN_RISK }), answerTo("why"))]);
      await at.bench.accept([await at.bench.job({ ...B, labels: IN_RISK }, false)]);
      const { outbox } = await startOne(at);
      expect(codesIn(outbox)).toEqual(["BUDGET_EXCEEDED"]);
      const { untilMs } = windowAt("day", "Asia/Tokyo", at.bench.nowMs());
      expect(errorIn(outbox)).toMatchObject({
        message: expect.stringContaining(`tenant ${TENANT}, department risk (a day)`) as unknown,
        retryAt: new Date(untilMs ?? 0).toISOString(),
      });
    });

    test("is counted and refuses nothing where the limit is soft", async () => {
      await at.openWith([SOFT]);
      const jobs = [
        await at.bench.job({ ...A, labels: IN_KYC }, true),
        await at.bench.job({ ...B, labels: IN_KYC }, true),
      ];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["started", "started"]);
      expect(await at.standing(SOFT)).toEqual([0n, 2n * CALL]);
    });

    test("is that of the job that opened the execution, or of the next when it has left before the call", async () => {
      await at.openWith([RISK, SALES]);
      const jobs = [
        await at.bench.job({ ...A, labels: IN_RISK }, false),
        await at.bench.job({ ...A, jobId: "again", labels: IN_SALES }, false),
      ];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["queued", "joined"]);
      await at.bench.accept([], { cancels: [{ tenant: TENANT, jobId: "a", behind: 0 }], moves: [] });
      expect((await startOne(at)).started).toHaveLength(1);
      expect(await at.standing(RISK)).toEqual([0n, 0n]);
      expect(await at.standing(SALES)).toEqual([0n, CALL]);
    });

    test("that is spent ends only the jobs of those who can't pay, while others wait for the same answer", async () => {
      await at.openWith([limited(RISK, CALL - 1n), SALES]);
      const jobs = [
        await at.bench.job({ ...A, labels: IN_RISK }, false),
        await at.bench.job({ ...A, jobId: "again", labels: IN_RISK }, false),
        await at.bench.job({ ...A, jobId: "other", labels: IN_SALES }, false),
      ];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["queued", "joined", "joined"]);
      const { started, ended, outbox } = await startOne(at);
      expect(ended.map(({ code }) => code)).toEqual(["BUDGET_EXCEEDED", "BUDGET_EXCEEDED"]);
      expect(resultsIn(outbox).map(({ jobId }) => jobId)).toEqual(["a", "again"]);
      expect(await at.standing(SALES)).toEqual([0n, CALL]);
      const finished = await at.bench.finish([at.bench.ended(again(started[0], A), answerTo("why"))]);
      expect(resultsIn(finished.outbox)).toMatchObject([{ jobId: "other", status: "succeeded" }]);
      expect(await at.standing(SALES)).toEqual([ANSWER_NANO_USD, 0n]);
      expect(await at.standing(RISK)).toEqual([0n, 0n]);
    });

    test("that is spent ends so many jobs at once; no call is made while some are left of those who can't pay", async () => {
      // Beside the first of each execution that is claimed.
      await at.openWith([limited(RISK, CALL - 1n), SALES], 2);
      const wishes = [
        ...["a", "b", "c", "d", "e"].map((jobId) => ({ jobId, labels: IN_RISK })),
        { jobId: "other", labels: IN_SALES },
      ];
      const jobs = [];
      // Serial: each takes the next offset.
      for (const wish of wishes) jobs.push(await at.bench.job({ ...A, ...wish }, false));
      await at.bench.accept(jobs);
      const first = await startOne(at);
      expect([first.ended.length, first.started.length, first.taken]).toEqual([3, 0, 1]);
      expect(await at.standing(SALES)).toEqual([0n, 0n]);
      const second = await startOne(at);
      expect([second.ended.length, second.started.length]).toEqual([2, 1]);
      const ended = resultsIn([...first.outbox, ...second.outbox]);
      expect(ended).toMatchObject(
        ["a", "b", "c", "d", "e"].map((jobId) => ({ jobId, status: "failed", code: "BUDGET_EXCEEDED" })),
      );
      const finished = await at.bench.finish([at.bench.ended(again(second.started[0], A), answerTo("why"))]);
      expect(resultsIn(finished.outbox)).toMatchObject([{ jobId: "other", status: "succeeded" }]);
      expect(await at.standing(RISK)).toEqual([0n, 0n]);
    });

    test("that is spent for all of them ends all", async () => {
      await at.openWith([limited(RISK, CALL - 1n), limited(SALES, CALL - 1n)]);
      const jobs = [
        await at.bench.job({ ...A, labels: IN_RISK }, false),
        await at.bench.job({ ...A, jobId: "other", labels: IN_SALES }, false),
      ];
      await at.bench.accept(jobs);
      const { started, outbox } = await startOne(at);
      expect(started).toEqual([]);
      expect(resultsIn(outbox).map(({ jobId, code }) => [jobId, code])).toEqual([
        ["a", "BUDGET_EXCEEDED"],
        ["other", "BUDGET_EXCEEDED"],
      ]);
    });

    test("is free again in every budget when the call was never sent", async () => {
      await at.openWith([TENANTS, RISK, ALPHA]);
      const held = await at.bench.start({ ...A, labels: IN_RISK });
      const given = { execution: held.execution, attempt: held.intent };
      await at.bench.ledger.giveBack(at.bench.session, [given], at.bench.nowMs());
      for (const budget of [TENANTS, RISK, ALPHA]) expect(await at.standing(budget)).toEqual([0n, 0n]);
    });
  });
}

function wakingCases(at: At): void {
  describe("money that is free again", () => {
    test("wakes only those whom its own budget kept out, and says so", async () => {
      await at.openWith([limited(RISK, CALL), limited(SALES, CALL)]);
      const [risk, sales] = [
        await at.bench.start({ ...wishNo(0), labels: IN_RISK }),
        await at.bench.start({ ...wishNo(1), labels: IN_SALES }),
      ];
      await queueAndLetWait(at, [
        { ...wishNo(2), labels: IN_SALES },
        { ...wishNo(3), labels: IN_RISK },
        { ...wishNo(4), labels: IN_RISK },
      ]);
      const given = { execution: risk.execution, attempt: risk.intent };
      await at.bench.ledger.giveBack(at.bench.session, [given], at.bench.nowMs());
      // The one that was given back is due as well.
      const due = await dueNow(at);
      expect(due).toEqual(["p0", "p3"]);
      const { woken } = await at.bench.finish([at.bench.ended(sales, answerTo("p1"))]);
      expect(woken).toBe(1);
      expect(await dueNow(at)).toEqual(["p0", "p2", "p3"]);
    });

    test("says nothing when nobody waited for it", async () => {
      await at.openWith([limited(RISK, CALL), limited(SALES, CALL)]);
      const held = await at.bench.start({ ...wishNo(0), labels: IN_RISK });
      await at.bench.start({ ...wishNo(1), labels: IN_SALES });
      await queueAndLetWait(at, [{ ...wishNo(2), labels: IN_SALES }]);
      expect(await at.bench.finish([at.bench.ended(held, answerTo("p0"))])).not.toHaveProperty("woken");
    });

    test("goes on to others when another budget keeps out the one that it woke", async () => {
      const tenants = limited(TENANTS, CALL + ANSWER_NANO_USD);
      await at.openWith([tenants, limited(RISK, CALL)]);
      const held = await at.bench.start({ ...wishNo(0), labels: IN_SALES });
      await queueAndLetWait(at, [
        { ...wishNo(1), labels: IN_RISK },
        { ...wishNo(2), labels: IN_SALES },
        { ...wishNo(3), labels: IN_SALES },
      ]);
      await at.bench.finish([at.bench.ended(held, answerTo("p0"))]);
      // Woken for the tenant's money, and told by its department that it is to wait.
      const wait: ClaimVerdict = {
        ...{ kind: "wait", runAtMs: at.bench.nowMs() + 60_000, waitsFor: "budget" },
        level: '["tenant","catalogue","risk",null,"total"]',
      };
      const claimed = await at.bench.claim(() => wait, "run", 0);
      expect(claimed).toMatchObject({ taken: 1, woken: 2 });
      expect(await dueNow(at)).toEqual(["p2", "p3"]);
    });
  });
}

function accountCases(at: At): void {
  describe("what an account may spend a day", () => {
    test("keeps calls out of it until the next, and fails none", async () => {
      await at.openWith([accountBudget("alpha", CALL, CALL)]);
      await at.bench.finish([at.bench.ended(await at.bench.start(A), answerTo("why"))]);
      await at.bench.accept([await at.bench.job(B, true)]);
      const { started, ended, taken } = await startOne(at);
      expect({ started, ended, taken }).toEqual({ started: [], ended: [], taken: 1 });
      expect((await startOne(at, BUDGET_LOOK_AGAIN_MS + 1000)).taken).toBe(0);
      expect((await startOne(at, 86_400_000)).taken).toBe(1);
    });

    test("keeps no call out of another account, whoever pays", async () => {
      await at.openWith([accountBudget("alpha", CALL, CALL)]);
      await at.bench.start({ ...A, tenant: "shop" });
      const job = await at.bench.job(B, true);
      const intent = job.intent === null ? null : { ...job.intent, account: "beta" };
      expect((await at.bench.accept([{ ...job, intent }])).kinds).toEqual(["started"]);
      expect((await at.bench.accept([await at.bench.job({ ...B, jobId: "third", prompt: "x" }, true)])).kinds).toEqual([
        "queued",
      ]);
    });

    test("ends at the part of it where others are to take over", async () => {
      await at.openWith([accountBudget("alpha", 10n * CALL, CALL + 1n)]);
      const small = await at.bench.job({ ...B, prompt: "small" }, true);
      const jobs = [
        await at.bench.job(A, true),
        { ...small, intent: costing(small.intent, 1n) },
        await at.bench.job({ ...B, jobId: "c", prompt: "late" }, true),
      ];
      expect((await at.bench.accept(jobs)).kinds).toEqual(["started", "started", "queued"]);
    });
  });
}

function batchCases(at: At): void {
  describe("the money of lines on several levels", () => {
    const ofAlpha = accountBudget("alpha", 100n * LINE);

    test("is held when they are bound, moves with them, and is settled in every budget", async () => {
      await at.openWith([TENANTS, RISK, limited(SALES, LINE), ofAlpha]);
      const { batch, lines } = await at.batches.batchOf(
        { ...A, labels: IN_RISK },
        { ...B, labels: IN_SALES },
        { ...wishNo(3), labels: IN_SALES },
      );
      expect(lines).toHaveLength(2);
      expect(await at.standing(TENANTS)).toEqual([0n, 2n * LINE]);
      expect(await at.standing(RISK)).toEqual([0n, LINE]);
      expect(await at.standing(SALES)).toEqual([0n, LINE]);
      expect(await at.standing(ofAlpha)).toEqual([0n, 2n * LINE]);
      await at.batches.bring(batch, "ended");
      const [one] = lines;
      if (one === undefined) throw new Error("expected a line");
      await at.bench.finish([at.batches.ended(batch, one, answerTo("why"))]);
      expect(await at.standing(TENANTS)).toEqual([ANSWER_NANO_USD, LINE]);
      expect(await at.standing(ofAlpha)).toEqual([ANSWER_NANO_USD, LINE]);
      expect(await at.standing(RISK)).toEqual([ANSWER_NANO_USD, 0n]);
      expect(await at.standing(SALES)).toEqual([0n, LINE]);
    });

    test("is asked of every level before a job waits for a batch", async () => {
      await at.openWith([TENANTS, limited(RISK, LINE - 1n)]);
      expect((await at.bench.accept([await at.batches.job({ ...A, labels: IN_RISK })])).kinds).toEqual(["queued"]);
      const line = at.batches.line(at.bench.nowMs() + 60_000);
      const pooled: ClaimVerdict = { kind: "pool", pooled: { pool: POOL, line }, decision: TO_BATCH };
      const { outbox } = await at.bench.claim(() => pooled);
      expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "failed", code: "BUDGET_EXCEEDED" }]);
    });

    test("does not pay for a call beside a line: that needs its own on every level", async () => {
      await at.openWith([TENANTS, limited(RISK, LINE + CALL - 1n)]);
      const { batch, lines } = await at.batches.batchOf({ ...A, labels: IN_RISK, ttlMs: 100_000 });
      await at.batches.bring(batch, "submitted");
      const [line] = lines;
      const intent = { ...(await at.bench.intent(2)), supersedes: line?.attempt.no ?? 0 };
      const nowMs = at.bench.nowMs();
      const look = { nowMs, limit: 10, models: ["sim"], deadlineMs: nowMs + 120_000, after: 0 };
      const rescued = await at.opened.ledger.rescue(
        { ...look, session: at.bench.session },
        () => ({ kind: "start", intent }),
        RENDER,
      );
      expect(rescued).toMatchObject({ started: [], ended: [] });
      expect(await at.standing(TENANTS)).toEqual([0n, LINE]);
    });
  });
}

function crowdCases(at: At): void {
  describe("[I2] 100 jobs at once of departments that share what they have", () => {
    const alpha = accountBudget("alpha", 6n * CALL);
    const beta = accountBudget("beta", 100n * CALL);
    const tenants = limited(TENANTS, 8n * CALL + 1n);
    const budgets = [tenants, limited(RISK, CALL), limited(SALES, 100n * CALL), alpha, beta];

    test("no level gets more than it has, and nothing that fits is left", async () => {
      await at.openWith(budgets);
      const routers = await Promise.all(
        Array.from({ length: 10 }, (_, partition) => LedgerBench.start(at.opened, 10 + partition)),
      );
      const kinds = await Promise.all(
        routers.map(async (router, index) => {
          const jobs: IntakeJob[] = [];
          for (let no = 0; no < 10; no += 1) {
            // Serial: each takes the next offset.
            const job = await router.job(
              { ...wishNo(index * 10 + no), labels: no % 2 === 0 ? IN_RISK : IN_SALES },
              true,
            );
            jobs.push({
              ...job,
              intent: job.intent === null ? null : { ...job.intent, account: no % 3 === 0 ? "beta" : "alpha" },
            });
          }
          return (await router.accept(index % 2 === 0 ? jobs : [...jobs].reverse())).kinds;
        }),
      );
      const started = kinds.flat().filter((kind) => kind === "started").length;
      expect(started).toBe(8);
      expect(await at.standing(tenants)).toEqual([0n, 8n * CALL]);
      const [, risk] = await at.standing(RISK);
      const [, onAlpha] = await at.standing(alpha);
      expect(risk <= CALL && onAlpha <= 6n * CALL).toBe(true);
      expect(await at.standing(SALES)).toEqual([0n, 8n * CALL - risk]);
      expect(await at.standing(beta)).toEqual([0n, 8n * CALL - onAlpha]);
    });

    test("[E5] ends and beginnings across levels leave what they must", async () => {
      await at.openWith(budgets);
      const held = [
        await at.bench.start({ ...wishNo(0), labels: IN_RISK }),
        await at.bench.start({ ...wishNo(1), labels: IN_SALES }),
        await at.bench.start({ ...wishNo(2), labels: IN_SALES }),
      ];
      await at.batches.pool(...Array.from({ length: 6 }, (_, no) => ({ ...wishNo(50 + no), labels: IN_SALES })));
      const waiting = await at.batches.waiting();
      const opened = await at.opened.ledger.openBatch(at.bench.session, await at.batches.wanted(), UNLIMITED);
      if (opened.kind !== "opened") throw new Error("expected a batch");
      const bindings = await at.batches.bindings(waiting);
      const routers = await Promise.all(
        Array.from({ length: 4 }, (_, partition) => LedgerBench.start(at.opened, 10 + partition)),
      );
      await Promise.all([
        ...held.map((one) => at.bench.finish([at.bench.ended(one, answerTo(one.wish.prompt))])),
        at.opened.ledger.bindLines(at.bench.session, opened.batch.no, bindings, at.bench.nowMs()),
        ...routers.map(async (router, index) => {
          const job = await router.job({ ...wishNo(90 + index), labels: IN_RISK }, true);
          await router.accept([job]);
        }),
      ]);
      const [settled, reserved] = await at.standing(tenants);
      const [riskSettled, riskReserved] = await at.standing(RISK);
      const [salesSettled, salesReserved] = await at.standing(SALES);
      expect(settled).toBe(3n * ANSWER_NANO_USD);
      expect([riskSettled + salesSettled, riskReserved + salesReserved]).toEqual([settled, reserved]);
      expect(riskReserved).toBe(0n); // one answer leaves too little for a call
      expect(salesReserved).toBe(6n * LINE);
    });
  });
}

/** Accepts them without calls of their own, and lets a claim find that there is no money for them. */
async function queueAndLetWait(at: At, wishes: readonly JobWish[]): Promise<void> {
  const jobs: IntakeJob[] = [];
  // Serial: each takes the next offset.
  for (const wish of wishes) jobs.push(await at.bench.job(wish, false));
  await at.bench.accept(jobs);
  const intents = await Promise.all(jobs.map(() => at.bench.intent(1)));
  const { started } = await at.bench.claim(() => ({ kind: "start", intent: intents.pop() ?? fail() }), "run", 0);
  expect(started).toEqual([]);
}

/** Prompts of what is due now. It stays due. */
async function dueNow(at: At): Promise<readonly string[]> {
  const found: string[] = [];
  await at.bench.claim(
    ({ bodyText, dueAtMs, waitedFor }) => {
      const body = JSON.parse(bodyText) as { messages: readonly { content: string }[] }; // our own
      found.push(body.messages[0]?.content ?? "");
      return { kind: "wait", runAtMs: dueAtMs, waitsFor: waitedFor };
    },
    "run",
    0,
  );
  return found.sort();
}
