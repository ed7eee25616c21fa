import type { AttemptOutcome } from "../../domain/failure.js";

/** Which error is which, as data: each provider's adapter has a list of rows, the first that matches counts. */
export interface ErrorRow {
  readonly status: number;
  /** Matches the error's type or code, whichever field a provider uses. Left out: any. */
  readonly words?: readonly string[];
  /** Matches the error's code, where codes have parts. */
  readonly codeLike?: RegExp;
  /** Only where a provider documents no code: its message text is not stable. */
  readonly message?: RegExp;
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  /** What it means and what helps, for the job's result and the log. Never the provider's own text: that may quote the prompt. */
  readonly says: string;
}

/** What an error body said, in one shape for all providers. */
export interface ErrorWords {
  readonly type: string | null;
  readonly code: string | null;
  readonly message: string | null;
  /** How long to stay away, where it is said in the body; the header wins. */
  readonly retryAfterMs: number | null;
  /** The provider's name of the call, where it is said in the body; the header wins. */
  readonly requestId: string | null;
}

export const NO_WORDS: ErrorWords = { type: null, code: null, message: null, retryAfterMs: null, requestId: null };

export interface ClassifiedError {
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly says: string;
}

/** An unknown status is `unclassified`: counted and bounded, neither "pending" nor "retry for ever". */
export function classifyError(rows: readonly ErrorRow[], status: number, words: ErrorWords): ClassifiedError {
  const row = rows.find((one) => matches(one, status, words));
  return row ?? { outcome: "unclassified", says: "an answer this version does not know" };
}

function matches(row: ErrorRow, status: number, words: ErrorWords): boolean {
  if (row.status !== status) return false;
  if (row.words !== undefined && !row.words.some((word) => word === words.type || word === words.code)) return false;
  if (row.codeLike !== undefined && !row.codeLike.test(words.code ?? "")) return false;
  return row.message === undefined || (words.message !== null && row.message.test(words.message));
}

/** A provider's type or code as it may be shown and stored: a short word, or a number in text; anything else is dropped. */
export function errorWord(value: unknown): string | null {
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  return typeof value === "string" && /^[\w.:-]{1,64}$/.test(value) ? value : null;
}
