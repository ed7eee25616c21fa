import type pg from "pg";
import type { Failure } from "../../domain/failure.js";
import type { LedgerKey, SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { Stage } from "../../domain/stage.js";
import type { ExpireOutcome } from "../../ports/ledger.js";
import { int8Array } from "./binary-array.js";
import { run, transaction } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, writeEnds, type EndingWithReason } from "./ending.js";
import { historiesOf } from "./histories.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { lockExecutions, waiterDays } from "./waiters.js";

/** The transaction that ends jobs while the calls of their executions are out. */
export async function expire(
  context: LedgerContext,
  session: SessionNo,
  executions: readonly LedgerKey[],
  nowMs: number,
  render: Renderer,
): Promise<ExpireOutcome> {
  await context.numbers.reserve(executions.length * 3 + 64);
  const ordered = [...executions].sort((a, b) => a.no - b.no);
  return transaction(
    context.pools.durable,
    async (client) => {
      const expired = await expireJobs(client, context, ordered, nowMs, "dispatch");
      const written = await writeEnds(client, context, render, expired.ends);
      const outbox = insertOutbox(client, context.numbers, session, nowMs, written.outgoing);
      return { ended: written.ended, outbox, waste: 0, more: expired.more };
    },
    // If it stands, doing it again finds no such job, and the sweep publishes.
    () => Promise.resolve(null),
  );
}

export interface ExpiredJobs {
  readonly ends: readonly EndingWithReason[];
  /** Whether there may be more of them. */
  readonly more: boolean;
}

/**
 * Ends the jobs of these executions whose deadline has passed, at most `waitersMax` beside one each: those that are left are overdue still.
 * Executions are locked before jobs, as in finish. @param stage where they waited.
 */
export async function expireJobs(
  client: pg.PoolClient,
  context: LedgerContext,
  keys: readonly LedgerKey[],
  nowMs: number,
  stage: Stage,
): Promise<ExpiredJobs> {
  await lockExecutions(client, keys);
  const limit = keys.length + context.settings.waitersMax;
  const rows = await run(
    client,
    "jobs-expire",
    `WITH overdue AS MATERIALIZED (
       SELECT w.no, w.day FROM jobs w
       WHERE w.execution_no = ANY($2::int8[]) AND w.day BETWEEN $3 AND $4 AND w.state = 'active' AND w.deadline_ms <= $1 LIMIT $5),
     ended AS (
       UPDATE jobs j SET state = 'expired', ended_ms = $1, failure_code = 'DEADLINE_EXCEEDED'
       FROM overdue o WHERE j.no = o.no AND j.day + 0 = o.day AND j.day BETWEEN $3 AND $4 AND j.state = 'active'
       RETURNING ${ENDING_COLUMNS})
     SELECT f.found, e.* FROM (SELECT count(*) AS found FROM overdue) f LEFT JOIN ended e ON true`,
    [nowMs, int8Array(keys.map((key) => key.no)), ...waiterDays(context, keys), limit],
  );
  const failure: Failure = {
    code: "DEADLINE_EXCEEDED",
    message: "the deadline passed while the job waited",
    provider: null,
    retryAtMs: null,
  };
  const jobs = rows.flatMap(([, ...row]) => (row[0] === null ? [] : [readEndingJob(context, row)]));
  const historyOf = await historiesOf(client, jobs);
  const ends = jobs.map((job): EndingWithReason => {
    const end = { answer: null, failure, served: "call", payer: job.execution, history: historyOf(job) } as const;
    return { job, end: { ...end, stage, endedAtMs: nowMs } };
  });
  // Found, not ended: a job that is cancelled at that instant was found in place of another.
  return { ends, more: Number(rows[0]?.[0]) === limit };
}
