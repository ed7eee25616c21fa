import type pg from "pg";
import { batchId, type Batch } from "../../../domain/batch/batch.js";
import { cancelMeaning, type CancelMeaning } from "../../../domain/batch/progress.js";
import { NO_SUBJECT } from "../../../domain/event/event.js";
import { operatorEvent, type OperatorAction } from "../../../domain/event/operator-event.js";
import type { SessionNo } from "../../../domain/ids.js";
import type { Renderer } from "../../../domain/result/outgoing.js";
import { run, transaction } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";
import { readBatchRow, BATCH_COLUMNS } from "./batch-rows.js";

export interface BatchCancel {
  readonly batchNo: number;
  readonly session: SessionNo;
  readonly action: OperatorAction;
}

/**
 * Writes down that a batch is to stop, and makes it due: whichever router works on it reads that at its next look, since the version that it
 * knew no longer counts. Doing it again, or once the batch has ended, changes nothing.
 * @returns what it meant when it was asked; null: there is no such batch.
 */
export async function askBatchCancel(
  context: LedgerContext,
  cancel: BatchCancel,
  render: Renderer,
): Promise<CancelMeaning | null> {
  await context.numbers.reserve(8);
  return transaction(context.pools.durable, async (client) => {
    const found = await lockBatch(client, cancel.batchNo);
    if (found === null) return null;
    const { batch, nowMs } = found;
    const meaning = cancelMeaning(batch);
    if (meaning === "over" || meaning === "asked") return meaning;
    await markAsked(client, batch, nowMs);
    const id = batchId(batch.no);
    const event = operatorEvent(
      "operator.cancelled",
      cancel.action,
      `asked for the end of batch ${id} at ${batch.account}`,
      NO_SUBJECT,
      { state: batch.state, lines: String(batch.lines) },
    );
    const placed = { ...event, batchId: id, provider: batch.provider, account: batch.account };
    insertOutbox(client, context.numbers, cancel.session, cancel.action.atMs, [
      render.event(placed, context.numbers.next(), context.today()),
    ]);
    context.reach("batch_cancel.before_commit");
    return meaning;
  });
}

/** The time is the database's, like those that it is compared with. */
async function lockBatch(
  client: pg.PoolClient,
  no: number,
): Promise<{ readonly batch: Batch; readonly nowMs: number } | null> {
  const [row] = await run(
    client,
    "batch-lock",
    `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8, ${BATCH_COLUMNS} FROM batches b WHERE b.no = $1 FOR UPDATE`,
    [no],
  );
  return row === undefined ? null : { batch: readBatchRow(row.slice(1)).batch, nowMs: Number(row[0]) };
}

async function markAsked(client: pg.PoolClient, batch: Batch, nowMs: number): Promise<void> {
  const asked = {
    ...batch,
    version: batch.version + 1,
    cancelAskedAtMs: nowMs,
    nextAtMs: Math.min(batch.nextAtMs ?? nowMs, nowMs),
  };
  await run(client, "batch-ask-cancel", "UPDATE batches SET version = $2, next_at_ms = $3, facts = $4 WHERE no = $1", [
    batch.no,
    asked.version,
    asked.nextAtMs,
    JSON.stringify(asked),
  ]);
}
