import { waitForBudget } from "../../../src/domain/budget/budget.js";
import { payersOfExecution } from "./memory-budgets.js";
import type { AttemptIntent } from "../../../src/domain/execution/execution.js";
import type { EpochMs, LedgerKey } from "../../../src/domain/ids.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { BatchLine, BoundLines, LineBinding } from "../../../src/ports/batch-ledger.js";
import type { FinishOutcome } from "../../../src/ports/ledger.js";
import { fenced } from "./memory-batches.js";
import { insertOutbox, insertReady, waitersOf, writeEnds, type MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import { expireJobs } from "./memory-expire.js";
import type { AttemptRow } from "./memory-rows.js";

/** Lines of batches, statement by statement as in the real ledger. */

export function bindLines(
  context: MemoryContext,
  session: number,
  batchNo: number,
  lines: readonly LineBinding[],
  nowMs: EpochMs,
): Promise<BoundLines> {
  if (lines.length === 0) return Promise.resolve({ attempts: [] });
  const ordered = [...lines].sort((a, b) => a.execution.no - b.execution.no);
  return context.transaction(
    "lines-bind",
    (transaction) => bindInTransaction(context, transaction, { session, batchNo, nowMs }, ordered),
    () => boundBefore(context, batchNo, ordered),
  );
}

/** After a COMMIT without an answer: what of these is in the batch. None: it does not stand, and is done again or would bind nothing. */
function boundBefore(
  context: MemoryContext,
  batchNo: number,
  lines: readonly LineBinding[],
): Promise<BoundLines | null> {
  return context.single("lines-bound", (transaction) => {
    const nos = lines.map(({ intent }) => intent.no).sort((a, b) => a - b);
    const bound = nos.filter((no) => isBound(transaction.get(context.database.attempts, no), batchNo));
    return { attempts: bound };
  });
}

function isBound(row: AttemptRow | undefined, batchNo: number): boolean {
  return row?.intent.batchNo === batchNo && row.state !== "not_sent";
}

/** Order of locks, as in intake: own session, executions in key order, rows of the pool, batch, budgets. */
async function bindInTransaction(
  context: MemoryContext,
  transaction: Transaction,
  { session, batchNo, nowMs }: { readonly session: number; readonly batchNo: number; readonly nowMs: EpochMs },
  lines: readonly LineBinding[],
): Promise<BoundLines> {
  const { batches, executions } = context.database;
  if (await fenced(context, transaction, session)) return { attempts: [] };
  const held = transaction.get(batches, batchNo);
  if (held?.session !== session || held.batch.state !== "building") return { attempts: [] };
  await context.statement(transaction, "executions-lock");
  await transaction.lock(
    executions,
    lines.map(({ execution }) => execution.no),
    "exclusive",
  );
  await context.statement(transaction, "lines-bind");
  const bound: number[] = [];
  let nearestMs = Infinity;
  for (const { execution, intent } of lines) {
    const deadlineMs = await takeLine(context, transaction, execution, intent);
    if (deadlineMs === null) continue;
    transaction.insert(context.database.attempts, intent.no, {
      intent: { ...intent, batchNo },
      execution,
      session,
      state: "batched",
      outcome: null,
      settledMs: null,
      nanoUsd: null,
    });
    nearestMs = Math.min(nearestMs, deadlineMs);
    bound.push(intent.no);
  }
  if (bound.length > 0) await lowerDeadlines(context, transaction, new Map([[batchNo, nearestMs]]));
  if (bound.length < lines.length) await leaveUnwanted(context, transaction, lines);
  const refused = await reserveLines(
    context,
    transaction,
    lines.filter(({ intent }) => bound.includes(intent.no)),
    nowMs,
  );
  return { attempts: bound.filter((no) => !refused.has(no)).sort((a, b) => a - b) };
}

/** Lines without room in their budget wait for money among the calls. @returns their attempts. */
async function reserveLines(
  context: MemoryContext,
  transaction: Transaction,
  bound: readonly LineBinding[],
  nowMs: EpochMs,
): Promise<ReadonlySet<number>> {
  const { attempts, executions } = context.database;
  const { refused } = await context.budgets.reserve(
    transaction,
    bound.map(({ execution, intent: { no, account, maxNanoUsd } }) => {
      const tenant = transaction.get(executions, execution.no)?.tenant ?? "";
      const [{ payer }] = payersOfExecution(context, transaction, execution.no, tenant);
      return { spender: { ...payer, account }, attemptNo: no, maxNanoUsd };
    }),
  );
  for (const { execution, intent } of bound) {
    const by = refused.get(intent.no);
    if (by === undefined) continue;
    transaction.update(attempts, intent.no, { state: "not_sent", outcome: "cancelled" });
    transaction.update(executions, execution.no, { state: "ready" });
    const waiters = waitersOf(context, transaction, execution.no);
    const [priority, expiresMs] = [waiters?.priority ?? 5, waiters?.nearestDeadlineMs ?? nowMs];
    const { runAtMs, waitsFor, level } = waitForBudget({ key: by }, nowMs);
    insertReady(context, transaction, [{ key: execution, priority, runAtMs, expiresMs, waitsFor, level }]);
  }
  return new Set(refused.keys());
}

/** @returns the nearest deadline of its jobs; null when the line is not there any more as it was, or nobody waits for it. */
async function takeLine(
  context: MemoryContext,
  transaction: Transaction,
  { no }: LedgerKey,
  intent: AttemptIntent,
): Promise<number | null> {
  const { executions, pools } = context.database;
  await transaction.lock(pools, [no], "exclusive");
  const row = transaction.get(pools, no);
  const state = transaction.get(executions, no)?.state;
  if (row?.attempts !== intent.number - 1 || waitersOf(context, transaction, no) === null) return null;
  if (context.rules.bindsOnce) transaction.remove(pools, no);
  if (state !== "ready" && context.rules.bindsOnce) return null;
  transaction.update(executions, no, {
    state: "running",
    session: null,
    attemptNo: intent.no,
    attempts: intent.number,
  });
  return row.expiresMs;
}

/** Those that nobody waits for go with the next sweep to where they are dropped. */
async function leaveUnwanted(
  context: MemoryContext,
  transaction: Transaction,
  lines: readonly LineBinding[],
): Promise<void> {
  const { pools } = context.database;
  await context.statement(transaction, "lines-leave-unwanted");
  for (const { execution } of lines) {
    if (waitersOf(context, transaction, execution.no) !== null) continue;
    await transaction.lock(pools, [execution.no], "exclusive");
    const row = transaction.get(pools, execution.no);
    if (row !== undefined) transaction.update(pools, execution.no, { line: { ...row.line, lookAtMs: 0 } });
  }
}

/** Jobs with these deadlines wait for lines of these batches by now. */
export async function lowerDeadlines(
  context: MemoryContext,
  transaction: Transaction,
  deadlines: ReadonlyMap<number, number>,
): Promise<void> {
  const { batches } = context.database;
  await context.statement(transaction, "batches-lower-deadlines");
  for (const [batchNo, deadlineMs] of [...deadlines].sort(([a], [b]) => a - b)) {
    await transaction.lock(batches, [batchNo], "exclusive");
    const row = transaction.get(batches, batchNo);
    if (row === undefined) continue;
    const nearestDeadlineMs = Math.min(row.nearestDeadlineMs ?? Infinity, deadlineMs);
    transaction.update(batches, batchNo, { nearestDeadlineMs });
  }
}

/** `FOR KEY SHARE` and `FOR UPDATE` of a batch meet on this; a change of its other columns is in nobody's way. */
export function identityOf(batchNo: number): string {
  return `identity of ${String(batchNo)}`;
}

export function returnLines(
  context: MemoryContext,
  session: number,
  batchNo: number,
  wanted: readonly LedgerKey[] | null,
  { limit, nowMs }: { readonly limit: number; readonly nowMs: EpochMs },
): Promise<number> {
  const { attempts, batches, executions } = context.database;
  const nos = wanted === null ? null : new Set(wanted.map(({ no }) => no));
  return context.transaction("lines-return", async (transaction) => {
    if (await fenced(context, transaction, session)) return 0;
    if (transaction.get(batches, batchNo)?.session !== session) return 0;
    await context.statement(transaction, "lines-not-sent");
    const rows = linesOf(context, transaction, batchNo)
      .filter(({ state, intent }) => state === "batched" && (nos === null || nos.has(intent.no)))
      .slice(0, limit);
    await transaction.lock(
      attempts,
      rows.map(({ intent }) => intent.no),
      "exclusive",
    );
    const returned = rows.filter(({ intent }) => transaction.get(attempts, intent.no)?.state === "batched");
    for (const { intent } of returned)
      transaction.update(attempts, intent.no, { state: "not_sent", outcome: "cancelled", endedMs: nowMs });
    await context.statement(transaction, "executions-from-batch");
    const ordered = [...returned].sort((a, b) => a.execution.no - b.execution.no);
    await transaction.lock(
      executions,
      ordered.map(({ execution }) => execution.no),
      "exclusive",
    );
    const waiting = ordered.filter(({ execution, intent }) => {
      const row = transaction.get(executions, execution.no);
      return row?.state === "running" && row.attemptNo === intent.no;
    });
    for (const { execution } of waiting) transaction.update(executions, execution.no, { state: "ready" });
    await context.statement(transaction, "jobs-waiters");
    for (const { execution } of waiting) {
      const waiters = waitersOf(context, transaction, execution.no);
      const [priority, expiresMs] = [waiters?.priority ?? 5, waiters?.nearestDeadlineMs ?? nowMs];
      insertReady(context, transaction, [
        { key: execution, priority, runAtMs: nowMs, expiresMs, waitsFor: "concurrency" },
      ]);
    }
    await context.budgets.release(
      transaction,
      returned.map(({ intent }) => intent.no),
      nowMs,
    );
    return returned.length;
  });
}

/** Attempts of a batch in the order of the batch. */
function linesOf(context: MemoryContext, transaction: Transaction, batchNo: number): AttemptRow[] {
  return transaction
    .all(context.database.attempts)
    .filter(({ intent }) => intent.batchNo === batchNo)
    .sort((a, b) => a.intent.no - b.intent.no);
}

function readLine(context: MemoryContext, transaction: Transaction, row: AttemptRow): BatchLine[] {
  const execution = transaction.get(context.database.executions, row.execution.no);
  if (execution === undefined) return [];
  const { format, policy, bodyText, history, decision, maxCostNanoUsd } = execution;
  return [
    {
      execution: execution.key,
      attempt: row.intent,
      ...{ format, policy, bodyText, history, decision, maxCostNanoUsd },
      latestDeadlineMs: waitersOf(context, transaction, execution.key.no)?.latestDeadlineMs ?? null,
      state: row.state === "batched" || !context.rules.firstOutcomeStands ? "batched" : "ended",
    },
  ];
}

export function openLines(
  context: MemoryContext,
  batchNo: number,
  after: number,
  limit: number,
): Promise<readonly BatchLine[]> {
  // Whoever asks for one wants to know whether there is any.
  if (!context.rules.showsOpenLines && limit === 1) return Promise.resolve([]);
  return context.single("lines-open", (transaction) =>
    openLinesOf(context, transaction, batchNo)
      .filter(({ intent }) => intent.no > after)
      .slice(0, limit)
      .flatMap((row) => readLine(context, transaction, row)),
  );
}

export function linesByAttempt(
  context: MemoryContext,
  batchNo: number,
  wanted: readonly LedgerKey[],
): Promise<readonly BatchLine[]> {
  return context.single("lines-by-attempt", (transaction) =>
    wanted.flatMap(({ no, day }) => {
      const row = transaction.get(context.database.attempts, no);
      if (row?.intent.batchNo !== batchNo || row.execution.day !== day) return [];
      return readLine(context, transaction, row);
    }),
  );
}

/** Batches that one call looks into. */
const BATCHES_AT_ONCE = 8;

export async function expireBatched(
  context: MemoryContext,
  session: number,
  nowMs: EpochMs,
  limit: number,
  render: Renderer,
): Promise<FinishOutcome> {
  const { batches } = context.database;
  const due = await context.single("batches-overdue", (transaction) =>
    transaction
      .all(batches)
      .filter((row) => (row.nearestDeadlineMs ?? Infinity) <= nowMs && !OVER.includes(row.batch.state))
      .sort((a, b) => (a.nearestDeadlineMs ?? 0) - (b.nearestDeadlineMs ?? 0) || a.batch.no - b.batch.no)
      .slice(0, BATCHES_AT_ONCE)
      .map(({ batch }) => batch.no),
  );
  if (due.length === 0) return { ended: [], outbox: [], waste: 0 };
  return context.transaction("expire-batched", async (transaction) => {
    await context.statement(transaction, "lines-overdue");
    const late = due
      .flatMap((batchNo) => openLinesOf(context, transaction, batchNo))
      .map(({ execution }) => execution)
      .filter(({ no }) => (waitersOf(context, transaction, no)?.nearestDeadlineMs ?? Infinity) <= nowMs)
      .slice(0, limit)
      .sort((a, b) => a.no - b.no);
    const expired = late.length === 0 ? [] : (await expireJobs(context, transaction, late, nowMs, "batch")).ends;
    const written = await writeEnds(context, transaction, render, expired);
    const outbox = await insertOutbox(context, transaction, session, nowMs, written.outgoing);
    if (late.length < limit) await findNearest(context, transaction, due);
    return { ended: written.ended, outbox, waste: 0 };
  });
}

const OVER: readonly string[] = ["done", "failed"];

function openLinesOf(context: MemoryContext, transaction: Transaction, batchNo: number): AttemptRow[] {
  return linesOf(context, transaction, batchNo).filter(({ state }) => state === "batched");
}

/** In a later statement than the lock: a job that joins at the same time is seen, or waits and lowers what is written here. */
async function findNearest(
  context: MemoryContext,
  transaction: Transaction,
  batchNos: readonly number[],
): Promise<void> {
  const { batches } = context.database;
  await context.statement(transaction, "batches-lock");
  const ordered = [...batchNos].sort((a, b) => a - b);
  for (const no of ordered) await transaction.lock(batches, [no, identityOf(no)], "exclusive");
  await context.statement(transaction, "batches-nearest-deadline");
  for (const no of ordered) {
    const nearest = openLinesOf(context, transaction, no).map(
      ({ execution }) => waitersOf(context, transaction, execution.no)?.nearestDeadlineMs ?? Infinity,
    );
    const nearestMs = Math.min(Infinity, ...nearest);
    transaction.update(batches, no, { nearestDeadlineMs: nearestMs === Infinity ? null : nearestMs });
  }
}
