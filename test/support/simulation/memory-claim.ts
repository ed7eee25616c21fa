import { triesOf, type AttemptSummary, type WaitingExecution } from "../../../src/domain/execution/execution.js";
import { waitForBudget } from "../../../src/domain/budget/budget.js";
import { payerOf } from "../../../src/domain/budget/budget-levels.js";
import { parseEnvelope } from "../../../src/domain/result/envelope.js";
import { doubtSettled, type DoubtFollowed } from "../../../src/domain/event/doubt-event.js";
import { subjectOf } from "../../../src/domain/event/event.js";
import type { Failure } from "../../../src/domain/failure.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import { NO_USAGE } from "../../../src/domain/cost/usage.js";
import { filledShares, takenOfLimits, type QueuePart } from "../../../src/domain/limit/queue-turns.js";
import type { Outgoing, Renderer } from "../../../src/domain/result/outgoing.js";
import type { RouteDecision } from "../../../src/domain/route/route-decision.js";
import type {
  ClaimOutcome,
  ClaimRequest,
  ClaimVerdict,
  RescueLook,
  StartedExecution,
} from "../../../src/ports/ledger.js";
import type { Reserved } from "../../../src/ports/budget-store.js";
import { samePayer, withinBudgets, wokenOf, type LeftPayer } from "./memory-budgets.js";
import type { Transaction } from "./memory-database.js";
import {
  endJobs,
  insertCosts,
  insertOutbox,
  insertReady,
  waitersOf,
  writeEnds,
  type EndingWithReason,
  type MemoryContext,
} from "./memory-context.js";
import { expireJobs } from "./memory-expire.js";
import { forgetKey, noteUnanswered, payerOf as payingJobOf } from "./memory-finish.js";
import { insertPooled } from "./memory-pools.js";
import {
  leaveToLines,
  lineBehind,
  refuseSecondRescue,
  rescueEvents,
  takeLines,
  type LeftToLine,
} from "./memory-rescue.js";
import type { ReadyRow } from "./memory-rows.js";

const NOTHING: ClaimOutcome = { fenced: false, taken: 0, started: [], ended: [], outbox: [] };

/** Takes waiting executions off their rows, statement by statement as in the real ledger. */
export function claim(
  context: MemoryContext,
  request: ClaimRequest,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  const take = async (transaction: Transaction): Promise<TakenRows> => {
    await context.statement(transaction, "ready-take");
    return request.pick === "run"
      ? takeInTurn(context, transaction, request)
      : takeExpired(context, transaction, request);
  };
  return claimFrom(context, request, { of: "rows", take }, decide, render);
}

/** The same of executions that are lines. */
export function rescue(
  context: MemoryContext,
  look: RescueLook,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  const take = async (transaction: Transaction): Promise<TakenRows> => ({
    rows: await takeLines(context, transaction, look),
  });
  return claimFrom(context, look, { of: "lines", take }, decide, render);
}

interface Source {
  readonly of: "rows" | "lines";
  readonly take: (transaction: Transaction) => Promise<TakenRows>;
}

type TakenRows = { readonly rows: readonly ReadyRow[] } & Pick<ClaimOutcome, "more" | "limited">;

type Claiming = Pick<ClaimRequest, "session" | "nowMs">;

function claimFrom(
  context: MemoryContext,
  request: Claiming,
  source: Source,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  return context.transaction(
    "claim",
    (transaction) => claimInTransaction(context, transaction, request, source, decide, render),
    (outcome) => knownClaim(context, outcome),
  );
}

/** After a COMMIT without an answer: the intents are there exactly when it stands. Without intents a second claim does no harm. */
function knownClaim(context: MemoryContext, outcome: ClaimOutcome): Promise<ClaimOutcome | null> {
  const [first] = outcome.started;
  if (first === undefined) return Promise.resolve(null);
  return context.single("claim-known", (transaction) =>
    transaction.get(context.database.attempts, first.intent.no) === undefined ? null : outcome,
  );
}

