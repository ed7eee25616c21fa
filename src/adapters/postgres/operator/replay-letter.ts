import type pg from "pg";
import type { AnswerFacts } from "../../../domain/execution/execution.js";
import {
  cacheWishesOf,
  keyWithChain,
  refusalOf,
  replayedEnvelope,
  type CacheWishes,
  type ReplayRefusal,
} from "../../../domain/dead-letter/replay.js";
import type { ReplaySettings } from "../../../domain/dead-letter/replay-settings.js";
import type { LetterState } from "../../../domain/dead-letter/where.js";
import { LANE, type Lane } from "../../../domain/dedupe/choose-execution.js";
import { jobIdHash } from "../../../domain/dedupe/request-hash.js";
import type { GatewayEvent } from "../../../domain/event/event.js";
import { operatorEvent } from "../../../domain/event/operator-event.js";
import type { LedgerKey, SessionNo } from "../../../domain/ids.js";
import type { ReuseSettings } from "../../../domain/job/admission-settings.js";
import type { AdmittedJob, JobMode, RoutePolicy } from "../../../domain/job/job.js";
import type { Outgoing, Renderer } from "../../../domain/result/outgoing.js";
import { run, transaction } from "../connection.js";
import { writeEnds } from "../ending.js";
import { placesOf, type LockedExecution } from "../found-executions.js";
import { joinExecutions, type Joining } from "../join-executions.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";
import { pullForward } from "../pull-forward.js";
import { insertReady } from "../ready-rows.js";
import { bytesOf, bytesOrNull, fromStored, toStored } from "../stored-body.js";

/**
 * The replay transaction: one dead letter becomes the next generation of its job, at most once whoever asks and however often.
 *
 * Order of locks: letter, replay row, job key, old execution, execution key, executions; the same as intake's from the job key on, and
 * a deadlock is tried again. The unique row in `replays` decides between two operators; the second finds the letter replayed.
 * After a kill before COMMIT nothing is there; after it, asking again changes nothing.
 */
export interface ReplayRequest {
  readonly letterNo: number;
  readonly byWhom: string;
  readonly session: SessionNo;
  readonly settings: ReplaySettings;
  /** Whether parked letters were asked for. */
  readonly parked: boolean;
  /** The job's record admitted anew, for a job that never had an execution; null: not tried yet, or refused. */
  readonly readmitted: AdmittedJob | null;
  /** What the config says of answers of others, for a job that says nothing. */
  readonly reuse: ReuseSettings;
}

export type ReplayOutcome =
  | {
      readonly kind: "replayed";
      readonly job: LedgerKey;
      readonly generation: number;
      /** `queued`: a call will be made; `joined`: an equal one is under way; `cached`: an answer was there, its result goes out. */
      readonly how: "queued" | "joined" | "cached";
    }
  | { readonly kind: "refused"; readonly why: ReplayRefusal };

export async function replayLetter(
  context: LedgerContext,
  request: ReplayRequest,
  render: Renderer,
): Promise<ReplayOutcome> {
  await context.tenants.ensure([]);
  await context.numbers.reserve(16);
  try {
    // A COMMIT without an answer is tried again: if it stood, the letter is found replayed, by us.
    return await transaction(
      context.pools.durable,
      (client) => replayInTransaction(client, context, request, render),
      () => Promise.resolve(null),
      context.commitPoints(["replay.before_commit", "replay.commit_sent"]),
    );
  } catch (error) {
    if (error instanceof Refused) return { kind: "refused", why: error.why };
    throw error;
  }
}

/** Unwinds the transaction, so that a refusal found late leaves nothing. */
class Refused extends Error {
  readonly why: ReplayRefusal;
  constructor(why: ReplayRefusal) {
    super(why);
    this.why = why;
  }
}

/** The failed generation, locked through its letter. */
interface FailedJob {
  readonly key: LedgerKey;
  readonly tenantNo: number;
  readonly tenant: string;
  readonly jobId: string;
  readonly generation: number;
  readonly priority: number;
  readonly execution: LedgerKey | null;
  readonly envelope: string;
  readonly recordValue: Buffer | null;
  readonly nowMs: number;
}

/** The next generation on its way through the statements. */
interface NextJob {
  readonly old: FailedJob;
  readonly key: LedgerKey;
  readonly envelope: { readonly text: string; readonly deadlineMs: number };
}

interface Placed {
  readonly execution: LedgerKey;
  readonly how: "queued" | "joined" | "cached";
  readonly answer: { readonly bodyText: string; readonly facts: AnswerFacts } | null;
}

