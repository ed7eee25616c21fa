import {
  verdictBesideLine,
  verdictFor,
  type AttemptSummary,
  type EndedState,
  type ServedAnswer,
} from "../../../src/domain/execution/execution.js";
import { doubtBegan } from "../../../src/domain/event/doubt-event.js";
import { subjectOf } from "../../../src/domain/event/event.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import { stageOfLast } from "../../../src/domain/stage.js";
import { bookedBy } from "../../../src/domain/cost/booked.js";
import type { CostRow, JobEnd, LateCost, Outgoing, Renderer } from "../../../src/domain/result/outgoing.js";
import type { FinishedCall, FinishGroup, FinishOutcome } from "../../../src/ports/ledger.js";
import { wokenOf } from "./memory-budgets.js";
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
import type { ExecutionRow, JobRow } from "./memory-rows.js";

interface NewCall extends FinishedCall {
  readonly chargeIsFirst: boolean;
}

interface JobEndReason {
  readonly call: NewCall;
  readonly failure: JobEnd["failure"];
}

/** The finish transaction, statement by statement as in the real ledger. */
export function finish(context: MemoryContext, group: FinishGroup, render: Renderer): Promise<FinishOutcome> {
  return context.transaction("finish", (transaction) => finishInTransaction(context, transaction, group, render));
}

async function finishInTransaction(
  context: MemoryContext,
  transaction: Transaction,
  group: FinishGroup,
  render: Renderer,
): Promise<FinishOutcome> {
  const calls = [...group.calls].sort((a, b) => a.execution.no - b.execution.no);
  await context.statement(transaction, "session-fence");
  await transaction.lock(context.database.routers, [group.session], "share");
  const alive = transaction.get(context.database.routers, group.session)?.endedMs === null;
  const facts = await recordFacts(context, transaction, calls, alive);
  const snapshot = context.rules.waitersOnOldSnapshot ? activeJobs(context, transaction) : null;
  const ended = await succeedExecutions(context, transaction, group, facts);
  const recorded = await besideLines(context, transaction, group.nowMs, facts);
  const succeeded = recorded.filter(({ attempt }) => ended.some((call) => call.attempt.no === attempt.no));
  const news = await inViewOfWaiters(context, transaction, recorded);
  const failed = await failExecutions(context, transaction, group, news);
  const waiting = await waitExecutions(context, transaction, group, news);
  const moved = new Set([...succeeded, ...failed, ...waiting]);
  await rememberLines(context, transaction, news, moved);
  const reasons = [
    ...succeeded.map((call) => ({ call, failure: null })),
    ...failed.map((call) => ({ call, failure: call.verdict.kind === "fail" ? call.verdict.failure : null })),
  ];
  const endings = await endWaiters(context, transaction, group.nowMs, reasons, snapshot);
  const written = await writeEnds(context, transaction, render, endings.items);
  const late = news.filter((call) => owesLateCost(call, moved.has(call), endings.served.has(call.execution.no)));
  const lateCosts = await writeLateCosts(context, transaction, render, late, moved, group.nowMs);
  const outgoing = [...written.outgoing, ...lateCosts.outgoing];
  for (const { attempt, execution, endedAtMs, outcome } of news.filter((call) => call.verdict.kind === "doubt")) {
    const subject = subjectOf(payerOf(context, transaction, execution));
    const event = doubtBegan({ attempt, execution, subject, atMs: endedAtMs }, outcome);
    outgoing.push(render.event(event, attempt.no, execution.day));
  }
  const outbox = await insertOutbox(context, transaction, group.session, group.nowMs, outgoing);
  const settled = context.rules.settles(news).map(({ attempt: { no }, nanoUsd }) => ({ attempt: no, nanoUsd }));
  const woken = await context.budgets.settle(transaction, settled, group.nowMs);
  return {
    ended: written.ended,
    outbox,
    waste: late.filter((call) => !moved.has(call)).length,
    ...(await wokenOf(woken)),
    ...bookedBy([...written.costs, ...lateCosts.costs]),
  };
}

