import type { BatchRefusal, LineFault } from "../../../domain/batch/provider-batch.js";
import { refusalOf } from "../batch-refusal.js";
import type { RefusalRow } from "../batch-refusal.js";
import { errorWord } from "../error-table.js";
import type { ErrorWords } from "../error-table.js";
import type { JsonObject } from "../json-object.js";
import { fromGeminiError, GEMINI_ERRORS } from "./from-error.js";
import { statusOfCode } from "./rpc-status.js";

/**
 * Source: Gemini API batch mode, files and rate limit guides, 2026-08, and what users see: only a quota's name or the message tells which
 * limit a 429 means, and often neither does.
 */
export const GEMINI_REFUSALS: readonly RefusalRow[] = [
  {
    status: 429,
    codeLike: /enqueued|batch.*token/i,
    because: "queue_full",
    says: "the model's limit of enqueued tokens is reached; smaller batches, or when others have ended",
  },
  {
    status: 429,
    message: /enqueued|batch.*token/i,
    because: "queue_full",
    says: "the model's limit of enqueued tokens is reached; smaller batches, or when others have ended",
  },
  {
    status: 429,
    codeLike: /concurrent/i,
    because: "too_many_batches",
    says: "the account has as many open batches as it may have",
  },
  {
    status: 429,
    message: /concurrent/i,
    because: "too_many_batches",
    says: "the account has as many open batches as it may have",
  },
  { status: 413, because: "too_large", says: "the request is too large" },
  { status: 400, message: /payload size|too large/i, because: "too_large", says: "the request is too large" },
  // A file that is not there is answered like one of somebody else's.
  { status: 403, message: /file.*may not exist/i, because: "file_gone", says: "the input file is not there" },
  { status: 404, message: /\bfiles?\b/i, because: "file_gone", says: "the input file is not there" },
  {
    status: 400,
    message: /\bfile\b.*\bactive\b/i,
    because: "file_not_ready",
    says: "the provider still looks at the input file",
  },
  {
    status: 400,
    message: /\bfile\b.*(?:not found|not exist)/i,
    because: "file_gone",
    says: "the input file is not there",
  },
  {
    status: 400,
    message: /\bline \d+|\brequests\[\d+\]|duplicate key/i,
    because: "bad_line",
    says: "a line of it breaks the rules",
  },
];

/** Some messages name the place: `line 12`, counted from 1, or `requests[11]`, from 0. */
export function geminiFaults({ message, code, type }: ErrorWords): readonly LineFault[] {
  const line = /\bline (\d{1,9})\b/i.exec(message ?? "")?.[1];
  const index = /\brequests\[(\d{1,9})\]/.exec(message ?? "")?.[1];
  if (line === undefined && index === undefined) return [];
  const lineNumber = line === undefined ? Number(index) + 1 : Number(line);
  return lineNumber > 0 ? [{ lineNumber, code: errorWord(code) ?? errorWord(type) }] : [];
}

/** `error` of an operation that failed as a whole. */
export function failedOperationRefusal(error: JsonObject): BatchRefusal {
  const words = fromGeminiError(JSON.stringify({ error }));
  return refusalOf(
    { label: "gemini", errors: GEMINI_ERRORS, refusals: GEMINI_REFUSALS },
    { ...words, status: statusOfCode(error["code"]) || null, lines: geminiFaults(words) },
  );
}
