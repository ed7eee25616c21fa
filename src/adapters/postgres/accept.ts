import type pg from "pg";
import type { IntakeJob, IntakeWait, JobEnd, Outgoing, RefusedRecord, Renderer } from "../../domain/result/outgoing.js";
import type { Accepted, EndedJob, IntakeGroup, IntakeOutcome, PositionMove } from "../../ports/ledger.js";
import type { AnswerFacts, AttemptIntent } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import { LANE } from "../../domain/dedupe/choose-execution.js";
import {
  cancelledJobs,
  hurriedOpeners,
  intakeEnd,
  openingFate,
  type IntakeEnd,
} from "../../domain/dedupe/opening-fate.js";
import { renderEnvelope } from "../../domain/result/envelope.js";
import { insertAttempts, type NewAttempt } from "./attempt-rows.js";
import {
  boolColumn,
  byteaColumn,
  columnsOf,
  firstNumber,
  int2Column,
  int4Column,
  int8Column,
  textColumn,
} from "./columns.js";
import { run, send, transaction } from "./connection.js";
import { insertDeadLetters, writeEnds, type EndingWithReason } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { fromStored, toStored, type StoredBody } from "./stored-body.js";
import { joinExecutions } from "./join-executions.js";
import { placeKnownIds } from "./known-ids.js";
import { sourceOf, type Placing } from "./placing.js";
import { insertReady, type ReadyRow } from "./ready-rows.js";
import { insertPooled, type PoolRow } from "./batch/pool-rows.js";
import { holdMoney } from "./budget/hold-money.js";
import { cancelRows } from "./cancel.js";

/**
 * The intake transaction: positions, job keys, executions, jobs, first intents and the queue rows of one group.
 *
 * Order of locks, the same in every group: own session, positions, job keys, execution keys, executions, budgets, rows of our own. Rows
 * within a table go in key order. After a kill anywhere before COMMIT nothing is there and the records come again; after it, the
 * positions say so.
 */
export async function accept(context: LedgerContext, group: IntakeGroup, render: Renderer): Promise<IntakeOutcome> {
  await context.tenants.ensure(tenantsOf(group));
  await context.numbers.reserve(group.jobs.length * 2 + group.refused.length + group.cancels.length + 64);
  try {
    return await transaction(
      context.pools.durable,
      (client) => acceptInTransaction(client, context, group, render),
      (outcome) => knownCommit(context, group, outcome),
      context.commitPoints(["intake.before_commit", "intake.commit_sent"]),
    );
  } catch (error) {
    if (error instanceof PositionsMoved) return { kind: "moved", partitions: group.moves };
    if (error instanceof SessionFenced) return { kind: "fenced" };
    throw error;
  }
}

/** A refused record names a tenant only when its topic or its value proved one of the config. */
function tenantsOf({ jobs, refused }: IntakeGroup): string[] {
  const names = [...jobs.map(({ job }) => job.tenant), ...refused.flatMap(({ tenant }) => tenant ?? [])];
  return [...new Set(names)];
}

type AcceptedGroup = Extract<IntakeOutcome, { readonly kind: "accepted" }>;

class PositionsMoved extends Error {}
class SessionFenced extends Error {}

/**
 * After a COMMIT without an answer. A position with the group's number says that it stands; one without may have been moved on by another
 * router since. Then the first intent tells. Where no call was to begin, nobody misses the answer: rows are found by whoever looks for them.
 */
async function knownCommit(
  context: LedgerContext,
  group: IntakeGroup,
  outcome: AcceptedGroup,
): Promise<AcceptedGroup | null> {
  const first = group.moves[0];
  if (first === undefined) return outcome;
  const { pools, cluster } = context;
  // With a lock: a COMMIT that is on its way still is waited for.
  const [position] = await run(
    pools.durable,
    "position-last-group",
    "SELECT last_group FROM inbox_position WHERE cluster = $1 AND topic = $2 AND partition = $3 FOR SHARE",
    [cluster, first.topic, first.partition],
  );
  if (Number(position?.[0] ?? -1) === group.groupNo) return outcome;
  const intent = group.jobs[outcome.jobs.findIndex(({ kind }) => kind === "started")]?.intent ?? null;
  if (intent === null) return null;
  const begun = await run(pools.durable, "group-has-begun", "SELECT 1 FROM attempts WHERE day = $1 AND no = $2", [
    outcome.day,
    intent.no,
  ]);
  return begun.length > 0 ? outcome : null;
}

