import type {
  MarkedRecords,
  Marker,
  PositionTurn,
  RecordMark,
  SessionFate,
} from "../../domain/dedupe/crash-suspect.js";
import { sessionNo, type SessionNo } from "../../domain/ids.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/** Rows of an older build have no end: their marks are of one record. */
const MARK_END = "coalesce(marked_upto, marked + 1)";
const FATE = "CASE WHEN r.ended_at IS NULL THEN 'beats' WHEN r.died THEN 'died' ELSE 'left' END";
const epochMs = (time: string): string => `floor(extract(epoch FROM ${time}) * 1000)::int8`;

/** Counted once an assignment. A position that has moved needs no reset: the row names the position it counts for. */
export async function beginTurn(
  context: LedgerContext,
  session: SessionNo,
  topic: string,
  partition: number,
): Promise<PositionTurn> {
  const rows = await run(
    context.pools.durable,
    "turn-begin",
    `INSERT INTO inbox_turns AS t (cluster, topic, partition, next, turns, session_no)
     SELECT cluster, topic, partition, next, 1, $4 FROM inbox_position WHERE cluster = $1 AND topic = $2 AND partition = $3
     ON CONFLICT (cluster, topic, partition) DO UPDATE SET next = excluded.next, session_no = excluded.session_no,
       turns = CASE WHEN t.next <> excluded.next THEN 1
         WHEN t.session_no = excluded.session_no OR EXISTS (
           SELECT 1 FROM routers r WHERE r.session_no = t.session_no AND r.ended_at IS NOT NULL AND NOT r.died) THEN t.turns
         ELSE t.turns + 1 END
     RETURNING turns, CASE WHEN ${MARK_END} > next THEN ${MARK_END} END`,
    [context.cluster, topic, partition, session],
  );
  const [turns, markedUpto = null] = rows[0] ?? [];
  return { turns: Number(turns ?? 1), markedUpto: markedUpto === null ? null : Number(markedUpto) };
}

export async function readMark(context: LedgerContext, topic: string, partition: number): Promise<RecordMark | null> {
  const rows = await run(
    context.pools.durable,
    "mark-read",
    `SELECT t.marked, ${MARK_END}, ${epochMs("t.earlier_followed_at")}, r.session_no, ${FATE}, ${epochMs("r.beat_at")}, t.earlier_alone::int,
       (SELECT count(*) FROM routers e JOIN routers o ON o.died AND o.beat_at > e.beat_at AND o.session_no <> t.marked_by
        WHERE e.session_no = t.earlier_by)
     FROM inbox_turns t JOIN inbox_position p ON p.cluster = t.cluster AND p.topic = t.topic AND p.partition = t.partition
       JOIN routers r ON r.session_no IN (t.marked_by, t.earlier_by)
     WHERE t.cluster = $1 AND t.topic = $2 AND t.partition = $3 AND ${MARK_END} > p.next ORDER BY r.session_no = t.marked_by DESC`,
    [context.cluster, topic, partition],
  );
  const [last, earlier] = rows.map(([, , , by, fate, beatAtMs]): Marker => ({
    by: sessionNo(Number(by)),
    fate: fate as SessionFate, // the statement's own words
    beatAtMs: Number(beatAtMs),
  }));
  if (last === undefined) return null;
  const [offset, upto, followedAtMs, , , , alone, othersDied] = rows[0] ?? [];
  return {
    offset: Number(offset),
    upto: Number(upto),
    last,
    earlier:
      earlier === undefined ? null : { ...earlier, followedAtMs: Number(followedAtMs), alone: Number(alone) === 1 },
    othersDied: Number(othersDied),
  };
}

/**
 * The row is there: a turn began. Also a beat: a router that has just come back to the ledger may not have beaten yet, and declared dead now it
 * would leave a mark that accuses the record. @returns false when the session was declared dead.
 */
export async function markRecords(
  context: LedgerContext,
  session: SessionNo,
  { topic, partition, offset, upto }: MarkedRecords,
): Promise<boolean> {
  const rows = await run(
    context.pools.durable,
    "mark-write",
    `WITH living AS MATERIALIZED (UPDATE routers SET beat_at = clock_timestamp() WHERE session_no = $5 AND ended_at IS NULL RETURNING 1)
     UPDATE inbox_turns SET marked = $4, marked_upto = $6, marked_by = $5,
       (earlier_by, earlier_upto, earlier_followed_at, earlier_alone) = (SELECT e.by, e.upto, e.followed_at, e.alone
         FROM (VALUES (1, marked_by, marked, ${MARK_END}, clock_timestamp(), ${MARK_END} = marked + 1),
             (2, earlier_by, 0, earlier_upto, earlier_followed_at, earlier_alone))
           AS e (newest, by, since, upto, followed_at, alone)
         WHERE e.by <> $5 AND e.since <= $4 AND e.upto >= $6 ORDER BY e.newest LIMIT 1)
     WHERE cluster = $1 AND topic = $2 AND partition = $3
       AND EXISTS (SELECT 1 FROM living) RETURNING 1`,
    [context.cluster, topic, partition, offset, session, upto],
  );
  return rows.length === 1;
}
