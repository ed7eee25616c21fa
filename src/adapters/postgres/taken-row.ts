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
