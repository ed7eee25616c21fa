import type pg from "pg";
import { doubtBegan } from "../../domain/event/doubt-event.js";
import { NO_SUBJECT } from "../../domain/event/event.js";
import type { SessionNo } from "../../domain/ids.js";
import type { Outgoing, Renderer } from "../../domain/result/outgoing.js";
import type { FinishedCall, FinishGroup, FinishOutcome } from "../../ports/ledger.js";
import { byteaArray, boolArray, int4Array, int8Array, textArray } from "./binary-array.js";
import { run, transaction } from "./connection.js";
import { endWaiters, type JobEndReason } from "./end-waiters.js";
import { writeEnds } from "./ending.js";
import { doubtSubjects } from "./doubt-subjects.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { owesLateCost, writeLateCosts } from "./late-costs.js";
import { historyOf, type NewCall } from "./new-call.js";
import { insertReady } from "./ready-rows.js";
import { toStored } from "./stored-body.js";
import { nearestDeadlines } from "./waiters.js";

/**
 * The finish transaction: outcomes of attempts (facts, whoever brings them), what follows for their executions (decisions, only by
 * the session that holds the execution), results, costs and outgoing records. Repeating a group changes nothing.
 *
 * Executions are changed before their waiting jobs are read, and those in a later statement: a job that joins at the same time has
 * either committed by then, or waits for this row and finds it ended.
 */
export async function finish(context: LedgerContext, group: FinishGroup, render: Renderer): Promise<FinishOutcome> {
  await context.numbers.reserve(group.calls.length * 3 + 64);
  const merged: { ended: FinishOutcome["ended"][number][]; outbox: FinishOutcome["outbox"][number][]; waste: number } =
    { ended: [], outbox: [], waste: 0 };
  for (const calls of byDay(group.calls)) {
    // Serial: one day is the usual case. With the day as one value each statement touches one partition.
    const outcome = await transaction(
      context.pools.durable,
      (client) => finishInTransaction(client, context, { ...group, calls }, render),
      // Not known to stand: doing it again finds the attempts recorded and changes nothing; the sweep publishes what is there.
      () => Promise.resolve(null),
    );
    merged.ended.push(...outcome.ended);
    merged.outbox.push(...outcome.outbox);
    merged.waste += outcome.waste;
  }
  return merged;
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
): Promise<FinishOutcome> {
  const calls = [...group.calls].sort((a, b) => a.execution.no - b.execution.no);
  const recorded = await recordFacts(client, calls, group.session);
  const news = calls.flatMap((call): NewCall[] => {
    const settled = recorded.get(call.attempt.no);
    return settled === undefined ? [] : [{ ...call, chargeIsFirst: !settled }];
  });
  const ends: JobEndReason[] = [];
  const moved = new Set<NewCall>();
  for (const call of await succeedExecutions(client, context, group, news)) {
    moved.add(call);
    ends.push({ call, failure: null });
  }
  for (const call of await failExecutions(client, group, news)) {
    moved.add(call);
    ends.push({ call, failure: call.verdict.kind === "fail" ? call.verdict.failure : null });
  }
  for (const call of await waitExecutions(client, context, group, news)) moved.add(call);
  const endings = await endWaiters(client, context, group.nowMs, ends);
  const written = await writeEnds(client, context, render, endings.items);
  const late = news.filter((call) => owesLateCost(call, moved.has(call), endings.served.has(call.execution.no)));
  const outgoing = [...written.outgoing, ...(await writeLateCosts(client, context, render, late, moved, group.nowMs))];
  const doubts = news.filter((call) => call.verdict.kind === "doubt");
  if (doubts.length > 0) outgoing.push(...(await doubtEvents(client, render, doubts)));
  const outbox = insertOutbox(client, context.numbers, group.session, group.nowMs, outgoing);
  return { ended: written.ended, outbox, waste: late.filter((call) => !moved.has(call)).length };
}

/**
 * The first outcome of an attempt stands; a second one finds no row. A dead session may not decide what follows a failure, so that
 * attempt stays `sending` until the recovery has put it in doubt: recorded before, nothing would ever move its execution. The session's
 * row is held until the end, so that it is not declared dead in between; nobody waits, declaring dead skips it.
 * @returns for each recorded attempt whether it was settled before.
 */
