import type { WaitReason } from "../../domain/execution/waits.js";
import type { LedgerKey } from "../../domain/ids.js";

/** An execution that a claim took, and as what it waited. */
export interface TakenRow extends LedgerKey {
  readonly runAtMs: number;
  readonly waitsFor: WaitReason;
  /** The budget that kept it out, by its key; null: none did. */
  readonly level: string | null;
  readonly bytes: number;
}

/** The columns that `takenRow` reads first, of `ready` as `r`. */
export const TAKEN_COLUMNS = "r.no, r.day, r.run_at_ms, r.waits_for, r.bytes, r.waits_level";

export function takenRow([no, day, runAt, waitsFor, bytes, level]: readonly (string | null)[]): TakenRow {
  return {
    no: Number(no),
    day: Number(day),
    runAtMs: Number(runAt),
    waitsFor: waitsFor as WaitReason, // every verdict has one of these
    bytes: Number(bytes),
    level: level ?? null,
  };
}
