import type pg from "pg";
import type { IntakeWait, JobEnd, Outgoing, RefusedRecord, Renderer } from "../../domain/result/outgoing.js";
import type { EndedJob, IntakeGroup, IntakeOutcome } from "../../ports/ledger.js";
import type { AnswerFacts } from "../../domain/execution/execution.js";
import { LANE } from "../../domain/dedupe/choose-execution.js";
import { cancelledJobs, hurriedOpeners, intakeEnd, openingFate } from "../../domain/dedupe/opening-fate.js";
import { renderEnvelope } from "../../domain/result/envelope.js";
import { insertAttempts } from "./attempt-rows.js";
import { boolArray, byteaArray, int2Array, int4Array, int8Array, textArray } from "./binary-array.js";
import { run, send, transaction } from "./connection.js";
import { insertDeadLetters, writeEnds, type EndingWithReason } from "./ending.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { fromStored, toStored } from "./stored-body.js";
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
  const placings: Placing[] = group.jobs.map((item) => ({
    item,
    no: item.no,
    job: item.job,
    riskNanoUsd: item.riskNanoUsd,
    batchUntilMs: item.pooled?.line.lookAtMs ?? null,
    fate: null,
    execution: null,
    cached: null,
    lane: LANE.ordinary,
  }));
  // Out together: a group whose positions have moved is rolled back with its keys.
  const [nowMs, taken] = await Promise.all([
    movePositions(client, context, group),
    insertJobKeys(client, context, placings),
  ]);
  context.sawDatabaseTime(nowMs);
  const day = Math.floor(nowMs / 86_400_000);
  const outgoing: Outgoing[] = [];
  const conflicts = await placeKnownIds(client, context, placings, taken, day, render, outgoing);
  const fresh = placings.filter((placing) => placing.fate === null);
  for (const placing of fresh) if (placing.job.deadlineMs <= nowMs) placing.fate = "expired";
  const cancelled = cancelledJobs(placings, group.cancels);
  for (const placing of fresh) if (cancelled.has(placing.no)) placing.fate ??= "cancelled";
  await joinExecutions(
    client,
    context,
    fresh.filter((placing) => placing.fate === null),
    day,
    nowMs,
  );
  const hurried = hurriedOpeners(fresh);
  for (const placing of fresh) placing.fate ??= openingFate(placing, hurried);
  const { reservedIn } = await holdMoney(client, context, fresh, { cancels: group.cancels.length > 0, nowMs });
  insertExecutions(client, context, group, { fresh, hurried, day, nowMs, reservedIn });
  insertJobs(client, context, fresh, day, nowMs);
  const ends = fresh.flatMap((placing) => endAtIntake(placing, day, nowMs));
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
    jobs: placings.map((placing) => ({ kind: placing.fate ?? "queued" })),
    ended,
    outbox,
  };
}

/** Moves the positions under the fence. @returns the database's time. @throws when the session is dead or a position is not where its move begins. */
async function movePositions(client: pg.PoolClient, context: LedgerContext, group: IntakeGroup): Promise<number> {
  const { moves } = group;
  const rows = await run(
    client,
    "position-move",
    `WITH fence AS MATERIALIZED (SELECT 1 FROM routers WHERE session_no = $1 AND ended_at IS NULL FOR KEY SHARE),
     m AS MATERIALIZED (
       SELECT * FROM unnest($3::text[], $4::int4[], $5::int8[], $6::int8[], $7::bytea[]) AS u(topic, partition, since, upto, witness)),
     locked AS MATERIALIZED (
       SELECT p.topic, p.partition, m.upto, m.witness FROM inbox_position p JOIN m ON p.topic = m.topic AND p.partition = m.partition
       WHERE p.cluster = $8 AND p.next = m.since AND EXISTS (SELECT 1 FROM fence) ORDER BY p.topic, p.partition FOR UPDATE OF p),
     moved AS (
       UPDATE inbox_position p SET next = l.upto, last_group = $2, witness = l.witness
       FROM locked l WHERE p.cluster = $8 AND p.topic = l.topic AND p.partition = l.partition
       RETURNING 1)
     SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM moved), floor(extract(epoch FROM now()) * 1000)::int8`,
    [
      group.session,
      group.groupNo,
      textArray(moves.map((move) => move.topic)),
      int4Array(moves.map((move) => move.partition)),
      int8Array(moves.map((move) => move.since)),
      int8Array(moves.map((move) => move.upto)),
      byteaArray(moves.map((move) => move.witness)),
      context.cluster,
    ],
  );
  const [alive, moved, nowMs] = rows[0] ?? ["0", "0", "0"];
  if (alive === "0") throw new SessionFenced();
  if (Number(moved) !== moves.length) throw new PositionsMoved();
  return Number(nowMs);
}

