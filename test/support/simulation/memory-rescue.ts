import type { AttemptIntent, LineOut } from "../../../src/domain/execution/execution.js";
import { rescuesBegan } from "../../../src/domain/event/rescue-event.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { Outgoing, Renderer } from "../../../src/domain/result/outgoing.js";
import type { RescueLook, StartedExecution } from "../../../src/ports/ledger.js";
import { lowerDeadlines } from "./memory-batch-lines.js";
import { waitersOf, type MemoryContext } from "./memory-context.js";
import { LedgerRefused, type Transaction } from "./memory-database.js";
import type { AttemptRow, ExecutionRow, ReadyRow } from "./memory-rows.js";

/** Calls beside lines, statement by statement as in the real ledger. */

/** Batches that their providers have, as far as is known. */
const OUT: readonly string[] = ["submitted", "cancelling", "ended", "ingesting"];

export async function takeLines(
  context: MemoryContext,
  transaction: Transaction,
  { nowMs, limit, models, deadlineMs, after }: RescueLook,
): Promise<ReadyRow[]> {
  const { attempts, batches, executions } = context.database;
  await context.statement(transaction, "lines-to-rescue");
  const lines = transaction
    .all(attempts)
    .filter(({ state, intent }) => state === "batched" && intent.no > after)
    .filter(({ intent }) => OUT.includes(transaction.get(batches, intent.batchNo ?? -1)?.batch.state ?? ""))
    .sort((a, b) => a.intent.no - b.intent.no);
  const taken: ReadyRow[] = [];
  for (const { intent, execution: key } of lines) {
    if (taken.length === limit) break;
    const execution = transaction.get(executions, key.no);
    if (execution?.state !== "running" || execution.attemptNo !== intent.no) continue;
    if (execution.mode === "batch" || !models.includes(execution.policy.model)) continue;
    const near = transaction
      .all(context.database.jobs)
      .filter((job) => job.execution?.no === key.no && job.state === "active")
      .some((job) => job.deadlineMs > nowMs && job.deadlineMs <= deadlineMs);
    if (!near || isRescued(context, transaction, key.no)) continue;
    if (!transaction.tryLock(executions, key.no, "exclusive")) continue;
    const expiresMs = waitersOf(context, transaction, key.no)?.nearestDeadlineMs ?? nowMs;
    taken.push({ key, priority: 5, runAtMs: nowMs, expiresMs, waitsFor: "batch_fill" });
  }
  return taken.sort((a, b) => a.key.no - b.key.no);
}

function isRescued(context: MemoryContext, transaction: Transaction, executionNo: number): boolean {
  return context.rules.rescuedOnce && rescuesOf(context, transaction, executionNo).length > 0;
}

function rescuesOf(context: MemoryContext, transaction: Transaction, executionNo: number): AttemptRow[] {
  return transaction
    .all(context.database.attempts)
    .filter(({ execution, intent }) => execution.no === executionNo && intent.supersedes !== undefined);
}

/** As the index of the real table does. */
export function refuseSecondRescue(
  context: MemoryContext,
  transaction: Transaction,
  executionNo: number,
  { supersedes }: AttemptIntent,
): void {
  if (supersedes !== undefined && isRescued(context, transaction, executionNo))
    throw new LedgerRefused(`execution ${String(executionNo)} was rescued before`);
}

/** The line of an execution that is out: beside its newest attempt, or that attempt itself. */
export function lineBehind(
  context: MemoryContext,
  transaction: Transaction,
  execution: ExecutionRow,
  of: "rows" | "lines",
): LineOut | null {
  const { attempts, batches } = context.database;
  const newest = transaction.get(attempts, execution.attemptNo ?? -1);
  const line = of === "lines" ? newest : transaction.get(attempts, newest?.intent.supersedes ?? -1);
  if (line?.state !== "batched" || line.intent.batchNo === undefined) return null;
  if (of === "lines" && isRescued(context, transaction, execution.key.no)) return null;
  const { no: attemptNo, number, batchNo, account, provider } = line.intent;
  const expectedAtMs = of === "lines" ? (transaction.get(batches, batchNo)?.batch.expectedAtMs ?? null) : null;
  return { attemptNo, number, batchNo, account, provider, expectedAtMs };
}

export interface LeftToLine {
  readonly key: LedgerKey;
  readonly line: LineOut;
  readonly nearestDeadlineMs: number;
}

export async function leaveToLines(
  context: MemoryContext,
  transaction: Transaction,
  left: readonly LeftToLine[],
): Promise<void> {
  if (left.length === 0) return;
  const { attempts, executions } = context.database;
  await context.statement(transaction, "executions-to-lines");
  const deadlines = new Map<number, number>();
  for (const { key, line, nearestDeadlineMs } of left) {
    const call = transaction.get(attempts, transaction.get(executions, key.no)?.attemptNo ?? -1);
    transaction.update(executions, key.no, { state: "running", session: null, attemptNo: line.attemptNo });
    deadlines.set(line.batchNo, Math.min(deadlines.get(line.batchNo) ?? Infinity, nearestDeadlineMs));
    if (call?.state !== "not_sent") continue;
    const { supersedes: _never, ...intent } = call.intent;
    transaction.update(attempts, intent.no, { intent });
  }
  await lowerDeadlines(context, transaction, deadlines);
}

export function rescueEvents(
  context: MemoryContext,
  render: Renderer,
  started: readonly StartedExecution[],
  nowMs: number,
): readonly Outgoing[] {
  const rescues = started.flatMap(({ execution: { line }, intent }) => (line === undefined ? [] : [{ line, intent }]));
  return rescuesBegan(rescues, nowMs).map((event) => render.event(event, context.nextNumber(), context.today()));
}
