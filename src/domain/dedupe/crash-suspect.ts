import type { EpochMs, SessionNo } from "../ids.js";

/** How a session stands. `beats`: it lives, or died a moment ago, which nobody can tell yet. */
export type SessionFate = "beats" | "left" | "died";

/** A session that wrote records down right before reading them. */
export interface Marker {
  readonly by: SessionNo;
  readonly fate: SessionFate;
  /** Its session's last beat. */
  readonly beatAtMs: EpochMs;
}

export interface EarlierMarker extends Marker {
  /** Whether its mark was of nothing else. */
  readonly alone: boolean;
  /** When the next session marked records of its mark, by the ledger's clock as beats are. */
  readonly followedAtMs: EpochMs;
}

/** The last mark of a partition: records that a session was about to read, and did not get accepted. */
export interface RecordMark {
  /** Its first record. */
  readonly offset: number;
  /** Behind its last. */
  readonly upto: number;
  readonly last: Marker;
  /** The session whose mark before that held these records too; null: there was none. */
  readonly earlier: EarlierMarker | null;
  /** Other sessions that are declared dead and had beaten after the earlier one's last beat; 0 without one. */
  readonly othersDied: number;
}

/** The records from `offset` to before `upto` of a partition, that a session is about to read. */
export interface MarkedRecords {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly upto: number;
}

/** What a session meets where it begins to read a partition. */
export interface PositionTurn {
  /** Sessions in a row, this one included, that began at this very position and did not leave in order; one may only have lost the partition. */
  readonly turns: number;
  /** Behind the last record of the mark that is at or above the position; null: nothing is marked there. */
  readonly markedUpto: number | null;
}

/** How a partition under suspicion is read. */
export interface CarefulReading {
  /** Below this offset, in steps; 0: not at all. */
  readonly upto: number;
  /** Below this offset each step is one record. */
  readonly singlyUpto: number;
}

/** With the second turn at one position, a session ended there: chance, or a record that ends whoever reads it. */
const SUSPICIOUS_TURNS = 2;
/** As many at least are read in steps: the group that ended its reader held at most so many records, of all partitions. */
const RECORDS_IN_STEPS = 1000;
/** Few enough to be read singly after a death, and enough that reading so costs little where it was chance. */
const STEP_RECORDS = 50;

/** @param since the first offset to be read. @param upto behind the last of the first run. */
export function carefulReading({ turns, markedUpto }: PositionTurn, since: number, upto: number): CarefulReading {
  if (markedUpto === null && turns < SUSPICIOUS_TURNS) return { upto: 0, singlyUpto: 0 };
  return { upto: Math.max(upto, since + RECORDS_IN_STEPS), singlyUpto: markedUpto ?? 0 };
}

/** How many records the step has that begins at `offset`. */
export function stepLength(offset: number, { singlyUpto }: CarefulReading): number {
  return offset < singlyUpto ? 1 : STEP_RECORDS;
}

/** `unclear`: a session that marked it may be dead; look again. */
export type MarkVerdict = "read" | "suspect" | "unclear";

/**
 * What a mark says about the record at `offset`. Two sessions have to die with it marked, the second with nothing else: one alone may have
 * been killed by anything while it happened to read this. Where others die meanwhile, something else kills, and both have to have read
 * nothing else.
 * @param before the mark at the look before this one: a session that has beaten since lives, so the record did not end it.
 */
export function judgeMark(
  offset: number,
  session: SessionNo,
  mark: RecordMark | null,
  before: RecordMark | null,
): MarkVerdict {
  if (mark === null || mark.offset !== offset || mark.upto !== offset + 1) return "read";
  const { last, earlier } = mark;
  if (earlier === null || last.by === session) return "read";
  // It had only lost the partition when the other came to its records, whatever ended it later.
  const earlierLived = earlier.fate === "left" || earlier.beatAtMs > earlier.followedAtMs;
  const hasBeaten = before !== null && before.last.by === last.by && before.last.beatAtMs < last.beatAtMs;
  if (earlierLived || last.fate === "left" || (last.fate === "beats" && hasBeaten)) return "read";
  if (!earlier.alone && mark.othersDied > 0) return "read";
  return last.fate === "died" && earlier.fate === "died" ? "suspect" : "unclear";
}
