import type { EpochMs, SessionNo } from "../ids.js";

/** How a session stands. `beats`: it lives, or died a moment ago, which nobody can tell yet. */
export type SessionFate = "beats" | "left" | "died";

/** A record that a session wrote down right before reading it. */
export interface RecordMark {
  readonly offset: number;
  readonly by: SessionNo;
  readonly fate: SessionFate;
  /** Its session's last beat. */
  readonly beatAtMs: EpochMs;
}

/** What a session meets where it begins to read a partition. */
export interface PositionTurn {
  /** Sessions in a row, this one included, that began at this very position and did not leave in order. */
  readonly turns: number;
  /** A record at or above the position is marked: somebody read one by one before. */
  readonly marked: boolean;
}

/** With the third turn at one position, two sessions ended there: chance, or a record that ends whoever reads it. */
const SUSPICIOUS_TURNS = 3;

export function readsOneByOne({ turns, marked }: PositionTurn): boolean {
  return marked || turns >= SUSPICIOUS_TURNS;
}

/** `unclear`: the session that marked it may be dead; look again. */
export type MarkVerdict = "read" | "suspect" | "unclear";

/**
 * What a mark says about the record at `offset`.
 * @param before the mark at the look before this one: a session that has beaten since lives, so the record did not end it.
 */
export function judgeMark(
  offset: number,
  session: SessionNo,
  mark: RecordMark | null,
  before: RecordMark | null,
): MarkVerdict {
  if (mark === null || mark.offset !== offset || mark.by === session) return "read";
  switch (mark.fate) {
    case "died":
      return "suspect";
    case "left":
      return "read";
    case "beats":
      return before !== null && before.by === mark.by && before.beatAtMs < mark.beatAtMs ? "read" : "unclear";
  }
}