async function claimInTransaction(
  context: MemoryContext,
  transaction: Transaction,
  request: Claiming,
  source: Source,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  const { routers } = context.database;
  await context.statement(transaction, "session-fence");
  await transaction.lock(routers, [request.session], "share");
  if (transaction.get(routers, request.session)?.endedMs !== null) return { ...NOTHING, fenced: true };
  const { rows, ...found } = await source.take(transaction);
  if (rows.length === 0) return { ...NOTHING, ...found };
  const expired = await expireJobs(
    context,
    transaction,
    rows.map(({ key }) => key),
    request.nowMs,
    "dispatch",
  );
  await context.statement(transaction, "executions-load-waiting");
  const waiting = rows.flatMap((row) => loadWaiting(context, transaction, row, source.of));
  const within = await withinBudgets(context, transaction, waiting, request.nowMs, (execution) =>
    execution.nearestDeadlineMs <= request.nowMs ? leftDue(execution, source.of) : decide(execution),
  );
  const levels = new Map(rows.map(({ key, level }) => [key.no, level]));
  const plan = sortVerdicts(context, transaction, waiting, levels, within.decide);
  await context.statement(transaction, "executions-drop");
  const dropped = dropUnwanted(context, transaction, rows, new Set(waiting.map(({ key }) => key.no)));
  await context.statement(transaction, "ready-insert");
  insertReady(context, transaction, plan.waits);
  if (plan.pooled.length > 0) await poolExecutions(context, transaction, request, plan.pooled);
  await leaveToLines(context, transaction, plan.left);
  const failed = await failWaiting(context, transaction, plan.failed, request.nowMs);
  for (const one of within.left) failed.push(...(await failPayer(context, transaction, one, request.nowMs)));
  const written = await writeEnds(context, transaction, render, [...expired.ends, ...failed]);
  const outgoing = [
    ...written.outgoing,
    ...(await settleDoubts(context, transaction, render, [...plan.settled, ...dropped], request.nowMs)),
  ];
  const woken = await context.budgets.passOn(transaction, plan.tookNoMoney, request.nowMs);
  const { refused } = await context.budgets.reserve(
    transaction,
    plan.started.map(({ execution, intent: { no, account, maxNanoUsd } }) => ({
      spender: { ...within.payerOf(execution), account },
      attemptNo: no,
      maxNanoUsd,
    })),
  );
  const started = plan.started.filter(({ intent }) => !refused.has(intent.no));
  startExecutions(context, transaction, request, started);
  outgoing.push(...rescueEvents(context, render, started, request.nowMs));
  // A line without a rescue waits for nothing.
  const unpaid = plan.started.filter(({ execution: { line }, intent }) => refused.has(intent.no) && line === undefined);
  putOff(context, transaction, [...plan.putOff, ...settledOnTheWay(unpaid)], request.nowMs);
  insertReady(context, transaction, waitForMoney(context, transaction, unpaid, refused, request.nowMs));
  const outbox = await insertOutbox(context, transaction, request.session, request.nowMs, outgoing);
  return {
    fenced: false,
    taken: rows.length,
    ...found,
    started: started.map(({ execution, intent }) => ({ execution, intent })),
    ended: written.ended,
    outbox,
    ...(await wokenOf(woken)),
  };
}

function leftDue({ dueAtMs, waitedFor }: WaitingExecution, of: Source["of"]): ClaimVerdict {
  return of === "lines" ? { kind: "line" } : { kind: "wait", runAtMs: dueAtMs, waitsFor: waitedFor };
}

function expiredRows(context: MemoryContext, transaction: Transaction, nowMs: number): ReadyRow[] {
  const due = transaction.all(context.database.ready).filter((row) => row.expiresMs <= nowMs);
  return due.sort((a, b) => a.expiresMs - b.expiresMs || a.key.no - b.key.no);
}

/** The rows that may be taken, by limit and tenant. */
function dueParts(
  context: MemoryContext,
  transaction: Transaction,
  nowMs: number,
): ReadonlyMap<string, QueuePart & { readonly rows: ReadyRow[] }> {
  const { ready, executions } = context.database;
  const parts = new Map<string, QueuePart & { readonly rows: ReadyRow[] }>();
  for (const row of transaction.all(ready)) {
    const limit = row.limit ?? "";
    if (limit === "" && row.runAtMs > nowMs) continue;
    const tenant = transaction.get(executions, row.key.no)?.tenant ?? "";
    const part = parts.get(partKey({ limit, tenant })) ?? { limit, tenant, rows: [] };
    part.rows.push(row);
    parts.set(partKey(part), part);
  }
  for (const { rows } of parts.values())
    rows.sort((a, b) => b.priority - a.priority || a.expiresMs - b.expiresMs || a.key.no - b.key.no);
  return parts;
}

