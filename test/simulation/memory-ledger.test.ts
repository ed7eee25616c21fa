import { describe, expect, test } from "@jest/globals";
import { UNTOUCHED, type Budget } from "../../src/domain/budget/budget.js";
import { batchLedgerSuite } from "../contract/ledger-batch-cases.js";
import type { BudgetedLedger } from "../contract/budget-bench.js";
import { budgetLedgerSuite } from "../contract/ledger-budget-cases.js";
import { LedgerBench } from "../contract/ledger-bench.js";
import { ledgerSuite, type SuiteLedger } from "../contract/ledger-suite.js";
import { queueLedgerSuite } from "../contract/ledger-queue-cases.js";
import { ENDED_ALONE, waitersLedgerSuite, type WaitersLedger } from "../contract/ledger-waiters-cases.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { LEDGER_RULES, type LedgerWire } from "../support/simulation/memory-context.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { JOBS_TOPIC, RENDER, START_MS } from "../support/simulation/fixture.js";

function open(): Promise<SuiteLedger & { readonly ledger: MemoryLedger }> {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const ledger = new MemoryLedger(new MemoryDatabase(nowMs), wire);
  return Promise.resolve({
    ledger,
    alerts: ledger.alerting,
    operator: {
      openSession: () => ledger.openOperatorSession("operator"),
      replay: (request, render) => ledger.replayLetter(request, render),
      adopt: async (from) => {
        const expected = await ledger.position(JOBS_TOPIC, 0);
        if (expected === null) return false;
        const session = await ledger.openOperatorSession("operator");
        const action = { byWhom: "ann@desk", atMs: nowMs() };
        const place = { topic: JOBS_TOPIC, partition: 0 };
        return ledger.adoptPosition({ ...place, expected, from, isLogStart: true, session, action }, RENDER);
      },
    },
    nowMs,
    close: () => Promise.resolve(),
  });
}

function openBudgeted(limits: readonly Budget[], waitersMax = LEDGER_RULES.waitersMax): Promise<BudgetedLedger> {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const database = new MemoryDatabase(nowMs, limits);
  const ledger = new MemoryLedger(database, wire, { ...LEDGER_RULES, waitersMax });
  return Promise.resolve({
    ledger,
    nowMs,
    close: () => Promise.resolve(),
    standing: (key) =>
      Promise.resolve([...database.budgets.committed.values()].find((row) => row.key === key) ?? UNTOUCHED),
    reservations: () =>
      Promise.resolve([...database.reservations.committed.values()].map(({ attemptNo }) => attemptNo)),
    resolve: ({ no }, nanoUsd, byBill) =>
      ledger.resolveAttempt({ attemptNo: no, nanoUsd, byBill: byBill !== undefined, nowMs: nowMs() }),
  });
}

describe("a group whose COMMIT was not answered, and behind or before which another router has gone on", () => {
  const steady = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const nowMs = (): number => START_MS;

  test.each([
    ["stands", "after", 1, "accepted"],
    ["does not stand", "before", 0, "moved"],
  ] as const)("is known: it %s", async (_known, effect, offset, kind) => {
    const database = new MemoryDatabase(nowMs);
    let breaks: "no" | "before" | "after" = "no";
    let goesOn = (): Promise<unknown> => Promise.resolve();
    const wire: LedgerWire = {
      step: async (label) => {
        await steady.step();
        if (label === "position-last-group") await goesOn();
      },
      breaks: (at) => {
        const now = at === "commit" ? breaks : "no";
        if (at === "commit") breaks = "no";
        return now;
      },
    };
    const start = (ledger: MemoryLedger) => LedgerBench.start({ ledger, nowMs, close: () => Promise.resolve() });
    const [bench, other] = [
      await start(new MemoryLedger(database, wire)),
      await start(new MemoryLedger(database, steady)),
    ];
    const group = await bench.group([await bench.job({ jobId: "a", tenant: "catalogue", prompt: "why" }, true, 0)]);
    goesOn = async () => {
      await other.accept([await other.job({ jobId: "b", tenant: "catalogue", prompt: "how" }, true, offset)]);
    };
    breaks = effect;
    expect(await bench.ledger.accept(group, RENDER)).toMatchObject({ kind });
    expect((await bench.ledger.position(JOBS_TOPIC, 0))?.next).toBe(offset + 1);
  });
});

ledgerSuite("the ledger in memory", open);
budgetLedgerSuite("budgets in the ledger in memory", openBudgeted);
batchLedgerSuite("batches in the ledger in memory", open);
queueLedgerSuite("the queue of the ledger in memory", (weights) => {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const ledger = new MemoryLedger(new MemoryDatabase(nowMs), wire, LEDGER_RULES, weights);
  return Promise.resolve({ ledger, nowMs, close: () => Promise.resolve() });
});
waitersLedgerSuite("jobs that wait in the ledger in memory", (waitersMax) => {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const database = new MemoryDatabase(nowMs);
  const ledger = new MemoryLedger(database, wire, { ...LEDGER_RULES, waitersMax });
  const endAlone: WaitersLedger["endAlone"] = ({ no }, state, endedMs) => {
    const transaction = database.begin({});
    const end = state === "failed" ? { failure: ENDED_ALONE, endedMs } : {};
    transaction.update(database.executions, no, { state, ...end });
    database.commit(transaction);
    return Promise.resolve();
  };
  return Promise.resolve({ ledger, nowMs, close: () => Promise.resolve(), endAlone });
});
