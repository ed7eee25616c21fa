import { payerOf } from "../../../src/domain/budget/budget-levels.js";
import { LANE, type Lane } from "../../../src/domain/dedupe/choose-execution.js";
import { cancelledJobs, hurriedOpeners, intakeEnd, openingFate } from "../../../src/domain/dedupe/opening-fate.js";
import { renderEnvelope } from "../../../src/domain/result/envelope.js";
import type { AdmittedJob } from "../../../src/domain/job/job.js";
import type { IntakeJob, JobEnd, Outgoing, RefusedRecord, Renderer } from "../../../src/domain/result/outgoing.js";
import type { Accepted, IntakeGroup, IntakeOutcome } from "../../../src/ports/ledger.js";
import type { Transaction } from "./memory-database.js";
import { cancelJobs } from "./memory-cancel.js";
import { insertOutbox, insertReady, writeEnds, type EndingWithReason, type MemoryContext } from "./memory-context.js";
import { joinExecutions, type Joining } from "./memory-join.js";
import { insertPooled } from "./memory-pools.js";
import type { JobRow } from "./memory-rows.js";

/** The intake transaction, statement by statement as in the real ledger. */
export async function accept(context: MemoryContext, group: IntakeGroup, render: Renderer): Promise<IntakeOutcome> {
  try {
    return await context.transaction(
      "accept",
      (transaction) => acceptInTransaction(context, transaction, group, render),
      (outcome) => knownCommit(context, group, outcome),
    );
  } catch (error) {
    if (error instanceof PositionsMoved) return { kind: "moved", partitions: group.moves };
    if (error instanceof SessionFenced) return { kind: "fenced" };
    throw error;
  }
}

class PositionsMoved extends Error {}
class SessionFenced extends Error {}

type AcceptedGroup = Extract<IntakeOutcome, { readonly kind: "accepted" }>;

function knownCommit(
  context: MemoryContext,
  group: IntakeGroup,
  outcome: AcceptedGroup,
): Promise<AcceptedGroup | null> {
  const [first] = group.moves;
  if (first === undefined) return Promise.resolve(outcome);
  return context.single("position-last-group", (transaction) => {
    const { positions, attempts } = context.database;
    const row = transaction.get(positions, positionKey(first.topic, first.partition));
    if (row?.lastGroup === group.groupNo) return outcome;
    const intent = group.jobs[outcome.jobs.findIndex(({ kind }) => kind === "started")]?.intent ?? null;
    return intent !== null && transaction.get(attempts, intent.no) !== undefined ? outcome : null;
  });
}

export function positionKey(topic: string, partition: number): string {
  return `${topic}:${String(partition)}`;
}

interface Placing extends Joining {
  readonly job: AdmittedJob;
  readonly item: IntakeJob;
  fate: Accepted["kind"] | null;
}