function partKey({ limit, tenant }: QueuePart): string {
  return `${limit}\n${tenant}`;
}

export function setAside(
  context: MemoryContext,
  transaction: Transaction,
  request: Pick<ClaimRequest, "pick" | "nowMs" | "limits">,
  untilMs: number,
): LedgerKey | null {
  const { ready } = context.database;
  const { pick, nowMs, limits } = request;
  const first = (pick === "expire" ? expiredRows(context, transaction, nowMs) : nextRows()).find(({ key }) =>
    transaction.tryLock(ready, key.no, "exclusive"),
  );
  if (first === undefined) return null;
  const { limit: _, ...row } = first;
  transaction.remove(ready, first.key.no);
  transaction.insert(ready, first.key.no, { ...row, runAtMs: untilMs, expiresMs: untilMs, waitsFor: "operator" });
  return first.key;

  function nextRows(): readonly ReadyRow[] {
    const parts = dueParts(context, transaction, nowMs);
    const wish = limits === undefined || limits.size === 0 ? { limit: 1 } : { limit: 0, limits };
    const [next] = context.turns.share([...parts.values()], wish);
    return next === undefined ? [] : (parts.get(partKey(next))?.rows ?? []);
  }
}

function takeExpired(context: MemoryContext, transaction: Transaction, request: ClaimRequest): TakenRows {
  return { rows: takeFirst(context, transaction, expiredRows(context, transaction, request.nowMs), request.limit) };
}

function takeFirst(
  context: MemoryContext,
  transaction: Transaction,
  due: readonly ReadyRow[],
  most: number,
): readonly ReadyRow[] {
  const { ready } = context.database;
  const taken: ReadyRow[] = [];
  for (const row of due) {
    if (taken.length === most) break;
    if (!transaction.tryLock(ready, row.key.no, "exclusive")) continue;
    transaction.remove(ready, row.key.no);
    taken.push(row);
  }
  return taken.sort((a, b) => a.key.no - b.key.no);
}

function takeInTurn(context: MemoryContext, transaction: Transaction, request: ClaimRequest): TakenRows {
  const parts = dueParts(context, transaction, request.nowMs);
  const shares = context.turns.share([...parts.values()], request);
  const rows: ReadyRow[] = [];
  const taken: QueuePart[] = [];
  for (const share of shares) {
    const own = takeFirst(context, transaction, parts.get(partKey(share))?.rows ?? [], share.most);
    rows.push(...own);
    taken.push(...own.map(() => share));
  }
  context.turns.took([...parts.values()], shares, taken);
  const served = new Set(shares.map(partKey));
  const isNew = [...parts.values()].some((part) => part.limit === "" && !served.has(partKey(part)));
  return {
    rows: rows.sort((a, b) => a.key.no - b.key.no),
    more: isNew || filledShares(shares, taken).some(({ limit }) => limit === ""),
    limited: takenOfLimits(request, shares, taken),
  };
}

