import { numberInId } from "../evidence/attempt-number.js";
import type { Evidence } from "../evidence/evidence.js";

/** One thing that happened to a job, as one source tells it. */
export interface HistoryLine {
  readonly atMs: number | null;
  readonly source: string;
  readonly words: string;
}

/** A job's whole history from every source, in order of time; what has none comes last. */
export function jobHistory(evidence: Evidence, tenant: string | null, jobId: string): readonly HistoryLine[] {
  const isOurs = (one: { readonly tenant: string | null; readonly jobId: string | null }): boolean =>
    one.jobId === jobId && (tenant === null || one.tenant === null || one.tenant === tenant);
  const { ledger, topics } = evidence;
  const jobs = ledger.jobs.filter(isOurs);
  const executionNos = new Set(jobs.flatMap(({ executionNo }) => (executionNo === null ? [] : [executionNo])));
  const attempts = ledger.attempts.filter(({ executionNo }) => executionNos.has(executionNo));
  const attemptNos = new Set(attempts.map(({ no }) => no));
  const batchNos = new Set(attempts.flatMap(({ batchNo }) => (batchNo === null ? [] : [batchNo])));
  const nosOf = { jobs: new Set(jobs.map(({ no }) => no)), executions: executionNos, attempts: attemptNos, batches: batchNos };
  const lines: HistoryLine[] = [
    ...evidence.published.filter(isOurs).map(({ sentAtMs, kind, number, place, mode, deadlineMs }) =>
      line(sentAtMs, "publisher", { kind, number, place, mode, deadlineMs }),
    ),
    ...jobs.map(({ acceptedMs, no, generation, state, failureCode, source, endedMs, executionNo }) =>
      line(acceptedMs, "ledger job", { no, generation, state, failureCode, source, endedMs, executionNo }),
    ),
    ...attempts.map(({ startedMs, ...attempt }) => line(startedMs, "ledger attempt", attempt)),
    ...ledger.batches.filter(({ no }) => batchNos.has(no)).map(({ createdMs, ...batch }) => line(createdMs, "ledger batch", batch)),
    ...ledger.creates.filter(({ batchNo }) => batchNos.has(batchNo)).map(({ intentMs, ...create }) => line(intentMs, "ledger creation", create)),
    ...ledger.costs
      .filter(({ jobNo, attemptNo }) => (jobNo !== null && nosOf.jobs.has(jobNo)) || (attemptNo !== null && attemptNos.has(attemptNo)))
      .map((cost) => line(null, "ledger cost", cost)),
    ...ledger.deadLetters.filter(isOurs).map(({ failedMs, ...letter }) => line(failedMs, "ledger dead letter", letter)),
    ...(ledger.history ?? [])
      .filter(({ table, no }) => nosOf[table].has(no))
      .map(({ atMs, table, no, from, to, sessionNo }) => line(atMs, "database", { table, no, from, to, sessionNo })),
    ...topics.results
      .filter(isOurs)
      .map(({ record, finishedAtMs, generation, status, errorCode, served, resultId }) =>
        line(finishedAtMs, "result", { ...placeOf(record), generation, status, errorCode, served, resultId }),
      ),
    ...topics.deadLetters
      .filter(({ record }) => record.headers.get("llm-job-id")?.toString("utf8") === jobId)
      .map(({ record, code, stage, message, origin }) => line(null, "dead letter", { ...placeOf(record), code, stage, message, origin })),
    ...topics.events.filter(isOurs).map(({ atMs, kind, message }) => line(atMs, "event", { kind, message })),
    ...evidence.bill
      .filter(({ attempt }) => attemptNos.has(numberInId(attempt) ?? -1))
      .map(({ atMs, attempt, mode, batch, line: batchLine, nanoUsd }) => line(atMs, "bill", { attempt, mode, batch, batchLine, nanoUsd })),
  ];
  const lastMs = Number.MAX_SAFE_INTEGER;
  return lines.sort((one, other) => (one.atMs ?? lastMs) - (other.atMs ?? lastMs));
}

function placeOf({ topic, partition, offset }: { readonly topic: string; readonly partition: number; readonly offset: string }): object {
  return { at: `${topic}:${String(partition)}:${offset}` };
}

function line(atMs: number | null, source: string, facts: object): HistoryLine {
  const words = Object.entries(facts)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
  return { atMs, source, words };
}
