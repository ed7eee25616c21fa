import { NO_COUNTS } from "../../../domain/batch/provider-batch.js";
import type {
  BatchCounts,
  ProviderBatch,
  ProviderBatchState,
  ResultPart,
} from "../../../domain/batch/provider-batch.js";
import { countIn, idIn, secondsIn, stateOf } from "../batch-answers.js";
import { isJsonObject, objectIn, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { OPENAI_LIKE_ERRORS } from "../openai-like/from-error.js";
import { failedBatchRefusal } from "./batch-refusals.js";

const STATES: Readonly<Record<string, ProviderBatchState>> = {
  validating: "accepted",
  in_progress: "running",
  finalizing: "finishing",
  completed: "completed",
  failed: "failed",
  expired: "expired",
  cancelling: "cancelling",
  canceling: "cancelling",
  cancelled: "cancelled",
  canceled: "cancelled",
};

/** Our pair of its metadata. */
export const MARK_KEY = "sluice_batch";

/** A batch object; null when it is none. Source: OpenAI API specification, Batch, 2026-08-21. */
export function fromOpenaiBatch(body: JsonObject): ProviderBatch | null {
  const batchId = idIn(body, "id");
  if (batchId === null) return null;
  const { state, unknownWord } = stateOf(textIn(body, "status"), STATES);
  return {
    batchId,
    state,
    unknownWord,
    mark: textIn(objectIn(body, "metadata"), MARK_KEY),
    fileId: idIn(body, "input_file_id"),
    model: textIn(body, "model"),
    counts: countsOf(body),
    createdAtMs: secondsIn(body, "created_at"),
    endedAtMs: endedAt(body),
    expiresAtMs: secondsIn(body, "expires_at"),
    results: partsOf(body),
    refusal: state === "failed" ? failedBatchRefusal(body, { label: "openai", errors: OPENAI_LIKE_ERRORS }) : null,
  };
}

/** Lines that never ran count nowhere; before the file was looked at, all is 0, which says nothing. */
function countsOf(body: JsonObject): BatchCounts {
  const counts = body["request_counts"];
  if (!isJsonObject(counts)) return NO_COUNTS;
  const total = countIn(counts, "total");
  if (total === null || total === 0) return NO_COUNTS;
  return { ...NO_COUNTS, total, succeeded: countIn(counts, "completed"), failed: countIn(counts, "failed") };
}

function endedAt(body: JsonObject): number | null {
  const times = ["completed_at", "failed_at", "expired_at", "cancelled_at"].map((name) => secondsIn(body, name));
  return times.find((time) => time !== null) ?? null;
}

/** Each of the two files may be absent, also as an empty text: then nothing went into it. */
function partsOf(body: JsonObject): readonly ResultPart[] {
  const results = idIn(body, "output_file_id");
  const errors = idIn(body, "error_file_id");
  return [
    ...(results === null ? [] : [{ part: "results", ref: results } as const]),
    ...(errors === null ? [] : [{ part: "errors", ref: errors } as const]),
  ];
}