function loadWaiting(
  context: MemoryContext,
  transaction: Transaction,
  row: ReadyRow,
  of: Source["of"],
): WaitingExecution[] {
  const { executions, attempts, jobs } = context.database;
  const execution = transaction.get(executions, row.key.no);
  const waiting = transaction.all(jobs).filter((job) => job.execution?.no === row.key.no && job.state === "active");
  if (execution === undefined || waiting.length === 0) return [];
  const { state } = execution;
  const line = lineBehind(context, transaction, execution, of);
  if (state !== "ready" && state !== "in_doubt" && state !== "running") return [];
  if ((state === "running") !== (of === "lines") || (of === "lines" && line === null)) return [];
  const attempt = execution.state === "in_doubt" ? transaction.get(attempts, execution.attemptNo ?? -1) : undefined;
  return [
    {
      key: execution.key,
      tenant: execution.tenant,
      state,
      format: execution.format,
      policy: execution.policy,
      bodyText: execution.bodyText,
      history: execution.history,
      nextRouteIndex: execution.routeIndex,
      dueAtMs: row.runAtMs,
      waitedFor: row.waitsFor,
      doubtful: attempt?.intent ?? null,
      ...(attempt === undefined || attempt.outcome === null ? {} : { doubtfulOutcome: attempt.outcome }),
      latestDeadlineMs: Math.max(...waiting.map((job) => job.deadlineMs)),
      nearestDeadlineMs: Math.min(...waiting.map((job) => job.deadlineMs)),
      maxCostNanoUsd: execution.maxCostNanoUsd,
      ...(waiting.some((job) => parseEnvelope(job.envelope).explain === true) ? { explain: true } : {}),
      mode: execution.mode,
      ...(line === null ? {} : { line }),
    },
  ];
}

/** An execution whose doubt was settled, and whose next call has to wait. */
interface PutOff {
  readonly execution: WaitingExecution;
  readonly routeIndex: number;
}

interface Plan {
  readonly started: (StartedExecution & { readonly decision: RouteDecision | null })[];
  readonly pooled: {
    readonly execution: WaitingExecution;
    readonly verdict: Extract<ClaimVerdict, { readonly kind: "pool" }>;
  }[];
  readonly failed: { readonly execution: WaitingExecution; readonly failure: Failure }[];
  readonly settled: {
    readonly execution: Pick<WaitingExecution, "key" | "doubtful">;
    readonly followed: DoubtFollowed;
  }[];
  readonly waits: ReadyRow[];
  readonly putOff: PutOff[];
  readonly left: LeftToLine[];
  /** The budgets whose money executions were woken for that took none of it. */
  readonly tookNoMoney: string[];
}

/** @param levels the budget that kept each execution out, by its number. */
function sortVerdicts(
  context: MemoryContext,
  transaction: Transaction,
  waiting: readonly WaitingExecution[],
  levels: ReadonlyMap<number, string | undefined>,
  decide: (execution: WaitingExecution) => ClaimVerdict,
): Plan {
  const plan: Plan = {
    ...{ started: [], pooled: [], failed: [], settled: [], waits: [], putOff: [], left: [], tookNoMoney: [] },
  };
  for (const execution of waiting) {
    const verdict = decide(execution);
    const own = levels.get(execution.key.no);
    if (own !== undefined && leavesMoney(verdict, own)) plan.tookNoMoney.push(own);
    if (verdict.kind === "wait") {
      const level = verdict.waitsFor === "budget" ? (verdict.level ?? own) : undefined;
      const waiters = waitersOf(context, transaction, execution.key.no);
      plan.waits.push({
        key: execution.key,
        priority: waiters?.priority ?? 5,
        runAtMs: verdict.runAtMs,
        expiresMs: waiters?.nearestDeadlineMs ?? verdict.runAtMs,
        waitsFor: verdict.waitsFor,
        ...(verdict.limit === undefined ? {} : { limit: verdict.limit }),
        ...(level === undefined ? {} : { level }),
      });
      if (verdict.afterDoubt === undefined) continue;
      plan.settled.push({ execution, followed: "retried" });
      plan.putOff.push({ execution, routeIndex: verdict.afterDoubt });
      continue;
    }
    if (verdict.kind === "line") {
      const { key, state, line, nearestDeadlineMs } = execution;
      if (line === undefined || state === "in_doubt") throw new Error("left to a line that can't take it");
      if (state === "ready") plan.left.push({ key, line, nearestDeadlineMs });
      continue;
    }
    if (execution.doubtful !== null)
      plan.settled.push({ execution, followed: verdict.kind === "fail" ? verdict.failure.code : "retried" });
    if (verdict.kind === "pool") plan.pooled.push({ execution, verdict });
    else if (verdict.kind === "start")
      plan.started.push({
        execution,
        intent: verdict.intent,
        decision: verdict.intent.supersedes === undefined ? (verdict.decision ?? null) : null,
      });
    else plan.failed.push({ execution, failure: verdict.failure });
  }
  return plan;
}

