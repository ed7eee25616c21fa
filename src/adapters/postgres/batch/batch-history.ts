import type { EpochMs } from "../../../domain/ids.js";
import type { BatchState } from "../../../domain/batch/batch.js";
import type { BatchLoad, StoredCreate, Turnaround } from "../../../ports/batch-ledger.js";
import { run } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";

/** One that was asked to stop says nothing about how long batches take. */
export async function turnarounds(
  context: LedgerContext,
  sinceMs: EpochMs,
  limit: number,
): Promise<readonly Turnaround[]> {
  const rows = await run(
    context.pools.durable,
    "batches-turnarounds",
    `SELECT account, model, lines, ended_ms - submitted_ms, ended_ms FROM batches
     WHERE ended_ms >= $1 AND submitted_ms IS NOT NULL AND facts::json->>'cancelAskedAtMs' IS NULL ORDER BY ended_ms DESC, no LIMIT $2`,
    [sinceMs, limit],
  );
  return rows.map(([account, model, lines, ms, endedAtMs]) => ({
    account: account ?? "",
    model: model ?? null,
    lines: Number(lines),
    ms: Number(ms),
    endedAtMs: Number(endedAtMs),
  }));
}

export async function batchLoads(context: LedgerContext): Promise<readonly BatchLoad[]> {
  const rows = await run(
    context.pools.durable,
    "batches-loads",
    `SELECT account, state, count(*), sum(lines), sum(tokens) FROM batches WHERE state NOT IN ('done', 'failed')
     GROUP BY account, state ORDER BY account, state`,
    [],
  );
  return rows.map(([account, state, batches, lines, tokens]) => ({
    account: account ?? "",
    state: state as BatchState, // the table's CHECK holds the same list
    batches: Number(batches),
    lines: Number(lines),
    tokens: Number(tokens),
  }));
}

export async function creates(
  context: LedgerContext,
  account: string,
  sinceMs: EpochMs,
): Promise<readonly StoredCreate[]> {
  const rows = await run(
    context.pools.durable,
    "batch-creates",
    `SELECT batch_no, number, mark, file_id, lines, intent_ms, settled, provider_batch_id FROM batch_creates
     WHERE account = $1 AND intent_ms >= $2 ORDER BY intent_ms DESC, batch_no DESC, number DESC`,
    [account, sinceMs],
  );
  return rows.map(([batchNo, number, mark, fileId, lines, intentAtMs, settled, providerBatchId]) => ({
    batchNo: Number(batchNo),
    number: Number(number),
    mark: mark ?? "",
    fileId: fileId ?? null,
    lines: Number(lines),
    intentAtMs: Number(intentAtMs),
    settled: (settled ?? null) as StoredCreate["settled"], // the table's CHECK holds the same list
    providerBatchId: providerBatchId ?? null,
  }));
}
