import type pg from "pg";
import type { AnswerFacts, AttemptSummary } from "../../../domain/execution/execution.js";
import { jobIdHash } from "../../../domain/dedupe/request-hash.js";
import type { WaitReason } from "../../../domain/execution/waits.js";
import type { RouteDecision } from "../../../domain/route/route-decision.js";
import type { LedgerKey } from "../../../domain/ids.js";
import { run } from "../connection.js";
import { bytesOf } from "../stored-body.js";
import { numberOrNull } from "./letter-rows.js";
import { SqlValues } from "./sql-filter.js";

/** States that people see (contract.md, "What people see"). */
export const SEEN_STATES = [
  "waiting",
  "running",
  "batched",
  "in_doubt",
  "succeeded",
  "failed",
  "expired",
  "cancelled",
] as const;
export type SeenState = (typeof SEEN_STATES)[number];

/**
 * A job that has not ended shows what its execution does; one whose execution ended is about to end. What runs without a session is a line
 * of a batch.
 */
const SEEN_STATE = `CASE WHEN j.state <> 'active' THEN j.state WHEN e.state = 'running' AND e.session_no IS NULL THEN 'batched'
  WHEN e.state IN ('running', 'in_doubt') THEN e.state ELSE 'waiting' END`;

export interface JobLine {
  readonly key: LedgerKey;
  readonly tenant: string;
  readonly jobId: string;
  readonly generation: number;
  readonly state: SeenState;
  readonly code: string | null;
  readonly acceptedMs: number;
  readonly deadlineMs: number;
  readonly endedMs: number | null;
}

const JOB_COLUMNS = `j.no, j.day, t.name, j.job_id, j.generation, ${SEEN_STATE}, j.failure_code, j.accepted_ms, j.deadline_ms, j.ended_ms`;
const JOB_DETAILS =
  "JOIN tenants t ON t.no = j.tenant_no LEFT JOIN executions e ON e.no = j.execution_no AND e.day = j.execution_day";
const JOB_COLUMN_COUNT = 10;

type Row = readonly (string | null)[];

function readJobLine(row: Row): JobLine {
  const [no, day, tenant, jobId, generation, state, code, acceptedMs, deadlineMs, endedMs] = row;
  return {
    key: { no: Number(no), day: Number(day) },
    tenant: tenant ?? "",
    jobId: bytesOf(jobId ?? "\\x").toString("utf8"),
    generation: Number(generation),
    state: state as SeenState, // the CASE above and the table's CHECK
    code: code ?? null,
    acceptedMs: Number(acceptedMs),
    deadlineMs: Number(deadlineMs),
    endedMs: numberOrNull(endedMs),
  };
}

export interface JobFilter {
  readonly tenant: string | null;
  readonly state: SeenState | null;
  readonly limit: number;
}

/** The newest jobs first. A rare state is searched through all days that are kept. */
export async function newestJobs(pool: pg.Pool, filter: JobFilter): Promise<readonly JobLine[]> {
  const values = new SqlValues();
  const terms = ["true"];
  if (filter.tenant !== null)
    terms.push(`j.tenant_no = (SELECT no FROM tenants WHERE name = ${values.add(filter.tenant)}::text)`);
  if (filter.state !== null) terms.push(`${SEEN_STATE} = ${values.add(filter.state)}::text`);
  const rows = await run(
    pool,
    "",
    `SELECT ${JOB_COLUMNS} FROM jobs j ${JOB_DETAILS} WHERE ${terms.join(" AND ")} ORDER BY j.no DESC LIMIT ${values.add(filter.limit)}`,
    values.all,
  );
  return rows.map(readJobLine);
}

/** One generation with what its execution has. */
export interface JobDetail extends JobLine {
  readonly envelope: string;
  readonly source: string;
  readonly execution: LedgerKey | null;
  readonly executionState: string | null;
  /** Place of the route that its next call takes, in the routes of now. */
  readonly nextRouteIndex: number;
  readonly currentAttemptNo: number | null;
  readonly history: readonly AttemptSummary[];
  /** Attempts that were lines of a batch and given back unrun, the oldest first; the last 16. They are in no history: nothing was tried. */
  readonly returnedAttemptNos: readonly number[];
  /** Of its execution; one that came too late for the job counts for its replay. */
  readonly answer: AnswerFacts | null;
  /** The row it waits as; null when it does not wait. */
  readonly waits: WaitingRow | null;
  /** Why it was given to a batch or to a call of its own; null where there was nothing to choose. */
  readonly decision: RouteDecision | null;
}

export interface WaitingRow {
  readonly forWhat: WaitReason;
  /** When it is looked at again; for a batch's lines: at the latest. */
  readonly untilMs: number;
  /** Account and model whose batch it waits for; null: it waits for something else. */
  readonly batchAt: { readonly account: string; readonly model: string } | null;
  /** The budget that keeps it out, by its key; null: another thing does. */
  readonly level: string | null;
  /** The rate limit that it waits by: an account, or `account/model`; null: by none. */
  readonly limit: string | null;
}

