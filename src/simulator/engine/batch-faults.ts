/**
 * What can go wrong with a batch, for every provider alike. A batch carries the faults whose rules struck at its creation, several at
 * once if told so. Where a share of lines is named, line n (from 1) is struck when ceil(n x share) > ceil((n - 1) x share): the first
 * line always is, and ceil(lines x share) are in all.
 */
import { anything, decimal, flag, integer, oneOf, shape, text } from "./field-checks.js";
import type { FieldCheck } from "./field-checks.js";

export type BatchFault =
  /** Not in lists, or not to be found by its id, for so many real milliseconds after its creation. */
  | { readonly kind: "batch_hidden"; readonly listMs?: number; readonly getMs?: number }
  /** Never leaves this state by itself; `in_progress` runs its lines and still expires, as the others don't. */
  | { readonly kind: "batch_stuck"; readonly state: "validating" | "in_progress" | "finalizing" }
  /** Stops after this share of its lines (default 0.5) and expires when its window ends. */
  | { readonly kind: "batch_expires"; readonly share?: number }
  /** Somebody cancels it after this share of its lines (default 0.5). */
  | { readonly kind: "batch_cancelled"; readonly share?: number }
  /** Refused as a whole at validation, for this line (default 1; 0 = no line is named). */
  | { readonly kind: "batch_refused"; readonly code?: string; readonly line?: number }
  /** Refused as a whole since too many tokens are enqueued, however few there are. */
  | { readonly kind: "batch_queue_full" }
  /** This share of its lines (default 1) is answered with this status (default 500; 0 = a row without a real status). Not billed. */
  | { readonly kind: "batch_lines_fail"; readonly share?: number; readonly status?: number }
  /** This share of its lines (default 0.5) is done, billed, and not in the results. */
  | { readonly kind: "batch_lines_missing"; readonly share?: number }
  /** This share of its lines (default 0.5) is in the results twice, the second time with another answer if told so. */
  | { readonly kind: "batch_lines_repeated"; readonly share?: number; readonly different?: boolean }
  /** So many lines (default 1) that nobody asked for, with the ids `unknown-1` and up. */
  | { readonly kind: "batch_lines_unknown"; readonly count?: number }
  | { readonly kind: "batch_lines_reordered" }
  /** The results file (the error file when it is the only one) ends within a line, begins with a BOM, and so on. */
  | { readonly kind: "batch_file_damaged"; readonly how: "cut" | "bom" | "crlf" | "blank_lines" | "nul" | "bad_line" }
  /** The result files are gone when the batch is done; it still names them. */
  | { readonly kind: "batch_file_gone" }
  /** The first look at this state is true, the next ones (default 2) show the state before it. */
  | {
      readonly kind: "batch_backward";
      readonly from?: "in_progress" | "finalizing" | "completed";
      readonly reads?: number;
    }
  /** The first looks (default 2) after it is in progress show a word that no client knows. */
  | { readonly kind: "batch_strange_state"; readonly word?: string; readonly reads?: number }
  /** Its counts say so many succeeded lines more than there are (default 1). */
  | { readonly kind: "batch_counts_wrong"; readonly by?: number }
  /** Somebody deletes it when it reaches this state (default in_progress). */
  | { readonly kind: "batch_deleted"; readonly at?: "in_progress" | "finalizing" | "completed" };

export type BatchFaultKind = BatchFault["kind"];

const MS_MAX = 86_400_000;
const SHARE = decimal(0, 1);

export const BATCH_FAULTS: Readonly<Record<BatchFaultKind, FieldCheck>> = {
  batch_hidden: shape({ kind: anything }, { listMs: integer(0, MS_MAX), getMs: integer(0, MS_MAX) }),
  batch_stuck: shape({ kind: anything, state: oneOf("validating", "in_progress", "finalizing") }),
  batch_expires: shape({ kind: anything }, { share: SHARE }),
  batch_cancelled: shape({ kind: anything }, { share: SHARE }),
  batch_refused: shape({ kind: anything }, { code: text(1, 64), line: integer(0) }),
  batch_queue_full: shape({ kind: anything }),
  batch_lines_fail: shape({ kind: anything }, { share: SHARE, status: integer(0, 599) }),
  batch_lines_missing: shape({ kind: anything }, { share: SHARE }),
  batch_lines_repeated: shape({ kind: anything }, { share: SHARE, different: flag }),
  batch_lines_unknown: shape({ kind: anything }, { count: integer(1, 1000) }),
  batch_lines_reordered: shape({ kind: anything }),
  batch_file_damaged: shape({ kind: anything, how: oneOf("cut", "bom", "crlf", "blank_lines", "nul", "bad_line") }),
  batch_file_gone: shape({ kind: anything }),
  batch_backward: shape(
    { kind: anything },
    { from: oneOf("in_progress", "finalizing", "completed"), reads: integer(1, 1000) },
  ),
  batch_strange_state: shape({ kind: anything }, { word: text(1, 64), reads: integer(1, 1_000_000) }),
  batch_counts_wrong: shape({ kind: anything }, { by: integer(-1_000_000, 1_000_000) }),
  batch_deleted: shape({ kind: anything }, { at: oneOf("in_progress", "finalizing", "completed") }),
};

/** The fault of this kind among a batch's faults. */
export function faultOf<K extends BatchFaultKind>(
  faults: readonly BatchFault[],
  kind: K,
): Extract<BatchFault, { kind: K }> | null {
  const found = faults.find((fault) => fault.kind === kind);
  // The kind was compared; TypeScript does not carry that into the extracted type.
  return found === undefined ? null : (found as Extract<BatchFault, { kind: K }>);
}

/** Whether line `line` (from 1) is one of this share of the lines. */
export function isInShare(line: number, share: number): boolean {
  return Math.ceil(line * share) > Math.ceil((line - 1) * share);
}
