import type pg from "pg";
import { verdictFor } from "../../domain/execution/execution.js";
import { doubtBegan } from "../../domain/event/doubt-event.js";
import { NO_SUBJECT } from "../../domain/event/event.js";
import { bookedBy } from "../../domain/cost/booked.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { CostRow, Outgoing, Renderer } from "../../domain/result/outgoing.js";
import type { Woken } from "../../ports/budget-store.js";
import type { FinishedCall, FinishGroup, FinishOutcome } from "../../ports/ledger.js";
import { besideLines, rememberLines } from "./beside-line.js";
import { int4Array, int8Array, textArray } from "./binary-array.js";
import { noOf } from "./columns.js";
import { run, transaction } from "./connection.js";
import { endAnswered, endWaiters } from "./end-waiters.js";
import { takeRepeats, writeEnds } from "./ending.js";
import { doubtSubjects } from "./doubt-subjects.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { owesLateCost, writeLateCosts } from "./late-costs.js";
import { historyOf, settledOf, type NewCall } from "./new-call.js";
import { insertReady } from "./ready-rows.js";
import { recordOutcomes } from "./record-outcomes.js";
import { lockExecutions, waitersOf } from "./waiters.js";

/**
 * The finish transaction: outcomes of attempts (facts, whoever brings them), what follows for their executions (decisions, only by
 * the session that holds the execution), results, costs and outgoing records. Repeating a group changes nothing.
 *
 * Executions are changed before their waiting jobs are read, and those in a later statement: a job that joins at the same time has
 * either committed by then, or waits for this row and finds it ended.
 */
export async function finish(context: LedgerContext, group: FinishGroup, render: Renderer): Promise<FinishOutcome> {
  await context.numbers.reserve(group.calls.length * 3 + 64);
  const merged = {
    ended: [] as FinishOutcome["ended"][number][],
    outbox: [] as FinishOutcome["outbox"][number][],
    waste: 0,
  };
  const costs: CostRow[] = [];
  let woken = 0;
  for (const calls of byDay(group.calls)) {
    // Serial: one day is the usual case. With the day as one value each statement touches one partition.
    const outcome = await transaction(
      context.pools.durable,
      (client) => finishInTransaction(client, context, { ...group, calls }, render),
      // Not known to stand: doing it again finds the attempts recorded and changes nothing; the sweep publishes what is there.
      () => Promise.resolve(null),
      context.commitPoints(["finish.before_commit", "finish.commit_sent"]),
    );
    merged.ended.push(...outcome.ended);
    merged.outbox.push(...outcome.outbox);
    merged.waste += outcome.waste;
    costs.push(...outcome.costs);
    woken += await outcome.woken.executions;
  }
  return { ...merged, ...(woken === 0 ? {} : { woken }), ...bookedBy(costs) };
}

function byDay(calls: readonly FinishedCall[]): FinishedCall[][] {
  const days = new Map<number, FinishedCall[]>();
  for (const call of calls) {
    const list = days.get(call.execution.day);
    if (list === undefined) days.set(call.execution.day, [call]);
    else list.push(call);
  }
  return [...days.values()];
}

/** The day of a group whose calls all have the same. */
function dayOf(calls: readonly FinishedCall[]): number {
  return calls[0]?.execution.day ?? 0;
}

