import {
  cacheWishesOf,
  refusalOf,
  replayedEnvelope,
  type ReplayRefusal,
} from "../../../src/domain/dead-letter/replay.js";
import type { ReplaySettings } from "../../../src/domain/dead-letter/replay-settings.js";
import { LANE } from "../../../src/domain/dedupe/choose-execution.js";
import { jobIdHash } from "../../../src/domain/dedupe/request-hash.js";
import { operatorEvent } from "../../../src/domain/event/operator-event.js";
import type { ServedAnswer } from "../../../src/domain/execution/execution.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { AdmittedJob } from "../../../src/domain/job/job.js";
import type { Outgoing, Renderer } from "../../../src/domain/result/outgoing.js";
import { requestKey } from "./memory-accept.js";
import { insertOutbox, insertReady, writeEnds, type MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import { bringForward, joinExecutions, type Joining } from "./memory-join.js";
import type { DeadLetterRow, ExecutionRow, JobRow } from "./memory-rows.js";

export interface MemoryReplay {
  readonly letterNo: number;
  readonly byWhom: string;
  readonly session: number;
  readonly settings: ReplaySettings;
  readonly parked: boolean;
  /** The job's record admitted anew; null: not tried yet, or refused. */
  readonly readmitted: AdmittedJob | null;
}

export type MemoryReplayed =
  | { readonly kind: "replayed"; readonly how: "queued" | "joined" | "cached" | "redelivered" }
  | { readonly kind: "refused"; readonly why: ReplayRefusal };

const REUSE = { dedupe: true, cache: true, cacheMaxAgeMs: null } as const;

/** Unwinds the transaction, so that a refusal found late leaves nothing. */
class Refused extends Error {
  readonly why: ReplayRefusal;
  constructor(why: ReplayRefusal) {
    super(why);
    this.why = why;
  }
}

/** The operator's transactions, statement by statement as on Postgres. */
export async function replayLetter(
  context: MemoryContext,
  request: MemoryReplay,
  render: Renderer,
): Promise<MemoryReplayed> {
  try {
    return await context.transaction("replay", async (transaction) => {
      const letter = await lockLetter(context, transaction, request);
      const how =
        letter.code === "REPLY_UNDELIVERABLE"
          ? await redeliver(context, transaction, letter, request, render)
          : await replay(context, transaction, letter, request, render);
      transaction.update(context.database.deadLetters, letter.no, { state: "replayed" });
      return { kind: "replayed", how };
    });
  } catch (error) {
    if (error instanceof Refused) return { kind: "refused", why: error.why };
    throw error;
  }
}

async function lockLetter(
  context: MemoryContext,
  transaction: Transaction,
  { letterNo, parked }: MemoryReplay,
): Promise<DeadLetterRow> {
  const { deadLetters } = context.database;
  await context.statement(transaction, "letter-lock");
  if (context.rules.replaysOnce) await transaction.lock(deadLetters, [letterNo], "exclusive");
  const row = transaction.get(deadLetters, letterNo);
  if (row === undefined) throw new Error("a letter without its row");
  const why = refusalOf({ state: row.state, hasJob: row.job !== null, code: row.code }, parked);
  if (why !== null) throw new Refused(why);
  return row;
}

async function redeliver(
  context: MemoryContext,
  transaction: Transaction,
  { no, outboxKey, job }: DeadLetterRow,
  { session, byWhom }: MemoryReplay,
  render: Renderer,
): Promise<"redelivered"> {
  const { outbox, outboxReady, jobs, nowMs } = context.database;
  const record = outboxKey === null ? undefined : transaction.get(outbox, outboxKey);
  if (record === undefined || outboxKey === null) throw new Refused("record_forgotten");
  await context.statement(transaction, "outbox-ready-again");
  const seq = context.nextNumber();
  const { topic } = record;
  transaction.insert(outboxReady, seq, { seq, session, topic, atMs: nowMs(), afterMs: 0, keys: [outboxKey] });
  const about = job === null ? undefined : transaction.get(jobs, job.no);
  const { tenant = null, jobId = null, generation = null } = about ?? {};
  const action = { byWhom, atMs: Math.floor(nowMs()) };
  const details = { letter: String(no), how: "redelivered" };
  const event = operatorEvent("operator.replayed", action, "replayed", { tenant, jobId, generation }, details);
  const outgoing = [render.event(event, context.nextNumber(), context.today())];
  await insertOutbox(context, transaction, session, action.atMs, outgoing);
  return "redelivered";
}

/** The next generation on its way through the statements. */
interface NextJob {
  readonly old: JobRow;
  readonly key: LedgerKey;
  readonly envelope: { readonly text: string; readonly deadlineMs: number };
  readonly nowMs: number;
}

interface Placed {
  readonly execution: LedgerKey;
  readonly how: "queued" | "joined" | "cached";
  readonly answer: ServedAnswer | null;
}

async function replay(
  context: MemoryContext,
  transaction: Transaction,
  letter: DeadLetterRow,
  request: MemoryReplay,
  render: Renderer,
): Promise<Placed["how"]> {
  const old = transaction.get(context.database.jobs, letter.job?.no ?? -1);
  if (old === undefined) throw new Refused("id_forgotten");
  if (old.state !== "failed" && old.state !== "expired") throw new Refused("job_not_failed");
  const nowMs = Math.floor(context.database.nowMs());
  const envelope = replayedEnvelope(old.envelope, request.settings, nowMs);
  if (envelope === null) throw new Refused("no_lifetime");
  const next: NextJob = { old, key: { no: context.nextNumber(), day: context.today() }, envelope, nowMs };
  await takeReplay(context, transaction, next);
  const placed = await placeNext(context, transaction, next, request);
  await context.statement(transaction, "job-next-generation");
  insertNext(context, transaction, next, placed);
  const outgoing = await endFromAnswer(context, transaction, next, placed, render);
  const { tenant, jobId } = old;
  const subject = { tenant, jobId, generation: old.generation + 1 };
  const action = { byWhom: request.byWhom, atMs: nowMs };
  const event = operatorEvent("operator.replayed", action, `replayed: ${placed.how}`, subject);
  outgoing.push(render.event(event, context.nextNumber(), next.key.day));
  await insertOutbox(context, transaction, request.session, nowMs, outgoing);
  return placed.how;
}

async function takeReplay(context: MemoryContext, transaction: Transaction, { old, key }: NextJob): Promise<void> {
  const { replays, jobKeys } = context.database;
  await context.statement(transaction, "replay-take");
  if (context.rules.replaysOnce) {
    if (await transaction.probe(replays, old.key.no)) throw new Refused("replayed_already");
    transaction.insert(replays, old.key.no, { job: old.key, next: key });
  }
  await context.statement(transaction, "job-key-next-generation");
  const idKey = `${old.tenant}:${jobIdHash(old.jobId).toString("hex")}`;
  await transaction.lock(jobKeys, [idKey], "exclusive");
  const named = transaction.get(jobKeys, idKey)?.key.no === old.key.no;
  if (!named && context.rules.replaysOnce) throw new Refused("id_forgotten");
  transaction.update(jobKeys, idKey, { key });
}

async function placeNext(
  context: MemoryContext,
  transaction: Transaction,
  next: NextJob,
  request: MemoryReplay,
): Promise<Placed> {
  const { executions } = context.database;
  const found =
    next.old.execution === null ? undefined : await shareExecution(context, transaction, next.old.execution);
  if (found !== undefined && found.answer !== null)
    return { execution: found.key, how: "cached", answer: found.answer };
  if (found !== undefined && ["ready", "running", "in_doubt"].includes(found.state)) {
    await bringForward(context, transaction, found, joiningOf(next, found, null), next.nowMs);
    return { execution: found.key, how: "joined", answer: null };
  }
  const { readmitted } = request;
  if (found === undefined && readmitted === null) throw new Refused("no_request");
  const joining = joiningOf(next, found, readmitted);
  await joinExecutions(context, transaction, [joining], next.key.day, next.nowMs);
  const { execution, cached } = joining;
  if (execution !== null) return { execution, how: cached === null ? "joined" : "cached", answer: cached };
  await context.statement(transaction, "execution-copy");
  const row = found ?? requestOf(readmitted);
  const key = joining.job.dedupe ? requestKey(joining.job, joining.lane) : null;
  transaction.insert(executions, next.key.no, freshRow(row, next.key, key));
  insertReady(context, transaction, [
    {
      key: next.key,
      priority: next.old.priority,
      runAtMs: next.nowMs,
      expiresMs: next.envelope.deadlineMs,
      waitsFor: "concurrency",
    },
  ]);
  return { execution: next.key, how: "queued", answer: null };
}

async function shareExecution(
  context: MemoryContext,
  transaction: Transaction,
  { no }: LedgerKey,
): Promise<ExecutionRow | undefined> {
  await context.statement(transaction, "execution-of-failed");
  await transaction.lock(context.database.executions, [no], "share");
  return transaction.get(context.database.executions, no);
}

function joiningOf(next: NextJob, found: ExecutionRow | undefined, readmitted: AdmittedJob | null): Joining {
  const { old, key, envelope } = next;
  const wishes = readmitted ?? cacheWishesOf(old.record.value, REUSE);
  // tenant:key:lane
  const stored = found?.requestKey?.split(":").at(-2);
  const own = readmitted?.dedupe === true ? readmitted.executionKey : null;
  const executionKey = found === undefined ? own : stored === undefined ? null : Buffer.from(stored, "hex");
  return {
    no: key.no,
    job: {
      tenant: old.tenant,
      executionKey: executionKey ?? Buffer.alloc(0),
      dedupe: executionKey !== null,
      cacheRead: wishes.cacheRead,
      cacheMaxAgeMs: wishes.cacheMaxAgeMs,
      priority: old.priority,
      deadlineMs: envelope.deadlineMs,
      mode: found?.mode ?? readmitted?.mode ?? "auto",
    },
    riskNanoUsd: null,
    batchUntilMs: null,
    execution: null,
    cached: null,
    lane: LANE.ordinary,
  };
}

function requestOf(job: AdmittedJob | null): Request {
  if (job === null) throw new Error("a replay without a request");
  const { tenant, format, policy, bodyText, cacheWrite } = job;
  return {
    tenant,
    format,
    policy,
    bodyText,
    cacheWrite,
    maxCostNanoUsd: job.requirements.maxCostNanoUsd,
    mode: job.mode,
  };
}

type Request = Pick<
  ExecutionRow,
  "tenant" | "format" | "policy" | "bodyText" | "cacheWrite" | "maxCostNanoUsd" | "mode"
>;

function freshRow(request: Request, key: LedgerKey, requestKey: string | null): ExecutionRow {
  const { tenant, format, policy, bodyText, cacheWrite, maxCostNanoUsd, mode } = request;
  return {
    ...{ tenant, requestKey, format, policy, bodyText, cacheWrite, maxCostNanoUsd, mode },
    decision: null,
    key,
    state: "ready",
    session: null,
    attemptNo: null,
    attempts: 0,
    routeIndex: 0,
    history: [],
    answer: null,
    failure: null,
    endedMs: null,
  };
}

function insertNext(context: MemoryContext, transaction: Transaction, next: NextJob, placed: Placed): void {
  const { old, key, envelope, nowMs } = next;
  const ended = placed.answer !== null;
  transaction.insert(context.database.jobs, key.no, {
    ...old,
    key,
    generation: old.generation + 1,
    state: ended ? "succeeded" : "active",
    execution: placed.execution,
    deadlineMs: envelope.deadlineMs,
    acceptedMs: nowMs,
    endedMs: ended ? nowMs : null,
    failureCode: null,
    envelope: envelope.text,
  });
}

async function endFromAnswer(
  context: MemoryContext,
  transaction: Transaction,
  { old, key, envelope, nowMs }: NextJob,
  { execution, answer }: Placed,
  render: Renderer,
): Promise<Outgoing[]> {
  if (answer === null) return [];
  const written = await writeEnds(context, transaction, render, [
    {
      job: {
        key,
        tenant: old.tenant,
        jobId: old.jobId,
        generation: old.generation + 1,
        execution,
        status: "succeeded",
        acceptedAtMs: nowMs,
        envelope: envelope.text,
        record: null,
      },
      end: {
        answer,
        failure: null,
        served: "exact_cache",
        payer: execution,
        history: [],
        stage: "replay",
        endedAtMs: nowMs,
      },
    },
  ]);
  return written.outgoing;
}