/** Job keys are the only place where an id is unique. @returns numbers of the jobs whose ids were new. */
async function insertJobKeys(
  client: pg.PoolClient,
  context: LedgerContext,
  placings: readonly Placing[],
): Promise<Set<number>> {
  if (placings.length === 0) return new Set();
  const ordered = [...placings].sort((a, b) => Buffer.compare(a.job.idHash, b.job.idHash));
  const rows = await run(
    client,
    "job-key-insert",
    `INSERT INTO job_key (tenant_no, id_hash, body_hash, day, no)
     SELECT u.t, u.h, u.b, floor(extract(epoch FROM now()) / 86400)::int4, u.n FROM unnest($1::int4[], $2::bytea[], $3::bytea[], $4::int8[]) AS u(t, h, b, n)
     ON CONFLICT DO NOTHING RETURNING no`,
    [
      int4Array(ordered.map(({ job }) => context.tenants.noOf(job.tenant))),
      byteaArray(ordered.map(({ job }) => job.idHash)),
      byteaArray(ordered.map(({ job }) => job.bodyHash)),
      int8Array(ordered.map(({ no }) => no)),
    ],
  );
  return new Set(rows.map((row) => Number(row[0])));
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

/** Executions that this group opens, their first attempts (`sending`) or their queue rows. */
function insertExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  group: IntakeGroup,
  { fresh, hurried, day, nowMs, reservedIn }: PlacedGroup,
): void {
  const opened = fresh.filter(opens);
  if (opened.length === 0) return;
  const bodies = opened.map(({ job }) => toStored(job.bodyText, context.settings));
  send(
    client,
    "executions-insert",
    `INSERT INTO executions (day, no, tenant_no, key, state, session_no, attempt_no, attempts, format, policy, request, request_gzip, cache_write, max_cost_nano, lane, mode, decision)
     SELECT $1, * FROM unnest($2::int8[], $3::int4[], $4::bytea[], $5::text[], $6::int8[], $7::int8[], $8::int4[], $9::text[], $10::text[],
       $11::bytea[], $12::bool[], $13::bool[], $14::int8[], $15::int2[], $16::text[], $17::text[])`,
    [
      day,
      int8Array(opened.map(({ no }) => no)),
      int4Array(opened.map(({ job }) => context.tenants.noOf(job.tenant))),
      byteaArray(opened.map(({ job }) => (job.dedupe ? job.executionKey : null))),
      textArray(opened.map(({ fate }) => (fate === "started" ? "running" : "ready"))),
      int8Array(opened.map(({ fate }) => (fate === "started" ? group.session : null))),
      int8Array(opened.map(({ fate, item }) => (fate === "started" ? (item.intent?.no ?? null) : null))),
      int4Array(opened.map(({ fate }) => (fate === "started" ? 1 : 0))),
      textArray(opened.map(({ job }) => job.format)),
      textArray(opened.map(({ job }) => JSON.stringify(job.policy))),
      byteaArray(bodies.map((body) => body.bytes)),
      boolArray(bodies.map((body) => body.gzip)),
      boolArray(opened.map(({ job }) => job.cacheWrite)),
      int8Array(opened.map(({ job }) => job.requirements.maxCostNanoUsd)),
      int2Array(opened.map(({ lane }) => lane)),
      textArray(opened.map(({ no, job }) => (hurried.has(no) ? "direct" : job.mode))),
      textArray(opened.map(({ item }) => (item.decision === undefined ? null : JSON.stringify(item.decision)))),
    ],
  );
  insertAttempts(
    client,
    group.session,
    day,
    opened.flatMap(({ fate, item, no }) =>
      fate === "started" && item.intent !== null ? [{ intent: item.intent, executionNo: no }] : [],
    ),
    reservedIn,
  );
  const bytes = new Map(opened.map(({ no }, index) => [no, bodies[index]?.bytes.length ?? 0]));
  insertReady(client, queueRows(context, fresh, day, bytes));
  insertPooled(client, poolRows(context, fresh, { day, nowMs, bytes }));
}