async function replayInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  request: ReplayRequest,
  render: Renderer,
): Promise<ReplayOutcome> {
  const old = await lockFailedJob(client, context, request);
  const envelope = replayedEnvelope(old.envelope, request.settings, old.nowMs);
  if (envelope === null) throw new Refused("no_lifetime");
  const next: NextJob = { old, key: { no: context.numbers.next(), day: Math.floor(old.nowMs / 86_400_000) }, envelope };
  await takeReplay(client, next, request.byWhom);
  const placed = await placeNext(client, context, next, request);
  await insertNext(client, next, placed);
  const outgoing = placed.answer === null ? [] : await endFromAnswer(client, context, next, placed, render);
  await run(client, "letter-replayed", "UPDATE dead_letters SET state = 'replayed' WHERE no = $1", [request.letterNo]);
  outgoing.push(render.event(replayEvent(next, request, placed.how), context.numbers.next(), next.key.day));
  insertOutbox(client, context.numbers, request.session, old.nowMs, outgoing);
  return { kind: "replayed", job: next.key, generation: old.generation + 1, how: placed.how };
}

function replayEvent({ old }: NextJob, { letterNo, byWhom }: ReplayRequest, how: Placed["how"]): GatewayEvent {
  const { tenant, jobId } = old;
  const generation = old.generation + 1;
  return operatorEvent(
    "operator.replayed",
    { byWhom, atMs: old.nowMs },
    `replayed dead letter ${String(letterNo)} as generation ${String(generation)} of its job: ${how}`,
    { tenant, jobId, generation },
    { letter: String(letterNo), how },
  );
}

async function lockFailedJob(
  client: pg.PoolClient,
  context: LedgerContext,
  request: ReplayRequest,
): Promise<FailedJob> {
  const rows = await run(
    client,
    "letter-lock",
    `SELECT d.state, d.code, d.job_no, d.job_day, j.state, j.tenant_no, j.job_id, j.generation, j.priority, j.execution_no, j.execution_day,
       j.envelope, j.record_value, floor(extract(epoch FROM clock_timestamp()) * 1000)::int8
     FROM dead_letters d LEFT JOIN jobs j ON j.no = d.job_no AND j.day = d.job_day WHERE d.no = $1 FOR UPDATE OF d`,
    [request.letterNo],
  );
  const [
    letterState,
    code,
    no,
    day,
    state,
    tenantNo,
    jobId,
    generation,
    priority,
    executionNo,
    executionDay,
    envelope,
    value,
    nowMs,
  ] = rows[0] ?? [];
  const facts = {
    state: (letterState ?? "discarded") as LetterState,
    hasJob: no !== null && no !== undefined,
    code: code ?? "",
  }; // the table's CHECK
  const why = refusalOf(facts, request.parked);
  if (why !== null) throw new Refused(why);
  if (state === null || state === undefined) throw new Refused("id_forgotten"); // the job's day was dropped
  if (state !== "failed" && state !== "expired") throw new Refused("job_not_failed");
  return {
    key: { no: Number(no), day: Number(day) },
    tenantNo: Number(tenantNo),
    tenant: context.tenants.nameOf(Number(tenantNo)),
    jobId: bytesOf(jobId ?? "\\x").toString("utf8"),
    generation: Number(generation),
    priority: Number(priority),
    execution:
      executionNo === null || executionNo === undefined ? null : { no: Number(executionNo), day: Number(executionDay) },
    envelope: envelope ?? "{}",
    recordValue: bytesOrNull(value ?? null),
    nowMs: Number(nowMs),
  };
}

/** The one place that decides between two replays, and makes the new generation the one that the id names. */
async function takeReplay(client: pg.PoolClient, { old, key }: NextJob, byWhom: string): Promise<void> {
  const taken = await run(
    client,
    "replay-take",
    `INSERT INTO replays (job_day, job_no, by_whom, at_ms, new_day, new_no) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1`,
    [old.key.day, old.key.no, byWhom, old.nowMs, key.day, key.no],
  );
  if (taken.length === 0) throw new Refused("replayed_already");
  const named = await run(
    client,
    "job-key-next-generation",
    "UPDATE job_key SET no = $1, day = $2 WHERE tenant_no = $3 AND id_hash = $4 AND no = $5 RETURNING 1",
    [key.no, key.day, old.tenantNo, jobIdHash(old.jobId), old.key.no],
  );
  if (named.length === 0) throw new Refused("id_forgotten");
}

/** The old execution as far as placing needs it; the request itself is copied inside the database. */
interface OldExecution extends LockedExecution {
  readonly executionKey: Buffer | null;
  readonly policy: RoutePolicy;
  readonly mode: JobMode;
  readonly answer: Placed["answer"];
}

