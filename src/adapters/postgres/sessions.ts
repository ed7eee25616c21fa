import type pg from "pg";
import { sessionNo, type LedgerKey, type SessionNo } from "../../domain/ids.js";
import { doubtBegan } from "../../domain/event/doubt-event.js";
import { NO_SUBJECT } from "../../domain/event/event.js";
import type { AttemptIntent } from "../../domain/execution/execution.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { ProviderKind } from "../../domain/route/route.js";
import { int4Array, int8Array } from "./binary-array.js";
import { ENDED_COLUMNS, readEnded, RESERVATION_ENDS } from "./budget/ended-attempt.js";
import { run, transaction } from "./connection.js";
import { doubtSubjects } from "./doubt-subjects.js";
import type { LedgerContext } from "./ledger-context.js";
import { insertOutbox } from "./outbox-rows.js";
import { forgetLimits } from "./limit-queues.js";
import { insertReady } from "./ready-rows.js";
import { waitersOf } from "./waiters.js";

/** Attempts of a dead session that one transaction puts in doubt. */
const RECOVER_STEP = 500;
/** For the queue rows of a step's events. */
const OUTBOX_NUMBERS = 8;

export async function openSession(context: LedgerContext, name: string): Promise<SessionNo> {
  const rows = await run(
    context.pools.durable,
    "session-open",
    "INSERT INTO routers (name) VALUES ($1) RETURNING session_no",
    [name],
  );
  return sessionNo(Number(rows[0]?.[0]));
}

/** When it was opened, to the microsecond: another ledger's session of the same number has another. @throws Error when there is none. */
export async function sessionStamp(context: LedgerContext, session: SessionNo): Promise<string> {
  const [row] = await run(
    context.pools.durable,
    "session-stamp",
    "SELECT extract(epoch FROM started_at)::text FROM routers WHERE session_no = $1",
    [session],
  );
  if (typeof row?.[0] !== "string") throw new Error(`expected session ${String(session)} in the ledger`);
  return row[0];
}

/** @returns false when the session was declared dead. */
export async function beat(context: LedgerContext, session: SessionNo, lowMark: number): Promise<boolean> {
  const rows = await run(
    context.pools.relaxed,
    "session-beat",
    "UPDATE routers SET beat_at = clock_timestamp(), low_mark = $2 WHERE session_no = $1 AND ended_at IS NULL RETURNING 1",
    [session, lowMark],
  );
  return rows.length === 1;
}

/**
 * A session that ends by itself leaves nothing behind only if nothing is in the air; the recovery looks all the same. `FOR UPDATE`: waits
 * for this session's open transactions, whose fence is a `FOR KEY SHARE` that a plain UPDATE passes. One that saw the session alive at
 * its beginning and ended later would record a failed call and leave its execution running, for nobody.
 */
export async function endSession(context: LedgerContext, session: SessionNo): Promise<void> {
  await run(
    context.pools.durable,
    "session-end",
    `UPDATE routers SET ended_at = clock_timestamp() WHERE session_no IN (
       SELECT session_no FROM routers WHERE session_no = $1 AND ended_at IS NULL FOR UPDATE)`,
    [session],
  );
}

/** SQL of how many sessions live. */
export const LIVE_ROUTERS = "(SELECT count(*) FROM routers WHERE ended_at IS NULL)";

export async function liveRouters(context: LedgerContext): Promise<number> {
  const [row] = await run(context.pools.durable, "sessions-live", `SELECT ${LIVE_ROUTERS}`, []);
  return Number(row?.[0]);
}

/** Who recovers, and what the doubts it finds come to. */
export interface Recovery {
  readonly session: SessionNo;
  readonly graceMs: (account: string) => number;
  readonly render: Renderer;
}

/**
 * Declares silent sessions dead, then puts their calls in doubt in small steps. Any router may continue what another began: a
 * session is done when `recovered_at` is set.
 */
