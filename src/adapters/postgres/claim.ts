import type pg from "pg";
import type { AttemptSummary, WaitingExecution } from "../../domain/execution/execution.js";
import { doubtSummary } from "../../domain/execution/doubt-summary.js";
import type { RouteDecision } from "../../domain/route/route-decision.js";
import type { WaitReason } from "../../domain/execution/waits.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { Failure } from "../../domain/failure.js";
import type { EndingJob, JobEnd, Outgoing, Renderer } from "../../domain/result/outgoing.js";
import type { ClaimOutcome, ClaimRequest, ClaimVerdict, RescueLook, StartedExecution } from "../../ports/ledger.js";
import { waitForBudget } from "../../domain/budget/budget.js";
import type { Payer } from "../../domain/budget/budget-levels.js";
import type { Woken } from "../../ports/budget-store.js";
import { failPayers } from "./budget/payers.js";
import { withinBudgets } from "./budget/within-budgets.js";
import { insertPooled, type PoolRow } from "./batch/pool-rows.js";
import { insertAttempts } from "./attempt-rows.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { run, send, transaction } from "./connection.js";
import { ENDING_COLUMNS, readEndingJob, writeEnds, type EndingWithReason } from "./ending.js";
import { expireJobs } from "./expire.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { insertReady, type ReadyRow } from "./ready-rows.js";
import { loadWaiting, type LoadedExecution, type TakenRow } from "./load-waiting.js";
import { leaveToLines, rescueEvents, takeLines, type LeftToLine, type LINES_OUT } from "./rescue.js";
import { leftDoubts, settleDoubts, type Settled } from "./settle-doubts.js";
import { waiterDays } from "./waiters.js";

const NOTHING: Claimed = { fenced: false, taken: 0, started: [], ended: [], outbox: [] };

/**
 * Takes waiting executions off their rows and, in the same transaction, starts them (the intent is durable before bytes leave),
 * puts them back, ends them, or drops those that nobody waits for. A doubt that comes up is settled here by what `decide` says.
 */
export async function claim(
  context: LedgerContext,
  request: ClaimRequest,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  return claimFrom(context, request, { of: "rows", take: (client) => takeRows(client, request) }, decide, render);
}

/** The same of executions that are lines of batches. They have no row, and what is not started stays as it is. */
export async function rescue(
  context: LedgerContext,
  look: RescueLook,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  const take = async (client: pg.PoolClient): Promise<TakenRow[]> => {
    const keys = await takeLines(client, context, look);
    return keys.map((key) => ({ ...key, runAtMs: look.nowMs, waitsFor: "batch_fill", level: null, bytes: 0 }));
  };
  return claimFrom(context, look, { of: "lines", take }, decide, render);
}

/** Where the executions of a claim come from. */
interface Source {
  readonly of: keyof typeof LINES_OUT;
  readonly take: (client: pg.PoolClient) => Promise<TakenRow[]>;
}

type Claiming = Pick<ClaimRequest, "session" | "nowMs" | "limit">;

async function claimFrom(
  context: LedgerContext,
  request: Claiming,
  source: Source,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  await context.numbers.reserve(request.limit * 3 + 64);
  const { woken, ...outcome } = await transaction(
    context.pools.durable,
    (client) => claimInTransaction(client, context, request, source, decide, render),
    (result) => knownClaim(context, result),
  );
  const executions = (await woken?.executions) ?? 0;
  return executions === 0 ? outcome : { ...outcome, woken: executions };
}

/** As known before its transaction has ended. */
interface Claimed extends Omit<ClaimOutcome, "woken"> {
  readonly woken?: Woken;
}

/** After a COMMIT without an answer: the intents are there exactly when it stands. Without intents, claiming again does no harm. */
async function knownClaim(context: LedgerContext, outcome: Claimed): Promise<Claimed | null> {
  const first = outcome.started[0];
  if (first === undefined) return null;
  const rows = await run(context.pools.durable, "claim-known", "SELECT 1 FROM attempts WHERE no = $1 AND day = $2", [
    first.intent.no,
    first.execution.key.day,
  ]);
  return rows.length > 0 ? outcome : null;
}

