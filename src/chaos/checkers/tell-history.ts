import type { Evidence, Fault, StateChange } from "../evidence/evidence.js";
import { numberInId } from "../evidence/attempt-number.js";
import { placeOf, recordNumber } from "../evidence/record.js";
import { sourceOf } from "./lookups.js";

/** One thing that happened to a job, as one of the sources tells it. Null: at an unknown time. */
interface Moment {
  readonly atMs: number | null;
  readonly source: "publisher" | "topic" | "ledger" | "bill" | "fault";
  readonly text: string;
}

/** How long before and after a job's life a fault is still told. */
const NEAR_MS = 5_000;

/**
 * A job's whole history from every source, in order of time, with the seed of the run: for people who look for what went wrong. Times are
 * those of the source, and the clocks of routers may have been jumped. Holds no prompt and no answer.
 */
export function tellHistory(evidence: Evidence, tenant: string, jobId: string): string {
  const numbers = new LedgerNumbers(evidence, tenant, jobId);
  const moments = [
    ...fromPublisher(evidence, tenant, jobId),
    ...fromTopics(evidence, tenant, jobId, numbers),
    ...fromLedger(evidence, numbers),
    ...fromBill(evidence, numbers),
  ];
  const times = moments.flatMap(({ atMs }) => (atMs === null ? [] : [atMs]));
  const [fromMs, toMs] = [Math.min(...times) - NEAR_MS, Math.max(...times) + NEAR_MS];
  const faults = evidence.faults
    .filter(({ atMs, untilMs }) => atMs <= toMs && (untilMs ?? atMs) >= fromMs)
    .map(faultMoment);
  const lines = [...moments, ...faults].sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0)).map(lineOf);
  const head = `job ${jobId} of ${tenant}, seed ${String(evidence.run.seed)}: ${String(moments.length)} moments, ${String(faults.length)} faults near them`;
  return [head, ...(moments.length === 0 ? ["no source knows it"] : lines)].join("\n");
}

function lineOf({ atMs, source, text }: Moment): string {
  const time = atMs === null ? "at an unknown time      " : new Date(atMs).toISOString();
  return `${time}  ${source.padEnd(9)}  ${text}`;
}

/** The ledger's rows that belong to a job. */
class LedgerNumbers {
  readonly jobs: ReadonlySet<number>;
  readonly executions: ReadonlySet<number>;
  readonly attempts: ReadonlySet<number>;
  readonly batches: ReadonlySet<number>;
  readonly sources: ReadonlySet<string>;

  constructor({ ledger }: Evidence, tenant: string, jobId: string) {
    const jobs = ledger.jobs.filter((job) => job.tenant === tenant && job.jobId === jobId);
    this.jobs = new Set(jobs.map(({ no }) => no));
    this.sources = new Set(jobs.map(({ source }) => source));
    this.executions = new Set(jobs.flatMap(({ executionNo }) => (executionNo === null ? [] : [executionNo])));
    const attempts = ledger.attempts.filter(({ executionNo }) => this.executions.has(executionNo));
    this.attempts = new Set(attempts.map(({ no }) => no));
    this.batches = new Set(attempts.flatMap(({ batchNo }) => (batchNo === null ? [] : [batchNo])));
  }

  has({ table, no }: StateChange): boolean {
    return this[table].has(no);
  }
}

function fromPublisher({ published }: Evidence, tenant: string, jobId: string): readonly Moment[] {
  return published
    .filter((record) => record.tenant === tenant && record.jobId === jobId)
    .map(({ number, kind, topic, place, sentAtMs }) => {
      const where = place === null ? "never acknowledged" : `${topic}/${String(place.partition)}@${place.offset}`;
      return { atMs: sentAtMs, source: "publisher", text: `record ${String(number)} (${kind}): ${where}` };
    });
}

function fromTopics(
  { topics, published }: Evidence,
  tenant: string,
  jobId: string,
  numbers: LedgerNumbers,
): readonly Moment[] {
  const own = new Set(
    published.filter((one) => one.tenant === tenant && one.jobId === jobId).map(({ number }) => number),
  );
  const results = topics.results
    .filter((result) => result.tenant === tenant && result.jobId === jobId)
    .map(({ record, generation, status, errorCode, finishedAtMs, served, batchId }): Moment => {
      const how = [status, errorCode, served, batchId].filter((word) => word !== null).join(", ");
      return {
        atMs: record.timestampMs ?? finishedAtMs,
        source: "topic",
        text: `${placeOf(record)}: result of generation ${String(generation)}: ${how}`,
      };
    });
  const costs = topics.costs
    .filter(
      (cost) =>
        (cost.tenant === tenant && cost.jobId === jobId) || numbers.attempts.has(numberInId(cost.attemptId) ?? -1),
    )
    .map(({ record, kind, billing, nanoUsd, maxNanoUsd, attemptId, atMs }): Moment => {
      const amount = nanoUsd === null ? `unknown, at most ${String(maxNanoUsd)}` : String(nanoUsd);
      return {
        atMs: record.timestampMs ?? atMs,
        source: "topic",
        text: `${placeOf(record)}: ${kind}, ${billing}, ${amount} nano-dollars for attempt ${attemptId ?? "none"}`,
      };
    });
  const letters = topics.deadLetters
    .filter(
      ({ record, origin }) =>
        own.has(recordNumber(record) ?? -1) || (origin !== null && numbers.sources.has(sourceOf(origin))),
    )
    .map(({ record, code, stage, message, replayCount }): Moment => {
      const text = `${placeOf(record)}: dead letter ${code} of ${stage ?? "no stage"}, replayed ${String(replayCount)} times: ${message ?? ""}`;
      return { atMs: record.timestampMs, source: "topic", text };
    });
  const events = topics.events
    .filter(
      (event) =>
        (event.tenant === tenant && event.jobId === jobId) ||
        numbers.attempts.has(numberInId(event.details["attemptId"] ?? null) ?? -1),
    )
    .map(({ record, kind, message, atMs }): Moment => ({
      atMs: atMs ?? record.timestampMs,
      source: "topic",
      text: `${placeOf(record)}: ${kind}: ${message}`,
    }));
  return [...results, ...costs, ...letters, ...events];
}