export async function finishInTransaction(
  client: pg.PoolClient,
  context: LedgerContext,
  group: FinishGroup,
  render: Renderer,
): Promise<Finished> {
  const calls = [...group.calls].sort(byExecution);
  const answered = calls.filter(isAnswered).map(executionOf);
  // Out together: the later statements find by themselves what the first one changed.
  const [outcomes, rows, repeats] = await Promise.all([
    recordOutcomes(client, context, { session: group.session, nowMs: group.nowMs, day: dayOf(calls), calls }),
    endAnswered(client, context, group.nowMs, answered),
    takeRepeats(client, answered.map(noOf)),
  ]);
  const recorded = await besideLines(client, group.nowMs, dayOf(calls), outcomes);
  const news = await inViewOfWaiters(client, context, recorded.news);
  const moved = new Set(recorded.succeeded);
  const failed = await failExecutions(client, group, news);
  for (const call of failed) moved.add(call);
  for (const call of await waitExecutions(client, context, group, news)) moved.add(call);
  await rememberLines(client, dayOf(calls), news, moved);
  const endings = await endWaiters(client, context, group.nowMs, {
    answered: { calls: recorded.succeeded, rows },
    failed: failed.flatMap(failing),
  });
  const written = await writeEnds(client, context, render, endings.items, repeats);
  const late: NewCall[] = [];
  for (const call of news)
    if (owesLateCost(call, moved.has(call), endings.served.has(call.execution.no))) late.push(call);
  const lateCosts = await writeLateCosts(client, context, render, late, moved, group.nowMs);
  const outgoing = [...written.outgoing, ...lateCosts.outgoing];
  const doubts = news.filter(isInDoubt);
  if (doubts.length > 0) outgoing.push(...(await doubtEvents(client, render, doubts)));
  const outbox = insertOutbox(client, context.numbers, group.session, group.nowMs, outgoing);
  const woken = await context.budgets.settle(client, settledOf(news), group.nowMs);
  const waste = late.filter((call) => !moved.has(call)).length;
  return { ended: written.ended, outbox, waste, woken, costs: [...written.costs, ...lateCosts.costs] };
}

/** What each call of a group passes stands here, as columns do: written in place it would be compiled anew after each full collection. */
function byExecution(one: FinishedCall, other: FinishedCall): number {
  return one.execution.no - other.execution.no;
}

function isAnswered({ verdict }: FinishedCall): boolean {
  return verdict.kind === "succeed";
}

function isInDoubt({ verdict }: FinishedCall): boolean {
  return verdict.kind === "doubt";
}

function executionOf({ execution }: FinishedCall): LedgerKey {
  return execution;
}

/** As known before its transaction has ended. */
interface Finished extends Omit<FinishOutcome, "woken" | "booked"> {
  readonly woken: Woken;
  readonly costs: readonly CostRow[];
}

/**
 * A call that failed without time for another try in the eyes of the job that began it: a job that joined meanwhile may have more, and
 * then the execution goes on. Jobs that have none left are ended by the claim that looks for expired ones.
 */
async function inViewOfWaiters(
  client: pg.PoolClient,
  context: LedgerContext,
  calls: readonly NewCall[],
): Promise<readonly NewCall[]> {
  const late = calls.filter(hasFailedInTime).map(executionOf);
  if (late.length === 0) return calls;
  await lockExecutions(client, late);
  const waiters = await waitersOf(client, context, late);
  return calls.map((call) => {
    const verdict = verdictFor(call.verdict, waiters.get(call.execution.no)?.latestDeadlineMs ?? null);
    return verdict === call.verdict ? call : { ...call, verdict };
  });
}

function hasFailedInTime({ verdict }: NewCall): boolean {
  return verdict.kind === "fail" && verdict.givenTime !== null;
}

/**
 * Decisions are fenced: the row must still be running under this attempt and this session, and the session alive. A line of a batch runs
 * under no session: whichever works on the batch decides.
 */
const HELD_BY_US = `e.no = u.no AND e.day = $3 AND e.state = 'running' AND coalesce(e.session_no, $1) = $1 AND e.attempt_no = u.attempt
  AND EXISTS (SELECT 1 FROM routers s WHERE s.session_no = $1 AND s.ended_at IS NULL)`;

function failing(call: NewCall) {
  return call.verdict.kind === "fail" ? [{ call, failure: call.verdict.failure }] : [];
}