async function acceptInTransaction(
  context: MemoryContext,
  transaction: Transaction,
  group: IntakeGroup,
  render: Renderer,
): Promise<AcceptedGroup> {
  await movePositions(context, transaction, group);
  const nowMs = Math.floor(context.database.nowMs());
  const day = context.today();
  const placings = group.jobs.map((item): Placing => ({
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
  const outgoing: Outgoing[] = [];
  const conflicts = await takeJobKeys(context, transaction, placings, day, render, outgoing);
  const fresh = placings.filter((placing) => placing.fate === null);
  for (const placing of fresh) if (placing.job.deadlineMs <= nowMs) placing.fate = "expired";
  const cancelled = cancelledJobs(placings, group.cancels);
  for (const placing of fresh) if (cancelled.has(placing.no)) placing.fate ??= "cancelled";
  await joinExecutions(
    context,
    transaction,
    fresh.filter((placing) => placing.fate === null),
    day,
    nowMs,
  );
  const hurried = hurriedOpeners(fresh);
  for (const placing of fresh) placing.fate ??= openingFate(placing, hurried);
  await holdMoney(context, transaction, fresh, { cancels: group.cancels.length > 0, nowMs });
  await insertExecutions(context, transaction, group, { fresh, hurried, day, nowMs });
  await context.statement(transaction, "jobs-insert");
  for (const placing of fresh) transaction.insert(context.database.jobs, placing.no, jobRow(placing, day, nowMs));
  const ends = fresh.flatMap((placing) => endAtIntake(placing, day, nowMs));
  const written = await writeEnds(context, transaction, render, ends);
  outgoing.push(...written.outgoing);
  for (const refused of [...group.refused, ...conflicts]) {
    const { no, code, topic, partition, offset } = refused;
    transaction.insert(context.database.deadLetters, no, {
      ...{ no, code, topic, partition, offset },
      job: null,
      state: "open",
      outboxKey: null,
    });
    outgoing.push(...refused.outgoing);
  }
  const cancelling = await cancelJobs(context, transaction, group.cancels, nowMs, render, fresh);
  outgoing.push(...cancelling.outgoing);
  const outbox = await insertOutbox(context, transaction, group.session, nowMs, outgoing);
  return {
    kind: "accepted",
    day,
    acceptedAtMs: nowMs,
    jobs: placings.map(({ fate }) => ({ kind: fate ?? "queued" })),
    ended: [...written.ended, ...cancelling.ended],
    outbox,
  };
}

/** The money for what a group begins, as the real ledger holds it: who finds none is queued. */
async function holdMoney(
  context: MemoryContext,
  transaction: Transaction,
  fresh: readonly Placing[],
  { cancels, nowMs }: { readonly cancels: boolean; readonly nowMs: number },
): Promise<void> {
  const { budgets } = context;
  const pooled = fresh.flatMap((placing) => {
    const line = placing.fate === "pooled" ? placing.item.pooled?.line : undefined;
    if (line === undefined || !budgets.guards({ tenant: placing.job.tenant, account: line.account })) return [];
    return [{ placing, line, payer: payerOf(placing.job.tenant, placing.job.labels) }];
  });
  if (pooled.length > 0) {
    const payers = pooled.map(({ payer }) => payer);
    const ask = await budgets.look(transaction, payers, nowMs);
    for (const { placing, line, payer } of pooled)
      if (ask({ ...payer, account: line.account }, line.maxNanoUsd).kind !== "fits") placing.fate = "queued";
  }
  const starting = fresh.flatMap((placing) => {
    const intent = placing.fate === "started" ? placing.item.intent : null;
    if (intent === null || !budgets.guards({ tenant: placing.job.tenant, account: intent.account })) return [];
    return [{ placing, intent }];
  });
  const wishes = starting.map(({ placing: { job }, intent: { no, account, maxNanoUsd } }) => ({
    spender: { ...payerOf(job.tenant, job.labels), account },
    attemptNo: no,
    maxNanoUsd,
  }));
  const reserved = cancels ? null : await budgets.reserve(transaction, wishes);
  for (const { placing, intent } of starting) if (reserved?.refused.has(intent.no) !== false) placing.fate = "queued";
}

/** The jobs of a group that were not known, each with its fate. */
interface PlacedGroup {
  readonly fresh: readonly Placing[];
  readonly hurried: ReadonlySet<number>;
  readonly day: number;
  readonly nowMs: number;
}

async function movePositions(context: MemoryContext, transaction: Transaction, group: IntakeGroup): Promise<void> {
  const { routers, positions } = context.database;
  await context.statement(transaction, "position-move");
  await transaction.lock(routers, [group.session], "share");
  if (transaction.get(routers, group.session)?.endedMs !== null) throw new SessionFenced();
  const keyed = group.moves
    .map((move) => ({ move, key: positionKey(move.topic, move.partition) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  await transaction.lock(
    positions,
    keyed.map(({ key }) => key),
    "exclusive",
  );
  for (const { move, key } of keyed) {
    const row = transaction.get(positions, key);
    const moved = row === undefined ? null : context.rules.movePosition(row, move, group.groupNo);
    if (moved === null) throw new PositionsMoved();
    transaction.update(positions, key, moved);
  }
}

function idKey(placing: Placing): string {
  return `${placing.job.tenant}:${placing.job.idHash.toString("hex")}`;
}

async function takeJobKeys(
  context: MemoryContext,
  transaction: Transaction,
  placings: readonly Placing[],
  day: number,
  render: Renderer,
  outgoing: Outgoing[],
): Promise<RefusedRecord[]> {
  if (placings.length === 0) return [];
  const { jobKeys, jobs } = context.database;
  await context.statement(transaction, "job-key-insert");
  const known: Placing[] = [];
  for (const placing of [...placings].sort((a, b) => Buffer.compare(a.job.idHash, b.job.idHash))) {
    // Serial: rows go in key order.
    if (await transaction.probe(jobKeys, idKey(placing))) known.push(placing);
    else transaction.insert(jobKeys, idKey(placing), { bodyHash: placing.job.bodyHash, key: { no: placing.no, day } });
  }
  if (known.length === 0) return [];
  await context.statement(transaction, "job-key-known");
  const inGroup = new Map(placings.map((placing) => [placing.no, placing]));
  const conflicts: RefusedRecord[] = [];
  for (const placing of known) {
    const existing = transaction.get(jobKeys, idKey(placing));
    if (existing === undefined) throw new Error("a job key without its row");
    const winner = inGroup.get(existing.key.no);
    if (winner === undefined) await transaction.lock(jobs, [existing.key.no], "share");
    const row = transaction.get(jobs, existing.key.no);
    const source = winner === undefined ? row?.source : sourceOf(winner);
    if (!existing.bodyHash.equals(placing.job.bodyHash)) {
      placing.fate = "conflict";
      conflicts.push(render.conflict(placing.item, context.today()));
    } else if (source === sourceOf(placing)) placing.fate = "redelivered";
    else {
      placing.fate = "repeated";
      await repeatJob(context, transaction, placing, existing.key.no, row, render, outgoing);
    }
  }
  return conflicts;
}

async function repeatJob(
  context: MemoryContext,
  transaction: Transaction,
  placing: Placing,
  jobNo: number,
  row: JobRow | undefined,
  render: Renderer,
  outgoing: Outgoing[],
): Promise<void> {
  const { outbox, repeats } = context.database;
  await context.statement(transaction, "repeat");
  const original =
    row === undefined || row.state === "active" ? undefined : transaction.get(outbox, `result:${String(jobNo)}`);
  const envelope = renderEnvelope(placing.job);
  if (original === undefined) transaction.insert(repeats, placing.no, { no: placing.no, jobNo, envelope });
  else outgoing.push(render.repeat(original, envelope, placing.no, context.today()));
}

export function sourceOf(placing: {
  readonly job: { readonly record: { readonly topic: string; readonly partition: number; readonly offset: number } };
}): string {
  const { topic, partition, offset } = placing.job.record;
  return `${topic}:${String(partition)}:${String(offset)}`;
}

async function insertExecutions(
  context: MemoryContext,
  transaction: Transaction,
  group: IntakeGroup,
  { fresh, hurried, day, nowMs }: PlacedGroup,
): Promise<void> {
  const { executions, attempts } = context.database;
  const opened = fresh.filter(opens);
  if (opened.length === 0) return;
  await context.statement(transaction, "executions-insert");
  for (const { no, job, item, fate, lane } of opened) {
    const key = { day, no };
    const intent = fate === "started" ? item.intent : null;
    transaction.insert(executions, no, {
      key,
      tenant: job.tenant,
      requestKey: job.dedupe ? requestKey(job, lane) : null,
      state: intent === null ? "ready" : "running",
      session: intent === null ? null : group.session,
      attemptNo: intent?.no ?? null,
      attempts: intent === null ? 0 : 1,
      routeIndex: 0,
      format: job.format,
      policy: job.policy,
      bodyText: job.bodyText,
      cacheWrite: job.cacheWrite,
      maxCostNanoUsd: job.requirements.maxCostNanoUsd,
      mode: hurried.has(no) ? "direct" : job.mode,
      decision: item.decision ?? null,
      history: [],
      answer: null,
      failure: null,
      endedMs: null,
    });
    if (intent === null) {
      const alike = fresh.filter(({ execution, fate: other }) => other === "joined" && execution?.no === no);
      const priority = Math.max(job.priority, ...alike.map((other) => other.job.priority));
      const expiresMs = Math.min(job.deadlineMs, ...alike.map((other) => other.job.deadlineMs));
      if (fate === "pooled" && item.pooled !== undefined) {
        const { pool, line } = item.pooled;
        const lookAtMs = Math.min(line.lookAtMs, ...alike.map(({ batchUntilMs }) => batchUntilMs ?? nowMs));
        const { tenant } = job;
        const waiting = { ...line, lookAtMs };
        insertPooled(context, transaction, [
          { key, tenant, pool, line: waiting, priority, addedMs: nowMs, expiresMs, attempts: 0 },
        ]);
        continue;
      }
      insertReady(context, transaction, [
        { key, priority, expiresMs, ...(item.waits ?? { runAtMs: job.submittedAtMs, waitsFor: "concurrency" }) },
      ]);
    } else
      transaction.insert(attempts, intent.no, {
        intent,
        execution: key,
        session: group.session,
        state: "sending",
        outcome: null,
        settledMs: null,
        nanoUsd: null,
      });
  }
}

/** Whether a job has an execution of its own. */
function opens({ fate }: Placing): boolean {
  return fate === "started" || fate === "queued" || fate === "pooled";
}

export function requestKey(job: { readonly tenant: string; readonly executionKey: Buffer }, lane: Lane): string {
  return `${job.tenant}:${job.executionKey.toString("hex")}:${String(lane)}`;
}

function jobRow(placing: Placing, day: number, nowMs: number): JobRow {
  const { no, job, item, execution } = placing;
  const own = opens(placing);
  const end = intakeEnd(placing.fate);
  return {
    key: { day, no },
    tenant: job.tenant,
    jobId: job.jobId,
    generation: 0,
    state: end?.status ?? "active",
    execution: own ? { day, no } : execution,
    priority: job.priority,
    deadlineMs: job.deadlineMs,
    acceptedMs: nowMs,
    endedMs: end === null ? null : nowMs,
    failureCode: end?.failure?.code ?? null,
    source: sourceOf({ job }),
    envelope: renderEnvelope(job),
    record: item.record,
  };
}

function endAtIntake(placing: Placing, day: number, nowMs: number): EndingWithReason[] {
  const ends = intakeEnd(placing.fate);
  if (ends === null) return [];
  const { job } = placing;
  const { status } = ends;
  const common = { payer: placing.execution, history: [], stage: "intake", endedAtMs: nowMs } as const;
  const end: JobEnd =
    placing.cached === null
      ? {
          ...common,
          answer: null,
          served: "call",
          failure: ends.failure,
        }
      : { ...common, answer: placing.cached, served: "exact_cache", failure: null };
  return [
    {
      job: {
        key: { no: placing.no, day },
        tenant: job.tenant,
        jobId: job.jobId,
        generation: 0,
        execution: placing.execution,
        status,
        acceptedAtMs: nowMs,
        envelope: renderEnvelope(job),
        record: placing.item.record,
      },
      end,
    },
  ];
}