async function recordFacts(
  client: pg.PoolClient,
  calls: readonly FinishedCall[],
  session: SessionNo,
): Promise<Map<number, boolean>> {
  const stateOf = (call: FinishedCall): string =>
    call.verdict.kind === "doubt" ? "in_doubt" : call.outcome === "succeeded" ? "answered" : "failed";
  const rows = await run(
    client,
    "attempts-record",
    `WITH fence AS MATERIALIZED (SELECT 1 FROM routers WHERE session_no = $12 AND ended_at IS NULL FOR KEY SHARE)
     UPDATE attempts a SET state = u.state, outcome = u.outcome, ended_ms = u.ended, request_id = u.request, model_version = u.version,
       input_tokens = u.input, cached_input_tokens = u.cached, output_tokens = u.output, nano_usd = u.nano
     FROM unnest($1::int8[], $3::text[], $4::text[], $5::int8[], $6::text[], $7::text[], $8::int8[], $9::int8[], $10::int8[], $11::int8[])
       AS u(no, state, outcome, ended, request, version, input, cached, output, nano)
     WHERE a.no = u.no AND a.day = $2 AND ((a.state = 'sending' AND (u.state = 'answered' OR EXISTS (SELECT 1 FROM fence))) OR (a.state IN ('in_doubt', 'settled') AND u.state <> 'in_doubt'))
     RETURNING a.no, a.settled_ms IS NOT NULL`,
    [
      int8Array(calls.map((call) => call.attempt.no)),
      dayOf(calls),
      textArray(calls.map(stateOf)),
      textArray(calls.map((call) => call.outcome)),
      int8Array(calls.map((call) => call.endedAtMs)),
      textArray(calls.map((call) => call.requestId)),
      textArray(calls.map((call) => call.modelVersion)),
      int8Array(calls.map((call) => call.usage.inputTokens)),
      int8Array(calls.map((call) => call.usage.cachedInputTokens)),
      int8Array(calls.map((call) => call.usage.outputTokens)),
      int8Array(calls.map((call) => call.nanoUsd)),
      session,
    ],
  );
  return new Map(rows.map(([no, settled]) => [Number(no), settled === "t"]));
}

/**
 * An answer is a fact: it ends its execution whatever router brings it, unless that has ended already. When a newer attempt waits in
 * doubt, its row stays: the claim that takes it settles that doubt.
 */
async function succeedExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const good = calls.flatMap((call) =>
    call.verdict.kind === "succeed" ? [{ call, answer: call.verdict.answer }] : [],
  );
  if (good.length === 0) return [];
  const bodies = good.map(({ answer }) => toStored(answer.bodyText, context.settings));
  const rows = await run(
    client,
    "executions-succeed",
    `WITH done AS (
       UPDATE executions e SET state = 'succeeded', answer = u.answer, answer_gzip = u.gzip, answer_facts = u.facts, ended_ms = $1
       FROM unnest($2::int8[], $4::bytea[], $5::bool[], $6::text[], $7::bool[], $8::int8[]) AS u(no, answer, gzip, facts, cacheable, attempt)
       WHERE e.no = u.no AND e.day = $3 AND e.state IN ('running', 'in_doubt', 'ready')
       RETURNING e.no, e.tenant_no, e.key, e.lane, u.cacheable AND e.cache_write AS keep, OLD.state AS was, e.attempt_no = u.attempt AS newest),
     forgotten AS (
       DELETE FROM execution_key k USING done d
       WHERE NOT d.keep AND k.tenant_no = d.tenant_no AND k.key = d.key AND k.lane = d.lane AND k.execution_no = d.no),
     unqueued AS (DELETE FROM ready r USING done d WHERE d.was <> 'running' AND d.newest AND r.no = d.no)
     SELECT no FROM done`,
    [
      group.nowMs,
      int8Array(good.map(({ call }) => call.execution.no)),
      dayOf(calls),
      byteaArray(bodies.map((body) => body.bytes)),
      boolArray(bodies.map((body) => body.gzip)),
      textArray(good.map(({ answer }) => JSON.stringify(answer.facts))),
      boolArray(good.map(({ answer }) => answer.facts.cacheable)),
      int8Array(good.map(({ call }) => call.attempt.no)),
    ],
  );
  return callsOf(
    rows,
    good.map(({ call }) => call),
  );
}

/** Decisions are fenced: the row must still be running under this session and this attempt, and the session alive. */
const HELD_BY_US = `e.no = u.no AND e.day = $3 AND e.state = 'running' AND e.session_no = $1 AND e.attempt_no = u.attempt
  AND EXISTS (SELECT 1 FROM routers s WHERE s.session_no = $1 AND s.ended_at IS NULL)`;

async function failExecutions(
  client: pg.PoolClient,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const bad = calls.flatMap((call) => (call.verdict.kind === "fail" ? [{ call, failure: call.verdict.failure }] : []));
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

/** Back to a row: for a retry at its time, or for the settlement of a doubt after its grace. */
async function waitExecutions(
  client: pg.PoolClient,
  context: LedgerContext,
  group: FinishGroup,
  calls: readonly NewCall[],
): Promise<NewCall[]> {
  const waiting = calls.flatMap((call) => {
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
  });
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
  const nearest = await nearestDeadlines(
    client,
    context,
    rest.map(({ call }) => call.execution),
  );
  insertReady(
    client,
    queued.map(({ call, runAtMs, waitsFor }) => ({
      no: call.execution.no,
      day: call.execution.day,
      priority: nearest.get(call.execution.no)?.priority ?? 5,
      runAtMs,
      expiresMs: nearest.get(call.execution.no)?.deadlineMs ?? runAtMs,
      waitsFor,
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
