import type pg from "pg";
import type { LedgerKey } from "../../domain/ids.js";
import type { AdmittedJob } from "../../domain/job/job.js";
import { byteaArray, int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/** What joining needs of a job; a replay has only this. */
export type JoiningJob = Pick<
  AdmittedJob,
  "tenant" | "executionKey" | "dedupe" | "cacheRead" | "cacheMaxAgeMs" | "priority" | "deadlineMs"
>;

/** A new job looking for the execution that serves it. Left with `execution` null: it opens its own. */
export interface Joining {
  readonly no: number;
  readonly job: JoiningJob;
  execution: LedgerKey | null;
  cached: {
    readonly answer: string;
    readonly gzip: boolean;
    readonly facts: string;
    readonly answeredMs: number;
  } | null;
}

const TRIES = 4;

/**
 * Finds or takes the one live execution of each request key.
 *
 * A key is taken by inserting it. Where it is there already, its execution is locked `FOR SHARE`: finish changes that row first
 * and reads its waiters in a later statement, so either this job is seen by it, or this transaction waits and finds the execution
 * ended. An ended one is a cached answer if it is young enough, else the key is moved to a new execution, on condition that it
 * still names the old one; when somebody else was first, the search begins again.
 */
export async function joinExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<void> {
  const openers = new Map<string, Joining>();
  const followers: { readonly joining: Joining; readonly opener: Joining }[] = [];
  let searching: Joining[] = [];
  for (const joining of jobs) {
    if (!joining.job.dedupe) continue;
    const opener = openers.get(keyOf(joining));
    if (opener === undefined) {
      openers.set(keyOf(joining), joining);
      searching.push(joining);
    } else followers.push({ joining, opener });
  }
  for (let attempt = 1; searching.length > 0; attempt += 1) {
    if (attempt > TRIES)
      throw new Error("InvariantError: a request key changed hands four times inside one intake group");
    searching = await searchOnce(client, context, searching, day, nowMs);
  }
  // Whoever may not take the stored answer that served the opener must not join either: that execution has ended, nobody would answer it.
  const alone: Joining[] = [];
  for (const { joining, opener } of followers) {
    if (opener.cached !== null && !usable(joining, nowMs, opener.cached.answeredMs)) {
      alone.push(joining);
      continue;
    }
    joining.execution = opener.execution ?? { no: opener.no, day };
    joining.cached = opener.cached;
  }
  if (alone.length > 0) await joinExecutions(client, context, alone, day, nowMs);
}

function keyOf(joining: Joining): string {
  return `${joining.job.tenant}\0${joining.job.executionKey.toString("latin1")}`;
}

function usable(joining: Joining, nowMs: number, answeredMs: number): boolean {
  const { cacheRead, cacheMaxAgeMs } = joining.job;
  return cacheRead && (cacheMaxAgeMs === null || nowMs - answeredMs <= cacheMaxAgeMs);
}

/** @returns those whose key slipped away between two statements. */
async function searchOnce(
  client: pg.PoolClient,
  context: LedgerContext,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<Joining[]> {
  const ordered = [...jobs].sort((a, b) => Buffer.compare(a.job.executionKey, b.job.executionKey));
  const tenants = int4Array(ordered.map(({ job }) => context.tenants.noOf(job.tenant)));
  const keys = byteaArray(ordered.map(({ job }) => job.executionKey));
  const inserted = await run(
    client,
    "execution-key-insert",
    `INSERT INTO execution_key (tenant_no, key, lane, execution_day, execution_no)
     SELECT u.t, u.k, 0, $4, u.n FROM unnest($1::int4[], $2::bytea[], $3::int8[]) AS u(t, k, n)
     ON CONFLICT DO NOTHING RETURNING execution_no`,
    [tenants, keys, int8Array(ordered.map(({ no }) => no)), day],
  );
  if (inserted.length === ordered.length) return [];
  const took = new Set(inserted.map((row) => Number(row[0])));
  const taken = ordered.filter(({ no }) => !took.has(no));
  return joinTaken(client, context, taken, day, nowMs);
}

async function joinTaken(
  client: pg.PoolClient,
  context: LedgerContext,
  jobs: readonly Joining[],
  day: number,
  nowMs: number,
): Promise<Joining[]> {
  const rows = await run(
    client,
    "execution-join",
    `SELECT u.place, e.no, e.day, e.state, e.ended_ms, e.answer, e.answer_gzip, e.answer_facts
     FROM unnest($1::int4[], $2::bytea[]) WITH ORDINALITY AS u(t, k, place)
     JOIN execution_key x ON x.tenant_no = u.t AND x.key = u.k AND x.lane = 0
     JOIN executions e ON e.no = x.execution_no AND e.day = x.execution_day
     ORDER BY e.no + 0 FOR SHARE OF e`,
    [
      int4Array(jobs.map(({ job }) => context.tenants.noOf(job.tenant))),
      byteaArray(jobs.map(({ job }) => job.executionKey)),
    ],
  );
  const again = new Set(jobs);
  const pulled: Joining[] = [];
  for (const [place, no, executionDay, state, endedMs, answer, gzip, facts] of rows) {
    const joining = jobs[Number(place) - 1];
    if (joining === undefined) continue;
    const key = { no: Number(no), day: Number(executionDay) };
    if (state === "ready" || state === "running" || state === "in_doubt") {
      joining.execution = key;
      again.delete(joining);
      if (state === "ready") pulled.push(joining);
    } else if (
      state === "succeeded" &&
      answer !== null &&
      answer !== undefined &&
      usable(joining, nowMs, Number(endedMs))
    ) {
      joining.execution = key;
      joining.cached = { answer, gzip: gzip === "t", facts: facts ?? "{}", answeredMs: Number(endedMs) };
      again.delete(joining);
    } else if (await replaceKey(client, context, joining, key, day)) {
      again.delete(joining);
    }
  }
  if (pulled.length > 0) await pullForward(client, pulled);
  return [...again];
}

async function replaceKey(
  client: pg.PoolClient,
  context: LedgerContext,
  joining: Joining,
  old: LedgerKey,
  day: number,
): Promise<boolean> {
  const rows = await run(
    client,
    "execution-key-replace",
    `UPDATE execution_key SET execution_no = $1, execution_day = $2
     WHERE tenant_no = $3 AND key = $4 AND lane = 0 AND execution_no = $5 RETURNING 1`,
    [joining.no, day, context.tenants.noOf(joining.job.tenant), joining.job.executionKey, old.no],
  );
  return rows.length === 1;
}

/** A waiting execution takes on the highest priority and the nearest deadline of its jobs. */
async function pullForward(client: pg.PoolClient, jobs: readonly Joining[]): Promise<void> {
  await run(
    client,
    "ready-pull-forward",
    `UPDATE ready r SET priority = greatest(r.priority, u.priority), expires_ms = least(r.expires_ms, u.expires)
     FROM (SELECT no, max(priority) AS priority, min(expires) AS expires
           FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS v(no, priority, expires) GROUP BY no) u
     WHERE r.no = u.no AND (r.priority < u.priority OR r.expires_ms > u.expires)`,
    [
      int8Array(jobs.map(({ execution }) => execution?.no ?? null)),
      int4Array(jobs.map(({ job }) => job.priority)),
      int8Array(jobs.map(({ job }) => job.deadlineMs)),
    ],
  );
}
