import type pg from "pg";
import type { Batch } from "../../../domain/batch/batch.js";
import type { EpochMs, SessionNo } from "../../../domain/ids.js";
import type { BatchChange } from "../../../ports/batch-ledger.js";
import { reserveAgain } from "../budget/reserve-again.js";
import { run, send, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { BATCH_COLUMNS, factsOf, LIVING_SESSION, readBatch } from "./batch-rows.js";

/** Not its version: a session that takes a batch over has to have seen the last change of the one before, and nobody else may save it. */
export async function claimBatches(
  context: LedgerContext,
  session: SessionNo,
  nowMs: EpochMs,
  limit: number,
): Promise<readonly Batch[]> {
  const rows = await run(
    context.pools.durable,
    "batches-claim",
    `WITH fence AS MATERIALIZED (${LIVING_SESSION})
     UPDATE batches b SET session_no = $1 FROM (
       SELECT q.no FROM batches q
       WHERE q.next_at_ms IS NOT NULL AND q.next_at_ms <= $2 AND EXISTS (SELECT 1 FROM fence) AND (q.session_no IS NULL OR q.session_no = $1
         OR NOT EXISTS (SELECT 1 FROM routers r WHERE r.session_no = q.session_no AND r.ended_at IS NULL))
       ORDER BY q.next_at_ms LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) due
     WHERE b.no = due.no RETURNING ${BATCH_COLUMNS}`,
    [session, nowMs, limit],
  );
  return rows.map(readBatch).sort((a, b) => (a.nextAtMs ?? 0) - (b.nextAtMs ?? 0) || a.no - b.no);
}

/** Whoever clears away its files is second then, and leaves it. */
export async function takeFailed(context: LedgerContext, session: SessionNo, batchNo: number): Promise<Batch | null> {
  const [row] = await run(
    context.pools.durable,
    "batch-take-failed",
    `WITH fence AS MATERIALIZED (${LIVING_SESSION})
     UPDATE batches b SET session_no = $1 WHERE b.no = $2 AND b.state = 'failed' AND b.facts::json ->> 'doneAtMs' IS NOT NULL
       AND EXISTS (SELECT 1 FROM fence) RETURNING ${BATCH_COLUMNS}`,
    [session, batchNo],
  );
  return row === undefined ? null : readBatch(row);
}

export async function saveBatch(
  context: LedgerContext,
  session: SessionNo,
  batch: Batch,
  also: BatchChange,
): Promise<Batch | null> {
  const next = { ...batch, version: batch.version + 1 };
  return transaction(
    context.pools.durable,
    async (client) => {
      if (!(await writeBatch(client, session, next))) return null;
      writeCreate(client, next, also.create);
      if (also.linesOut === true) await takeLinesBack(client, next);
      return next;
    },
    async (saved) => (saved === null ? null : isSaved(context, saved)),
    context.commitPoints(["batch.save_before_commit", "batch.save_commit_sent"], (saved) => saved !== null),
  );
}

/** The columns are what the batch says; they are there to be asked for. */
async function writeBatch(client: pg.PoolClient, session: SessionNo, next: Batch): Promise<boolean> {
  const rows = await run(
    client,
    "batch-save",
    `WITH fence AS MATERIALIZED (${LIVING_SESSION})
     UPDATE batches SET version = $3, state = $4, lines = $5, tokens = $6, submitted_ms = $7, expected_ms = $8, ended_ms = $9, next_at_ms = $10,
       provider_batch_id = $11, facts = $12
     WHERE no = $2 AND version = $3 - 1 AND session_no = $1 AND EXISTS (SELECT 1 FROM fence) RETURNING 1`,
    [
      session,
      next.no,
      next.version,
      next.state,
      next.lines,
      next.tokens,
      next.submittedAtMs,
      next.expectedAtMs,
      next.endedAtMs,
      next.nextAtMs,
      next.providerBatchId,
      factsOf(next),
    ],
  );
  return rows.length === 1;
}

function writeCreate(client: pg.PoolClient, batch: Batch, create: BatchChange["create"]): void {
  if (create === undefined) return;
  if (create.kind === "intent")
    send(
      client,
      "batch-create-intent",
      `INSERT INTO batch_creates (batch_no, number, account, mark, file_id, lines, intent_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [batch.no, batch.creates, batch.account, create.mark, create.fileId, batch.lines, batch.createAtMs],
    );
  else
    send(
      client,
      "batch-create-settled",
      "UPDATE batch_creates SET settled = $3, provider_batch_id = $4 WHERE batch_no = $1 AND number = $2",
      [batch.no, batch.creates, create.as, create.as === "created" ? batch.providerBatchId : null],
    );
}

/** Not those that were left out before its seal. */
async function takeLinesBack(client: pg.PoolClient, { no, sealedAtMs }: Batch): Promise<void> {
  const rows = await run(
    client,
    "lines-out-again",
    `WITH out AS (
       UPDATE attempts SET state = 'batched', outcome = NULL, ended_ms = NULL, reserved_in = counted_in, counted_in = NULL
       WHERE batch_no = $1 AND state = 'not_sent' AND ended_ms > $2 RETURNING reserved_in, max_nano)
     SELECT u.budget, sum(o.max_nano) FROM out o CROSS JOIN LATERAL unnest(o.reserved_in) AS u(budget) GROUP BY u.budget`,
    [no, sealedAtMs],
  );
  reserveAgain(
    client,
    rows.map(([budget, nano]) => ({ no: Number(budget), nanoUsd: BigInt(nano ?? 0) })),
  );
}

/** After a COMMIT without an answer. Another one can't have made this version: only this session may, and it does one thing after another. */
async function isSaved(context: LedgerContext, saved: Batch): Promise<Batch | null> {
  const [row] = await run(
    context.pools.durable,
    "batch-saved",
    "SELECT 1 FROM batches WHERE no = $1 AND version = $2 AND facts = $3",
    [saved.no, saved.version, factsOf(saved)],
  );
  return row === undefined ? null : saved;
}
