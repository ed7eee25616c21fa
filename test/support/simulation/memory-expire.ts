import type { Failure } from "../../../src/domain/failure.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { Stage } from "../../../src/domain/stage.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import type { ExpireOutcome } from "../../../src/ports/ledger.js";
import {
  endJobs,
  historiesOf,
  insertOutbox,
  writeEnds,
  type EndingWithReason,
  type MemoryContext,
} from "./memory-context.js";
import type { Transaction } from "./memory-database.js";

export function expire(
  context: MemoryContext,
  session: number,
  executions: readonly LedgerKey[],
  nowMs: number,
  render: Renderer,
): Promise<ExpireOutcome> {
  return context.transaction("expire", async (transaction) => {
    const ordered = [...executions].sort((a, b) => a.no - b.no);
    const expired = await expireJobs(context, transaction, ordered, nowMs, "dispatch");
    const written = await writeEnds(context, transaction, render, expired.ends);
    const outbox = await insertOutbox(context, transaction, session, nowMs, written.outgoing);
    return { ended: written.ended, outbox, waste: 0, more: expired.more };
  });
}

/** Ends the jobs of these executions whose deadline has passed, as many as one transaction ends. */
export async function expireJobs(
  context: MemoryContext,
  transaction: Transaction,
  keys: readonly LedgerKey[],
  nowMs: number,
  stage: Stage,
): Promise<{ readonly ends: readonly EndingWithReason[]; readonly more: boolean }> {
  const { executions, jobs } = context.database;
  await context.statement(transaction, "executions-lock");
  await transaction.lock(
    executions,
    keys.map(({ no }) => no),
    "exclusive",
  );
  await context.statement(transaction, "jobs-expire");
  const nos = new Set(keys.map(({ no }) => no));
  const limit = keys.length + context.rules.waitersMax;
  const late = transaction
    .all(jobs)
    .filter((job) => nos.has(job.execution?.no ?? -1) && job.state === "active" && job.deadlineMs <= nowMs)
    .slice(0, limit);
  const ended = await endJobs(
    context,
    transaction,
    late.map((job) => ({ no: job.key.no, status: "expired", code: "DEADLINE_EXCEEDED" })),
    nowMs,
  );
  const failure: Failure = {
    code: "DEADLINE_EXCEEDED",
    message: "the deadline passed while the job waited",
    provider: null,
    retryAtMs: null,
  };
  const historyOf = await historiesOf(context, transaction, ended);
  const ends = ended.map((job): EndingWithReason => {
    const end = { answer: null, failure, served: "call", payer: job.execution, history: historyOf(job) } as const;
    return { job, end: { ...end, stage, endedAtMs: nowMs } };
  });
  return { ends, more: late.length === limit };
}
