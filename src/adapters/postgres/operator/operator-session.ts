import { sessionNo, type SessionNo } from "../../../domain/ids.js";
import { run } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";

/**
 * A session number for a command that changes the ledger. It is born ended and recovered: it never counts as a router, makes no calls
 * that could be in doubt, and what it leaves in the outbox belongs to nobody, so a router's sweep publishes it.
 */
export async function openOperatorSession(context: LedgerContext, name: string): Promise<SessionNo> {
  const rows = await run(
    context.pools.durable,
    "operator-session-open",
    "INSERT INTO routers (name, ended_at, recovered_at) VALUES ($1, clock_timestamp(), clock_timestamp()) RETURNING session_no",
    [name],
  );
  return sessionNo(Number(rows[0]?.[0]));
}
