import type pg from "pg";
import type { Failure } from "../../domain/failure.js";
import type { LedgerKey, SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { Stage } from "../../domain/stage.js";
import type { FinishOutcome } from "../../ports/ledger.js";
import { int8Array } from "./binary-array.js";
import { run, transaction } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, writeEnds, type EndingWithReason } from "./ending.js";
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
): Promise<FinishOutcome> {
  await context.numbers.reserve(executions.length * 3 + 64);
  const ordered = [...executions].sort((a, b) => a.no - b.no);
  return transaction(
    context.pools.durable,
    async (client) => {
      const expired = await expireJobs(client, context, ordered, nowMs, "dispatch");
      const written = await writeEnds(client, context, render, expired);
      const outbox = insertOutbox(client, context.numbers, session, nowMs, written.outgoing);
      return { ended: written.ended, outbox, waste: 0 };
    },
    // If it stands, doing it again finds no such job, and the sweep publishes.
    () => Promise.resolve(null),
  );
}

/** Ends the jobs of these executions whose deadline has passed. Executions are locked before jobs, as in finish. @param stage where they waited. */
export async function expireJobs(
  client: pg.PoolClient,
  context: LedgerContext,
  keys: readonly LedgerKey[],
  nowMs: number,
  stage: Stage,
): Promise<EndingWithReason[]> {
  await lockExecutions(client, keys);
  const rows = await run(
    client,
    "jobs-expire",
    `UPDATE jobs j SET state = 'expired', ended_ms = $1, failure_code = 'DEADLINE_EXCEEDED'
     WHERE j.execution_no = ANY($2::int8[]) AND j.day BETWEEN $3 AND $4 AND j.state = 'active' AND j.deadline_ms <= $1
     RETURNING ${ENDING_COLUMNS}`,
    [nowMs, int8Array(keys.map((key) => key.no)), ...waiterDays(context, keys)],
  );
  const failure: Failure = {
    code: "DEADLINE_EXCEEDED",
    message: "the deadline passed while the job waited",
    provider: null,
    retryAtMs: null,
  };
  return rows.map((row) => {
    const job = readEndingJob(context, row);
    const payer = job.execution;
    return { job, end: { answer: null, failure, served: "call", payer, history: [], stage, endedAtMs: nowMs } };
  });
}
