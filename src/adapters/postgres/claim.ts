import type pg from "pg";
import type { WaitingExecution } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { Failure } from "../../domain/failure.js";
import type { EndingJob, JobEnd, Outgoing, Renderer } from "../../domain/result/outgoing.js";
import type { ClaimOutcome, ClaimRequest, ClaimVerdict, RescueLook, StartedExecution } from "../../ports/ledger.js";
import { waitForBudget } from "../../domain/budget/budget.js";
import type { Payer } from "../../domain/budget/budget-levels.js";
import type { Woken } from "../../ports/budget-store.js";
import { failPayers } from "./budget/payers.js";
import { NOTHING_RESERVED, type PostgresReserved } from "./budget/postgres-budgets.js";
import { withinBudgets } from "./budget/within-budgets.js";
import { insertPooled } from "./batch/pool-rows.js";
import { insertAttempts } from "./attempt-rows.js";
import { historyWithDoubt, sortVerdicts, waitRow, type Pooled, type PutOff, type Started } from "./claim-plan.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { run, send, transaction } from "./connection.js";
import { readEndingJob, writeEnds, type EndingWithReason } from "./ending.js";
import { endFailed } from "./end-waiters.js";
import { expireJobs } from "./expire.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { insertReady } from "./ready-rows.js";
import { loadWaiting } from "./load-waiting.js";
import { leaveToLines, rescueEvents, takeLines, type LINES_OUT } from "./rescue.js";
import { leftDoubts, settleDoubts, type Settled } from "./settle-doubts.js";
import { TAKEN_COLUMNS, takenRow, type TakenRow } from "./taken-row.js";

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
  if (request.pick === "expire")
    return claimFrom(context, request, { of: "rows", take: (client) => takeExpired(client, request) }, decide, render);
  let settle = (): void => undefined;
  const take = async (client: pg.PoolClient): Promise<TakenRows> => {
    const taken = await context.readyTake.take(client, request, request.nowMs);
    settle = taken.settle;
    return taken;
  };
  const outcome = await claimFrom(context, request, { of: "rows", take }, decide, render);
  settle();
  return outcome;
}

/** The same of executions that are lines of batches. They have no row, and what is not started stays as it is. */
export async function rescue(
  context: LedgerContext,
  look: RescueLook,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  const take = async (client: pg.PoolClient): Promise<TakenRows> => {
    const keys = await takeLines(client, context, look);
    return {
      rows: keys.map((key) => ({ ...key, runAtMs: look.nowMs, waitsFor: "batch_fill", level: null, bytes: 0 })),
    };
  };
  return claimFrom(context, look, { of: "lines", take }, decide, render);
}

/** Where the executions of a claim come from. */
interface Source {
  readonly of: keyof typeof LINES_OUT;
  readonly take: (client: pg.PoolClient) => Promise<TakenRows>;
}

type TakenRows = { readonly rows: readonly TakenRow[] } & Pick<ClaimOutcome, "more" | "limited">;

type Claiming = Pick<ClaimRequest, "session" | "nowMs" | "limit" | "limits">;

