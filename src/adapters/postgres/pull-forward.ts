import type pg from "pg";
import type { EpochMs } from "../../domain/ids.js";
import type { JobMode } from "../../domain/job/job.js";
import { lowerDeadlines } from "./batch/line-batches.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run, send } from "./connection.js";
import type { Found } from "./found-executions.js";

/** A job that joins an execution, locked for that, and what it brings. */
export interface Joined {
  readonly found: Pick<Found, "key" | "row" | "batch" | "batchable">;
  readonly priority: number;
  readonly deadlineMs: EpochMs;
  readonly mode: JobMode;
  /** When at the latest it has to be in a batch; null: it may not wait for one. */
  readonly batchUntilMs: EpochMs | null;
}

/**
 * An execution takes on what its new jobs need: the highest priority and the nearest deadline while it waits, and a call of its own once one
 * of them can't wait for a batch. Nothing is sent where nothing changes.
 */
export async function pullForward(client: pg.PoolClient, joined: readonly Joined[], nowMs: EpochMs): Promise<void> {
  turnDirect(client, joined.filter(mustTurnDirect));
  const inLine = joined.flatMap(({ found: { batch }, deadlineMs }) =>
    batch === null || (batch.nearestDeadlineMs ?? Infinity) <= deadlineMs ? [] : [{ batchNo: batch.no, deadlineMs }],
  );
  const left = await pullPooled(
    client,
    joined.filter(({ found }) => found.row?.pooled === true),
    nowMs,
  );
  await pullReady(client, [...joined.filter(({ found }) => found.row?.pooled === false), ...left]);
  lowerDeadlines(client, inLine);
}

function mustTurnDirect({ found, mode, batchUntilMs }: Joined): boolean {
  return found.batchable && (mode === "direct" || (found.row?.pooled === true && batchUntilMs === null));
}

/** The next time they come up they get calls of their own. */
function turnDirect(client: pg.PoolClient, joined: readonly Joined[]): void {
  if (joined.length === 0) return;
  const keys = [...new Map(joined.map(({ found: { key } }) => [key.no, key])).values()].sort((a, b) => a.no - b.no);
  send(
    client,
    "executions-turn-direct",
    `UPDATE executions e SET mode = 'direct' FROM unnest($1::int8[], $2::int4[]) AS u(no, day)
     WHERE e.no = u.no AND e.day = u.day AND e.mode <> 'direct'`,
    [int8Array(keys.map(({ no }) => no)), int4Array(keys.map(({ day }) => day))],
  );
}

function needsMore({ found: { row }, priority, deadlineMs }: Joined): boolean {
  return row !== null && (row.priority < priority || row.expiresMs > deadlineMs);
}

/** @returns those whose row went to the queue of calls meanwhile: nothing holds it there against the sweep. */
async function pullPooled(
  client: pg.PoolClient,
  joined: readonly Joined[],
  nowMs: EpochMs,
): Promise<readonly Joined[]> {
  const pulled = joined.filter(
    (job) => needsMore(job) || (job.batchUntilMs ?? nowMs) < (job.found.row?.untilMs ?? -Infinity),
  );
  if (pulled.length === 0) return [];
  const rows = await run(
    client,
    "batch-ready-pull-forward",
    `UPDATE batch_ready r SET priority = greatest(r.priority, u.priority), expires_ms = least(r.expires_ms, u.expires),
       look_at_ms = least(r.look_at_ms, u.look_at)
     FROM (SELECT no, max(priority) AS priority, min(expires) AS expires, min(look_at) AS look_at
           FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::int8[]) AS v(no, priority, expires, look_at) GROUP BY no) u
     WHERE r.no = u.no RETURNING r.no`,
    [
      int8Array(pulled.map(({ found }) => found.key.no)),
      int4Array(pulled.map(({ priority }) => priority)),
      int8Array(pulled.map(({ deadlineMs }) => deadlineMs)),
      int8Array(pulled.map(({ batchUntilMs }) => batchUntilMs ?? nowMs)),
    ],
  );
  const there = new Set(rows.map(([no]) => Number(no)));
  return pulled.filter(({ found }) => !there.has(found.key.no));
}

async function pullReady(client: pg.PoolClient, joined: readonly Joined[]): Promise<void> {
  const pulled = joined.filter(needsMore);
  if (pulled.length === 0) return;
  await run(
    client,
    "ready-pull-forward",
    `UPDATE ready r SET priority = greatest(r.priority, u.priority), expires_ms = least(r.expires_ms, u.expires)
     FROM (SELECT no, max(priority) AS priority, min(expires) AS expires
           FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS v(no, priority, expires) GROUP BY no) u
     WHERE r.no = u.no AND (r.priority < u.priority OR r.expires_ms > u.expires)`,
    [
      int8Array(pulled.map(({ found }) => found.key.no)),
      int4Array(pulled.map(({ priority }) => priority)),
      int8Array(pulled.map(({ deadlineMs }) => deadlineMs)),
    ],
  );
}