/**
 * The first outcome of an attempt stands. A dead session may not decide what follows a failure, so its attempt stays open until the
 * recovery has put it in doubt: recorded before, nobody would ever move its execution.
 */
async function recordFacts(
  context: MemoryContext,
  transaction: Transaction,
  calls: readonly FinishedCall[],
  alive: boolean,
): Promise<NewCall[]> {
  const { attempts } = context.database;
  await context.statement(transaction, "attempts-record");
  await transaction.lock(
    attempts,
    calls.map((call) => call.attempt.no),
    "exclusive",
  );
  return calls.flatMap((call): NewCall[] => {
    const state = call.verdict.kind === "doubt" ? "in_doubt" : call.outcome === "succeeded" ? "answered" : "failed";
    const row = transaction.get(attempts, call.attempt.no);
    if (row === undefined) return [];
    const late = row.state === "in_doubt" || row.state === "settled";
    if (!context.rules.firstOutcomeStands && row.state === state && row.intent.batchNo !== undefined)
      return [{ ...call, chargeIsFirst: true }];
    if (
      row.state === "sending" || row.state === "batched"
        ? !alive && state !== "answered"
        : !(late && state !== "in_doubt")
    )
      return [];
    const tokens = (call.usage.inputTokens ?? 0) + (call.usage.outputTokens ?? 0);
    transaction.update(attempts, call.attempt.no, { state, outcome: call.outcome, nanoUsd: call.nanoUsd, tokens });
    return [{ ...call, chargeIsFirst: row.settledMs === null }];
  });
}

async function lockExecutions(
  context: MemoryContext,
  transaction: Transaction,
  label: string,
  calls: readonly NewCall[],
): Promise<void> {
  await context.statement(transaction, label);
  await transaction.lock(
    context.database.executions,
    calls.map((call) => call.execution.no),
    "exclusive",
  );
}

/**
 * Rescues, and lines that failed: with what the history of their execution says, which is locked; a rescue without an answer leaves its jobs
 * to the line while that is out.
 */
async function besideLines(
  context: MemoryContext,
  transaction: Transaction,
  nowMs: number,
  calls: readonly NewCall[],
): Promise<readonly NewCall[]> {
  const { attempts, executions } = context.database;
  const pairs = calls.filter((call) => call.attempt.supersedes !== undefined || isFailedLine(call));
  if (pairs.length === 0) return calls;
  await lockExecutions(context, transaction, "executions-lock", pairs);
  await context.statement(transaction, "executions-beside-lines");
  return calls.map((call) => {
    if (!pairs.includes(call)) return call;
    const { supersedes, routeIndex } = call.attempt;
    const lineIsOut = transaction.get(attempts, supersedes ?? -1)?.state === "batched";
    const verdict = lineIsOut ? verdictBesideLine(call.verdict, routeIndex, nowMs) : call.verdict;
    return { ...call, earlier: transaction.get(executions, call.execution.no)?.history ?? [], verdict };
  });
}

function isFailedLine({ attempt, verdict }: NewCall): boolean {
  return attempt.batchNo !== undefined && verdict.kind !== "succeed";
}

/** Lines that failed while their executions were a rescue's. */
async function rememberLines(
  context: MemoryContext,
  transaction: Transaction,
  news: readonly NewCall[],
  moved: ReadonlySet<NewCall>,
): Promise<void> {
  const { executions } = context.database;
  const left = news.filter((call) => isFailedLine(call) && !moved.has(call));
  if (left.length === 0) return;
  await context.statement(transaction, "executions-remember-lines");
  for (const call of left) {
    const row = transaction.get(executions, call.execution.no);
    if (row === undefined || row.attemptNo === call.attempt.no) continue;
    if (row.state === "ready" || row.state === "running" || row.state === "in_doubt")
      transaction.update(executions, row.key.no, { history: historyOf(call) });
  }
}