async function claimFrom(
  context: LedgerContext,
  request: Claiming,
  source: Source,
  decide: (waiting: WaitingExecution) => ClaimVerdict,
  render: Renderer,
): Promise<ClaimOutcome> {
  await context.numbers.reserve(rowsMax(request) * 3 + 64);
  const { woken, ...outcome } = await transaction(
    context.pools.durable,
    (client) => claimInTransaction(client, context, request, source, decide, render),
    (result) => knownClaim(context, result),
    // An empty claim leaves nothing.
    context.commitPoints(["claim.before_commit", "claim.commit_sent"], (claimed) => (claimed as Claimed).taken > 0),
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
  const taken = await source.take(client);
  const { rows: keys, more, limited } = taken;
  const found = { ...(more === undefined ? {} : { more }), ...(limited === undefined ? {} : { limited }) };
  if (keys.length === 0) return { ...NOTHING, ...found };
  const expired = await expireJobs(client, context, keys, request.nowMs, "dispatch");
  const waiting = await loadWaiting(client, context, keys, source.of);
  const within = await withinBudgets(client, context, waiting, request.nowMs, (execution) =>
    execution.nearestDeadlineMs <= request.nowMs ? leftDue(execution, source.of) : decide(execution),
  );
  const plan = sortVerdicts(context, request.nowMs, waiting, within.decide);
  const outgoing: Outgoing[] = [];
  const dropped = await dropUnwanted(client, keys, new Set(waiting.map((item) => item.execution.key.no)));
  poolExecutions(client, plan.pooled);
  leaveToLines(client, plan.left);
  const failed = await failWaiting(client, context, plan.failed, request.nowMs);
  for (const { job, failure } of await failPayers(client, context, within.left, request.nowMs))
    failed.push({ job, end: unpaidEnd(job, failure, request.nowMs) });
  const written = await writeEnds(client, context, render, [...expired.ends, ...failed]);
  outgoing.push(
    ...written.outgoing,
    ...(await settleDoubts(client, context, render, [...plan.settled, ...dropped], request.nowMs)),
  );
  const woken = await context.budgets.passOn(client, plan.tookNoMoney, request.nowMs);
  // From here on only rows of our own: the money of what starts is locked, and budgets come last.
  const { started, refused, reservedIn } = await reserveStarts(client, context, plan.started, within.payerOf);
  startExecutions(client, request, started, reservedIn);
  outgoing.push(...rescueEvents(context, render, started, request.nowMs));
  putOff(client, [...plan.putOff, ...settledOnTheWay(refused)], request.nowMs);
  insertReady(client, [
    ...plan.waits,
    ...refused.map((item) => waitRow(context, item, waitForBudget({ key: item.by }, request.nowMs))),
  ]);
  const outbox = insertOutbox(client, context.numbers, request.session, request.nowMs, outgoing);
  return { fenced: false, taken: keys.length, ...found, started, ended: written.ended, outbox, woken };
}

function rowsMax({ limit, limits }: Pick<ClaimRequest, "limit" | "limits">): number {
  let sum = limit;
  for (const most of limits?.values() ?? []) sum += most;
  return sum;
}

async function takeExpired(client: pg.PoolClient, request: ClaimRequest): Promise<TakenRows> {
  const found = await run(
    client,
    "ready-take-expire",
    `DELETE FROM ready r USING (SELECT no FROM ready WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE SKIP LOCKED) q
     WHERE r.no = q.no RETURNING ${TAKEN_COLUMNS}`,
    [request.nowMs, request.limit],
  );
  return { rows: found.map(takenRow).sort((a, b) => a.no - b.no) };
}

/** More jobs have no time left than one transaction ends: the next look takes the rest before anything is decided for the others. */
function leftDue({ dueAtMs, waitedFor }: WaitingExecution, of: Source["of"]): ClaimVerdict {
  return of === "lines" ? { kind: "line" } : { kind: "wait", runAtMs: dueAtMs, waitsFor: waitedFor };
}

/** The end of a job whose execution goes on without it: it had no part in what was tried. */
function unpaidEnd({ execution }: EndingJob, failure: Failure, endedAtMs: number): JobEnd {
  return { answer: null, failure, served: "call", payer: execution, history: [], stage: "dispatch", endedAtMs };
}

/** Which of them have the money for their calls. `refused` have to wait for it; a line without a rescue waits for nothing. */
async function reserveStarts(
  client: pg.PoolClient,
  context: LedgerContext,
  starts: readonly Started[],
  payerOf: (execution: WaitingExecution) => Payer,
): Promise<ReservedStarts> {
  if (!context.budgets.any) return { ...NOTHING_RESERVED, started: starts, refused: [] };
  const { refused, reservedIn } = await context.budgets.reserve(
    client,
    starts.map(({ execution, intent: { no, account, maxNanoUsd } }) => ({
      spender: { ...payerOf(execution), account },
      attemptNo: no,
      maxNanoUsd,
    })),
  );
  if (refused.size === 0) return { started: starts, refused: [], reservedIn };
  return {
    reservedIn,
    started: starts.filter(({ intent }) => !refused.has(intent.no)),
    refused: starts.flatMap((start): Refused[] => {
      const by = refused.get(start.intent.no);
      return by === undefined || start.execution.line !== undefined ? [] : [{ ...start, by }];
    }),
  };
}

interface ReservedStarts extends Pick<PostgresReserved, "reservedIn"> {
  readonly started: readonly Started[];
  readonly refused: readonly Refused[];
}

interface Refused extends Started {
  /** The key of the budget without room. */
  readonly by: string;
}

/** Those of them that were in doubt are so no more. */
function settledOnTheWay(refused: readonly Started[]): PutOff[] {
  return refused.flatMap(({ execution, intent: { routeIndex } }) =>
    execution.doubtful === null ? [] : [{ execution, routeIndex }],
  );
}

function putOff(client: pg.PoolClient, settled: readonly PutOff[], nowMs: number): void {
  if (settled.length === 0) return;
  send(
    client,
    "executions-put-off",
    `UPDATE executions e SET state = 'ready', route_index = u.route, history = u.history
     FROM unnest($1::int8[], $2::int4[], $3::int4[], $4::text[]) AS u(no, day, route, history) WHERE e.no = u.no AND e.day = u.day`,
    [
      int8Array(settled.map(({ execution }) => execution.key.no)),
      int4Array(settled.map(({ execution }) => execution.key.day)),
      int4Array(settled.map(({ routeIndex }) => routeIndex)),
      textArray(settled.map(({ execution }) => JSON.stringify(historyWithDoubt(execution, nowMs)))),
    ],
  );
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

function startExecutions(
  client: pg.PoolClient,
  request: Claiming,
  started: readonly Started[],
  reservedIn: ReadonlyMap<number, string>,
): void {
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
      reservedIn,
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
  const rows = await endFailed(
    client,
    context,
    nowMs,
    failed.map(({ execution, failure }) => ({ execution: execution.key, code: failure.code })),
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
      stage: "dispatch" as const,
      endedAtMs: nowMs,
    };
    return [{ job, end }];
  });
}
