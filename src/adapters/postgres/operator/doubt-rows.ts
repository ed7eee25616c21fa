import type pg from "pg";
import type { AttemptIntent, AttemptSummary } from "../../../domain/execution/execution.js";
import { subjectOf } from "../../../domain/event/event.js";
import { correctionOf } from "../../../domain/budget/budget.js";
import { isCorrectedByBill } from "../../../domain/cost/bill-row.js";
import { operatorEvent } from "../../../domain/event/operator-event.js";
import { attemptId } from "../../../domain/job/ids.js";
import { NO_USAGE, type Usage } from "../../../domain/cost/usage.js";
import type { LedgerKey, SessionNo } from "../../../domain/ids.js";
import type { LateCost, Outgoing, Renderer } from "../../../domain/result/outgoing.js";
import { doubtSummary } from "../../../domain/execution/doubt-summary.js";
import { INTENT_COLUMNS, readIntent } from "../attempt-rows.js";
import { correctSettled, STAYS_CORRECTABLE } from "../budget/correct-settled.js";
import { ENDED_COLUMNS, readEnded, RESERVATION_ENDS } from "../budget/ended-attempt.js";
import { run, transaction } from "../connection.js";
import { insertCosts } from "../ending.js";
import { payerOf } from "../late-costs.js";
import type { LedgerContext } from "../ledger-context.js";
import { insertOutbox } from "../outbox-rows.js";

/** An attempt that may have been billed and whose outcome nobody knows. */
export interface DoubtfulAttempt {
  readonly key: LedgerKey;
  readonly tenant: string;
  readonly execution: LedgerKey;
  readonly number: number;
  /** `in_doubt`: its grace runs; `settled`: the work went on without it, its cost is open. */
  readonly state: "in_doubt" | "settled";
  readonly account: string;
  readonly provider: string;
  readonly model: string;
  readonly startedMs: number;
  readonly maxNanoUsd: bigint;
}

/** The oldest first. No index holds states, so all days that are kept are read. */
export async function doubtfulAttempts(pool: pg.Pool, limit: number): Promise<readonly DoubtfulAttempt[]> {
  const rows = await run(
    pool,
    "attempts-doubtful",
    `SELECT a.no, a.day, t.name, a.execution_no, a.number, a.state, a.account, a.provider, a.model, a.started_ms, a.max_nano
     FROM attempts a LEFT JOIN executions e ON e.no = a.execution_no AND e.day = a.day LEFT JOIN tenants t ON t.no = e.tenant_no
     WHERE a.state IN ('in_doubt', 'settled') ORDER BY a.no LIMIT $1`,
    [limit],
  );
  return rows.map(([no, day, tenant, executionNo, number, state, account, provider, model, startedMs, maxNano]) => ({
    key: { no: Number(no), day: Number(day) },
    tenant: tenant ?? "",
    execution: { no: Number(executionNo), day: Number(day) },
    number: Number(number),
    state: state === "in_doubt" ? "in_doubt" : "settled",
    account: account ?? "",
    provider: provider ?? "",
    model: model ?? "",
    startedMs: Number(startedMs),
    maxNanoUsd: BigInt(maxNano ?? 0),
  }));
}

export interface Resolution {
  readonly attempt: LedgerKey;
  /** What the provider billed, nano-dollars; 0: nothing. */
  readonly nanoUsd: bigint;
  readonly billed: boolean;
  readonly byWhom: string;
  readonly session: SessionNo;
  /** Only there when a bill says it: then what an attempt without a known answer was booked with is corrected too. */
  readonly bill?: BilledAs;
}

/** What a row of a bill says beside the amount. */
export interface BilledAs {
  readonly usage: Usage;
  readonly providerBatchId: string | null;
}

export type ResolveOutcome = "resolved" | "not_in_doubt" | "not_found";