async function placeNext(
  client: pg.PoolClient,
  context: LedgerContext,
  next: NextJob,
  request: ReplayRequest,
): Promise<Placed> {
  const found = next.old.execution === null ? null : await shareOldExecution(client, next.old.execution);
  const chain = request.settings.chain;
  const sameChain = chain === null || chain === (found?.policy.chain ?? chain);
  if (found !== null && sameChain) {
    // A late answer of its own serves it without a call; so does a call of its own that is still out.
    if (found.answer !== null) return { execution: found.key, how: "cached", answer: found.answer };
    if (found.state === "ready" || found.state === "running" || found.state === "in_doubt") {
      await bringForward(client, found, next);
      return { execution: found.key, how: "joined", answer: null };
    }
  }
  if (found === null && request.readmitted === null) throw new Refused("no_request");
  return joinOrOpen(client, context, next, found, request);
}

async function joinOrOpen(
  client: pg.PoolClient,
  context: LedgerContext,
  next: NextJob,
  found: OldExecution | null,
  request: ReplayRequest,
): Promise<Placed> {
  const { old } = next;
  const { readmitted } = request;
  const storedPolicy = found?.policy ?? readmitted?.policy;
  if (storedPolicy === undefined) throw new Error("InvariantError: a replay without a request");
  const policy = request.settings.chain === null ? storedPolicy : { ...storedPolicy, chain: request.settings.chain };
  const storedKey = found === null ? keyOf(readmitted) : found.executionKey;
  const executionKey =
    storedKey === null || policy.chain === storedPolicy.chain ? storedKey : keyWithChain(storedKey, policy.chain);
  const joining: Joining = {
    no: next.key.no,
    tenantNo: context.tenants.noOf(old.tenant),
    job: {
      ...cacheWishes(request, old),
      tenant: old.tenant,
      executionKey: executionKey ?? Buffer.alloc(0),
      dedupe: executionKey !== null,
      priority: old.priority,
      deadlineMs: next.envelope.deadlineMs,
      mode: found?.mode ?? readmitted?.mode ?? "auto",
    },
    // The operator's consent is to the doubt of the dead letter, not to one that others wait for.
    riskNanoUsd: null,
    batchUntilMs: null,
    execution: null,
    cached: null,
    lane: LANE.ordinary,
  };
  await joinExecutions(client, context, [joining], next.key.day, old.nowMs);
  if (joining.execution !== null) {
    const { cached } = joining;
    const answer =
      cached === null
        ? null
        : { bodyText: fromStored(cached.answer, cached.gzip), facts: JSON.parse(cached.facts) as AnswerFacts }; // written by finish
    return { execution: joining.execution, how: answer === null ? "joined" : "cached", answer };
  }
  const opened = { key: executionKey, lane: joining.lane, policy };
  if (found !== null) await copyExecution(client, next, found.key, opened);
  else if (readmitted !== null) await insertReadmitted(client, context, next, readmitted, opened);
  insertReady(client, [
    {
      ...next.key,
      priority: old.priority,
      runAtMs: old.nowMs,
      expiresMs: next.envelope.deadlineMs,
      waitsFor: "concurrency",
      bytes: null,
    },
  ]);
  return { execution: next.key, how: "queued", answer: null };
}

function cacheWishes({ readmitted, reuse }: ReplayRequest, old: FailedJob): CacheWishes {
  return readmitted === null
    ? cacheWishesOf(old.recordValue, reuse)
    : { cacheRead: readmitted.cacheRead, cacheMaxAgeMs: readmitted.cacheMaxAgeMs };
}

function keyOf(job: AdmittedJob | null): Buffer | null {
  return job !== null && job.dedupe ? job.executionKey : null;
}

/** `FOR SHARE`, as intake does it: finish changes this row before it reads its waiting jobs. */
async function shareOldExecution(client: pg.PoolClient, execution: LedgerKey): Promise<OldExecution | null> {
  const rows = await run(
    client,
    "execution-of-failed",
    `SELECT state, key, policy, mode, answer, answer_gzip, answer_facts, attempt_no, decision IS NOT NULL, state = 'running' AND session_no IS NULL
     FROM executions WHERE no = $1 AND day = $2 FOR SHARE`,
    [execution.no, execution.day],
  );
  const row = rows[0];
  if (row === undefined) return null;
  const [state, key, policy, mode, answer, gzip, facts, attemptNo, wasDecided, isLine] = row;
  return {
    key: execution,
    state: state ?? "",
    attemptNo: attemptNo === null || attemptNo === undefined ? null : Number(attemptNo),
    isDirect: mode === "direct",
    wasDecided: wasDecided === "t",
    isLine: isLine === "t",
    executionKey: bytesOrNull(key ?? null),
    policy: JSON.parse(policy ?? "{}") as RoutePolicy, // written from an AdmittedJob
    mode: mode as JobMode, // the same
    answer:
      answer === null || answer === undefined
        ? null
        : { bodyText: fromStored(answer, gzip === "t"), facts: JSON.parse(facts ?? "{}") as AnswerFacts }, // written by finish
  };
}

