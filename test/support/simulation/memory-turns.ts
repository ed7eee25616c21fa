import type { MarkedRecords, Marker, PositionTurn, RecordMark } from "../../../src/domain/dedupe/crash-suspect.js";
import { sessionNo } from "../../../src/domain/ids.js";
import type { MemoryContext } from "./memory-context.js";
import type { EarlierMarkRow, MarkRow } from "./memory-rows.js";

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
    const othersDied = [...routers.committed].filter(
      ([session, { died, beatMs }]) =>
        died && session !== mark.by && earlier !== null && session !== Number(earlier.by) && beatMs > earlier.beatAtMs,
    ).length;
    return {
      ...{ offset: mark.offset, upto: mark.upto, last, othersDied },
      earlier:
        earlier === null || mark.earlier === null
          ? null
          : { ...earlier, followedAtMs: mark.earlier.followedAtMs, alone: mark.earlier.alone },
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
    const held = earlier === undefined ? null : earlierOf(earlier);
    transaction.update(turns, key, { mark: { offset, upto, by: session, earlier: held } });
    return true;
  });
}

type MarkerBefore = EarlierMarkRow & { readonly since: number };

function markersBefore(mark: MarkRow | null, nowMs: number): readonly MarkerBefore[] {
  if (mark === null) return [];
  const { by, offset, upto } = mark;
  const last = { by, since: offset, upto, followedAtMs: nowMs, alone: upto === offset + 1 };
  return mark.earlier === null ? [last] : [last, { ...mark.earlier, since: 0 }];
}

function earlierOf({ by, upto, followedAtMs, alone }: MarkerBefore): EarlierMarkRow {
  return { by, upto, followedAtMs, alone };
}