/** A call that failed for want of time goes on for a job that joined with more of it. */
async function inViewOfWaiters(
  context: MemoryContext,
  transaction: Transaction,
  calls: readonly NewCall[],
): Promise<readonly NewCall[]> {
  const late = calls.filter(({ verdict }) => verdict.kind === "fail" && verdict.givenTime !== null);
  if (late.length === 0) return calls;
  await lockExecutions(context, transaction, "executions-lock", late);
  await context.statement(transaction, "jobs-waiters");
  return calls.map((call) => {
    const latestMs = waitersOf(context, transaction, call.execution.no)?.latestDeadlineMs ?? null;
    const verdict = late.includes(call) ? verdictFor(call.verdict, latestMs) : call.verdict;
    return verdict === call.verdict ? call : { ...call, verdict };
  });
}

async function succeedExecutions(
  context: MemoryContext,
  transaction: Transaction,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const { executions, executionKeys, ready, pools } = context.database;
  const good = calls.filter((call) => call.verdict.kind === "succeed");
  if (good.length === 0) return [];
  await lockExecutions(context, transaction, "executions-succeed", good);
  const done: NewCall[] = [];
  for (const call of good) {
    const row = transaction.get(executions, call.execution.no);
    if (row === undefined || row.answer !== null || call.verdict.kind !== "succeed") continue;
    const { answer } = call.verdict;
    if (row.state === "failed" || row.state === "dropped") {
      transaction.update(executions, call.execution.no, { answer });
      continue;
    }
    transaction.update(executions, call.execution.no, { state: "succeeded", answer, endedMs: group.nowMs });
    await transaction.lock(executionKeys, row.requestKey === null ? [] : [row.requestKey], "exclusive");
    if (answer.facts.cacheable && row.cacheWrite) keepKey(context, transaction, row, group.nowMs);
    else forgetKey(context, transaction, row);
    // When a newer attempt waits in doubt, its row stays: the claim that takes it settles that doubt.
    if (row.attemptNo === call.attempt.no) {
      await transaction.lock(ready, [call.execution.no], "exclusive");
      transaction.remove(ready, call.execution.no);
    }
    await transaction.lock(pools, [call.execution.no], "exclusive");
    transaction.remove(pools, call.execution.no);
    done.push(call);
  }
  return done;
}

function keepKey(context: MemoryContext, transaction: Transaction, row: ExecutionRow, nowMs: number): void {
  const { executionKeys } = context.database;
  if (row.requestKey === null || transaction.get(executionKeys, row.requestKey)?.execution.no !== row.key.no) return;
  transaction.update(executionKeys, row.requestKey, { answeredMs: nowMs });
}

export function forgetKey(context: MemoryContext, transaction: Transaction, row: ExecutionRow): void {
  const { executionKeys } = context.database;
  if (row.requestKey === null || transaction.get(executionKeys, row.requestKey)?.execution.no !== row.key.no) return;
  transaction.remove(executionKeys, row.requestKey);
}

function heldByUs(
  context: MemoryContext,
  transaction: Transaction,
  group: FinishGroup,
  call: NewCall,
): ExecutionRow | null {
  const row = transaction.get(context.database.executions, call.execution.no);
  const alive = transaction.get(context.database.routers, group.session)?.endedMs === null;
  return row !== undefined && context.rules.holds(row, call, group.session, alive) ? row : null;
}

async function failExecutions(
  context: MemoryContext,
  transaction: Transaction,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const { executions, executionKeys } = context.database;
  const bad = calls.filter((call) => call.verdict.kind === "fail");
  if (bad.length === 0) return [];
  await lockExecutions(context, transaction, "executions-fail", bad);
  const done: NewCall[] = [];
  for (const call of bad) {
    const row = heldByUs(context, transaction, group, call);
    if (row === null || call.verdict.kind !== "fail") continue;
    transaction.update(executions, row.key.no, {
      state: "failed",
      failure: call.verdict.failure,
      history: historyOf(call),
      endedMs: group.nowMs,
    });
    await transaction.lock(executionKeys, row.requestKey === null ? [] : [row.requestKey], "exclusive");
    forgetKey(context, transaction, row);
    done.push(call);
  }
  return done;
}