/** As a job that joins and may not wait for a batch. */
async function bringForward(client: pg.PoolClient, found: OldExecution, { old, envelope }: NextJob): Promise<void> {
  const [place] = await placesOf(client, [found]);
  if (place === undefined) return;
  const { priority } = old;
  const joined = { priority, deadlineMs: envelope.deadlineMs, mode: found.mode, batchUntilMs: null };
  await pullForward(client, [{ found: { key: found.key, ...place }, ...joined }], old.nowMs);
}

/** The execution that a replay opens. */
interface Opened {
  readonly key: Buffer | null;
  readonly lane: Lane;
  readonly policy: RoutePolicy;
}

async function copyExecution(
  client: pg.PoolClient,
  next: NextJob,
  from: LedgerKey,
  { key, lane, policy }: Opened,
): Promise<void> {
  await run(
    client,
    "execution-copy",
    `INSERT INTO executions (day, no, tenant_no, key, lane, state, format, policy, request, request_gzip, cache_write, max_cost_nano, mode)
     SELECT $1, $2, tenant_no, $3, $7, 'ready', format, $4, request, request_gzip, cache_write, max_cost_nano, mode FROM executions WHERE no = $5 AND day = $6`,
    [next.key.day, next.key.no, key, JSON.stringify(policy), from.no, from.day, lane],
  );
}

async function insertReadmitted(
  client: pg.PoolClient,
  context: LedgerContext,
  next: NextJob,
  job: AdmittedJob,
  { key, lane, policy }: Opened,
): Promise<void> {
  const body = toStored(job.bodyText, context.settings);
  await run(
    client,
    "execution-readmitted",
    `INSERT INTO executions (day, no, tenant_no, key, lane, state, format, policy, request, request_gzip, cache_write, max_cost_nano, mode)
     VALUES ($1, $2, $3, $4, $11, 'ready', $5, $6, $7, $8, $9, $10, $12)`,
    [
      next.key.day,
      next.key.no,
      next.old.tenantNo,
      key,
      job.format,
      JSON.stringify(policy),
      body.bytes,
      body.gzip,
      job.cacheWrite,
      job.requirements.maxCostNanoUsd,
      lane,
      job.mode,
    ],
  );
}

async function insertNext(client: pg.PoolClient, next: NextJob, placed: Placed): Promise<void> {
  const { old } = next;
  const ended = placed.answer !== null;
  await run(
    client,
    "job-next-generation",
    `INSERT INTO jobs (day, no, tenant_no, job_id, generation, state, execution_day, execution_no, priority, deadline_ms, accepted_ms, ended_ms,
       source, envelope, record_value, record_headers)
     SELECT $1, $2, tenant_no, job_id, generation + 1, $3, $4, $5, priority, $6, $7, $8, source, $9, record_value, record_headers
     FROM jobs WHERE no = $10 AND day = $11`,
    [
      next.key.day,
      next.key.no,
      ended ? "succeeded" : "active",
      placed.execution.day,
      placed.execution.no,
      next.envelope.deadlineMs,
      old.nowMs,
      ended ? old.nowMs : null,
      next.envelope.text,
      old.key.no,
      old.key.day,
    ],
  );
}

/** An answer that was there already: the new generation ends in the transaction that makes it. */
async function endFromAnswer(
  client: pg.PoolClient,
  context: LedgerContext,
  next: NextJob,
  placed: Placed,
  render: Renderer,
): Promise<Outgoing[]> {
  const { old } = next;
  const written = await writeEnds(client, context, render, [
    {
      job: {
        key: next.key,
        tenant: old.tenant,
        jobId: old.jobId,
        generation: old.generation + 1,
        execution: placed.execution,
        status: "succeeded",
        acceptedAtMs: old.nowMs,
        envelope: next.envelope.text,
        record: null,
      },
      end: {
        answer: placed.answer,
        failure: null,
        served: "exact_cache",
        payer: placed.execution,
        history: [],
        stage: "replay",
        endedAtMs: old.nowMs,
      },
    },
  ]);
  return written.outgoing;
}