/**
 * Writes down what the operator learned from the provider's bill. An attempt that has a cost record gets an adjustment, else its first
 * one. One whose grace still runs ends its doubt at once: not billed, its execution is due now as if nothing had been sent; billed, its
 * doubt is settled now by policy. Doing it again changes nothing: the attempt is no longer in doubt. A bill also settles what a suspect
 * usage left open, and corrects what an earlier resolution said.
 */
export async function resolveDoubt(
  context: LedgerContext,
  resolution: Resolution,
  render: Renderer,
): Promise<ResolveOutcome> {
  await context.tenants.ensure([]);
  await context.numbers.reserve(16);
  return transaction(
    context.pools.durable,
    (client) => resolveInTransaction(client, context, resolution, render),
    () => Promise.resolve(null),
    context.commitPoints(["resolve.before_commit"]),
  );
}

interface LockedAttempt extends AttemptIntent {
  readonly execution: LedgerKey;
  readonly state: string;
  readonly nowMs: number;
  readonly outcome: string | null;
  /** What is booked; null: nothing that is known. */
  readonly nanoUsd: bigint | null;
}

async function resolveInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  resolution: Resolution,
  render: Renderer,
): Promise<ResolveOutcome> {
  const attempt = await lockAttempt(client, resolution.attempt);
  if (attempt === null) return "not_found";
  const isDoubt = attempt.state === "in_doubt" || attempt.state === "settled";
  if (!isDoubt && !(resolution.bill !== undefined && isCorrectedByBill(attempt, resolution.nanoUsd)))
    return "not_in_doubt";
  const { usage } = resolution.bill ?? { usage: NO_USAGE };
  const [ended] = await run(
    client,
    "attempt-resolve",
    `UPDATE attempts SET state = CASE WHEN $9 THEN $3 ELSE state END, outcome = CASE WHEN $9 THEN 'in_doubt' ELSE outcome END,
       ended_ms = CASE WHEN $9 THEN $4::int8 ELSE ended_ms END, nano_usd = $5, ${RESERVATION_ENDS}, ${STAYS_CORRECTABLE},
       input_tokens = coalesce($6, input_tokens),
       cached_input_tokens = coalesce($7, cached_input_tokens), output_tokens = coalesce($8, output_tokens) WHERE no = $1 AND day = $2
     RETURNING ${ENDED_COLUMNS}, OLD.counted_in`,
    [
      attempt.no,
      attempt.execution.day,
      resolution.billed ? "answered" : "failed",
      attempt.nowMs,
      resolution.nanoUsd,
      usage.inputTokens,
      usage.cachedInputTokens,
      usage.outputTokens,
      isDoubt,
    ],
  );
  if (attempt.state === "in_doubt") await endGrace(client, attempt, resolution.billed);
  const opened = await payerOf(client, context, attempt.execution);
  const outgoing = await bookResolution(client, context, attempt, resolution, opened, render);
  const event = operatorEvent(
    "operator.resolved",
    { byWhom: resolution.byWhom, atMs: attempt.nowMs },
    `resolved attempt ${String(attempt.number)} at ${attempt.account}/${attempt.model} as ${resolution.billed ? "billed" : "not billed"}`,
    subjectOf(opened),
    { attemptId: attemptId(attempt.execution.day, attempt.no), nanoUsd: resolution.nanoUsd.toString() },
  );
  outgoing.push(render.event(event, context.numbers.next(), attempt.execution.day));
  insertOutbox(client, context.numbers, resolution.session, attempt.nowMs, outgoing);
  const held = readEnded(ended?.[0], ended?.[1]);
  await context.budgets.settle(client, [{ attempt: held, nanoUsd: resolution.nanoUsd }], attempt.nowMs);
  // What it reserved is settled by that; what was settled before is corrected by this. No attempt has both.
  correctSettled(client, ended?.[2], correctionOf(attempt, resolution.nanoUsd), attempt.nowMs);
  return "resolved";
}