export async function acceptInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  group: IntakeGroup,
  render: Renderer,
): Promise<AcceptedGroup> {
  const placings: Placing[] = [];
  for (const item of group.jobs) placings.push(placingOf(context, item));
  // Out together: a group whose positions have moved is rolled back with its keys.
  const [nowMs, taken] = await Promise.all([movePositions(client, context, group), insertJobKeys(client, placings)]);
  context.sawDatabaseTime(nowMs);
  const day = Math.floor(nowMs / 86_400_000);
  const outgoing: Outgoing[] = [];
  const conflicts = await placeKnownIds(client, context, placings, taken, day, render, outgoing);
  const fresh = placings.filter(hasNoFate);
  for (const placing of fresh) if (placing.job.deadlineMs <= nowMs) placing.fate = "expired";
  const cancelled = cancelledJobs(placings, group.cancels);
  for (const placing of fresh) if (cancelled.has(placing.no)) placing.fate ??= "cancelled";
  await joinExecutions(client, context, fresh.filter(hasNoFate), day, nowMs);
  const hurried = hurriedOpeners(fresh);
  for (const placing of fresh) placing.fate ??= openingFate(placing, hurried);
  const { reservedIn } = await holdMoney(client, context, fresh, { cancels: group.cancels.length > 0, nowMs });
  insertExecutions(client, context, group, { fresh, hurried, day, nowMs, reservedIn });
  insertJobs(client, fresh, day, nowMs);
  const ends: EndingWithReason[] = [];
  for (const placing of fresh) ends.push(...endAtIntake(placing, day, nowMs));
  const ended: EndedJob[] = [];
  if (ends.length > 0) {
    const written = await writeEnds(client, context, render, ends);
    outgoing.push(...written.outgoing);
    ended.push(...written.ended);
  }
  outgoing.push(...writeRefused(client, context, [...group.refused, ...conflicts], day, nowMs));
  if (group.cancels.length > 0) {
    const own = fresh.map(({ no }) => no);
    const written = await cancelRows(client, context, group.cancels, nowMs, render, own);
    outgoing.push(...written.outgoing);
    ended.push(...written.ended);
  }
  const outbox = insertOutbox(client, context.numbers, group.session, nowMs, outgoing);
  return {
    kind: "accepted",
    day,
    acceptedAtMs: nowMs,
    jobs: placings.map(acceptedAs),
    ended,
    outbox,
  };
}

function placingOf({ tenants }: LedgerContext, item: IntakeJob): Placing {
  return {
    item,
    no: item.no,
    tenantNo: tenants.noOf(item.job.tenant),
    job: item.job,
    riskNanoUsd: item.riskNanoUsd,
    batchUntilMs: item.pooled?.line.lookAtMs ?? null,
    fate: null,
    execution: null,
    cached: null,
    lane: LANE.ordinary,
  };
}

const MOVE_COLUMNS = [
  textColumn(({ topic }: PositionMove) => topic),
  int4Column(({ partition }: PositionMove) => partition),
  int8Column(({ since }: PositionMove) => since),
  int8Column(({ upto }: PositionMove) => upto),
  byteaColumn(({ witness }: PositionMove) => witness),
  int4Column(({ adoptions }: PositionMove) => adoptions ?? 0),
];