/** Ends the jobs of a payer alone: the execution goes on for others. */
async function failPayer(
  context: MemoryContext,
  transaction: Transaction,
  { execution, payer, failure, limit }: LeftPayer,
  nowMs: number,
): Promise<EndingWithReason[]> {
  await context.statement(transaction, "jobs-fail-payer");
  const own = transaction
    .all(context.database.jobs)
    .filter(
      (job) =>
        job.execution?.no === execution.key.no &&
        job.state === "active" &&
        samePayer(payer, payerOf(job.tenant, parseEnvelope(job.envelope).labels)),
    )
    .slice(0, limit)
    .map(({ key }) => ({ no: key.no, status: "failed" as const, code: failure.code }));
  const ended = await endJobs(context, transaction, own, nowMs);
  return ended.map((job) => ({
    job,
    end: {
      answer: null,
      failure,
      served: "call",
      payer: job.execution,
      history: [],
      stage: "dispatch",
      endedAtMs: nowMs,
    },
  }));
}

function leavesMoney(verdict: ClaimVerdict, level: string): boolean {
  if (verdict.kind === "wait") return verdict.waitsFor === "budget" && (verdict.level ?? level) !== level;
  return verdict.kind === "fail";
}

function dropUnwanted(
  context: MemoryContext,
  transaction: Transaction,
  keys: readonly ReadyRow[],
  wanted: ReadonlySet<number>,
): Plan["settled"][number][] {
  const { executions, attempts } = context.database;
  const doubts: Plan["settled"][number][] = [];
  for (const { key } of keys) {
    const row = transaction.get(executions, key.no);
    if (wanted.has(key.no) || row === undefined) continue;
    if (row.state === "ready" || row.state === "in_doubt") {
      transaction.update(executions, key.no, { state: "dropped" });
      forgetKey(context, transaction, row);
    }
    const attempt = transaction.get(attempts, row.attemptNo ?? -1);
    if (attempt?.state === "in_doubt")
      doubts.push({ execution: { key, doubtful: attempt.intent }, followed: "dropped" });
  }
  return doubts;
}

function historyWithDoubt(execution: WaitingExecution, nowMs: number): readonly AttemptSummary[] {
  const { doubtful } = execution;
  if (doubtful === null) return execution.history;
  const { number, no, provider, account, model, startedAtMs } = doubtful;
  return [
    ...execution.history,
    {
      number,
      no,
      provider,
      account,
      model,
      mode: "direct",
      outcome: "in_doubt",
      providerRequestId: null,
      startedAtMs,
      ms: nowMs - startedAtMs,
      maxNanoUsd: doubtful.maxNanoUsd.toString(),
    },
  ];
}

function startExecutions(
  context: MemoryContext,
  transaction: Transaction,
  request: Claiming,
  started: Plan["started"],
): void {
  const { executions, attempts } = context.database;
  for (const { execution, intent, decision } of started) {
    refuseSecondRescue(context, transaction, execution.key.no, intent);
    transaction.update(executions, execution.key.no, {
      state: "running",
      session: request.session,
      attemptNo: intent.no,
      attempts: intent.number,
      history: historyWithDoubt(execution, request.nowMs),
      ...(decision === null ? {} : { decision }),
    });
    transaction.insert(attempts, intent.no, {
      intent,
      execution: execution.key,
      session: request.session,
      state: "sending",
      outcome: null,
      settledMs: null,
      nanoUsd: null,
    });
  }
}

function settledOnTheWay(refused: Plan["started"]): PutOff[] {
  return refused.flatMap(({ execution, intent: { routeIndex } }) =>
    execution.doubtful === null ? [] : [{ execution, routeIndex }],
  );
}

function putOff(context: MemoryContext, transaction: Transaction, settled: readonly PutOff[], nowMs: number): void {
  for (const { execution, routeIndex } of settled)
    transaction.update(context.database.executions, execution.key.no, {
      state: "ready",
      routeIndex,
      history: historyWithDoubt(execution, nowMs),
    });
}

