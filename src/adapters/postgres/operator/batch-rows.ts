import type pg from "pg";
import { parseBatchId, type Batch, type BatchState } from "../../../domain/batch/batch.js";
import type { LedgerKey } from "../../../domain/ids.js";
import { run } from "../connection.js";
import { bytesOf } from "../stored-body.js";
import { numberOrNull } from "./letter-rows.js";
import { SqlValues } from "./sql-filter.js";
import { COUNT_LIMIT } from "./status-rows.js";

/** A batch with what its row says beside it. */
export interface BatchRow {
  readonly batch: Batch;
  /** The router that works on it; null: none has taken it. */
  readonly session: number | null;
  /** Of the jobs whose lines are in it; null: none waits any more. */
  readonly nearestDeadlineMs: number | null;
}

type Row = readonly (string | null)[];

export const BATCH_COLUMNS = `b.no, b.version, b.state, b.account, b.pool, b.model, b.lines, b.tokens, b.created_ms, b.submitted_ms, b.expected_ms,
  b.ended_ms, b.next_at_ms, b.provider_batch_id, b.session_no, b.nearest_deadline_ms, b.facts`;

/** The columns count; `facts` has the rest. */
export function readBatchRow(row: Row): BatchRow {
  const [no, version, state, account, pool, model, lines, tokens, createdMs, submittedMs, expectedMs, ...rest] = row;
  const [endedMs, nextAtMs, providerBatchId, session, nearestDeadlineMs, facts] = rest;
  return {
    batch: {
      ...(JSON.parse(facts ?? "{}") as Batch), // written from a Batch
      no: Number(no),
      version: Number(version),
      state: state as BatchState, // the table's CHECK holds the same list
      account: account ?? "",
      pool: pool ?? "",
      model: model ?? null,
      lines: Number(lines),
      tokens: Number(tokens),
      createdAtMs: Number(createdMs),
      submittedAtMs: numberOrNull(submittedMs),
      expectedAtMs: numberOrNull(expectedMs),
      endedAtMs: numberOrNull(endedMs),
      nextAtMs: numberOrNull(nextAtMs),
      providerBatchId: providerBatchId ?? null,
    },
    session: numberOrNull(session),
    nearestDeadlineMs: numberOrNull(nearestDeadlineMs),
  };
}

export interface BatchFilter {
  readonly account: string | null;
  /** Null: any. */
  readonly states: readonly BatchState[] | null;
  readonly limit: number;
}

export interface BatchPage {
  readonly batches: readonly BatchRow[];
  /** How many others the filter means; counting stops at `COUNT_LIMIT`. */
  readonly more: number;
}

/** The newest batches first. */
export async function newestBatches(pool: pg.Pool, filter: BatchFilter): Promise<BatchPage> {
  const values = new SqlValues();
  const terms = ["true"];
  if (filter.account !== null) terms.push(`b.account = ${values.add(filter.account)}::text`);
  if (filter.states !== null) terms.push(`b.state = ANY(${values.add(filter.states)}::text[])`);
  const chosen = `FROM batches b WHERE ${terms.join(" AND ")}`;
  const count = `(SELECT count(*) FROM (SELECT 1 ${chosen} LIMIT ${values.add(COUNT_LIMIT)}::int8) c)`;
  const rows = await run(
    pool,
    "",
    `SELECT ${count}, ${BATCH_COLUMNS} ${chosen} ORDER BY b.no DESC LIMIT ${values.add(filter.limit)}::int8`,
    values.all,
  );
  const all = Number(rows[0]?.[0] ?? 0);
  return { batches: rows.map((row) => readBatchRow(row.slice(1))), more: Math.max(0, all - rows.length) };
}

/** Null: there is none of that number. */
export async function loadBatch(pool: pg.Pool, no: number): Promise<BatchRow | null> {
  const rows = await run(pool, "batch-load", `SELECT ${BATCH_COLUMNS} FROM batches b WHERE b.no = $1`, [no]);
  return rows[0] === undefined ? null : readBatchRow(rows[0]);
}

/** The batch of one of our names, else those that a provider calls so: one an account. */
export async function findBatches(pool: pg.Pool, name: string): Promise<readonly BatchRow[]> {
  const rows = await run(
    pool,
    "batches-find",
    `SELECT ${BATCH_COLUMNS} FROM batches b WHERE b.no = $1::int8 OR b.provider_batch_id = $2 ORDER BY b.no LIMIT 100`,
    [parseBatchId(name), name],
  );
  return rows.map(readBatchRow);
}

