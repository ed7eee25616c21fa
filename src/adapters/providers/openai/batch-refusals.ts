import type { BatchRefusal, LineFault } from "../../../domain/batch/provider-batch.js";
import { refusalOf } from "../batch-refusal.js";
import type { RefusalRow, RefusalTables } from "../batch-refusal.js";
import { NO_WORDS, errorWord } from "../error-table.js";
import { isJsonObject, objectIn, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";

/**
 * Words of a batch's refusal, at its creation or after the file was looked at. Source: OpenAI batch guide, 2026-08; Azure's batch guide for the
 * names that OpenAI does not list; spellings of the model mismatch differ.
 */
export const OPENAI_REFUSALS: readonly RefusalRow[] = [
  {
    words: ["token_limit_exceeded"],
    because: "queue_full",
    says: "the account's limit of enqueued tokens is reached; smaller batches, or when others have ended",
  },
  { words: ["too_many_tasks", "too_many_requests_in_file"], because: "too_large", says: "the file has too many lines" },
  { status: 413, because: "too_large", says: "the request is too large" },
  {
    words: [
      "invalid_json_line",
      "duplicate_custom_id",
      "url_mismatch",
      "invalid_url",
      "invalid_method",
      "missing_required_parameter",
    ],
    because: "bad_line",
    says: "a line of the file breaks its rules",
  },
  { words: ["model_mismatch", "mismatched_model"], because: "bad_line", says: "the lines name more than one model" },
  {
    words: ["model_not_found"],
    because: "auth_failed",
    says: "the model does not exist or the account may not batch it",
  },
  { words: ["empty_file"], because: "bad_line", says: "the file has no line" },
  { status: 404, because: "file_gone", says: "the input file is not there" },
  {
    status: 400,
    message: /no such file|file.*(?:not found|does not exist|deleted)/i,
    because: "file_gone",
    says: "the input file is not there",
  },
  { words: ["input_no_permissions", "input_modified"], because: "file_gone", says: "the input file can't be read" },
];

/** `errors` of a batch in status `failed`: the first one tells why, all that name a line are kept. Null: nothing is said. */
export function failedBatchRefusal(batch: JsonObject, tables: Pick<RefusalTables, "label" | "errors">): BatchRefusal {
  const data = objectIn(batch, "errors")["data"];
  const errors = Array.isArray(data) ? data.filter(isJsonObject) : [];
  const [first] = errors;
  const said = first === undefined ? {} : { code: textIn(first, "code"), message: textIn(first, "message") };
  return refusalOf(
    { ...tables, refusals: OPENAI_REFUSALS },
    { ...NO_WORDS, ...said, status: null, lines: errors.flatMap(faultOf) },
  );
}

function faultOf(error: JsonObject): readonly LineFault[] {
  const { line } = error;
  return typeof line === "number" && Number.isSafeInteger(line) && line > 0
    ? [{ lineNumber: line, code: errorWord(error["code"]) }]
    : [];
}
