import { doubtSummary } from "../../domain/execution/doubt-summary.js";
import { triesOf, type AttemptSummary, type WaitingExecution } from "../../domain/execution/execution.js";
import type { Failure } from "../../domain/failure.js";
import type { RouteDecision } from "../../domain/route/route-decision.js";
import type { ClaimVerdict, StartedExecution } from "../../ports/ledger.js";
import type { PoolRow } from "./batch/pool-rows.js";
import type { LedgerContext } from "./ledger-context.js";
import type { LoadedExecution } from "./load-waiting.js";
import type { ReadyRow } from "./ready-rows.js";
import type { LeftToLine } from "./rescue.js";
import type { Settled } from "./settle-doubts.js";

/** With the reason for a call of its own, where there was something to choose. */
export interface Started extends StartedExecution, Pick<LoadedExecution, "priority" | "bytes" | "level"> {
  readonly decision?: RouteDecision;
}

/** What a claim does with what it took, by the verdicts. */
export interface ClaimPlan {
  readonly started: Started[];
  readonly failed: { readonly execution: WaitingExecution; readonly failure: Failure }[];
  readonly settled: Settled[];
  readonly waits: ReadyRow[];
  /** Those of `waits` that were in doubt and are no more. */
  readonly putOff: PutOff[];
  readonly pooled: Pooled[];
  readonly left: LeftToLine[];
  /** The budgets whose money executions were woken for that took none of it, by their keys. */
  readonly tookNoMoney: string[];
}

/** An execution whose doubt was settled, and whose next call has to wait. */
export interface PutOff {
  readonly execution: WaitingExecution;
  /** Of the next call. */
  readonly routeIndex: number;
}

/** An execution that waits for a batch from now on. */
export interface Pooled {
  readonly execution: WaitingExecution;
  readonly decision: RouteDecision;
  readonly history: readonly AttemptSummary[];
  readonly row: PoolRow;
}

export function sortVerdicts(
  context: LedgerContext,
  nowMs: number,
  waiting: readonly LoadedExecution[],
  decide: (execution: WaitingExecution) => ClaimVerdict,
): ClaimPlan {
  const plan: ClaimPlan = {
    ...{ started: [], failed: [], settled: [], waits: [], putOff: [], pooled: [], left: [], tookNoMoney: [] },
  };
  for (const loaded of waiting) {
    const { execution, priority, bytes, level } = loaded;
    const verdict = decide(execution);
    if (level !== null && leavesMoney(verdict, level)) plan.tookNoMoney.push(level);
    if (verdict.kind === "wait") {
      plan.waits.push(waitRow(context, loaded, verdict));
      if (verdict.afterDoubt === undefined) continue;
      plan.settled.push({ execution, followed: "retried" });
      plan.putOff.push({ execution, routeIndex: verdict.afterDoubt });
      continue;
    }
    if (verdict.kind === "line") {
      plan.left.push(...leftOf(execution));
      continue;
    }
    if (execution.doubtful !== null)
      plan.settled.push({ execution, followed: verdict.kind === "fail" ? verdict.failure.code : "retried" });
    if (verdict.kind === "start")
      plan.started.push({ execution, intent: verdict.intent, priority, bytes, level, ...decisionOf(verdict) });
    else if (verdict.kind === "pool") plan.pooled.push(pooledOf(context, loaded, verdict, nowMs));
    else plan.failed.push({ execution, failure: verdict.failure });
  }
  return plan;
}

/** One that goes on waiting for money without a word of whose waits for the same as before. */
export function waitRow(
  context: LedgerContext,
  { execution, priority, bytes, level }: Pick<LoadedExecution, "execution" | "priority" | "bytes" | "level">,
  {
    runAtMs,
    waitsFor,
    limit,
    ...by
  }: Pick<Extract<ClaimVerdict, { readonly kind: "wait" }>, "runAtMs" | "waitsFor" | "level" | "limit">,
): ReadyRow {
  const own = waitsFor === "budget" ? (by.level ?? level) : null;
  return {
    ...execution.key,
    ...{ priority, runAtMs, expiresMs: execution.nearestDeadlineMs, waitsFor, bytes },
    tenantNo: context.tenants.noOf(execution.tenant),
    ...(own === null ? {} : { level: own }),
    ...(limit === undefined ? {} : { limit }),
  };
}

/** Whether one that was woken for the money of a budget leaves it to others: it ends, or another budget keeps it out. */
function leavesMoney(verdict: ClaimVerdict, level: string): boolean {
  if (verdict.kind === "wait") return verdict.waitsFor === "budget" && (verdict.level ?? level) !== level;
  return verdict.kind === "fail";
}

/** What never left its line needs nothing. A doubt has to be settled first, and is not while the line is out. */
function leftOf({ key, state, line, nearestDeadlineMs }: WaitingExecution): readonly LeftToLine[] {
  if (line === undefined || state === "in_doubt")
    throw new Error("InvariantError: an execution was left to a line that can't take it");
  return state === "ready" ? [{ key, line, nearestDeadlineMs }] : [];
}

/** Why a line is rescued belongs to the call's answer: the line has its own reason to be one. */
function decisionOf({
  decision,
  intent,
}: Extract<ClaimVerdict, { readonly kind: "start" }>): Pick<Started, "decision"> {
  return decision === undefined || intent.supersedes !== undefined ? {} : { decision };
}

function pooledOf(
  context: LedgerContext,
  { execution, priority, bytes }: LoadedExecution,
  { pooled, decision }: Extract<ClaimVerdict, { readonly kind: "pool" }>,
  nowMs: number,
): Pooled {
  const history = historyWithDoubt(execution, nowMs);
  const row = {
    ...execution.key,
    ...pooled,
    tenantNo: context.tenants.noOf(execution.tenant),
    priority,
    addedMs: nowMs,
    expiresMs: execution.nearestDeadlineMs,
    bytes,
    attempts: triesOf(history),
  };
  return { execution, decision, history, row };
}

export function historyWithDoubt(execution: WaitingExecution, nowMs: number): readonly AttemptSummary[] {
  return execution.doubtful === null
    ? execution.history
    : [...execution.history, doubtSummary(execution.doubtful, nowMs)];
}