/** Locks in the order of a claim: queue row, execution, attempt. */
async function lockAttempt(client: pg.PoolClient, key: LedgerKey): Promise<LockedAttempt | null> {
  const [place] = await run(
    client,
    "attempt-execution",
    "SELECT execution_no FROM attempts WHERE no = $1 AND day = $2",
    [key.no, key.day],
  );
  if (place === undefined) return null;
  const execution = { no: Number(place[0]), day: key.day };
  await run(client, "ready-lock", "SELECT 1 FROM ready WHERE no = $1 FOR UPDATE", [execution.no]);
  await run(client, "execution-lock", "SELECT 1 FROM executions WHERE no = $1 AND day = $2 FOR UPDATE", [
    execution.no,
    execution.day,
  ]);
  const [row] = await run(
    client,
    "attempt-lock",
    `SELECT a.state, floor(extract(epoch FROM clock_timestamp()) * 1000)::int8, a.outcome, a.nano_usd, ${INTENT_COLUMNS}
     FROM attempts a WHERE no = $1 AND day = $2 FOR UPDATE`,
    [key.no, key.day],
  );
  if (row === undefined) return null;
  const [state, nowMs, outcome = null, nanoUsd = null, ...intent] = row;
  return {
    ...readIntent(intent),
    execution,
    state: state ?? "",
    nowMs: Number(nowMs),
    outcome,
    nanoUsd: nanoUsd === null ? null : BigInt(nanoUsd),
  };
}

async function endGrace(client: pg.PoolClient, attempt: LockedAttempt, billed: boolean): Promise<void> {
  await run(client, "ready-due-now", "UPDATE ready SET run_at_ms = $2, waits_for = $3 WHERE no = $1", [
    attempt.execution.no,
    attempt.nowMs,
    billed ? "doubt" : "concurrency",
  ]);
  if (billed) return;
  const [row] = await run(client, "execution-history", "SELECT history FROM executions WHERE no = $1 AND day = $2", [
    attempt.execution.no,
    attempt.execution.day,
  ]);
  const history = JSON.parse(row?.[0] ?? "[]") as AttemptSummary[]; // written by finish and claim
  await run(
    client,
    "execution-undoubt",
    "UPDATE executions SET state = 'ready', history = $4 WHERE no = $1 AND day = $2 AND state = 'in_doubt' AND attempt_no = $3",
    [
      attempt.execution.no,
      attempt.execution.day,
      attempt.no,
      JSON.stringify([...history, doubtSummary(attempt, attempt.nowMs)]),
    ],
  );
}

/** A doubt that was not billed and has no cost record needs none. */
async function bookResolution(
  client: pg.PoolClient,
  context: LedgerContext,
  attempt: LockedAttempt,
  resolution: Resolution,
  opened: Pick<LateCost, "tenant" | "payer">,
  render: Renderer,
): Promise<Outgoing[]> {
  const earlier = await run(client, "costs-charge-of-attempt", "SELECT job_no FROM costs WHERE no = $1 AND day = $2", [
    attempt.no,
    attempt.execution.day,
  ]);
  if (earlier.length === 0 && !resolution.billed) return [];
  // A suspect usage may be that of an answer that served the job; a doubt served nobody.
  const served = earlier.some(([jobNo]) => jobNo !== null);
  const rendered = render.lateCost({
    ...opened,
    execution: attempt.execution,
    attempt,
    billing: resolution.billed && !served ? "waste" : "charged",
    nanoUsd: resolution.nanoUsd - (attempt.nanoUsd ?? 0n),
    usage: resolution.bill?.usage ?? NO_USAGE,
    priceVersion: null,
    ...(resolution.bill === undefined ? {} : { providerBatchId: resolution.bill.providerBatchId }),
    correctsNo: earlier.length > 0 ? attempt.no : null,
    no: earlier.length > 0 ? context.numbers.next() : attempt.no,
    atMs: attempt.nowMs,
  });
  insertCosts(client, context, [rendered.cost]);
  return [rendered.outgoing];
}