/** The newest generation of a job id, in the named tenant or in every one that has it. */
export async function findJobs(pool: pg.Pool, jobId: string, tenant: string | null): Promise<readonly JobDetail[]> {
  const rows = await run(
    pool,
    "jobs-find",
    `SELECT ${JOB_COLUMNS}, j.envelope, j.source, j.execution_no, j.execution_day, e.state, e.attempt_no, e.history, e.answer_facts, r.waits_for, r.run_at_ms, e.route_index,
       e.decision, array_to_json(e.returned), b.account, b.model, least(b.look_at_ms, b.expires_ms), r.waits_level, r.limit_name
     FROM job_key k JOIN jobs j ON j.no = k.no AND j.day = k.day ${JOB_DETAILS}
       LEFT JOIN ready r ON r.no = j.execution_no LEFT JOIN batch_ready b ON b.no = j.execution_no
     WHERE k.tenant_no IN (SELECT no FROM tenants WHERE $1::text IS NULL OR name = $1) AND k.id_hash = $2 ORDER BY t.name`,
    [tenant, jobIdHash(jobId)],
  );
  return rows.map(readJobDetail);
}

function readJobDetail(row: Row): JobDetail {
  const [envelope, source, executionNo, executionDay, executionState, attemptNo, history, facts, ...rest] =
    row.slice(JOB_COLUMN_COUNT);
  const [waitsFor, runAtMs, routeIndex, decision, returned, ...batch] = rest;
  return {
    ...readJobLine(row),
    envelope: envelope ?? "{}",
    source: source ?? "",
    execution: numberOrNull(executionNo) === null ? null : { no: Number(executionNo), day: Number(executionDay) },
    executionState: executionState ?? null,
    nextRouteIndex: Number(routeIndex ?? 0),
    currentAttemptNo: numberOrNull(attemptNo),
    history: JSON.parse(history ?? "[]") as AttemptSummary[], // written by finish and claim
    returnedAttemptNos: JSON.parse(returned ?? "[]") as number[], // a bigint[]
    answer: facts === null || facts === undefined ? null : (JSON.parse(facts) as AnswerFacts), // written by finish
    waits: readWaitingRow(waitsFor ?? null, runAtMs ?? null, batch),
    decision: JSON.parse(decision ?? "null") as RouteDecision | null, // written from one
  };
}

function readWaitingRow(waitsFor: string | null, runAtMs: string | null, batch: Row): WaitingRow | null {
  const [account, model, lookAtMs, level = null, limitName] = batch;
  // Every verdict has one of these words.
  if (waitsFor !== null) {
    const limit = limitName === null || limitName === undefined || limitName === "" ? null : limitName;
    return { forWhat: waitsFor as WaitReason, untilMs: Number(runAtMs), batchAt: null, level, limit };
  }
  if (typeof account !== "string" || typeof model !== "string") return null;
  return { forWhat: "batch_fill", untilMs: Number(lookAtMs), batchAt: { account, model }, level: null, limit: null };
}

export interface AttemptLine {
  readonly key: LedgerKey;
  readonly number: number;
  readonly state: string;
  readonly account: string;
  readonly provider: string;
  readonly model: string;
  readonly outcome: string | null;
  readonly startedMs: number;
  readonly endedMs: number | null;
  readonly requestId: string | null;
  readonly maxNanoUsd: string;
  readonly nanoUsd: string | null;
  /** The batch that it is a line of; null: a call of its own. */
  readonly batch: AttemptBatch | null;
  /** The line that it rescues, by its attempt's number in the ledger; null: it is no rescue. */
  readonly supersedes: number | null;
}

export interface AttemptBatch {
  readonly no: number;
  /** Place in the batch, from 1. */
  readonly line: number;
  readonly providerBatchId: string | null;
}

/** The attempts of an execution by their numbers, which its row and its history name; and the lines that they rescue. */
export async function loadAttempts(
  pool: pg.Pool,
  day: number,
  nos: readonly number[],
): Promise<readonly AttemptLine[]> {
  const rows = await run(
    pool,
    "attempts-load",
    `SELECT a.no, a.day, a.number, a.state, a.account, a.provider, a.model, a.outcome, a.started_ms, a.ended_ms, a.request_id, a.max_nano,
       a.nano_usd, a.batch_no, b.provider_batch_id,
       CASE WHEN a.batch_no IS NOT NULL THEN (SELECT count(*) FROM attempts o WHERE o.batch_no = a.batch_no AND o.no <= a.no) END,
       a.supersedes
     FROM attempts a LEFT JOIN batches b ON b.no = a.batch_no
     WHERE a.day = $2 AND (a.no = ANY($1::int8[]) OR a.no IN (SELECT r.supersedes FROM attempts r WHERE r.no = ANY($1::int8[]) AND r.day = $2))
     ORDER BY a.number, a.no`,
    [nos, day],
  );
  return rows.map(
    ([
      no,
      attemptDay,
      number,
      state,
      account,
      provider,
      model,
      outcome,
      startedMs,
      endedMs,
      requestId,
      maxNano,
      nano,
      batchNo,
      providerBatchId,
      line,
      supersedes,
    ]) => ({
      key: { no: Number(no), day: Number(attemptDay) },
      number: Number(number),
      state: state ?? "",
      account: account ?? "",
      provider: provider ?? "",
      model: model ?? "",
      outcome: outcome ?? null,
      startedMs: Number(startedMs),
      endedMs: numberOrNull(endedMs),
      requestId: requestId ?? null,
      maxNanoUsd: maxNano ?? "0",
      nanoUsd: nano ?? null,
      batch:
        numberOrNull(batchNo) === null
          ? null
          : { no: Number(batchNo), line: Number(line), providerBatchId: providerBatchId ?? null },
      supersedes: numberOrNull(supersedes),
    }),
  );
}