async function failExecutions(
  client: pg.PoolClient,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const bad = calls.flatMap(failing);
  if (bad.length === 0) return [];
  const rows = await run(
    client,
    "executions-fail",
    `WITH done AS (
       UPDATE executions e SET state = 'failed', failure = u.failure, history = u.history, ended_ms = $2
       FROM unnest($4::int8[], $5::int8[], $6::text[], $7::text[]) AS u(no, attempt, failure, history)
       WHERE ${HELD_BY_US} RETURNING e.no, e.tenant_no, e.key, e.lane),
     forgotten AS (
       DELETE FROM execution_key k USING done d
       WHERE k.tenant_no = d.tenant_no AND k.key = d.key AND k.lane = d.lane AND k.execution_no = d.no)
     SELECT no FROM done`,
    [
      group.session,
      group.nowMs,
      dayOf(calls),
      int8Array(bad.map(({ call }) => call.execution.no)),
      int8Array(bad.map(({ call }) => call.attempt.no)),
      textArray(bad.map(({ failure }) => JSON.stringify(failure))),
      textArray(bad.map(({ call }) => JSON.stringify(historyOf(call)))),
    ],
  );
  return callsOf(
    rows,
    bad.map(({ call }) => call),
  );
}

function waitingAs(call: NewCall) {
  const { verdict } = call;
  if (verdict.kind === "again")
    return [
      { call, state: "ready", runAtMs: verdict.runAtMs, routeIndex: verdict.routeIndex, waitsFor: verdict.waitsFor },
    ];
  if (verdict.kind === "doubt")
    return [
      {
        call,
        state: "in_doubt",
        runAtMs: verdict.settleAtMs,
        routeIndex: call.attempt.routeIndex,
        waitsFor: "doubt",
      },
    ];
  return [];
}

/** Back to a row: for a retry at its time, or for the settlement of a doubt after its grace. */
async function waitExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const waiting = calls.flatMap(waitingAs);
  if (waiting.length === 0) return [];
  const rows = await run(
    client,
    "executions-wait",
    `UPDATE executions e SET state = u.state, route_index = u.route, history = CASE WHEN u.state = 'ready' THEN u.history ELSE e.history END
     FROM unnest($2::int8[], $4::int8[], $5::text[], $6::int4[], $7::text[]) AS u(no, attempt, state, route, history)
     WHERE ${HELD_BY_US} RETURNING e.no`,
    [
      group.session,
      int8Array(waiting.map(({ call }) => call.execution.no)),
      dayOf(calls),
      int8Array(waiting.map(({ call }) => call.attempt.no)),
      textArray(waiting.map(({ state }) => state)),
      int4Array(waiting.map(({ routeIndex }) => routeIndex)),
      textArray(waiting.map(({ call }) => JSON.stringify(historyOf(call)))),
    ],
  );
  const done = new Set(rows.map((row) => Number(row[0])));
  const rest = waiting.filter(({ call }) => done.has(call.execution.no));
  // An execution that has ended meanwhile is not moved, but a doubt about its attempt gets its row: a claim settles it.
  const queued = waiting.filter(({ call, state }) => done.has(call.execution.no) || state === "in_doubt");
  const waiters = await waitersOf(
    client,
    context,
    rest.map(({ call }) => call.execution),
  );
  insertReady(
    client,
    queued.map(({ call, runAtMs, waitsFor }) => ({
      no: call.execution.no,
      day: call.execution.day,
      priority: waiters.get(call.execution.no)?.priority ?? 5,
      runAtMs,
      expiresMs: waiters.get(call.execution.no)?.nearestDeadlineMs ?? runAtMs,
      waitsFor,
      bytes: null,
    })),
  );
  return rest.map(({ call }) => call);
}

function callsOf(rows: readonly (readonly (string | null)[])[], calls: readonly NewCall[]): NewCall[] {
  const done = new Set(rows.map((row) => Number(row[0])));
  return calls.filter((call) => done.has(call.execution.no));
}

/** An event has its attempt's number: a doubt begins once. */
async function doubtEvents(client: pg.PoolClient, render: Renderer, calls: readonly NewCall[]): Promise<Outgoing[]> {
  const subjects = await doubtSubjects(
    client,
    calls.map(({ execution }) => execution),
  );
  return calls.map(({ attempt, execution, endedAtMs, outcome }) => {
    const subject = subjects.get(execution.no) ?? NO_SUBJECT;
    return render.event(
      doubtBegan({ attempt, execution, subject, atMs: endedAtMs }, outcome),
      attempt.no,
      execution.day,
    );
  });
}
