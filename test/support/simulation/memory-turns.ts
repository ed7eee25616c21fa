import type { MarkedRecords, Marker, PositionTurn, RecordMark } from "../../../src/domain/dedupe/crash-suspect.js";
import { sessionNo } from "../../../src/domain/ids.js";
import type { MemoryContext } from "./memory-context.js";
import type { MarkRow } from "./memory-rows.js";

/** Counts that a session begins to read a partition at its position. */
export function beginTurn(context: MemoryContext, session: number, key: string): Promise<PositionTurn> {
  const { positions, routers, turns } = context.database;
  return context.single("turn-begin", (transaction) => {
    const next = transaction.get(positions, key)?.next ?? 0;
    const known = transaction.get(turns, key);
    if (known === undefined) {
      transaction.insert(turns, key, { next, turns: 1, session, mark: null });
      return { turns: 1, markedUpto: null };
    }
    const last = transaction.get(routers, known.session);
    const left = last !== undefined && last.endedMs !== null && !last.died;
    const counts = known.session === session || left ? known.turns : known.turns + 1;
    const row = transaction.update(turns, key, { next, session, turns: known.next === next ? counts : 1 });
    return { turns: row.turns, markedUpto: row.mark !== null && row.mark.upto > next ? row.mark.upto : null };
  });
}

export function markOf(context: MemoryContext, key: string): Promise<RecordMark | null> {
  const { positions, routers, turns } = context.database;
  return context.single("mark-read", (transaction) => {
    const mark = transaction.get(turns, key)?.mark ?? null;
    if (mark === null || mark.upto <= (transaction.get(positions, key)?.next ?? 0)) return null;
    const markerOf = (by: number): Marker | null => {
      const router = transaction.get(routers, by);
      if (router === undefined) return null;
      const fate = router.endedMs === null ? "beats" : router.died ? "died" : "left";
      return { by: sessionNo(by), fate, beatAtMs: router.beatMs };
    };
    const last = markerOf(mark.by);
    const earlier = mark.earlier === null ? null : markerOf(mark.earlier.by);
    if (last === null) return null;
    const followedAtMs = mark.earlier?.followedAtMs ?? 0;
    return {
      ...{ offset: mark.offset, upto: mark.upto, last },
      earlier: earlier === null ? null : { ...earlier, followedAtMs },
    };
  });
}

/** @returns false when the session was declared dead. */
export function markRecords(
  context: MemoryContext,
  session: number,
  key: string,
  { offset, upto }: MarkedRecords,
): Promise<boolean> {
  const { routers, turns } = context.database;
  return context.single("mark-write", (transaction) => {
    const known = transaction.get(turns, key);
    if (transaction.get(routers, session)?.endedMs !== null || known === undefined) return false;
    transaction.update(routers, session, { beatMs: context.database.nowMs() });
    const earlier = markersBefore(known.mark, context.database.nowMs()).find(
      ({ by, since, upto: behind }) => by !== session && since <= offset && behind >= upto,
    );
    const held =
      earlier === undefined ? null : { by: earlier.by, upto: earlier.upto, followedAtMs: earlier.followedAtMs };
    transaction.update(turns, key, { mark: { offset, upto, by: session, earlier: held } });
    return true;
  });
}

type MarkerBefore = NonNullable<MarkRow["earlier"]> & { readonly since: number };

function markersBefore(mark: MarkRow | null, nowMs: number): readonly MarkerBefore[] {
  if (mark === null) return [];
  const last = { by: mark.by, since: mark.offset, upto: mark.upto, followedAtMs: nowMs };
  return mark.earlier === null ? [last] : [last, { ...mark.earlier, since: 0 }];
}
