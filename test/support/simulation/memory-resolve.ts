import { correctionOf } from "../../../src/domain/budget/budget.js";
import { isCorrectedByBill } from "../../../src/domain/cost/bill-row.js";
import { doubtSummary } from "../../../src/domain/execution/doubt-summary.js";
import type { MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { AttemptRow } from "./memory-rows.js";

/** What somebody says that an attempt cost. */
export interface MemoryResolution {
  readonly attemptNo: number;
  /** 0: it was not billed. */
  readonly nanoUsd: bigint;
  /** A provider's bill says so: that corrects what an attempt without a known answer was booked with. */
  readonly byBill: boolean;
  readonly nowMs: number;
}

/** As `sluice in-doubt resolve` and `sluice costs reconcile` do it, but for what they publish. @returns whether it changed anything. */
export function resolveAttempt(context: MemoryContext, resolution: MemoryResolution): Promise<boolean> {
  return context.transaction("resolve", async (transaction) => {
    const { attemptNo, nanoUsd, byBill, nowMs } = resolution;
    const { attempts, executions, ready } = context.database;
    const found = transaction.get(attempts, attemptNo);
    if (found === undefined) return false;
    const { execution } = found;
    await context.statement(transaction, "attempt-lock");
    await transaction.lock(ready, [execution.no], "exclusive");
    await transaction.lock(executions, [execution.no], "exclusive");
    await transaction.lock(attempts, [attemptNo], "exclusive");
    const attempt = transaction.get(attempts, attemptNo) ?? found;
    const isDoubt = attempt.state === "in_doubt" || attempt.state === "settled";
    if (!isDoubt && !(byBill && isCorrectedByBill(attempt, nanoUsd))) return false;
    const state = nanoUsd > 0n ? "answered" : "failed";
    transaction.update(attempts, attemptNo, { nanoUsd, ...(isDoubt ? { state, outcome: "in_doubt" } : {}) });
    if (attempt.state === "in_doubt") endGrace(context, transaction, attempt, resolution);
    const by = correctionOf({ nanoUsd: attempt.nanoUsd, maxNanoUsd: attempt.intent.maxNanoUsd }, nanoUsd);
    if (isDoubt) await context.budgets.settle(transaction, [{ attempt: attemptNo, nanoUsd }], nowMs);
    else await context.budgets.correct(transaction, attempt.countedIn ?? [], by, nowMs);
    return true;
  });
}

function endGrace(
  context: MemoryContext,
  transaction: Transaction,
  { intent, execution: { no } }: AttemptRow,
  { nanoUsd, nowMs }: MemoryResolution,
): void {
  const { executions, ready } = context.database;
  const isBilled = nanoUsd > 0n;
  if (transaction.get(ready, no) !== undefined)
    transaction.update(ready, no, { runAtMs: nowMs, waitsFor: isBilled ? "doubt" : "concurrency" });
  const execution = transaction.get(executions, no);
  if (isBilled || execution?.state !== "in_doubt" || execution.attemptNo !== intent.no) return;
  const history = [...execution.history, doubtSummary(intent, nowMs)];
  transaction.update(executions, no, { state: "ready", history });
}