/** Batches in which something may still happen, the oldest first; one that failed has lines to give back until it is done with. */
export async function openBatches(pool: pg.Pool, limit: number): Promise<readonly BatchRow[]> {
  const rows = await run(
    pool,
    "batches-open",
    `SELECT ${BATCH_COLUMNS} FROM batches b
     WHERE b.state <> 'done' AND (b.state <> 'failed' OR b.facts::json->>'doneAtMs' IS NULL) ORDER BY b.no LIMIT $1`,
    [limit],
  );
  return rows.map(readBatchRow);
}

/** An account whose batches a refusal holds down. */
export interface HeldAccount {
  readonly account: string;
  /** Enqueued tokens are refused beyond it; null: not limited. */
  readonly tokensMax: number | null;
  readonly untilMs: number;
}

/** Holds that are in force by the database's clock. */
export async function heldAccounts(pool: pg.Pool): Promise<readonly HeldAccount[]> {
  const rows = await run(
    pool,
    "batch-accounts-held",
    `SELECT account, tokens_max, hold_until_ms FROM batch_accounts
     WHERE hold_until_ms > extract(epoch FROM clock_timestamp()) * 1000 ORDER BY account`,
    [],
  );
  return rows.map(([account, tokensMax, untilMs]) => ({
    account: account ?? "",
    tokensMax: numberOrNull(tokensMax),
    untilMs: Number(untilMs),
  }));
}

/** One call to create a batch at its provider, or the intent of one. */
export interface CreateLine {
  readonly number: number;
  readonly mark: string;
  readonly fileId: string | null;
  readonly lines: number;
  readonly intentMs: number;
  /** Null: not known yet. */
  readonly settled: string | null;
  readonly providerBatchId: string | null;
}

const CREATES_MAX = 100;

/** The newest first, at most 100. */
export async function createsOf(pool: pg.Pool, batchNo: number): Promise<readonly CreateLine[]> {
  const rows = await run(
    pool,
    "batch-creates-load",
    `SELECT number, mark, file_id, lines, intent_ms, settled, provider_batch_id FROM batch_creates
     WHERE batch_no = $1 ORDER BY number DESC LIMIT ${String(CREATES_MAX)}`,
    [batchNo],
  );
  return rows.map(([number, mark, fileId, lines, intentMs, settled, providerBatchId]) => ({
    number: Number(number),
    mark: mark ?? "",
    fileId: fileId ?? null,
    lines: Number(lines),
    intentMs: Number(intentMs),
    settled: settled ?? null,
    providerBatchId: providerBatchId ?? null,
  }));
}

/** A line of a batch as people see it. */
export interface LineRow {
  /** Place in the batch, from 1. */
  readonly line: number;
  readonly attempt: LedgerKey;
  readonly execution: LedgerKey;
  readonly tenant: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly requestId: string | null;
  readonly nanoUsd: string | null;
  /** The first of the jobs that it serves. */
  readonly jobIds: readonly string[];
  readonly jobs: number;
}

const JOBS_SHOWN = 3;

/**
 * Lines behind the place `after`, in the order of the batch. The order is asked for as an expression: the wish for an index's order would be
 * a reason to walk all attempts of a day.
 */
export async function batchLines(
  pool: pg.Pool,
  batchNo: number,
  after: number,
  limit: number,
): Promise<readonly LineRow[]> {
  const rows = await run(
    pool,
    "batch-lines",
    `SELECT a.no, a.day, a.execution_no, t.name, a.state, a.outcome, a.request_id, a.nano_usd, j.jobs, j.ids
     FROM (SELECT * FROM attempts WHERE batch_no = $1 ORDER BY no + 0 OFFSET $2 LIMIT $3) a
       LEFT JOIN executions e ON e.no = a.execution_no AND e.day = a.day LEFT JOIN tenants t ON t.no = e.tenant_no
       CROSS JOIN LATERAL (SELECT count(*) AS jobs, to_json((array_agg(encode(job_id, 'hex') ORDER BY no))[1:$4::int]) AS ids
         FROM jobs WHERE execution_no = a.execution_no AND execution_day = a.day) j
     ORDER BY a.no + 0`,
    [batchNo, after, limit, JOBS_SHOWN],
  );
  return rows.map(([no, day, executionNo, tenant, state, outcome, requestId, nanoUsd, jobs, ids], at) => ({
    line: after + at + 1,
    attempt: { no: Number(no), day: Number(day) },
    execution: { no: Number(executionNo), day: Number(day) },
    tenant: tenant ?? "",
    state: state ?? "",
    outcome: outcome ?? null,
    requestId: requestId ?? null,
    nanoUsd: nanoUsd ?? null,
    jobIds: jobIdsOf(ids ?? null),
    jobs: Number(jobs),
  }));
}

function jobIdsOf(json: string | null): readonly string[] {
  const hex = JSON.parse(json ?? "null") as string[] | null; // what the statement above makes
  return (hex ?? []).map((id) => bytesOf(`\\x${id}`).toString("utf8"));
}
