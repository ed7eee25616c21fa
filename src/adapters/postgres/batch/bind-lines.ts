import type pg from "pg";
import type { EpochMs, LedgerKey, SessionNo } from "../../../domain/ids.js";
import type { BoundLines, LineBinding } from "../../../ports/batch-ledger.js";
import { reserveLines, type BoundAttempt } from "../budget/reserve-lines.js";
import { int4Array, int8Array, textArray } from "../binary-array.js";
import { run, send, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { lockExecutions, waiterDays } from "../waiters.js";
import { lowerDeadlines } from "./line-batches.js";

/**
 * The transaction that makes waiting executions the lines of a batch. Order of locks, as in intake: own session, executions in key order,
 * rows of the pool, batch, budgets. Two routers that bind the same line meet on its row in the pool, which only one of them deletes.
 */
export async function bindLines(
  context: LedgerContext,
  session: SessionNo,
  batchNo: number,
  lines: readonly LineBinding[],
  nowMs: EpochMs,
): Promise<BoundLines> {
  if (lines.length === 0) return { attempts: [] };
  const ordered = [...lines].sort((a, b) => a.execution.no - b.execution.no);
  return transaction(
    context.pools.durable,
    (client) => bindInTransaction(client, context, { session, batchNo, nowMs }, ordered),
    () => boundBefore(context, batchNo, ordered),
    context.commitPoints(["batch.bind_before_commit", "batch.bind_commit_sent"]),
  );
}

interface Binding {
  readonly session: SessionNo;
  readonly batchNo: number;
  readonly nowMs: EpochMs;
}

async function bindInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  binding: Binding,
  lines: readonly LineBinding[],
): Promise<BoundLines> {
  const keys = lines.map(({ execution }) => execution);
  const [held, , bound] = await Promise.all([
    holdBuilding(client, binding),
    lockExecutions(client, keys),
    takeAndStart(client, context, binding, lines),
  ]);
  if (!held) return { attempts: [] };
  const nearest = bound.reduce((least, { deadlineMs }) => Math.min(least, deadlineMs), Infinity);
  if (bound.length > 0) lowerDeadlines(client, [{ batchNo: binding.batchNo, deadlineMs: nearest }]);
  if (bound.length < lines.length) leaveUnwanted(client, context, keys);
  const refused = await reserveLines(client, context, bound, binding.nowMs);
  const attempts = bound.map(({ attemptNo }) => attemptNo).filter((no) => !refused.has(no));
  return { attempts: attempts.sort((a, b) => a - b) };
}

/** Both statements see it so: while the session lives nobody else may claim its batch. */
const HELD_BUILDING = `SELECT 1 FROM routers s JOIN batches b ON b.session_no = s.session_no
  WHERE s.session_no = $1 AND s.ended_at IS NULL AND b.no = $2 AND b.state = 'building' FOR KEY SHARE OF s`;

async function holdBuilding(client: pg.PoolClient, { session, batchNo }: Binding): Promise<boolean> {
  const rows = await run(client, "batch-hold-building", HELD_BUILDING, [session, batchNo]);
  return rows.length === 1;
}

interface Bound extends BoundAttempt {
  /** The nearest of its jobs. */
  readonly deadlineMs: EpochMs;
}

/**
 * One statement that does all for the lines that are still there, as they were when they were looked at, and that a job waits for. It goes
 * out behind the one that locks the executions, without waiting for that.
 */
async function takeAndStart(
  client: pg.PoolClient,
  context: LedgerContext,
  { session, batchNo }: Binding,
  lines: readonly LineBinding[],
): Promise<readonly Bound[]> {
  const keys = lines.map(({ execution }) => execution);
  const rows = await run(
    client,
    "lines-bind",
    `WITH held AS MATERIALIZED (${HELD_BUILDING}),
     taken AS (
       DELETE FROM batch_ready r
       USING unnest($3::int8[], $4::int4[], $5::int8[], $6::int4[], $7::text[], $8::text[], $9::text[], $10::int4[], $11::int8[], $12::int8[])
         AS u(no, day, attempt, number, account, provider, model, route, max_nano, started)
       WHERE r.no = u.no AND r.attempts = u.number - 1 AND EXISTS (SELECT 1 FROM held)
         AND EXISTS (SELECT 1 FROM jobs j WHERE j.execution_no = u.no AND j.day BETWEEN $13 AND $14 AND j.state = 'active')
       RETURNING u.*, r.expires_ms),
     started AS (
       UPDATE executions e SET state = 'running', session_no = NULL, attempt_no = t.attempt, attempts = t.number
       FROM taken t WHERE e.no = t.no AND e.day = t.day AND e.state = 'ready' RETURNING t.*, e.tenant_no),
     bound AS (
       INSERT INTO attempts (day, no, execution_no, number, session_no, state, batch_no, account, provider, model, route_index, max_nano, started_ms)
       SELECT day, attempt, no, number, $1, 'batched', $2, account, provider, model, route, max_nano, started FROM started)
     SELECT attempt, expires_ms, no, day, tenant_no, max_nano, account FROM started`,
    [
      session,
      batchNo,
      int8Array(keys.map(({ no }) => no)),
      int4Array(keys.map(({ day }) => day)),
      int8Array(lines.map(({ intent }) => intent.no)),
      int4Array(lines.map(({ intent }) => intent.number)),
      textArray(lines.map(({ intent }) => intent.account)),
      textArray(lines.map(({ intent }) => intent.provider)),
      textArray(lines.map(({ intent }) => intent.model)),
      int4Array(lines.map(({ intent }) => intent.routeIndex)),
      int8Array(lines.map(({ intent }) => intent.maxNanoUsd)),
      int8Array(lines.map(({ intent }) => intent.startedAtMs)),
      ...waiterDays(context, keys),
    ],
  );
  return rows.map(([attemptNo, deadlineMs, no, day, tenantNo, maxNano, account]) => ({
    account: account ?? "",
    attemptNo: Number(attemptNo),
    deadlineMs: Number(deadlineMs),
    execution: { no: Number(no), day: Number(day) },
    tenantNo: Number(tenantNo),
    maxNanoUsd: BigInt(maxNano ?? 0),
  }));
}

/** Those that nobody waits for go with the next sweep to where they are dropped. */
function leaveUnwanted(client: pg.PoolClient, context: LedgerContext, keys: readonly LedgerKey[]): void {
  send(
    client,
    "lines-leave-unwanted",
    `UPDATE batch_ready r SET look_at_ms = 0 FROM unnest($1::int8[]) AS u(no)
     WHERE r.no = u.no
       AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.execution_no = u.no AND j.day BETWEEN $2 AND $3 AND j.state = 'active')`,
    [int8Array(keys.map(({ no }) => no)), ...waiterDays(context, keys)],
  );
}

/** After a COMMIT without an answer: what of these is in the batch. Null: nothing, so doing it again does no harm. */
async function boundBefore(
  context: LedgerContext,
  batchNo: number,
  lines: readonly LineBinding[],
): Promise<BoundLines | null> {
  const rows = await run(
    context.pools.durable,
    "lines-bound",
    `SELECT a.no FROM unnest($1::int8[], $2::int4[]) AS u(no, day) JOIN attempts a ON a.no = u.no AND a.day = u.day
     WHERE a.batch_no + 0 = $3 AND a.state <> 'not_sent' ORDER BY a.no + 0`,
    [int8Array(lines.map(({ intent }) => intent.no)), int4Array(lines.map(({ execution }) => execution.day)), batchNo],
  );
  return rows.length === 0 ? null : { attempts: rows.map(([no]) => Number(no)) };
}