async function claimInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  request: Claiming,
  source: Source,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<Claimed> {
  const fence = await run(
    client,
    "session-fence",
    "SELECT 1 FROM routers WHERE session_no = $1 AND ended_at IS NULL FOR KEY SHARE",
    [request.session],
  );
  if (fence.length === 0) return { ...NOTHING, fenced: true };
  const keys = await source.take(client);
  if (keys.length === 0) return NOTHING;
  const expired = await expireJobs(client, context, keys, request.nowMs);
  const waiting = await loadWaiting(client, context, keys, source.of);
  const within = await withinBudgets(client, context, waiting, request.nowMs, decide);
  const plan = sortVerdicts(context, request.nowMs, waiting, within.decide);
  const outgoing: Outgoing[] = [];
  const dropped = await dropUnwanted(client, keys, new Set(waiting.map((item) => item.execution.key.no)));
  poolExecutions(client, plan.pooled);
  leaveToLines(client, plan.left);
  const failed = await failWaiting(client, context, plan.failed, request.nowMs);
  for (const { job, failure } of await failPayers(client, context, within.left, request.nowMs))
    failed.push({ job, end: unpaidEnd(job, failure, request.nowMs) });
  const written = await writeEnds(client, context, render, [...expired, ...failed]);
  outgoing.push(
    ...written.outgoing,
    ...(await settleDoubts(client, context, render, [...plan.settled, ...dropped], request.nowMs)),
  );
  const woken = await context.budgets.passOn(client, plan.tookNoMoney, request.nowMs);
  // From here on only rows of our own: the money of what starts is locked, and budgets come last.
  const { started, refused } = await reserveStarts(client, context, plan.started, within.payerOf);
  startExecutions(client, request, started);
  outgoing.push(...rescueEvents(context, render, started, request.nowMs));
  putOff(client, refused, request.nowMs);
  insertReady(client, [
    ...plan.waits,
    ...refused.map((item) => waitRow(item, waitForBudget({ key: item.by }, request.nowMs))),
  ]);
  const outbox = insertOutbox(client, context.numbers, request.session, request.nowMs, outgoing);
  return { fenced: false, taken: keys.length, started, ended: written.ended, outbox, woken };
}

const DUE = {
  run: "SELECT no FROM ready WHERE run_at_ms <= $1 ORDER BY priority DESC, run_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED",
  expire: "SELECT no FROM ready WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE SKIP LOCKED",
} as const;

/** The first due row alone, in a statement that touches nothing else: whatever its claim was refused for can't be in the way. */
export async function setAside(
  context: LedgerContext,
  request: Pick<ClaimRequest, "pick" | "nowMs">,
  untilMs: number,
): Promise<LedgerKey | null> {
  const [row] = await run(
    context.pools.durable,
    `ready-set-aside-${request.pick}`,
    `UPDATE ready r SET run_at_ms = $3, expires_ms = $3, waits_for = 'operator' FROM (${DUE[request.pick]}) q
     WHERE r.no = q.no RETURNING r.no, r.day`,
    [request.nowMs, 1, untilMs],
  );
  return row === undefined ? null : { no: Number(row[0]), day: Number(row[1]) };
}

async function takeRows(client: pg.PoolClient, request: ClaimRequest): Promise<TakenRow[]> {
  const rows = await run(
    client,
    `ready-take-${request.pick}`,
    `DELETE FROM ready r USING (${DUE[request.pick]}) q WHERE r.no = q.no RETURNING r.no, r.day, r.run_at_ms, r.waits_for, r.bytes, r.waits_level`,
    [request.nowMs, request.limit],
  );
  return rows
    .map(([no, day, runAt, waitsFor, bytes, level]) => ({
      no: Number(no),
      day: Number(day),
      runAtMs: Number(runAt),
      waitsFor: waitsFor as WaitReason, // every verdict has one of these
      bytes: Number(bytes),
      level: level ?? null,
    }))
    .sort((a, b) => a.no - b.no);
}

/** With the reason for a call of its own, where there was something to choose. */
interface Started extends StartedExecution, Pick<LoadedExecution, "priority" | "bytes" | "level"> {
  readonly decision?: RouteDecision;
}

interface Plan {
  readonly started: Started[];
  readonly failed: { readonly execution: WaitingExecution; readonly failure: Failure }[];
  readonly settled: Settled[];
  readonly waits: ReadyRow[];
  readonly pooled: Pooled[];
  readonly left: LeftToLine[];
  /** The budgets whose money executions were woken for that took none of it, by their keys. */
  readonly tookNoMoney: string[];
}

/** An execution that waits for a batch from now on. */
interface Pooled {
  readonly execution: WaitingExecution;
  readonly decision: RouteDecision;
  readonly history: readonly AttemptSummary[];
  readonly row: PoolRow;
}

