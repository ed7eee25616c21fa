import type pg from "pg";
import type {
  AttemptRow,
  BatchRow,
  BudgetRow,
  CostRow,
  CreateRow,
  ExecutionRow,
  JobRow,
  LedgerRows,
  LetterRow,
  PositionRow,
  ReplayRow,
  ReservationRow,
  SessionRow,
  StateChange,
  WaitingTable,
} from "./ledger-rows.js";

/** Rows that one answer of the database brings. */
const ROWS_AT_ONCE = 5_000;

type Row = Readonly<Record<string, unknown>>;

/**
 * Reads the ledger as it stands in one moment: all statements see the same snapshot. With SQL of its own, by the columns of
 * `schemas/ledger`: what the gateway's code thinks of its rows is none of this reader's business. Bodies are left out.
 * @param client not in a transaction.
 * @throws what PostgreSQL throws.
 */
export async function readLedger(client: pg.ClientBase): Promise<LedgerRows> {
  await client.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
  try {
    return await readSnapshot(client);
  } finally {
    await client.query("ROLLBACK");
  }
}

async function readSnapshot(client: pg.ClientBase): Promise<LedgerRows> {
  // One after the other: they share a connection and its snapshot.
  const jobs = await all(client, JOBS, toJob);
  const executions = await all(client, EXECUTIONS, toExecution);
  const attempts = await all(client, ATTEMPTS, toAttempt);
  const batches = await all(client, BATCHES, toBatch);
  const creates = await all(client, CREATES, toCreate);
  const costs = await all(client, COSTS, toCost);
  const budgets = await all(client, BUDGETS, toBudget);
  const reservations = await all(client, RESERVATIONS, toReservation);
  const deadLetters = await all(client, DEAD_LETTERS, toLetter);
  const replays = await all(client, REPLAYS, toReplay);
  const sessions = await all(client, SESSIONS, toSession);
  const positions = await all(client, POSITIONS, toPosition);
  const waiting = await waitingRows(client);
  const [kept] = (await client.query<Row>("SELECT to_regclass('chaos_history') IS NOT NULL AS kept")).rows;
  const history = kept?.["kept"] === true ? await all(client, HISTORY, toChange) : null;
  return {
    jobs,
    executions,
    attempts,
    batches,
    creates,
    costs,
    budgets,
    reservations,
    deadLetters,
    replays,
    sessions,
    positions,
    waiting,
    history,
  };
}

/** By a cursor, so that no answer of the database is larger than `ROWS_AT_ONCE`. */
async function all<Kept>(client: pg.ClientBase, statement: string, keep: (row: Row) => Kept): Promise<readonly Kept[]> {
  await client.query(`DECLARE evidence NO SCROLL CURSOR FOR ${statement}`);
  const kept: Kept[] = [];
  for (;;) {
    const { rows } = await client.query<Row>(`FETCH ${String(ROWS_AT_ONCE)} FROM evidence`);
    for (const row of rows) kept.push(keep(row));
    if (rows.length < ROWS_AT_ONCE) break;
  }
  await client.query("CLOSE evidence");
  return kept;
}

const JOBS = `SELECT j.*, t.name AS tenant FROM (SELECT day, no, tenant_no, job_id, generation, state, execution_no, deadline_ms, accepted_ms, ended_ms,
  failure_code, source FROM jobs) j JOIN tenants t ON t.no = j.tenant_no ORDER BY j.no`;

function toJob(row: Row): JobRow {
  return {
    day: count(row, "day"),
    no: count(row, "no"),
    tenant: text(row, "tenant"),
    jobId: bytes(row, "job_id")?.toString("utf8") ?? "",
    generation: count(row, "generation"),
    state: text(row, "state"),
    executionNo: countOrNull(row, "execution_no"),
    deadlineMs: count(row, "deadline_ms"),
    acceptedMs: count(row, "accepted_ms"),
    endedMs: countOrNull(row, "ended_ms"),
    failureCode: textOrNull(row, "failure_code"),
    source: text(row, "source"),
  };
}

const EXECUTIONS = `SELECT e.day, e.no, t.name AS tenant, encode(e.key, 'hex') AS key, e.lane, e.state, e.session_no, e.attempt_no, e.attempts, e.mode,
  CASE WHEN e.answer IS NOT NULL THEN (e.answer_facts::json ->> 'cacheable')::boolean AND e.cache_write END AS cacheable, e.ended_ms
  FROM executions e JOIN tenants t ON t.no = e.tenant_no ORDER BY e.no`;