/**
 * One row an execution that no slot was free for, with the highest priority and the nearest deadline of its jobs in this group.
 * @param bytes lengths of the stored requests, by execution.
 */
function queueRows(
  context: LedgerContext,
  fresh: readonly Placing[],
  day: number,
  bytes: ReadonlyMap<number, number>,
): ReadyRow[] {
  const rows = new Map<number, { -readonly [Key in keyof ReadyRow]: ReadyRow[Key] }>();
  for (const { no, job, fate, execution, item } of fresh) {
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
        tenantNo: context.tenants.noOf(job.tenant),
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
  context: LedgerContext,
  fresh: readonly Placing[],
  { day, nowMs, bytes }: { readonly day: number; readonly nowMs: number; readonly bytes: ReadonlyMap<number, number> },
): PoolRow[] {
  const rows = new Map<number, PoolRow>();
  for (const { no, job, fate, execution, item, batchUntilMs } of fresh) {
    const row = rows.get(execution?.no ?? no);
    if (fate === "pooled" && item.pooled !== undefined) {
      rows.set(no, {
        no,
        day,
        ...item.pooled,
        tenantNo: context.tenants.noOf(job.tenant),
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

function insertJobs(
  client: pg.PoolClient,
  context: LedgerContext,
  fresh: readonly Placing[],
  day: number,
  nowMs: number,
): void {
  if (fresh.length === 0) return;
  send(
    client,
    "jobs-insert",
    `INSERT INTO jobs (day, generation, accepted_ms, no, tenant_no, job_id, state, execution_day, execution_no, deadline_ms, ended_ms,
       failure_code, source, envelope, record_value, record_headers, priority)
     SELECT $1, 0, $2, * FROM unnest($3::int8[], $4::int4[], $5::bytea[], $6::text[], $7::int4[], $8::int8[], $9::int8[], $10::int8[],
       $11::text[], $12::text[], $13::text[], $14::bytea[], $15::text[], $16::int2[])`,
    [
      day,
      nowMs,
      int8Array(fresh.map(({ no }) => no)),
      int4Array(fresh.map(({ job }) => context.tenants.noOf(job.tenant))),
      byteaArray(fresh.map(({ job }) => Buffer.from(job.jobId, "utf8"))),
      textArray(fresh.map((placing) => intakeEnd(placing.fate)?.status ?? "active")),
      int4Array(fresh.map((placing) => (opens(placing) ? day : (placing.execution?.day ?? null)))),
      int8Array(fresh.map((placing) => (opens(placing) ? placing.no : (placing.execution?.no ?? null)))),
      int8Array(fresh.map(({ job }) => job.deadlineMs)),
      int8Array(fresh.map((placing) => (intakeEnd(placing.fate) === null ? null : nowMs))),
      textArray(fresh.map((placing) => intakeEnd(placing.fate)?.failure?.code ?? null)),
      textArray(fresh.map(sourceOf)),
      textArray(fresh.map(({ job }) => renderEnvelope(job))),
      byteaArray(fresh.map(({ item }) => item.record.value)),
      textArray(fresh.map(({ item }) => item.record.headersText)),
      int2Array(fresh.map(({ job }) => job.priority)),
    ],
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