/** Those without money for their calls. */
function waitForMoney(
  context: MemoryContext,
  transaction: Transaction,
  refused: Plan["started"],
  by: Reserved["refused"],
  nowMs: number,
): readonly ReadyRow[] {
  return refused.map(({ execution, intent }) => {
    const waiters = waitersOf(context, transaction, execution.key.no);
    const [priority, expiresMs] = [waiters?.priority ?? 5, waiters?.nearestDeadlineMs ?? nowMs];
    const { runAtMs, waitsFor, level } = waitForBudget({ key: by.get(intent.no) ?? "" }, nowMs);
    return { key: execution.key, priority, runAtMs, expiresMs, waitsFor, level };
  });
}

async function poolExecutions(
  context: MemoryContext,
  transaction: Transaction,
  { nowMs }: Claiming,
  pooled: Plan["pooled"],
): Promise<void> {
  const { executions } = context.database;
  await context.statement(transaction, "pool-insert");
  for (const { execution, verdict } of pooled) {
    const { key, tenant } = execution;
    const history = historyWithDoubt(execution, nowMs);
    transaction.update(executions, key.no, { state: "ready", history, decision: verdict.decision });
    const waiters = waitersOf(context, transaction, key.no);
    const [priority, expiresMs] = [waiters?.priority ?? 5, waiters?.nearestDeadlineMs ?? nowMs];
    insertPooled(context, transaction, [
      { key, tenant, ...verdict.pooled, priority, addedMs: nowMs, expiresMs, attempts: triesOf(history) },
    ]);
  }
}

async function failWaiting(
  context: MemoryContext,
  transaction: Transaction,
  failed: Plan["failed"],
  nowMs: number,
): Promise<EndingWithReason[]> {
  const { executions, jobs } = context.database;
  const all: EndingWithReason[] = [];
  for (const { execution, failure } of failed) {
    // Serial: as rare as doubts.
    await context.statement(transaction, "executions-fail-waiting");
    const row = transaction.update(executions, execution.key.no, {
      state: "failed",
      failure,
      endedMs: nowMs,
      history: historyWithDoubt(execution, nowMs),
    });
    forgetKey(context, transaction, row);
    await context.statement(transaction, "jobs-fail-waiting");
    const waiting = transaction
      .all(jobs)
      .filter((job) => job.execution?.no === execution.key.no && job.state === "active")
      .slice(0, 1 + context.rules.waitersMax);
    const ended = await endJobs(
      context,
      transaction,
      waiting.map((job) => ({ no: job.key.no, status: "failed", code: failure.code })),
      nowMs,
    );
    if (waiting.length > context.rules.waitersMax) noteUnanswered(context, transaction, [execution.key]);
    for (const job of ended) {
      all.push({
        job,
        end: {
          answer: null,
          failure,
          served: "call",
          payer: job.execution,
          history: historyWithDoubt(execution, nowMs),
          stage: "dispatch",
          endedAtMs: nowMs,
        },
      });
    }
  }
  return all;
}

async function settleDoubts(
  context: MemoryContext,
  transaction: Transaction,
  render: Renderer,
  settled: Plan["settled"],
  nowMs: number,
): Promise<Outgoing[]> {
  const { attempts } = context.database;
  const outgoing: Outgoing[] = [];
  for (const { execution, followed } of settled) {
    const { doubtful, key } = execution;
    if (doubtful === null) continue;
    await context.statement(transaction, "attempts-settle");
    await transaction.lock(attempts, [doubtful.no], "exclusive");
    if (transaction.get(attempts, doubtful.no)?.state !== "in_doubt") continue;
    transaction.update(attempts, doubtful.no, { state: "settled", settledMs: nowMs });
    const paid = payingJobOf(context, transaction, key);
    const rendered = render.lateCost({
      ...paid,
      execution: key,
      attempt: doubtful,
      billing: "in_doubt",
      nanoUsd: null,
      usage: NO_USAGE,
      priceVersion: null,
      correctsNo: null,
      no: doubtful.no,
      atMs: nowMs,
    });
    const event = doubtSettled({ attempt: doubtful, execution: key, subject: subjectOf(paid), atMs: nowMs }, followed);
    outgoing.push(rendered.outgoing, render.event(event, context.nextNumber(), key.day));
    insertCosts(context, transaction, [rendered.cost]);
  }
  return outgoing;
}
