import type { SessionNo } from "../../domain/ids.js";
import type { EndedSession } from "../../ports/ledger.js";
import { INTENT_COLUMNS, readIntent } from "./attempt-rows.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";
import { giveBack } from "./sessions.js";

/** Attempts that one transaction gives back. */
const STEP = 500;

/**
 * The session is declared dead first, so that its own transactions are over and nobody goes on in its name. Another router's recovery may
 * put its attempts in doubt meanwhile: those stay so.
 */
export async function takeBackUnsent(
  context: LedgerContext,
  { session, stamp, mayHaveSent }: EndedSession,
  nowMs: number,
): Promise<number> {
  const lowMark = await declareDead(context, session, stamp);
  if (lowMark === null) return 0;
  const rows = await run(
    context.pools.durable,
    "attempts-of-ended",
    `SELECT a.execution_no, a.day, ${INTENT_COLUMNS} FROM attempts a
     WHERE a.no >= $2 AND a.session_no = $1 AND a.state = 'sending' ORDER BY a.no`,
    [session, lowMark],
  );
  const unsent = rows
    .map(([executionNo, day, ...intent]) => ({
      execution: { no: Number(executionNo), day: Number(day) },
      attempt: readIntent(intent),
    }))
    .filter(({ attempt }) => !mayHaveSent.has(attempt.no));
  for (let from = 0; from < unsent.length; from += STEP)
    await giveBack(context, session, unsent.slice(from, from + STEP), nowMs); // Serial: one transaction after another.
  return unsent.length;
}

/** @returns from which attempt on some of the session may be open; null when it is not a session of this ledger. */
async function declareDead(context: LedgerContext, session: SessionNo, stamp: string): Promise<number | null> {
  const named = [session, stamp];
  await run(
    context.pools.durable,
    "session-declare-dead",
    `UPDATE routers SET ended_at = clock_timestamp(), died = true WHERE session_no IN (
       SELECT session_no FROM routers WHERE session_no = $1 AND extract(epoch FROM started_at)::text = $2 AND ended_at IS NULL FOR UPDATE)`,
    named,
  );
  const [row] = await run(
    context.pools.durable,
    "session-low-mark",
    "SELECT low_mark FROM routers WHERE session_no = $1 AND extract(epoch FROM started_at)::text = $2",
    named,
  );
  return row === undefined ? null : Number(row[0]);
}