function toExecution(row: Row): ExecutionRow {
  const cacheable = row["cacheable"];
  return {
    day: count(row, "day"),
    no: count(row, "no"),
    tenant: text(row, "tenant"),
    key: textOrNull(row, "key"),
    lane: count(row, "lane"),
    state: text(row, "state"),
    sessionNo: countOrNull(row, "session_no"),
    attemptNo: countOrNull(row, "attempt_no"),
    attempts: count(row, "attempts"),
    mode: text(row, "mode"),
    cacheable: typeof cacheable === "boolean" ? cacheable : null,
    endedMs: countOrNull(row, "ended_ms"),
  };
}

const ATTEMPTS = `SELECT day, no, execution_no, number, session_no, state, batch_no, supersedes, account, model, max_nano, started_ms, ended_ms, settled_ms,
  outcome, nano_usd FROM attempts ORDER BY no`;

function toAttempt(row: Row): AttemptRow {
  return {
    day: count(row, "day"),
    no: count(row, "no"),
    executionNo: count(row, "execution_no"),
    number: count(row, "number"),
    sessionNo: count(row, "session_no"),
    state: text(row, "state"),
    batchNo: countOrNull(row, "batch_no"),
    supersedes: countOrNull(row, "supersedes"),
    account: text(row, "account"),
    model: text(row, "model"),
    maxNanoUsd: money(row, "max_nano"),
    startedMs: count(row, "started_ms"),
    endedMs: countOrNull(row, "ended_ms"),
    settledMs: countOrNull(row, "settled_ms"),
    outcome: textOrNull(row, "outcome"),
    nanoUsd: moneyOrNull(row, "nano_usd"),
  };
}

const BATCHES =
  "SELECT no, state, account, lines, created_ms, submitted_ms, ended_ms, provider_batch_id FROM batches ORDER BY no";

function toBatch(row: Row): BatchRow {
  return {
    no: count(row, "no"),
    state: text(row, "state"),
    account: text(row, "account"),
    lines: count(row, "lines"),
    createdMs: count(row, "created_ms"),
    submittedMs: countOrNull(row, "submitted_ms"),
    endedMs: countOrNull(row, "ended_ms"),
    providerBatchId: textOrNull(row, "provider_batch_id"),
  };
}

const CREATES =
  "SELECT batch_no, number, account, intent_ms, settled, provider_batch_id FROM batch_creates ORDER BY batch_no, number";

function toCreate(row: Row): CreateRow {
  return {
    batchNo: count(row, "batch_no"),
    number: count(row, "number"),
    account: text(row, "account"),
    intentMs: count(row, "intent_ms"),
    settled: textOrNull(row, "settled") as CreateRow["settled"], // the column's CHECK
    providerBatchId: textOrNull(row, "provider_batch_id"),
  };
}

const COSTS = `SELECT c.day, c.no, c.kind, c.billing, t.name AS tenant, c.job_no, c.attempt_no, c.nano_usd, c.max_nano
  FROM costs c JOIN tenants t ON t.no = c.tenant_no ORDER BY c.no`;

function toCost(row: Row): CostRow {
  return {
    day: count(row, "day"),
    no: count(row, "no"),
    kind: text(row, "kind"),
    billing: text(row, "billing"),
    tenant: text(row, "tenant"),
    jobNo: countOrNull(row, "job_no"),
    attemptNo: countOrNull(row, "attempt_no"),
    nanoUsd: moneyOrNull(row, "nano_usd"),
    maxNanoUsd: money(row, "max_nano"),
  };
}

const BUDGETS = "SELECT level, since_ms, settled_nano, reserved_nano FROM budgets ORDER BY level, since_ms";

function toBudget(row: Row): BudgetRow {
  return {
    level: text(row, "level"),
    sinceMs: count(row, "since_ms"),
    settledNanoUsd: money(row, "settled_nano"),
    reservedNanoUsd: money(row, "reserved_nano"),
  };
}

const RESERVATIONS =
  "SELECT a.no AS attempt_no, b.level, b.since_ms, a.max_nano FROM attempts a JOIN budgets b ON b.no = ANY (a.reserved_in) ORDER BY a.no, b.level";

function toReservation(row: Row): ReservationRow {
  return {
    attemptNo: count(row, "attempt_no"),
    level: text(row, "level"),
    sinceMs: count(row, "since_ms"),
    maxNanoUsd: money(row, "max_nano"),
  };
}

