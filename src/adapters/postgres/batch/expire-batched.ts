import type pg from "pg";
import type { EpochMs, LedgerKey, SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import type { FinishOutcome } from "../../../ports/ledger.js";
import { int8Array } from "../binary-array.js";
import { run, transaction } from "../connection.js";
import { writeEnds } from "../ending.js";
import { expireJobs } from "../expire.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";

/** Batches that one call looks into. */
const BATCHES_AT_ONCE = 8;

/**
 * The transaction that ends jobs while their lines are out. A batch keeps the nearest deadline of all of them, so that one row a batch is
 * asked as long as nobody's has come; it is worked out anew when no line is left whose deadline has passed.
 */
export async function expireBatched(
  context: LedgerContext,
  session: SessionNo,
  nowMs: EpochMs,
  limit: number,
  render: Renderer,
): Promise<FinishOutcome> {
  const batches = await dueBatches(context, nowMs);
  if (batches.length === 0) return { ended: [], outbox: [], waste: 0 };
  await context.tenants.ensure([]);
  await context.numbers.reserve(limit * 3 + 64);
  return transaction(
    context.pools.durable,
    async (client) => {
      const lines = await overdueLines(client, context, batches, nowMs, limit);
      const expired = lines.length === 0 ? [] : (await expireJobs(client, context, lines, nowMs, "batch")).ends;
      const written = await writeEnds(client, context, render, expired);
      const outbox = insertOutbox(client, context.numbers, session, nowMs, written.outgoing);
      if (lines.length < limit) await findNearest(client, context, batches);
      return { ended: written.ended, outbox, waste: 0 };
    },
    // If it stands, doing it again finds no such job, and the sweep publishes.
    () => Promise.resolve(null),
  );
}

async function dueBatches(context: LedgerContext, nowMs: EpochMs): Promise<readonly number[]> {
  const rows = await run(
    context.pools.durable,
    "batches-overdue",
    `SELECT no FROM batches WHERE nearest_deadline_ms <= $1 AND state NOT IN ('done', 'failed')
     ORDER BY nearest_deadline_ms, no LIMIT ${String(BATCHES_AT_ONCE)}`,
    [nowMs],
  );
  return rows.map(([no]) => Number(no));
}

/** Executions of lines without an outcome for which a job waits whose deadline has passed, in key order. */
async function overdueLines(
  client: pg.PoolClient,
  context: LedgerContext,
  batches: readonly number[],
  nowMs: EpochMs,
  limit: number,
): Promise<readonly LedgerKey[]> {
  const rows = await run(
    client,
    "lines-overdue",
    `SELECT a.execution_no, a.day FROM attempts a
     WHERE a.batch_no = ANY ($1::int8[]) AND a.state = 'batched' AND EXISTS (
       SELECT 1 FROM jobs j WHERE j.execution_no = a.execution_no AND j.day BETWEEN a.day AND $2 AND j.state = 'active' AND j.deadline_ms <= $3)
     LIMIT $4`,
    [int8Array(batches), context.today() + 1, nowMs, limit],
  );
  return rows.map(([no, day]) => ({ no: Number(no), day: Number(day) })).sort((a, b) => a.no - b.no);
}

/**
 * `FOR UPDATE`, and the deadlines in a later statement: a job that joins a line at the same time holds its batch `FOR KEY SHARE`, so it is
 * seen here, or waits and lowers what is written here.
 */
async function findNearest(client: pg.PoolClient, context: LedgerContext, batches: readonly number[]): Promise<void> {
  await run(client, "batches-lock", "SELECT 1 FROM batches WHERE no = ANY ($1::int8[]) ORDER BY no + 0 FOR UPDATE", [
    int8Array(batches),
  ]);
  await run(
    client,
    "batches-nearest-deadline",
    `UPDATE batches b SET nearest_deadline_ms = (
       SELECT min(w.nearest) FROM attempts a
       JOIN LATERAL (SELECT min(j.deadline_ms) AS nearest FROM jobs j
                     WHERE j.execution_no = a.execution_no AND j.day BETWEEN a.day AND $2 AND j.state = 'active') w ON true
       WHERE a.batch_no = b.no AND a.state = 'batched')
     WHERE b.no = ANY ($1::int8[])`,
    [int8Array(batches), context.today() + 1],
  );
}