/** Moves the positions under the fence. @returns the database's time. @throws when the session is dead or a position is not where its move begins. */
async function movePositions(client: pg.PoolClient, context: LedgerContext, group: IntakeGroup): Promise<number> {
  const { moves } = group;
  const rows = await run(
    client,
    "position-move",
    `WITH fence AS MATERIALIZED (SELECT 1 FROM routers WHERE session_no = $1 AND ended_at IS NULL FOR KEY SHARE),
     m AS MATERIALIZED (
       SELECT * FROM unnest($3::text[], $4::int4[], $5::int8[], $6::int8[], $7::bytea[], $8::int4[])
         AS u(topic, partition, since, upto, witness, adoptions)),
     locked AS MATERIALIZED (
       SELECT p.topic, p.partition, m.upto, m.witness FROM inbox_position p JOIN m ON p.topic = m.topic AND p.partition = m.partition
       WHERE p.cluster = $9 AND p.next = m.since AND p.adoptions = m.adoptions AND EXISTS (SELECT 1 FROM fence) ORDER BY p.topic, p.partition FOR UPDATE OF p),
     moved AS (
       UPDATE inbox_position p SET next = l.upto, last_group = $2, witness = l.witness
       FROM locked l WHERE p.cluster = $9 AND p.topic = l.topic AND p.partition = l.partition
       RETURNING 1)
     SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM moved), floor(extract(epoch FROM now()) * 1000)::int8`,
    [group.session, group.groupNo, ...columnsOf(MOVE_COLUMNS, moves), context.cluster],
  );
  const [alive, moved, nowMs] = rows[0] ?? ["0", "0", "0"];
  if (alive === "0") throw new SessionFenced();
  if (Number(moved) !== moves.length) throw new PositionsMoved();
  return Number(nowMs);
}

const JOB_KEY_COLUMNS = [
  int4Column(({ tenantNo }: Placing) => tenantNo),
  byteaColumn(({ job }: Placing) => job.idHash),
  byteaColumn(({ job }: Placing) => job.bodyHash),
  int8Column(({ no }: Placing) => no),
];

/** Job keys are the only place where an id is unique. @returns numbers of the jobs whose ids were new. */
async function insertJobKeys(client: pg.PoolClient, placings: readonly Placing[]): Promise<Set<number>> {
  if (placings.length === 0) return new Set();
  const ordered = [...placings].sort(byIdHash);
  const rows = await run(
    client,
    "job-key-insert",
    `INSERT INTO job_key (tenant_no, id_hash, body_hash, day, no)
     SELECT u.t, u.h, u.b, floor(extract(epoch FROM now()) / 86400)::int4, u.n FROM unnest($1::int4[], $2::bytea[], $3::bytea[], $4::int8[]) AS u(t, h, b, n)
     ON CONFLICT DO NOTHING RETURNING no`,
    columnsOf(JOB_KEY_COLUMNS, ordered),
  );
  return new Set(rows.map(firstNumber));
}

function byIdHash(one: Placing, other: Placing): number {
  return Buffer.compare(one.job.idHash, other.job.idHash);
}

function hasNoFate({ fate }: Placing): boolean {
  return fate === null;
}

function acceptedAs({ fate }: Placing): Accepted {
  return { kind: fate ?? "queued" };
}

function opens({ fate }: Placing): boolean {
  return fate === "started" || fate === "queued" || fate === "pooled";
}

/** The jobs of a group that were not known, each with its fate. */
interface PlacedGroup {
  readonly fresh: readonly Placing[];
  readonly hurried: ReadonlySet<number>;
  readonly day: number;
  readonly nowMs: number;
  readonly reservedIn: ReadonlyMap<number, string>;
}

interface Opened {
  readonly placing: Placing;
  /** Null: it waits as a row. */
  readonly intent: AttemptIntent | null;
  readonly session: number | null;
  readonly body: StoredBody;
  readonly isHurried: boolean;
}

const EXECUTION_COLUMNS = [
  int8Column(({ placing }: Opened) => placing.no),
  int4Column(({ placing }: Opened) => placing.tenantNo),
  byteaColumn(({ placing: { job } }: Opened) => (job.dedupe ? job.executionKey : null)),
  textColumn(({ intent }: Opened) => (intent === null ? "ready" : "running")),
  int8Column(({ session }: Opened) => session),
  int8Column(({ intent }: Opened) => (intent === null ? null : intent.no)),
  int4Column(({ intent }: Opened) => (intent === null ? 0 : 1)),
  textColumn(({ placing }: Opened) => placing.job.format),
  textColumn(({ placing }: Opened) => JSON.stringify(placing.job.policy)),
  byteaColumn(({ body }: Opened) => body.bytes),
  boolColumn(({ body }: Opened) => body.gzip),
  boolColumn(({ placing }: Opened) => placing.job.cacheWrite),
  int8Column(({ placing }: Opened) => placing.job.requirements.maxCostNanoUsd),
  int2Column(({ placing }: Opened) => placing.lane),
  textColumn(({ placing, isHurried }: Opened) => (isHurried ? "direct" : placing.job.mode)),
  textColumn(({ placing: { item } }: Opened) => (item.decision === undefined ? null : JSON.stringify(item.decision))),
];