function fromLedger({ ledger }: Evidence, numbers: LedgerNumbers): readonly Moment[] {
  const rows = [
    ...ledger.jobs
      .filter(({ no }) => numbers.jobs.has(no))
      .map((job): Moment => {
        const text = `job ${String(job.no)}, generation ${String(job.generation)}, execution ${String(job.executionNo)}, from ${job.source}; in the end ${job.state}${job.failureCode === null ? "" : ` (${job.failureCode})`}, deadline ${new Date(job.deadlineMs).toISOString()}`;
        return { atMs: job.acceptedMs, source: "ledger", text };
      }),
    ...ledger.executions
      .filter(({ no }) => numbers.executions.has(no))
      .map((row): Moment => ({
        atMs: row.endedMs,
        source: "ledger",
        text: `execution ${String(row.no)} (${row.mode}) ended ${row.state} after ${String(row.attempts)} attempts`,
      })),
    ...ledger.attempts
      .filter(({ no }) => numbers.attempts.has(no))
      .flatMap((row): readonly Moment[] => {
        const name = `attempt ${String(row.number)} (${String(row.no)}) at ${row.account}/${row.model}`;
        const where = row.batchNo === null ? "a call" : `a line of batch ${String(row.batchNo)}`;
        const begun: Moment = {
          atMs: row.startedMs,
          source: "ledger",
          text: `${name}: begun as ${where} by session ${String(row.sessionNo)}`,
        };
        const settled: readonly Moment[] =
          row.settledMs === null
            ? []
            : [{ atMs: row.settledMs, source: "ledger", text: `${name}: its doubt was settled` }];
        const ended: Moment = {
          atMs: row.endedMs,
          source: "ledger",
          text: `${name}: ${row.state}, ${row.outcome ?? "no outcome"}, ${row.nanoUsd === null ? "cost unknown" : `${String(row.nanoUsd)} nano-dollars`}`,
        };
        return [begun, ...settled, ended];
      }),
    ...ledger.replays
      .filter(({ jobNo }) => numbers.jobs.has(jobNo))
      .map(({ jobNo, newNo, byWhom, atMs }): Moment => ({
        atMs,
        source: "ledger",
        text: `job ${String(jobNo)} was replayed by ${byWhom} as ${String(newNo)}`,
      })),
  ];
  const changes = (ledger.history ?? [])
    .filter((change) => numbers.has(change))
    .map((change): Moment => {
      const { table, no, from, to, sessionNo, atMs } = change;
      return {
        atMs,
        source: "ledger",
        text: `${table} ${String(no)}: ${from ?? "new"} to ${to}${sessionNo === null ? "" : `, session ${String(sessionNo)}`}`,
      };
    });
  return [...rows, ...changes];
}

function fromBill({ bill }: Evidence, numbers: LedgerNumbers): readonly Moment[] {
  return bill
    .filter(({ attempt }) => numbers.attempts.has(numberInId(attempt) ?? -1))
    .map(({ attempt, requestId, batch, line, nanoUsd, atMs }) => {
      const where = batch === null ? "a call" : `line ${String(line)} of ${batch}`;
      return {
        atMs,
        source: "bill",
        text: `${where}, request ${requestId ?? "without id"}, attempt ${attempt ?? ""}: ${String(nanoUsd)} nano-dollars`,
      };
    });
}

function faultMoment({ kind, atMs, untilMs, target, point, signal, callsInAir, detail }: Fault): Moment {
  const words = [
    `${kind} of ${target}`,
    point === null ? null : `at ${point}`,
    signal,
    callsInAir === null ? null : `${String(callsInAir)} calls in the air`,
    untilMs === null ? null : `until ${new Date(untilMs).toISOString()}`,
    detail,
  ];
  return { atMs, source: "fault", text: words.filter((word) => word !== null).join(", ") };
}
