import type pg from "pg";
import type { EpochMs, LedgerKey, SessionNo } from "../../../domain/ids.js";
import { ENDED_COLUMNS, readEnded, RESERVATION_ENDS, type EndedAttempt } from "../budget/ended-attempt.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertReady } from "../ready-rows.js";
import { lockExecutions, waitersOf } from "../waiters.js";

/** What is given back, of which batch. */
export interface LinesToReturn {
  readonly session: SessionNo;
  readonly batchNo: number;
  /** Null: whatever is left, at most `limit`. */
  readonly attempts: readonly LedgerKey[] | null;
  readonly limit: number;
  readonly nowMs: EpochMs;
}

/** The transaction that gives lines back which never ran: nothing can have been billed. */
export async function returnLines(context: LedgerContext, returned: LinesToReturn): Promise<number> {
  if (returned.attempts?.length === 0) return 0;
  return transaction(
    context.pools.durable,
    (client) => returnInTransaction(client, context, returned),
    // If it stands, doing it again finds none of them; the count is for people.
    () => Promise.resolve(null),
  );
}

/** Fifteen and the new one; null goes for an empty list. */
const KEPT_RETURNED = "e.returned[greatest(1, cardinality(e.returned) - 14):]";

async function returnInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  returned: LinesToReturn,
): Promise<number> {
  const notSent = await endAttempts(client, returned);
  if (notSent.length === 0) return 0;
  // Whoever leaves an execution to a line that it believes to be out has done so by then, or waits and sees that the line is not.
  await lockExecutions(
    client,
    notSent.map(({ execution }) => execution),
  );
  const rows = await run(
    client,
    "executions-from-batch",
    `UPDATE executions e SET state = 'ready', returned = array_append(${KEPT_RETURNED}, u.attempt)
     FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS u(no, day, attempt)
     WHERE e.no = u.no AND e.day = u.day AND e.state = 'running' AND e.attempt_no = u.attempt RETURNING e.no, e.day`,
    [
      int8Array(notSent.map(({ execution }) => execution.no)),
      int4Array(notSent.map(({ execution }) => execution.day)),
      int8Array(notSent.map(({ attemptNo }) => attemptNo)),
    ],
  );
  const executions = rows.map(([no, day]) => ({ no: Number(no), day: Number(day) }));
  // Later than the change of the executions, as in finish: a job that joins is seen, or finds them waiting.
  const waiters = await waitersOf(client, context, executions);
  insertReady(
    client,
    executions.map((key) => ({
      ...key,
      priority: waiters.get(key.no)?.priority ?? 5,
      runAtMs: returned.nowMs,
      expiresMs: waiters.get(key.no)?.nearestDeadlineMs ?? returned.nowMs,
      waitsFor: "concurrency",
      bytes: null,
    })),
  );
  await context.budgets.release(
    client,
    notSent.map(({ held }) => held),
    returned.nowMs,
  );
  return notSent.length;
}

interface NotSent {
  readonly attemptNo: number;
  readonly execution: LedgerKey;
  readonly held: EndedAttempt;
}

/** Only for the living session that holds the batch. */
const HELD = `WITH held AS MATERIALIZED (
    SELECT 1 FROM routers s JOIN batches b ON b.session_no = s.session_no
    WHERE s.session_no = $1 AND s.ended_at IS NULL AND b.no = $2 FOR KEY SHARE OF s)`;

/** Named ones by their own keys: the index of the batch would be walked for each. */
const CHOSEN = {
  named: `SELECT a.no, a.day FROM unnest($4::int8[], $5::int4[]) AS k(no, day) JOIN attempts a ON a.no = k.no AND a.day = k.day
    WHERE a.batch_no + 0 = $2 AND a.state = 'batched' AND EXISTS (SELECT 1 FROM held) ORDER BY a.execution_no + 0`,
  all: `SELECT a.no, a.day FROM attempts a
    WHERE a.batch_no = $2 AND a.state = 'batched' AND EXISTS (SELECT 1 FROM held) ORDER BY a.no LIMIT $4`,
} as const;

/** @returns them in the order of their executions, in which rows are locked. */
async function endAttempts(
  client: pg.PoolClient,
  { session, batchNo, attempts, limit, nowMs }: LinesToReturn,
): Promise<readonly NotSent[]> {
  const which = attempts === null ? "all" : "named";
  const chosen =
    attempts === null ? [limit] : [int8Array(attempts.map(({ no }) => no)), int4Array(attempts.map(({ day }) => day))];
  const rows = await run(
    client,
    `lines-not-sent-${which}`,
    `${HELD}
     UPDATE attempts a SET state = 'not_sent', outcome = 'cancelled', ended_ms = $3, counted_in = a.reserved_in, ${RESERVATION_ENDS} FROM (${CHOSEN[which]}) c
     WHERE a.no = c.no AND a.day = c.day AND a.state = 'batched' RETURNING a.no, a.execution_no, a.day, ${ENDED_COLUMNS}`,
    [session, batchNo, nowMs, ...chosen],
  );
  return rows
    .map(([no, executionNo, day, reservedIn, heldNano]) => ({
      attemptNo: Number(no),
      held: readEnded(reservedIn, heldNano),
      execution: { no: Number(executionNo), day: Number(day) },
    }))
    .sort((a, b) => a.execution.no - b.execution.no);
}