export interface CostLine {
  readonly kind: string;
  readonly billing: string;
  readonly attemptNo: number | null;
  readonly nanoUsd: string | null;
  readonly maxNanoUsd: string;
  readonly listNanoUsd: string;
}

/** Cost records of an execution's attempts, their adjustments, and the job's own zero record. */
export async function loadCosts(
  pool: pg.Pool,
  job: LedgerKey,
  execution: LedgerKey | null,
  attempts: readonly number[],
): Promise<readonly CostLine[]> {
  const rows = await run(
    pool,
    "costs-load",
    `SELECT kind, billing, attempt_no, nano_usd, max_nano, list_nano FROM costs WHERE no = $1 AND day = $2
     UNION ALL SELECT kind, billing, attempt_no, nano_usd, max_nano, list_nano FROM costs WHERE no = ANY($3::int8[]) AND day = $4 AND no <> $1
     UNION ALL SELECT kind, billing, attempt_no, nano_usd, max_nano, list_nano FROM costs WHERE kind = 'adjustment' AND attempt_no = ANY($3::int8[]) AND day = $4`,
    [job.no, job.day, attempts, execution?.day ?? job.day],
  );
  return rows.map(([kind, billing, attemptNo, nano, maxNano, listNano]) => ({
    kind: kind ?? "",
    billing: billing ?? "",
    attemptNo: numberOrNull(attemptNo),
    nanoUsd: nano ?? null,
    maxNanoUsd: maxNano ?? "0",
    listNanoUsd: listNano ?? "0",
  }));
}

export type Delivery = "none" | "pending" | "published" | "undeliverable";

/**
 * `pending` while a queue row still holds the result; the row goes after the broker's acknowledgement. `undeliverable`: its topic does not
 * take it, and a dead letter says why.
 */
export async function deliveryOf(pool: pg.Pool, job: LedgerKey): Promise<Delivery> {
  const rows = await run(
    pool,
    "result-delivery",
    `SELECT EXISTS (SELECT 1 FROM outbox WHERE no = $1 AND kind = 'result' AND day = $2),
       EXISTS (SELECT 1 FROM outbox_ready q CROSS JOIN LATERAL unnest(q.nos, q.kinds, q.days) AS u(no, kind, day)
               WHERE $1 = ANY(q.nos) AND u.no = $1 AND u.kind = 'result' AND u.day = $2),
       EXISTS (SELECT 1 FROM dead_letters WHERE outbox_no = $1 AND outbox_kind = 'result' AND outbox_day = $2 AND state <> 'replayed')`,
    [job.no, job.day],
  );
  const [rendered, waiting, refused] = rows[0] ?? [];
  if (rendered !== "t") return "none";
  if (waiting === "t") return "pending";
  return refused === "t" ? "undeliverable" : "published";
}

export interface JobLetter {
  readonly no: number;
  readonly state: string;
  readonly message: string;
}

/** The dead letter of a generation; null when it has none. */
export async function letterOfJob(pool: pg.Pool, job: LedgerKey): Promise<JobLetter | null> {
  // A job's letter has the job's number.
  const rows = await run(
    pool,
    "letter-of-job",
    "SELECT no, state, message FROM dead_letters WHERE no = $1 AND job_no = $1",
    [job.no],
  );
  return readJobLetter(rows[0]);
}

/** The newest dead letter that says why the generation's result is not delivered; null when there is none. */
export async function letterOfResult(pool: pg.Pool, job: LedgerKey): Promise<JobLetter | null> {
  const rows = await run(
    pool,
    "letter-of-result",
    "SELECT no, state, message FROM dead_letters WHERE outbox_no = $1 AND outbox_kind = 'result' AND outbox_day = $2 ORDER BY no DESC LIMIT 1",
    [job.no, job.day],
  );
  return readJobLetter(rows[0]);
}

function readJobLetter(row: Row | undefined): JobLetter | null {
  if (row === undefined) return null;
  const [no, state, message] = row;
  return { no: Number(no), state: state ?? "", message: message ?? "" };
}

/** The envelope of one generation; null when its day was dropped. */
export async function envelopeOf(pool: pg.Pool, job: LedgerKey): Promise<string | null> {
  const rows = await run(pool, "job-envelope", "SELECT envelope FROM jobs WHERE no = $1 AND day = $2", [
    job.no,
    job.day,
  ]);
  return rows[0]?.[0] ?? null;
}