const DEAD_LETTERS = `SELECT d.no, d.state, t.name AS tenant, d.job_id, d.job_no, d.generation, d.code, d.topic, d.partition, d.source_offset, d.replay_count,
  d.failed_ms FROM dead_letters d LEFT JOIN tenants t ON t.no = d.tenant_no ORDER BY d.no`;

function toLetter(row: Row): LetterRow {
  return {
    no: count(row, "no"),
    state: text(row, "state"),
    tenant: textOrNull(row, "tenant"),
    jobId: bytes(row, "job_id")?.toString("utf8") ?? null,
    jobNo: countOrNull(row, "job_no"),
    generation: countOrNull(row, "generation"),
    code: text(row, "code"),
    topic: text(row, "topic"),
    partition: count(row, "partition"),
    offset: text(row, "source_offset"),
    replayCount: count(row, "replay_count"),
    failedMs: count(row, "failed_ms"),
  };
}

const REPLAYS = "SELECT job_no, new_no, by_whom, at_ms FROM replays ORDER BY at_ms, job_no";

function toReplay(row: Row): ReplayRow {
  return {
    jobNo: count(row, "job_no"),
    newNo: count(row, "new_no"),
    byWhom: text(row, "by_whom"),
    atMs: count(row, "at_ms"),
  };
}

const SESSIONS = `SELECT session_no, name, floor(extract(epoch FROM started_at) * 1000)::bigint AS started_ms,
  floor(extract(epoch FROM ended_at) * 1000)::bigint AS ended_ms, died FROM routers ORDER BY session_no`;

function toSession(row: Row): SessionRow {
  return {
    sessionNo: count(row, "session_no"),
    name: text(row, "name"),
    startedMs: count(row, "started_ms"),
    endedMs: countOrNull(row, "ended_ms"),
    died: row["died"] === true,
  };
}

const POSITIONS = "SELECT topic, partition, next FROM inbox_position ORDER BY topic, partition";

function toPosition(row: Row): PositionRow {
  return { topic: text(row, "topic"), partition: count(row, "partition"), next: text(row, "next") };
}

const HISTORY = `SELECT seq, about, no, from_state, to_state, session_no, transaction, floor(extract(epoch FROM at) * 1000)::bigint AS at_ms
  FROM chaos_history ORDER BY seq`;

function toChange(row: Row): StateChange {
  return {
    seq: count(row, "seq"),
    table: text(row, "about") as StateChange["table"], // `install-history.ts` writes no other
    no: count(row, "no"),
    from: textOrNull(row, "from_state"),
    to: text(row, "to_state"),
    sessionNo: countOrNull(row, "session_no"),
    transaction: text(row, "transaction"),
    atMs: count(row, "at_ms"),
  };
}

const WAITING_TABLES: readonly WaitingTable[] = ["outbox_ready", "ready", "batch_ready", "repeats", "unanswered"];

async function waitingRows(client: pg.ClientBase): Promise<Readonly<Record<WaitingTable, number>>> {
  const counts = WAITING_TABLES.map((table) => `(SELECT count(*) FROM ${table}) AS ${table}`).join(", ");
  const [row] = (await client.query<Row>(`SELECT ${counts}`)).rows;
  if (row === undefined) throw new Error("expected a row from the ledger");
  return {
    outbox_ready: count(row, "outbox_ready"),
    ready: count(row, "ready"),
    batch_ready: count(row, "batch_ready"),
    repeats: count(row, "repeats"),
    unanswered: count(row, "unanswered"),
  };
}

/** Numbers come as text where they are 64 bits wide. @throws Error for a column that is not what the schema says. */
function count(row: Row, name: string): number {
  const value = countOrNull(row, name);
  if (value === null) throw new Error(`the ledger, column ${name}: expected a whole number, got null`);
  return value;
}

function countOrNull(row: Row, name: string): number | null {
  const value = row[name];
  if (value === null || value === undefined) return null;
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new Error(`the ledger, column ${name}: expected a whole number, got ${JSON.stringify(value)}`);
  return number;
}

function money(row: Row, name: string): bigint {
  return BigInt(text(row, name));
}

function moneyOrNull(row: Row, name: string): bigint | null {
  const value = textOrNull(row, name);
  return value === null ? null : BigInt(value);
}

function text(row: Row, name: string): string {
  const value = textOrNull(row, name);
  if (value === null) throw new Error(`the ledger, column ${name}: expected text`);
  return value;
}

function textOrNull(row: Row, name: string): string | null {
  const value = row[name];
  return typeof value === "string" ? value : null;
}

function bytes(row: Row, name: string): Buffer | null {
  const value = row[name];
  return Buffer.isBuffer(value) ? value : null;
}
