import type { BatchRefusal, BatchRefusalReason, LineFault } from "../../domain/batch/provider-batch.js";
import { classifyError, errorWord } from "./error-table.js";
import type { ErrorRow, ErrorWords } from "./error-table.js";
import type { BatchCallFailure } from "../../ports/batch-provider.js";

/** Why a provider takes no batch, as data: each provider has rows of its own, the first that matches counts. */
export interface RefusalRow {
  /** Left out: any, and the codes of batches that failed after their creation, which have none. */
  readonly status?: number;
  readonly words?: readonly string[];
  /** Matches the error's code, where codes have parts. */
  readonly codeLike?: RegExp;
  /** Only where a provider documents no code. */
  readonly message?: RegExp;
  readonly because: BatchRefusalReason;
  readonly says: string;
}

/** What all other errors of a create come to, by what they mean for a direct call. */
const BY_OUTCOME: Readonly<Record<BatchCallFailure["outcome"], BatchRefusalReason>> = {
  rate_limited: "rate_limited",
  overloaded: "unclassified",
  timed_out: "unclassified",
  connection_failed: "unclassified",
  bad_response: "unclassified",
  bad_answer: "unclassified",
  refused: "not_accepted",
  content_refused: "bad_line",
  context_too_long: "bad_line",
  auth_failed: "auth_failed",
  quota_exhausted: "quota_exhausted",
  line_expired: "unclassified",
  line_missing: "unclassified",
  cancelled: "unclassified",
  in_doubt: "unclassified",
  unclassified: "unclassified",
};

/** A refusal as the provider worded it. `status` is null for a batch that failed after its creation. */
export interface RefusalWords extends ErrorWords {
  readonly status: number | null;
  readonly lines: readonly LineFault[];
}

export interface RefusalTables {
  readonly label: string;
  readonly refusals: readonly RefusalRow[];
  readonly errors: readonly ErrorRow[];
}

export function refusalOf(tables: RefusalTables, words: RefusalWords): BatchRefusal {
  const { because, says } = tables.refusals.find((row) => matches(row, words)) ?? general(tables, words);
  const code = errorWord(words.code) ?? errorWord(words.type);
  const shown = [words.status, code].filter((part) => part !== null).join(" ");
  return {
    because,
    message: `${tables.label} refused the batch${shown === "" ? "" : ` (${shown})`}: ${says}`,
    lines: words.lines,
    retryAfterMs: words.retryAfterMs,
    provider: { status: words.status, code, requestId: words.requestId },
  };
}

function matches(row: RefusalRow, words: RefusalWords): boolean {
  if (row.status !== undefined && row.status !== words.status) return false;
  if (row.words !== undefined && !row.words.some((word) => word === words.code || word === words.type)) return false;
  if (row.codeLike !== undefined && !row.codeLike.test(words.code ?? "")) return false;
  return row.message === undefined || (words.message !== null && row.message.test(words.message));
}

function general({ errors }: RefusalTables, words: RefusalWords): Pick<RefusalRow, "because" | "says"> {
  if (words.status === null) return { because: "unclassified", says: "an error that this version does not know" };
  const { outcome, says } = classifyError(errors, words.status, words);
  return { because: BY_OUTCOME[outcome], says };
}
