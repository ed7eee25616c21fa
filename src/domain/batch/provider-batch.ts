import type { ProviderError } from "../failure.js";
import type { LedgerKey } from "../ids.js";

/** A batch as its provider tells of it, in our words. */

/**
 * Each provider's status words map to these by a table. A word that is not in the table means "still going": `running`, with the word
 * kept, so that it is counted and alerted.
 */
export const PROVIDER_BATCH_STATES = {
  accepted: { ended: false },
  running: { ended: false },
  /** All lines ran; the results are being written. */
  finishing: { ended: false },
  cancelling: { ended: false },
  /** The lines tell how each of them ended. */
  completed: { ended: true },
  /** Refused as a whole: nothing ran. */
  failed: { ended: true },
  expired: { ended: true },
  cancelled: { ended: true },
} as const satisfies Record<string, { readonly ended: boolean }>;
export type ProviderBatchState = keyof typeof PROVIDER_BATCH_STATES;

/** Lines of a batch by what became of them, as the provider counts. Null: not told. They may not add up: the result lines count. */
export interface BatchCounts {
  readonly total: number | null;
  readonly waiting: number | null;
  readonly succeeded: number | null;
  readonly failed: number | null;
  readonly expired: number | null;
  readonly cancelled: number | null;
}

export const NO_COUNTS: BatchCounts = {
  total: null,
  waiting: null,
  succeeded: null,
  failed: null,
  expired: null,
  cancelled: null,
};

/**
 * Why a provider takes a batch not at all, at its creation or when it looked at the file. Nothing of it ran.
 * - `bad_line`: a line breaks the provider's rules; `lines` says which where it is known
 * - `queue_full`: tokens or lines that wait at the provider reached the account's limit; smaller or later
 * - `too_many_batches`: the account has as many open batches as it may have
 * - `too_large`: too many lines or bytes
 * - `file_gone`: the input file is not there (any more)
 * - `file_not_ready`: the provider still looks at the input file; a little later
 * - `not_accepted`: anything else that the same request would meet again
 */
export type BatchRefusalReason =
  | "bad_line"
  | "queue_full"
  | "too_many_batches"
  | "too_large"
  | "file_gone"
  | "file_not_ready"
  | "rate_limited"
  | "auth_failed"
  | "quota_exhausted"
  | "not_accepted"
  | "unclassified";

export interface BatchRefusal {
  readonly because: BatchRefusalReason;
  /** What it means and what helps; never the provider's own text. */
  readonly message: string;
  readonly lines: readonly LineFault[];
  readonly retryAfterMs: number | null;
  readonly provider: ProviderError;
}

/** A line that a provider names as the fault of a whole batch. */
export interface LineFault {
  /** Place in the batch as it was sent, from 1. */
  readonly lineNumber: number;
  /** The provider's error code; null: none. */
  readonly code: string | null;
  /** Which attempt of ours it is; only there once it was looked up. Places shift when lines end, this does not. */
  readonly attempt?: LedgerKey;
}

/** What the provider's own answer says of a batch. */
export interface ProviderBatch {
  readonly batchId: string;
  readonly state: ProviderBatchState;
  /** The status word when this version does not know it. */
  readonly unknownWord: string | null;
  /** The text given at its creation; null where none is kept. */
  readonly mark: string | null;
  /** Its input file; null for lines that came inline. */
  readonly fileId: string | null;
  readonly model: string | null;
  readonly counts: BatchCounts;
  readonly createdAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly expiresAtMs: number | null;
  /** Where its results lie, in the order in which they are read. Empty: none (yet). */
  readonly results: readonly ResultPart[];
  /** Only in state `failed`. */
  readonly refusal: BatchRefusal | null;
}

/** One file of results, or the results that stand in the batch itself. */
export interface ResultPart {
  readonly part: "results" | "errors" | "inline";
  /** The file's id, else the batch's. */
  readonly ref: string;
}

/** A place between two lines. Plain numbers, to be stored. */
export interface ResultsCursor {
  /** Index into `parts`. */
  readonly part: number;
  /** Of the part, uncompressed. */
  readonly byteOffset: number;
  readonly lineNumber: number;
  /** CRC-32 of all bytes before it: a provider that writes the same results in another order on the next read is noticed. */
  readonly checksum: number;
}
