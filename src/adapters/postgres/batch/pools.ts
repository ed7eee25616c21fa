import type { QueuedLine } from "../../../domain/batch/queued-line.js";
import type { BatchWay } from "../../../domain/batch/batch-rules.js";
import type { EpochMs, SessionNo } from "../../../domain/ids.js";
import type { RequestFormat } from "../../../domain/job/job.js";
import type { ProviderKind } from "../../../domain/route/route.js";
import type { PoolLoad, WaitingLine } from "../../../ports/batch-ledger.js";
import { run } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { LIVING_SESSION } from "./batch-rows.js";

/** Rows of the pools whose time is over move to the queue of calls, in one statement. */
export async function sweepPools(
  context: LedgerContext,
  session: SessionNo,
  nowMs: EpochMs,
  limit: number,
): Promise<number> {
  const rows = await run(
    context.pools.durable,
    "pools-sweep",
    `WITH fence AS MATERIALIZED (${LIVING_SESSION}),
     over AS (
       DELETE FROM batch_ready r USING (
         SELECT no FROM batch_ready WHERE least(look_at_ms, expires_ms) <= $2 AND EXISTS (SELECT 1 FROM fence)
         ORDER BY least(look_at_ms, expires_ms) LIMIT $3 FOR UPDATE SKIP LOCKED) q
       WHERE r.no = q.no RETURNING r.no, r.day, r.priority, r.expires_ms, r.bytes, r.tenant_no),
     moved AS (
       INSERT INTO ready (no, day, priority, run_at_ms, expires_ms, bytes, waits_for, tenant_no)
       SELECT no, day, priority, $2, expires_ms, bytes, 'concurrency', tenant_no FROM over RETURNING 1)
     SELECT count(*) FROM moved`,
    [session, nowMs, limit],
  );
  return Number(rows[0]?.[0]);
}

export async function pools(context: LedgerContext): Promise<readonly PoolLoad[]> {
  const rows = await run(
    context.pools.durable,
    "pools-load",
    `SELECT pool, count(*), sum(line_bytes + 1), sum(line_tokens), min(added_ms), min(look_at_ms) FROM batch_ready GROUP BY pool
     ORDER BY min(added_ms), pool`,
    [],
  );
  return rows.map(([pool, lines, bytes, tokens, oldest, nearest]) => ({
    pool: pool ?? "",
    lines: Number(lines),
    bytes: Number(bytes),
    tokens: Number(tokens),
    oldestAtMs: Number(oldest),
    nearestLookAtMs: Number(nearest),
  }));
}

/** Each tenant's lines are numbered by their deadlines; the first of each tenant come first, then the second ones, and so on. */
export async function waitingLines(
  context: LedgerContext,
  pool: string,
  limit: number,
): Promise<readonly WaitingLine[]> {
  await context.tenants.ensure([]);
  const rows = await run(
    context.pools.durable,
    "pool-lines",
    `SELECT no, day, tenant_no, added_ms, attempts, account, provider, model, route_index, way, line_format, line_bytes, line_tokens,
       embedding_inputs, prefix, max_nano, look_at_ms
     FROM (SELECT *, row_number() OVER (PARTITION BY tenant_no ORDER BY expires_ms, no) AS turn FROM batch_ready WHERE pool = $1) q
     ORDER BY turn, expires_ms, no LIMIT $2`,
    [pool, limit],
  );
  return rows.map(([no, day, tenantNo, addedMs, attempts, ...line]) => ({
    execution: { no: Number(no), day: Number(day) },
    tenant: context.tenants.nameOf(Number(tenantNo)),
    line: readLine(line),
    addedAtMs: Number(addedMs),
    attempts: Number(attempts),
  }));
}

function readLine(row: readonly (string | null)[]): QueuedLine {
  const [account, provider, model, routeIndex, way, lineFormat, bytes, tokens, inputs, prefix, maxNano, lookAt] = row;
  return {
    account: account ?? "",
    provider: provider as ProviderKind, // all of these are written from a QueuedLine
    model: model ?? "",
    routeIndex: Number(routeIndex),
    way: way as BatchWay,
    lineFormat: lineFormat as RequestFormat,
    bytes: Number(bytes),
    tokens: Number(tokens),
    embeddingInputs: Number(inputs),
    prefix: Number(prefix),
    maxNanoUsd: BigInt(maxNano ?? 0),
    lookAtMs: Number(lookAt),
  };
}
