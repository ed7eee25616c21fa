import type { PositionTurn, RecordMark } from "../../../src/domain/dedupe/crash-suspect.js";
import { sessionNo } from "../../../src/domain/ids.js";
import type { MemoryContext } from "./memory-context.js";

/** Counts that a session begins to read a partition at its position. */
export function beginTurn(context: MemoryContext, session: number, key: string): Promise<PositionTurn> {
  const { positions, routers, turns } = context.database;
  return context.single("turn-begin", (transaction) => {
    const next = transaction.get(positions, key)?.next ?? 0;
    const known = transaction.get(turns, key);
    if (known === undefined) {
      transaction.insert(turns, key, { next, turns: 1, session, mark: null });
      return { turns: 1, marked: false };
    }
    const last = transaction.get(routers, known.session);
    const left = last !== undefined && last.endedMs !== null && !last.died;
    const counts = known.session === session || left ? known.turns : known.turns + 1;
    const row = transaction.update(turns, key, { next, session, turns: known.next === next ? counts : 1 });
    return { turns: row.turns, marked: row.mark !== null && row.mark.offset >= next };
  });
}

export function markOf(context: MemoryContext, key: string): Promise<RecordMark | null> {
  const { positions, routers, turns } = context.database;
  return context.single("mark-read", (transaction) => {
    const mark = transaction.get(turns, key)?.mark ?? null;
    const router = mark === null ? undefined : transaction.get(routers, mark.by);
    if (mark === null || router === undefined || mark.offset < (transaction.get(positions, key)?.next ?? 0))
      return null;
    const fate = router.endedMs === null ? "beats" : router.died ? "died" : "left";
    return { offset: mark.offset, by: sessionNo(mark.by), fate, beatAtMs: router.beatMs };
  });
}

/** @returns false when the session was declared dead. */
export function markRecord(context: MemoryContext, session: number, key: string, offset: number): Promise<boolean> {
  const { routers, turns } = context.database;
  return context.single("mark-write", (transaction) => {
    if (transaction.get(routers, session)?.endedMs !== null || transaction.get(turns, key) === undefined) return false;
    transaction.update(routers, session, { beatMs: context.database.nowMs() });
    transaction.update(turns, key, { mark: { offset, by: session } });
    return true;
  });
}