async function waitExecutions(
  context: MemoryContext,
  transaction: Transaction,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const { executions } = context.database;
  const waiting = calls.filter((call) => call.verdict.kind === "again" || call.verdict.kind === "doubt");
  if (waiting.length === 0) return [];
  await lockExecutions(context, transaction, "executions-wait", waiting);
  const done: NewCall[] = [];
  for (const call of waiting) {
    const { verdict } = call;
    const row = heldByUs(context, transaction, group, call);
    if (row === null || (verdict.kind !== "again" && verdict.kind !== "doubt")) continue;
    const again = verdict.kind === "again";
    transaction.update(executions, row.key.no, {
      state: again ? "ready" : "in_doubt",
      routeIndex: again ? verdict.routeIndex : call.attempt.routeIndex,
      history: again ? historyOf(call) : row.history,
    });
    done.push(call);
  }
  await context.statement(transaction, "ready-insert");
  // An execution that has ended meanwhile is not moved, but a doubt about its attempt gets its row: a claim settles it.
  const queued = waiting.filter((call) => done.includes(call) || call.verdict.kind === "doubt");
  for (const { execution, verdict } of queued) {
    const waiters = waitersOf(context, transaction, execution.no);
    const runAtMs =
      verdict.kind === "again" ? verdict.runAtMs : verdict.kind === "doubt" ? verdict.settleAtMs : group.nowMs;
    const waitsFor = verdict.kind === "again" ? verdict.waitsFor : "doubt";
    insertReady(context, transaction, [
      {
        key: execution,
        priority: waiters?.priority ?? 5,
        runAtMs,
        expiresMs: waiters?.nearestDeadlineMs ?? runAtMs,
        waitsFor,
      },
    ]);
  }
  return done;
}

function historyOf(call: NewCall): readonly AttemptSummary[] {
  return [...call.earlier, call.summary];
}

function activeJobs(context: MemoryContext, transaction: Transaction): JobRow[] {
  return transaction.all(context.database.jobs).filter((job) => job.state === "active");
}

async function endWaiters(
  context: MemoryContext,
  transaction: Transaction,
  nowMs: number,
  reasons: readonly JobEndReason[],
  snapshot: readonly JobRow[] | null,
): Promise<{ readonly items: EndingWithReason[]; readonly served: Set<number> }> {
  const served = new Set<number>();
  if (reasons.length === 0) return { items: [], served };
  if (snapshot === null) await context.statement(transaction, "jobs-end-waiters");
  const byExecution = new Map(reasons.map((reason) => [reason.call.execution.no, reason]));
  const seen = (snapshot ?? activeJobs(context, transaction)).filter((job) => byExecution.has(job.execution?.no ?? -1));
  const limit = reasons.length + context.rules.waitersMax;
  const wanted = seen
    .sort((a, b) => a.key.no - b.key.no)
    .slice(0, limit)
    .map((job): { no: number; status: EndedState; code: string | null } => {
      const failure = byExecution.get(job.execution?.no ?? -1)?.failure ?? null;
      if (job.deadlineMs < nowMs) return { no: job.key.no, status: "expired", code: "DEADLINE_EXCEEDED" };
      return { no: job.key.no, status: failure === null ? "succeeded" : "failed", code: failure?.code ?? null };
    });
  const jobs = await endJobs(context, transaction, wanted, nowMs);
  // Found, not ended: one that is cancelled at that instant was found in place of another.
  if (jobs.length === 0 || wanted.length === limit)
    noteUnanswered(
      context,
      transaction,
      reasons.map(({ call }) => call.execution),
    );
  const items = jobs.map((job): EndingWithReason => {
    const executionNo = job.execution?.no ?? -1;
    const reason = byExecution.get(executionNo);
    if (reason === undefined) throw new Error("a job ended for an execution that did not");
    const own = jobs.filter((other) => other.execution?.no === executionNo);
    const payer = own.find((other) => other.key.no === executionNo) ?? own[0] ?? job;
    const pays = payer.key.no === job.key.no && reason.call.chargeIsFirst;
    if (pays && answerOf(reason.call) !== null) served.add(executionNo);
    return { job, end: endOf(job.status, reason, payer.key, pays, nowMs) };
  });
  return { items, served };
}

