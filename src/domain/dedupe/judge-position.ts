import type { IncomingRecord } from "../job/job.js";
import { LOG_START_WITNESS, recordWitness } from "./record-witness.js";

/** What the ledger expects of a partition: records below `next` are accepted, the last of them has this witness. */
export interface ExpectedPosition {
  readonly next: number;
  /** Null or empty: nothing to compare with. `LOG_START_WITNESS`: the log began at `next`. */
  readonly witness: Buffer | null;
}

/** First offset of a partition, and the next that its broker will give out. */
export interface LogBounds {
  readonly low: number;
  readonly high: number;
}

/**
 * `truncated`: the log ends before what was accepted. `other_topic`: the last accepted record is another one now, or one lies where the log had not begun. `gap`: records that
 * nobody accepted are gone. `unproven`: the record before the position must be read first.
 */
export type PositionVerdict = "fits" | "truncated" | "other_topic" | "gap" | "unproven";

/**
 * Compares the ledger's position with a partition's log.
 * @param before the record at `next - 1`; null: it was looked for and is not there (a marker of a transaction); undefined: not read yet.
 */
export function judgePosition(
  position: ExpectedPosition,
  log: LogBounds,
  before: IncomingRecord | null | undefined,
): PositionVerdict {
  if (log.high < position.next) return "truncated";
  if (log.low > position.next) return "gap";
  const { witness } = position;
  if (witness === null || witness.length === 0 || position.next - 1 < log.low) return "fits";
  if (LOG_START_WITNESS.equals(witness)) return "other_topic";
  if (before === undefined) return "unproven";
  return before === null || recordWitness(before).equals(witness) ? "fits" : "other_topic";
}