/** Executions that this group opens, their first attempts (`sending`) or their queue rows. */
function insertExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  group: IntakeGroup,
  { fresh, hurried, day, nowMs, reservedIn }: PlacedGroup,
): void {
  const opened: Opened[] = [];
  const attempts: NewAttempt[] = [];
  const bytes = new Map<number, number>();
  for (const placing of fresh) {
    if (!opens(placing)) continue;
    const { no, job, fate, item } = placing;
    const intent = fate === "started" ? item.intent : null;
    const body = toStored(job.bodyText, context.settings);
    opened.push({ placing, intent, session: intent === null ? null : group.session, body, isHurried: hurried.has(no) });
    if (intent !== null) attempts.push({ intent, executionNo: no });
    bytes.set(no, body.bytes.length);
  }
  if (opened.length === 0) return;
  send(
    client,
    "executions-insert",
    `INSERT INTO executions (day, no, tenant_no, key, state, session_no, attempt_no, attempts, format, policy, request, request_gzip, cache_write, max_cost_nano, lane, mode, decision)
     SELECT $1, * FROM unnest($2::int8[], $3::int4[], $4::bytea[], $5::text[], $6::int8[], $7::int8[], $8::int4[], $9::text[], $10::text[],
       $11::bytea[], $12::bool[], $13::bool[], $14::int8[], $15::int2[], $16::text[], $17::text[])`,
    [day, ...columnsOf(EXECUTION_COLUMNS, opened)],
  );
  insertAttempts(client, group.session, day, attempts, reservedIn);
  insertReady(client, queueRows(fresh, day, bytes));
  insertPooled(client, poolRows(fresh, { day, nowMs, bytes }));
}

/**
 * One row an execution that no slot was free for, with the highest priority and the nearest deadline of its jobs in this group.
 * @param bytes lengths of the stored requests, by execution.
 */
function queueRows(fresh: readonly Placing[], day: number, bytes: ReadonlyMap<number, number>): ReadyRow[] {
  const rows = new Map<number, { -readonly [Key in keyof ReadyRow]: ReadyRow[Key] }>();
  for (const { no, tenantNo, job, fate, execution, item } of fresh) {
    const row = rows.get(execution?.no ?? no);
    if (fate === "queued") {
      const waits: IntakeWait = item.waits ?? { runAtMs: job.submittedAtMs, waitsFor: "concurrency" };
      const { runAtMs, waitsFor, limit } = waits;
      rows.set(no, {
        no,
        day,
        priority: job.priority,
        runAtMs,
        expiresMs: job.deadlineMs,
        waitsFor,
        bytes: bytes.get(no) ?? null,
        tenantNo,
        ...(limit === undefined ? {} : { limit }),
      });
    } else if (fate === "joined" && row !== undefined) {
      row.priority = Math.max(row.priority, job.priority);
      row.expiresMs = Math.min(row.expiresMs, job.deadlineMs);
    }
  }
  return [...rows.values()];
}

/** One row an execution that waits for a batch: as `queueRows`, and as soon as the first of its jobs needs it. */
function poolRows(
  fresh: readonly Placing[],
  { day, nowMs, bytes }: { readonly day: number; readonly nowMs: number; readonly bytes: ReadonlyMap<number, number> },
): PoolRow[] {
  const rows = new Map<number, PoolRow>();
  for (const { no, tenantNo, job, fate, execution, item, batchUntilMs } of fresh) {
    const row = rows.get(execution?.no ?? no);
    if (fate === "pooled" && item.pooled !== undefined) {
      rows.set(no, {
        no,
        day,
        ...item.pooled,
        tenantNo,
        priority: job.priority,
        addedMs: nowMs,
        expiresMs: job.deadlineMs,
        bytes: bytes.get(no) ?? 0,
        attempts: 0,
      });
    } else if (fate === "joined" && row !== undefined) {
      rows.set(row.no, {
        ...row,
        line: { ...row.line, lookAtMs: Math.min(row.line.lookAtMs, batchUntilMs ?? nowMs) },
        priority: Math.max(row.priority, job.priority),
        expiresMs: Math.min(row.expiresMs, job.deadlineMs),
      });
    }
  }
  return [...rows.values()];
}

