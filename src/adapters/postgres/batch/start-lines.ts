import type pg from "pg";
import type { LineCounts } from "../../../domain/batch/life-group.js";
import type { SessionNo } from "../../../domain/ids.js";
import type { LineStart } from "../../../ports/batch-ledger.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { lockExecutions } from "../waiters.js";

/**
 * The transaction that makes lines of a group calls of a session. An attempt gets a new number with it: a session's mark, below which none
 * of its attempts is open, holds for the numbers that it took itself, and the recovery reads no further.
 */
export async function startLines(
  context: LedgerContext,
  session: SessionNo,
  batchNo: number,
  starts: readonly LineStart[],
): Promise<ReadonlySet<number>> {
  if (starts.length === 0) return new Set();
  const ordered = [...starts].sort((a, b) => a.execution.no - b.execution.no);
  return transaction(
    context.pools.durable,
    (client) => startInTransaction(client, { session, batchNo, starts: ordered }),
    () => startedBefore(context, ordered),
  );
}

/** The living session that holds the batch, whose row is held until the end. */
const HELD = `SELECT 1 FROM routers s JOIN batches b ON b.session_no = s.session_no
  WHERE s.session_no = $1 AND s.ended_at IS NULL AND b.no = $2 AND b.state = 'submitted' FOR KEY SHARE OF s`;

interface LinesToStart {
  readonly session: SessionNo;
  readonly batchNo: number;
  readonly starts: readonly LineStart[];
}

async function startInTransaction(
  client: pg.PoolClient,
  { session, batchNo, starts }: LinesToStart,
): Promise<ReadonlySet<number>> {
  const held = await run(client, "group-hold", HELD, [session, batchNo]);
  if (held.length === 0) return new Set();
  await lockExecutions(
    client,
    starts.map(({ execution }) => execution),
  );
  const rows = await run(
    client,
    "lines-start",
    `WITH taken AS (
       UPDATE attempts a SET no = u.intent, state = 'sending', session_no = $1, started_ms = u.started
       FROM unnest($3::int8[], $4::int4[], $5::int8[], $6::int8[], $7::int8[]) AS u(execution, day, line, intent, started)
         JOIN executions e ON e.no = u.execution AND e.day = u.day
       WHERE a.no = u.line AND a.day = u.day AND a.batch_no + 0 = $2 AND a.state = 'batched' AND e.state = 'running' AND e.attempt_no = u.line
       RETURNING u.*),
     held AS (
       UPDATE executions e SET session_no = $1, attempt_no = t.intent FROM taken t WHERE e.no = t.execution AND e.day = t.day)
     SELECT intent FROM taken`,
    [
      session,
      batchNo,
      int8Array(starts.map(({ execution }) => execution.no)),
      int4Array(starts.map(({ execution }) => execution.day)),
      int8Array(starts.map(({ lineNo }) => lineNo)),
      int8Array(starts.map(({ intent }) => intent.no)),
      int8Array(starts.map(({ intent }) => intent.startedAtMs)),
    ],
  );
  return new Set(rows.map(([no]) => Number(no)));
}

/** After a COMMIT without an answer: the attempts are there under their new numbers exactly when it stands. Null: it does not. */
async function startedBefore(
  context: LedgerContext,
  starts: readonly LineStart[],
): Promise<ReadonlySet<number> | null> {
  const rows = await run(
    context.pools.durable,
    "lines-started",
    "SELECT a.no FROM unnest($1::int8[], $2::int4[]) AS u(no, day) JOIN attempts a ON a.no = u.no AND a.day = u.day",
    [int8Array(starts.map(({ intent }) => intent.no)), int4Array(starts.map(({ execution }) => execution.day))],
  );
  return rows.length === 0 ? null : new Set(rows.map(([no]) => Number(no)));
}

export async function lineCounts(context: LedgerContext, batchNo: number): Promise<LineCounts> {
  const rows = await run(
    context.pools.durable,
    "batch-line-counts",
    "SELECT state, outcome, count(*) FROM attempts WHERE batch_no = $1 GROUP BY state, outcome ORDER BY state, outcome",
    [batchNo],
  );
  let open = 0;
  const outcomes: Record<string, number> = {};
  for (const [state, outcome, count] of rows) {
    if (state === "batched" || state === "sending" || state === "in_doubt") open += Number(count);
    else {
      const name = state === "not_sent" ? "not_sent" : state === "settled" ? "in_doubt" : (outcome ?? "unclassified");
      outcomes[name] = (outcomes[name] ?? 0) + Number(count);
    }
  }
  return { open, outcomes };
}