export async function recoverDeadSessions(
  context: LedgerContext,
  recovery: Recovery,
  deadAfterMs: number | null,
): Promise<number> {
  if (deadAfterMs !== null) await declareDead(context, deadAfterMs);
  await forgetLimits(context);
  const dead = await run(
    context.pools.durable,
    "sessions-unrecovered",
    "SELECT session_no, low_mark FROM routers WHERE ended_at IS NOT NULL AND recovered_at IS NULL ORDER BY session_no LIMIT 16",
    [],
  );
  let doubts = 0;
  for (const [session, lowMark] of dead) {
    for (;;) {
      // Serial: one step after another, so that a large recovery never holds many rows at once.
      const step = await recoverStep(context, recovery, Number(session), Number(lowMark));
      doubts += step;
      if (step > 0) context.reach("session.doubts_stored");
      if (step < RECOVER_STEP) break;
    }
    // A step skips rows that another transaction holds; should that one roll back, they are still open, and the next round takes them.
    await run(
      context.pools.durable,
      "session-recovered",
      `UPDATE routers SET recovered_at = clock_timestamp() WHERE session_no = $1
         AND NOT EXISTS (SELECT 1 FROM attempts WHERE no >= $2 AND session_no = $1 AND state = 'sending')`,
      [Number(session), Number(lowMark)],
    );
    context.reach("session.recovered");
  }
  return doubts;
}

async function declareDead(context: LedgerContext, deadAfterMs: number): Promise<void> {
  const declared = await run(
    context.pools.durable,
    "sessions-declare-dead",
    `UPDATE routers SET ended_at = clock_timestamp(), died = true WHERE session_no IN (
       SELECT session_no FROM routers WHERE ended_at IS NULL AND beat_at < clock_timestamp() - make_interval(secs => $1::float8 / 1000)
       ORDER BY session_no FOR UPDATE SKIP LOCKED) RETURNING 1`,
    [deadAfterMs],
  );
  if (declared.length > 0) context.reach("session.dead_declared");
}

async function recoverStep(
  context: LedgerContext,
  recovery: Recovery,
  session: number,
  lowMark: number,
): Promise<number> {
  await context.numbers.reserve(OUTBOX_NUMBERS);
  return transaction(
    context.pools.durable,
    async (client) => {
      const rows = await run(
        client,
        "attempts-to-doubt",
        `UPDATE attempts a SET state = 'in_doubt' FROM (
           SELECT no, day FROM attempts WHERE no >= $2 AND session_no = $1 AND state = 'sending' ORDER BY no LIMIT ${String(RECOVER_STEP)} FOR UPDATE SKIP LOCKED) d
         WHERE a.no = d.no AND a.day = d.day
         RETURNING a.no, a.day, a.execution_no, a.account, floor(extract(epoch FROM clock_timestamp()) * 1000)::int8, a.number, a.provider, a.model, a.max_nano`,
        [session, lowMark],
      );
      await run(
        client,
        "executions-to-doubt",
        `UPDATE executions e SET state = 'in_doubt' FROM unnest($1::int8[], $2::int4[], $3::int8[]) AS u(no, day, attempt)
         WHERE e.no = u.no AND e.day = u.day AND e.state = 'running' AND e.attempt_no = u.attempt`,
        [
          int8Array(rows.map((row) => Number(row[2]))),
          int4Array(rows.map((row) => Number(row[1]))),
          int8Array(rows.map((row) => Number(row[0]))),
        ],
      );
      const waiters = await waitersOf(
        client,
        context,
        rows.map((row) => ({ no: Number(row[2]), day: Number(row[1]) })),
      );
      // Also for an execution that a late answer has ended meanwhile: the claim that takes the row settles the doubt.
      insertReady(
        client,
        rows.map(([, day, execution, account, nowMs]) => ({
          no: Number(execution),
          day: Number(day),
          priority: waiters.get(Number(execution))?.priority ?? 5,
          runAtMs: Number(nowMs) + recovery.graceMs(account ?? ""),
          expiresMs: waiters.get(Number(execution))?.nearestDeadlineMs ?? Number(nowMs),
          waitsFor: "doubt",
          bytes: null,
        })),
      );
      await noteDoubts(client, context, recovery, rows);
      return rows.length;
    },
    () => Promise.resolve(null),
  );
}

