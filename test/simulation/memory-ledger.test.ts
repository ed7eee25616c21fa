import { UNTOUCHED, type Budget } from "../../src/domain/budget/budget.js";
import { batchLedgerSuite } from "../contract/ledger-batch-cases.js";
import type { BudgetedLedger } from "../contract/budget-bench.js";
import { budgetLedgerSuite } from "../contract/ledger-budget-cases.js";
import { ledgerSuite, type SuiteLedger } from "../contract/ledger-suite.js";
import { queueLedgerSuite } from "../contract/ledger-queue-cases.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { LEDGER_RULES } from "../support/simulation/memory-context.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { START_MS } from "../support/simulation/fixture.js";

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
    },
    nowMs,
    close: () => Promise.resolve(),
  });
}

function openBudgeted(limits: readonly Budget[]): Promise<BudgetedLedger> {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const database = new MemoryDatabase(nowMs, limits);
  const ledger = new MemoryLedger(database, wire);
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

ledgerSuite("the ledger in memory", open);
budgetLedgerSuite("budgets in the ledger in memory", openBudgeted);
batchLedgerSuite("batches in the ledger in memory", open);
queueLedgerSuite("the queue of the ledger in memory", (weights) => {
  const nowMs = (): number => START_MS;
  const wire = { step: () => new Promise<void>((resolve) => setImmediate(resolve)), breaks: () => "no" as const };
  const ledger = new MemoryLedger(new MemoryDatabase(nowMs), wire, LEDGER_RULES, weights);
  return Promise.resolve({ ledger, nowMs, close: () => Promise.resolve() });
});