function sortVerdicts(
  context: LedgerContext,
  nowMs: number,
  waiting: readonly LoadedExecution[],
  decide: (execution: WaitingExecution) => ClaimVerdict,
): Plan {
  const plan: Plan = { started: [], failed: [], settled: [], waits: [], pooled: [], left: [], tookNoMoney: [] };
  for (const loaded of waiting) {
    const { execution, priority, bytes, level } = loaded;
    const verdict = decide(execution);
    if (level !== null && leavesMoney(verdict, level)) plan.tookNoMoney.push(level);
    if (verdict.kind === "wait") {
      plan.waits.push(waitRow(loaded, verdict));
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
function waitRow(
  { execution, priority, bytes, level }: Pick<LoadedExecution, "execution" | "priority" | "bytes" | "level">,
  {
    runAtMs,
    waitsFor,
    ...by
  }: Pick<Extract<ClaimVerdict, { readonly kind: "wait" }>, "runAtMs" | "waitsFor" | "level">,
): ReadyRow {
  const row = { ...execution.key, priority, runAtMs, expiresMs: execution.nearestDeadlineMs, waitsFor, bytes };
  const own = waitsFor === "budget" ? (by.level ?? level) : null;
  return own === null ? row : { ...row, level: own };
}

/** The end of a job whose execution goes on without it: it had no part in what was tried. */
function unpaidEnd({ execution }: EndingJob, failure: Failure, endedAtMs: number): JobEnd {
  return { answer: null, failure, served: "call", payer: execution, history: [], endedAtMs };
}

/** Whether one that was woken for the money of a budget leaves it to others: it ends, or another budget keeps it out. */
function leavesMoney(verdict: ClaimVerdict, level: string): boolean {
  if (verdict.kind === "wait") return verdict.waitsFor === "budget" && (verdict.level ?? level) !== level;
  return verdict.kind === "fail";
}

/** Which of them have the money for their calls. `refused` have to wait for it; a line without a rescue waits for nothing. */
async function reserveStarts(
  client: pg.PoolClient,
  context: LedgerContext,
  starts: readonly Started[],
  payerOf: (execution: WaitingExecution) => Payer,
): Promise<{ readonly started: readonly Started[]; readonly refused: readonly Refused[] }> {
  if (!context.budgets.any) return { started: starts, refused: [] };
  const refused = await context.budgets.reserve(
    client,
    starts.map(({ execution, intent: { no, account, maxNanoUsd } }) => ({
      spender: { ...payerOf(execution), account },
      attemptNo: no,
      maxNanoUsd,
    })),
  );
  if (refused.size === 0) return { started: starts, refused: [] };
  return {
    started: starts.filter(({ intent }) => !refused.has(intent.no)),
    refused: starts.flatMap((start): Refused[] => {
      const by = refused.get(start.intent.no);
      return by === undefined || start.execution.line !== undefined ? [] : [{ ...start, by }];
    }),
  };
}

interface Refused extends Started {
  /** The key of the budget without room. */
  readonly by: string;
}

/** Those of them that were in doubt are so no more: that was settled on their way. */
function putOff(client: pg.PoolClient, refused: readonly Started[], nowMs: number): void {
  const settled = refused.filter(({ execution }) => execution.doubtful !== null);
  if (settled.length === 0) return;
  send(
    client,
    "executions-put-off",
    `UPDATE executions e SET state = 'ready', history = u.history FROM unnest($1::int8[], $2::int4[], $3::text[]) AS u(no, day, history)
     WHERE e.no = u.no AND e.day = u.day`,
    [
      int8Array(settled.map(({ execution }) => execution.key.no)),
      int4Array(settled.map(({ execution }) => execution.key.day)),
      textArray(settled.map(({ execution }) => JSON.stringify(historyWithDoubt(execution, nowMs)))),
    ],
  );
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
    attempts: history.length,
  };
  return { execution, decision, history, row };
}

/** They keep waiting, for a batch: a doubt of theirs is over. */
function poolExecutions(client: pg.PoolClient, pooled: readonly Pooled[]): void {
  if (pooled.length === 0) return;
  send(
    client,
    "executions-pool",
    `UPDATE executions e SET state = 'ready', decision = u.decision, history = u.history
     FROM unnest($1::int8[], $2::int4[], $3::text[], $4::text[]) AS u(no, day, decision, history)
     WHERE e.no = u.no AND e.day = u.day`,
    [
      int8Array(pooled.map(({ execution }) => execution.key.no)),
      int4Array(pooled.map(({ execution }) => execution.key.day)),
      textArray(pooled.map(({ decision }) => JSON.stringify(decision))),
      textArray(pooled.map(({ history }) => JSON.stringify(history))),
    ],
  );
  insertPooled(
    client,
    pooled.map(({ row }) => row),
  );
}

/**
 * An execution that nobody waits for is not started; its key is free for the next job.
 * @returns the doubts of those, and of the ones that a late answer has ended: there is nothing to try again, and each may have been
 * billed all the same.
 */
async function dropUnwanted(
  client: pg.PoolClient,
  keys: readonly LedgerKey[],
  wanted: ReadonlySet<number>,
): Promise<Settled[]> {
  const unwanted = keys.filter((key) => !wanted.has(key.no));
  if (unwanted.length === 0) return [];
  await run(
    client,
    "executions-drop",
    `WITH done AS (UPDATE executions e SET state = 'dropped' FROM unnest($1::int8[], $2::int4[]) AS u(no, day)
       WHERE e.no = u.no AND e.day = u.day AND e.state IN ('ready', 'in_doubt') RETURNING e.no, e.tenant_no, e.key, e.lane)
     DELETE FROM execution_key k USING done d
     WHERE k.tenant_no = d.tenant_no AND k.key = d.key AND k.lane = d.lane AND k.execution_no = d.no`,
    [int8Array(unwanted.map((key) => key.no)), int4Array(unwanted.map((key) => key.day))],
  );
  return leftDoubts(client, unwanted);
}

function historyWithDoubt(execution: WaitingExecution, nowMs: number): readonly AttemptSummary[] {
  return execution.doubtful === null
    ? execution.history
    : [...execution.history, doubtSummary(execution.doubtful, nowMs)];
}

function startExecutions(client: pg.PoolClient, request: Claiming, started: readonly Started[]): void {
  if (started.length === 0) return;
  send(
    client,
    "executions-start",
    `UPDATE executions e SET state = 'running', session_no = $1, attempt_no = u.attempt, attempts = u.number, history = u.history,
       decision = coalesce(u.decision, e.decision)
     FROM unnest($2::int8[], $3::int4[], $4::int8[], $5::int4[], $6::text[], $7::text[]) AS u(no, day, attempt, number, history, decision)
     WHERE e.no = u.no AND e.day = u.day`,
    [
      request.session,
      int8Array(started.map(({ execution }) => execution.key.no)),
      int4Array(started.map(({ execution }) => execution.key.day)),
      int8Array(started.map(({ intent }) => intent.no)),
      int4Array(started.map(({ intent }) => intent.number)),
      textArray(started.map(({ execution }) => JSON.stringify(historyWithDoubt(execution, request.nowMs)))),
      textArray(started.map(({ decision }) => (decision === undefined ? null : JSON.stringify(decision)))),
    ],
  );
  const byDay = new Map<number, StartedExecution[]>();
  for (const item of started) byDay.set(item.execution.key.day, [...(byDay.get(item.execution.key.day) ?? []), item]);
  for (const [day, items] of byDay) {
    insertAttempts(
      client,
      request.session,
      day,
      items.map(({ execution, intent }) => ({ intent, executionNo: execution.key.no })),
    );
  }
}

async function failWaiting(
  client: pg.PoolClient,
  context: LedgerContext,
  failed: readonly { readonly execution: WaitingExecution; readonly failure: Failure }[],
  nowMs: number,
): Promise<EndingWithReason[]> {
  if (failed.length === 0) return [];
  await run(
    client,
    "executions-fail-waiting",
    `WITH done AS (UPDATE executions e SET state = 'failed', failure = u.failure, ended_ms = $1, history = u.history
       FROM unnest($2::int8[], $3::int4[], $4::text[], $5::text[]) AS u(no, day, failure, history)
       WHERE e.no = u.no AND e.day = u.day RETURNING e.no, e.tenant_no, e.key, e.lane)
     DELETE FROM execution_key k USING done d
     WHERE k.tenant_no = d.tenant_no AND k.key = d.key AND k.lane = d.lane AND k.execution_no = d.no`,
    [
      nowMs,
      int8Array(failed.map(({ execution }) => execution.key.no)),
      int4Array(failed.map(({ execution }) => execution.key.day)),
      textArray(failed.map(({ failure }) => JSON.stringify(failure))),
      textArray(failed.map(({ execution }) => JSON.stringify(historyWithDoubt(execution, nowMs)))),
    ],
  );
  const rows = await run(
    client,
    "jobs-fail-waiting",
    `UPDATE jobs j SET state = 'failed', ended_ms = $1, failure_code = u.code
     FROM unnest($2::int8[], $3::text[]) AS u(execution, code)
     WHERE j.execution_no = u.execution AND j.day BETWEEN $4 AND $5 AND j.state = 'active' RETURNING ${ENDING_COLUMNS}`,
    [
      nowMs,
      int8Array(failed.map(({ execution }) => execution.key.no)),
      textArray(failed.map(({ failure }) => failure.code)),
      ...waiterDays(
        context,
        failed.map(({ execution }) => execution.key),
      ),
    ],
  );
  const byExecution = new Map(failed.map((item) => [item.execution.key.no, item]));
  return rows.flatMap((row) => {
    const job = readEndingJob(context, row);
    const item = byExecution.get(job.execution?.no ?? -1);
    if (item === undefined) return [];
    const end = {
      answer: null,
      failure: item.failure,
      served: "call" as const,
      payer: job.execution,
      history: historyWithDoubt(item.execution, nowMs),
      endedAtMs: nowMs,
    };
    return [{ job, end }];
  });
}
