import { LEFT_BEHIND, type Failure } from "../../../src/domain/failure.js";
import type { EpochMs, SessionNo } from "../../../src/domain/ids.js";
import type { Renderer } from "../../../src/domain/result/outgoing.js";
import { stageOfLast } from "../../../src/domain/stage.js";
import type { StragglerLook, StragglersOutcome } from "../../../src/ports/ledger.js";
import { endJobs, insertOutbox, writeEnds, type EndingWithReason, type MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { ExecutionRow, JobRow } from "./memory-rows.js";

const EXPIRED: Failure = {
  code: "DEADLINE_EXCEEDED",
  message: "the deadline passed before the answer was there",
  provider: null,
  retryAtMs: null,
};

/** Ends what still waits for the ended executions that were noted. */
export function answerStragglers(
  context: MemoryContext,
  session: SessionNo,
  nowMs: EpochMs,
  render: Renderer,
): Promise<StragglersOutcome> {
  const { unanswered } = context.database;
  return context.transaction("stragglers", async (transaction) => {
    await context.statement(transaction, "unanswered-take");
    const owed = new Set(transaction.all(unanswered));
    if (owed.size === 0) return { ended: [], outbox: [], waste: 0, unanswered: 0 };
    await context.statement(transaction, "jobs-stragglers");
    const found = waitingForEnded(context, transaction).filter(({ execution }) => owed.has(execution.key.no));
    const wanted = found.map(({ job, execution }) => {
      if (job.deadlineMs < nowMs) return { no: job.key.no, status: "expired", code: EXPIRED.code } as const;
      const failure = failureOf(execution);
      return {
        no: job.key.no,
        status: failure === null ? "succeeded" : "failed",
        code: failure?.code ?? null,
      } as const;
    });
    const jobs = await endJobs(context, transaction, wanted, nowMs);
    for (const no of owed) transaction.remove(unanswered, no);
    const executions = new Map(found.map(({ execution }) => [execution.key.no, execution]));
    const ends = jobs.map((job): EndingWithReason => {
      const execution = executions.get(job.execution?.no ?? -1);
      if (execution === undefined) throw new Error("a job ended for an execution that did not");
      const { history } = execution;
      const failure = job.status === "expired" ? EXPIRED : failureOf(execution);
      const answer = execution.state === "succeeded" ? execution.answer : null;
      const end = { answer, failure, served: "coalesced", payer: job.execution, history } as const;
      return { job, end: { ...end, stage: stageOfLast(history), endedAtMs: nowMs } };
    });
    const written = await writeEnds(context, transaction, render, ends);
    const outbox = await insertOutbox(context, transaction, session, nowMs, written.outgoing);
    return { ended: written.ended, outbox, waste: 0, unanswered: found.length };
  });
}

/**
 * The real ledger walks along the jobs; here all are looked at. Where there is none it takes no step, so that a world goes on as it would have
 * without the look.
 */
export async function noteStragglers(context: MemoryContext, { nowMs, graceMs }: StragglerLook): Promise<number> {
  const { database } = context;
  const look = (transaction: Transaction): readonly number[] =>
    waitingForEnded(context, transaction)
      .filter(({ execution, job }) => (execution.endedMs ?? job.acceptedMs) <= nowMs - graceMs)
      .filter(({ job }) => job.acceptedMs <= nowMs - graceMs)
      .filter(({ execution }) => transaction.get(database.unanswered, execution.key.no) === undefined)
      .map(({ execution }) => execution.key.no);
  const glance = database.begin(context);
  const seen = look(glance).length;
  database.abort(glance);
  if (seen === 0) return 0;
  return context.transaction("note-stragglers", async (transaction) => {
    await context.statement(transaction, "stragglers-look");
    const found = look(transaction);
    const news = new Set<number>();
    for (const no of new Set(found)) {
      if (await transaction.probe(database.unanswered, no)) continue; // another router was first
      transaction.insert(database.unanswered, no, no);
      news.add(no);
    }
    return found.filter((no) => news.has(no)).length;
  });
}

function failureOf({ state, failure }: ExecutionRow): Failure | null {
  return state === "succeeded" ? null : (failure ?? LEFT_BEHIND);
}

function waitingForEnded(
  { database: { jobs, executions } }: MemoryContext,
  transaction: Transaction,
): readonly { readonly job: JobRow; readonly execution: ExecutionRow }[] {
  return transaction.all(jobs).flatMap((job) => {
    const execution = transaction.get(executions, job.execution?.no ?? -1);
    if (job.state !== "active" || execution === undefined) return [];
    const hasEnded = execution.state === "succeeded" || execution.state === "failed" || execution.state === "dropped";
    return hasEnded ? [{ job, execution }] : [];
  });
}