/** The sweep answers whoever is left of them: of these executions those that have ended and that a job still waits for. */
export function noteUnanswered(
  context: MemoryContext,
  transaction: Transaction,
  executions: readonly LedgerKey[],
): void {
  const { unanswered, executions: table } = context.database;
  const awaited = new Set(activeJobs(context, transaction).map((job) => job.execution?.no));
  for (const { no } of executions) {
    const state = transaction.get(table, no)?.state;
    if (!awaited.has(no) || (state !== "succeeded" && state !== "failed")) continue;
    if (transaction.get(unanswered, no) === undefined) transaction.insert(unanswered, no, no);
  }
}

function endOf(status: EndedState, reason: JobEndReason, payer: LedgerKey, pays: boolean, nowMs: number): JobEnd {
  const { call } = reason;
  const late = {
    code: "DEADLINE_EXCEEDED",
    message: "the deadline passed before the answer was there",
    provider: null,
    retryAtMs: null,
  } as const;
  return {
    answer: answerOf(call),
    failure: status === "expired" ? late : reason.failure,
    served: pays ? "call" : "coalesced",
    payer,
    history: historyOf(call),
    stage: stageOfLast(historyOf(call)),
    endedAtMs: nowMs,
  };
}

function answerOf({ verdict }: NewCall): ServedAnswer | null {
  return verdict.kind === "succeed" || verdict.kind === "fail" ? verdict.answer : null;
}

function owesLateCost(call: NewCall, moved: boolean, served: boolean): boolean {
  if (call.verdict.kind === "doubt") return false;
  if (call.nanoUsd === 0n && call.chargeIsFirst) return false;
  return !(moved && served);
}

interface LateCosts {
  readonly outgoing: readonly Outgoing[];
  readonly costs: readonly CostRow[];
}

async function writeLateCosts(
  context: MemoryContext,
  transaction: Transaction,
  render: Renderer,
  calls: readonly NewCall[],
  moved: ReadonlySet<NewCall>,
  nowMs: number,
): Promise<LateCosts> {
  const outgoing: Outgoing[] = [];
  const costs: CostRow[] = [];
  for (const call of calls) {
    // Serial: rare.
    await context.statement(transaction, "late-cost");
    const first = transaction.get(context.database.costs, call.attempt.no) === undefined;
    const rendered = render.lateCost({
      ...payerOf(context, transaction, call.execution),
      execution: call.execution,
      attempt: call.attempt,
      providerBatchId: call.summary.batch?.providerBatchId ?? null,
      billing: moved.has(call) ? "charged" : context.rules.secondAnswer,
      nanoUsd: call.nanoUsd,
      usage: call.usage,
      modelVersion: call.modelVersion,
      priceVersion: call.priceVersion,
      correctsNo: first ? null : call.attempt.no,
      no: first ? call.attempt.no : context.nextNumber(),
      atMs: nowMs,
    });
    outgoing.push(rendered.outgoing);
    insertCosts(context, transaction, [rendered.cost]);
    costs.push(rendered.cost);
  }
  return { outgoing, costs };
}

/** Tenant of an execution and the job that opened it, for cost records that no ending job carries. */
export function payerOf(
  context: MemoryContext,
  transaction: Transaction,
  execution: LedgerKey,
): Pick<LateCost, "tenant" | "payer"> {
  const { executions, jobs } = context.database;
  const job = transaction.get(jobs, execution.no);
  return {
    tenant: transaction.get(executions, execution.no)?.tenant ?? "",
    payer: job === undefined ? null : { jobId: job.jobId, generation: job.generation, envelope: job.envelope },
  };
}