/** An event has its attempt's number: a doubt begins once. */
async function noteDoubts(
  client: pg.PoolClient,
  context: LedgerContext,
  { session, render }: Recovery,
  rows: readonly (readonly (string | null)[])[],
): Promise<void> {
  if (rows.length === 0) return;
  const doubts = rows.map(([no, day, execution, account, nowMs, number, provider, model, maxNano]) => ({
    attempt: {
      no: Number(no),
      number: Number(number),
      account: account ?? "",
      provider: provider as ProviderKind, // written from a Route
      model: model ?? "",
      maxNanoUsd: BigInt(maxNano ?? 0),
    },
    execution: { no: Number(execution), day: Number(day) },
    atMs: Number(nowMs),
  }));
  const subjects = await doubtSubjects(
    client,
    doubts.map(({ execution }) => execution),
  );
  const events = doubts.map((doubt) => {
    const subject = subjects.get(doubt.execution.no) ?? NO_SUBJECT;
    return render.event(
      doubtBegan({ ...doubt, subject }, "its router's session ended while the call was out"),
      doubt.attempt.no,
      doubt.execution.day,
    );
  });
  insertOutbox(client, context.numbers, session, doubts[0]?.atMs ?? 0, events);
}

/** Intents whose bytes never left: nothing can have been billed, so they wait as rows again. */
export async function giveBack(
  context: LedgerContext,
  session: SessionNo,
  attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
  nowMs: number,
): Promise<void> {
  if (attempts.length === 0) return;
  const ordered = [...attempts].sort((a, b) => a.execution.no - b.execution.no);
  await transaction(
    context.pools.durable,
    async (client) => {
      const notSent = await run(
        client,
        "attempts-not-sent",
        `UPDATE attempts a SET state = 'not_sent', outcome = 'cancelled', ended_ms = $1, ${RESERVATION_ENDS}
         FROM unnest($2::int8[], $3::int4[]) AS u(no, day)
         WHERE a.no = u.no AND a.day = u.day AND a.state = 'sending' RETURNING ${ENDED_COLUMNS}`,
        [
          nowMs,
          int8Array(ordered.map(({ attempt }) => attempt.no)),
          int4Array(ordered.map(({ execution }) => execution.day)),
        ],
      );
      const rows = await run(
        client,
        "executions-give-back",
        `UPDATE executions e SET state = 'ready' FROM unnest($2::int8[], $3::int4[], $4::int8[]) AS u(no, day, attempt)
         WHERE e.no = u.no AND e.day = u.day AND e.state = 'running' AND e.session_no = $1 AND e.attempt_no = u.attempt RETURNING e.no, e.day`,
        [
          session,
          int8Array(ordered.map(({ execution }) => execution.no)),
          int4Array(ordered.map(({ execution }) => execution.day)),
          int8Array(ordered.map(({ attempt }) => attempt.no)),
        ],
      );
      const waiters = await waitersOf(
        client,
        context,
        rows.map(([no, day]) => ({ no: Number(no), day: Number(day) })),
      );
      insertReady(
        client,
        rows.map(([no, day]) => ({
          no: Number(no),
          day: Number(day),
          priority: waiters.get(Number(no))?.priority ?? 5,
          runAtMs: nowMs,
          expiresMs: waiters.get(Number(no))?.nearestDeadlineMs ?? nowMs,
          waitsFor: "concurrency",
          bytes: null,
        })),
      );
      await context.budgets.release(
        client,
        notSent.map(([reservedIn, heldNano]) => readEnded(reservedIn, heldNano)),
        nowMs,
      );
    },
    () => Promise.resolve(null),
    context.commitPoints(["give_back.before_commit"]),
  );
}