interface NewJob {
  readonly placing: Placing;
  /** That serves it, its own or another's. */
  readonly execution: LedgerKey | null;
  /** Null: it goes on. */
  readonly end: IntakeEnd | null;
  readonly endedMs: number | null;
}

const JOB_COLUMNS = [
  int8Column(({ placing }: NewJob) => placing.no),
  int4Column(({ placing }: NewJob) => placing.tenantNo),
  byteaColumn(({ placing }: NewJob) => Buffer.from(placing.job.jobId, "utf8")),
  textColumn(({ end }: NewJob) => end?.status ?? "active"),
  int4Column(({ execution }: NewJob) => execution?.day ?? null),
  int8Column(({ execution }: NewJob) => execution?.no ?? null),
  int8Column(({ placing }: NewJob) => placing.job.deadlineMs),
  int8Column(({ endedMs }: NewJob) => endedMs),
  textColumn(({ end }: NewJob) => end?.failure?.code ?? null),
  textColumn(({ placing }: NewJob) => sourceOf(placing)),
  textColumn(({ placing }: NewJob) => renderEnvelope(placing.job)),
  byteaColumn(({ placing }: NewJob) => placing.item.record.value),
  textColumn(({ placing }: NewJob) => placing.item.record.headersText),
  int2Column(({ placing }: NewJob) => placing.job.priority),
];

function insertJobs(client: pg.PoolClient, fresh: readonly Placing[], day: number, nowMs: number): void {
  if (fresh.length === 0) return;
  const jobs: NewJob[] = [];
  for (const placing of fresh) {
    const execution = opens(placing) ? { no: placing.no, day } : placing.execution;
    const end = intakeEnd(placing.fate);
    jobs.push({ placing, execution, end, endedMs: end === null ? null : nowMs });
  }
  send(
    client,
    "jobs-insert",
    `INSERT INTO jobs (day, generation, accepted_ms, no, tenant_no, job_id, state, execution_day, execution_no, deadline_ms, ended_ms,
       failure_code, source, envelope, record_value, record_headers, priority)
     SELECT $1, 0, $2, * FROM unnest($3::int8[], $4::int4[], $5::bytea[], $6::text[], $7::int4[], $8::int8[], $9::int8[], $10::int8[],
       $11::text[], $12::text[], $13::text[], $14::bytea[], $15::text[], $16::int2[])`,
    [day, nowMs, ...columnsOf(JOB_COLUMNS, jobs)],
  );
}

function endAtIntake(placing: Placing, day: number, nowMs: number): EndingWithReason[] {
  const ends = intakeEnd(placing.fate);
  if (ends === null) return [];
  const job = {
    key: { no: placing.no, day },
    tenant: placing.job.tenant,
    jobId: placing.job.jobId,
    generation: 0,
    execution: placing.execution,
    status: ends.status,
    acceptedAtMs: nowMs,
    envelope: renderEnvelope(placing.job),
    record: placing.item.record,
  };
  const common = { payer: placing.execution, history: [], stage: "intake", endedAtMs: nowMs } as const;
  const end: JobEnd =
    placing.cached === null
      ? {
          ...common,
          answer: null,
          served: "call",
          failure: ends.failure,
        }
      : {
          ...common,
          answer: {
            bodyText: fromStored(placing.cached.answer, placing.cached.gzip),
            facts: JSON.parse(placing.cached.facts) as AnswerFacts, // written by finish
          },
          served: "exact_cache",
          failure: null,
        };
  return [{ job, end }];
}

function writeRefused(
  client: pg.PoolClient,
  context: LedgerContext,
  refused: readonly RefusedRecord[],
  day: number,
  nowMs: number,
): Outgoing[] {
  insertDeadLetters(
    client,
    refused.map((record) => ({
      no: record.no,
      day,
      tenantNo: record.tenant === null ? null : context.tenants.noOf(record.tenant),
      jobId: record.jobId === null ? null : Buffer.from(record.jobId, "utf8"),
      job: null,
      generation: null,
      code: record.code,
      message: record.message,
      failedMs: nowMs,
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      record: record.record,
    })),
  );
  return refused.flatMap((record) => record.outgoing);
}
