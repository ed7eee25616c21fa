import type pg from "pg";
import type { LedgerKey } from "../../../domain/ids.js";
import type { KeptRecord } from "../../../domain/result/outgoing.js";
import type { LetterState } from "../../../domain/dead-letter/where.js";
import { run } from "../connection.js";
import { bytesOrNull } from "../stored-body.js";
import { letterCondition, SqlValues, type LetterFilter } from "./sql-filter.js";

/** A dead letter as operators see it. `no` is its name in every command. */
export interface Letter {
  readonly no: number;
  readonly state: LetterState;
  readonly code: string;
  /** Null: unproven, or the record became no job. */
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly job: LedgerKey | null;
  readonly generation: number | null;
  readonly message: string;
  readonly failedMs: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly replayCount: number;
}

const LETTER_COLUMNS = `d.no, d.state, d.code, t.name, d.job_id, d.job_no, d.job_day, d.generation, d.message, d.failed_ms, d.topic, d.partition,
  d.source_offset, d.replay_count`;
const LETTER_TABLES = "dead_letters d LEFT JOIN tenants t ON t.no = d.tenant_no";

type Row = readonly (string | null)[];

function readLetter(row: Row): Letter {
  const [
    no,
    state,
    code,
    tenant,
    jobId,
    jobNo,
    jobDay,
    generation,
    message,
    failedMs,
    topic,
    partition,
    offset,
    replayCount,
  ] = row;
  return {
    no: Number(no),
    state: state as LetterState, // the table's CHECK holds the same list
    code: code ?? "",
    tenant: tenant ?? null,
    jobId: bytesOrNull(jobId ?? null)?.toString("utf8") ?? null,
    job: numberOrNull(jobNo) === null ? null : { no: Number(jobNo), day: Number(jobDay) },
    generation: numberOrNull(generation),
    message: message ?? "",
    failedMs: Number(failedMs),
    topic: topic ?? "",
    partition: Number(partition),
    offset: Number(offset),
    replayCount: Number(replayCount),
  };
}

export function numberOrNull(value: string | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}

/** Statements with a free filter have no fixed text, so they are not prepared: an empty name is the unnamed statement. */
const UNNAMED = "";

/** The newest letters first. */
export async function newestLetters(pool: pg.Pool, filter: LetterFilter, limit: number): Promise<readonly Letter[]> {
  const values = new SqlValues();
  const condition = letterCondition(filter, values);
  const rows = await run(
    pool,
    UNNAMED,
    `SELECT ${LETTER_COLUMNS} FROM ${LETTER_TABLES} WHERE ${condition} ORDER BY d.failed_ms DESC, d.no DESC LIMIT ${values.add(limit)}`,
    values.all,
  );
  return rows.map(readLetter);
}

/** A page in the order of their numbers, for work through all of them: numbers above `afterNo`. */
export async function lettersAfter(
  pool: pg.Pool,
  filter: LetterFilter,
  afterNo: number,
  limit: number,
): Promise<readonly Letter[]> {
  const values = new SqlValues();
  const condition = letterCondition(filter, values);
  const rows = await run(
    pool,
    UNNAMED,
    `SELECT ${LETTER_COLUMNS} FROM ${LETTER_TABLES} WHERE ${condition} AND d.no > ${values.add(afterNo)} ORDER BY d.no LIMIT ${values.add(limit)}`,
    values.all,
  );
  return rows.map(readLetter);
}

/** 0 when there is no letter. */
export async function highestLetterNo(pool: pg.Pool): Promise<number> {
  const rows = await run(pool, "letters-highest", "SELECT coalesce(max(no), 0) FROM dead_letters", []);
  return Number(rows[0]?.[0]);
}

export interface LetterGroup {
  readonly code: string;
  readonly tenant: string | null;
  readonly state: LetterState;
  readonly count: number;
}

/** How many letters there are of each code, tenant and state. */
export async function letterGroups(pool: pg.Pool, filter: LetterFilter): Promise<readonly LetterGroup[]> {
  const values = new SqlValues();
  const condition = letterCondition(filter, values);
  const rows = await run(
    pool,
    UNNAMED,
    `SELECT d.code, t.name, d.state, count(*) FROM ${LETTER_TABLES} WHERE ${condition} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3`,
    values.all,
  );
  return rows.map(([code, tenant, state, count]) => ({
    code: code ?? "",
    tenant: tenant ?? null,
    state: state as LetterState, // the table's CHECK holds the same list
    count: Number(count),
  }));
}

export interface Replay {
  readonly byWhom: string;
  readonly atMs: number;
  readonly newJob: LedgerKey;
}

export interface FullLetter {
  readonly letter: Letter;
  readonly record: KeptRecord;
  /** The replay that made the job's next generation of it; null while there is none, and for a record that was sent again. */
  readonly replay: Replay | null;
}

/** @returns null when there is no letter of that number. */
export async function loadLetter(pool: pg.Pool, no: number): Promise<FullLetter | null> {
  const rows = await run(
    pool,
    "letter-load",
    `SELECT ${LETTER_COLUMNS}, d.record_value, d.record_headers, r.by_whom, r.at_ms, r.new_no, r.new_day
     FROM ${LETTER_TABLES} LEFT JOIN replays r ON r.job_no = d.job_no AND r.job_day = d.job_day AND d.outbox_no IS NULL
     WHERE d.no = $1`,
    [no],
  );
  const row = rows[0];
  if (row === undefined) return null;
  const [value, headersText, byWhom, atMs, newNo, newDay] = row.slice(14);
  return {
    letter: readLetter(row),
    record: { value: bytesOrNull(value ?? null), headersText: headersText ?? "[]" },
    replay:
      byWhom === null || byWhom === undefined
        ? null
        : { byWhom, atMs: Number(atMs), newJob: { no: Number(newNo), day: Number(newDay) } },
  };
}

/** A stored request, for working out what a replay may cost. */
export interface StoredRequest {
  readonly jobNo: number;
  readonly format: string;
  readonly policyText: string;
  readonly requestHex: string;
  readonly gzip: boolean;
  readonly maxCostNanoUsd: bigint | null;
  /** Its own call was answered after all: a replay costs nothing. */
  readonly answered: boolean;
}

export async function loadRequests(pool: pg.Pool, jobs: readonly LedgerKey[]): Promise<readonly StoredRequest[]> {
  const rows = await run(
    pool,
    "letters-requests",
    `SELECT j.no, e.format, e.policy, e.request, e.request_gzip, e.max_cost_nano, e.answer IS NOT NULL
     FROM unnest($1::int8[], $2::int4[]) AS k(no, day) JOIN jobs j ON j.no = k.no AND j.day = k.day
     JOIN executions e ON e.no = j.execution_no AND e.day = j.execution_day`,
    [jobs.map((job) => job.no), jobs.map((job) => job.day)],
  );
  return rows.map(([no, format, policy, request, gzip, maxCost, answered]) => ({
    jobNo: Number(no),
    format: format ?? "",
    policyText: policy ?? "{}",
    requestHex: request ?? "\\x",
    gzip: gzip === "t",
    maxCostNanoUsd: maxCost === null || maxCost === undefined ? null : BigInt(maxCost),
    answered: answered === "t",
  }));
}
