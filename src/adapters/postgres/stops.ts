import type { StoppedPartition } from "../../domain/event/partition-event.js";
import type { SessionNo } from "../../domain/ids.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/**
 * Writes down for `sluice status` that a session stopped a partition; again does no harm. Nothing takes it back: it counts while that
 * session lives and the position is the one that the log did not fit.
 */
export async function noteStop(
  context: LedgerContext,
  session: SessionNo,
  { topic, partition, cause, ledgerNext }: StoppedPartition,
  atMs: number,
): Promise<void> {
  await run(
    context.pools.durable,
    "stop-note",
    `INSERT INTO inbox_stops AS s (cluster, topic, partition, cause, next, session_no, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (cluster, topic, partition) DO UPDATE SET cause = excluded.cause, next = excluded.next, session_no = excluded.session_no,
       at_ms = CASE WHEN s.next = excluded.next THEN s.at_ms ELSE excluded.at_ms END`,
    [context.cluster, topic, partition, cause, ledgerNext, session, atMs],
  );
}
