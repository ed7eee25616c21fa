import { NO_COUNTS } from "../../../domain/batch/provider-batch.js";
import type { BatchCounts, ProviderBatch, ProviderBatchState } from "../../../domain/batch/provider-batch.js";
import { countIn, idIn, stateOf, timeIn } from "../batch-answers.js";
import { isJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";

/** A batch that expired or was cancelled has `ended` like any other: its lines tell. */
const STATES: Readonly<Record<string, ProviderBatchState>> = {
  in_progress: "running",
  canceling: "cancelling",
  cancelling: "cancelling",
  ended: "completed",
};

/** A message batch; null when the object is none. Source: Anthropic message batches reference, 2026-09. */
export function fromAnthropicBatch(body: JsonObject): ProviderBatch | null {
  const batchId = idIn(body, "id");
  if (batchId === null) return null;
  const { state, unknownWord } = stateOf(textIn(body, "processing_status"), STATES);
  return {
    batchId,
    state,
    unknownWord,
    mark: null,
    fileId: null,
    model: null,
    counts: countsOf(body),
    createdAtMs: timeIn(body, "created_at"),
    endedAtMs: timeIn(body, "ended_at"),
    expiresAtMs: timeIn(body, "expires_at"),
    // Its `results_url` is not followed: an answer must not choose where the key goes.
    results: state === "completed" ? [{ part: "results", ref: batchId }] : [],
    refusal: null,
  };
}

/** The five always add up to the number of requests, which is all there is to know an unseen batch by. */
function countsOf(body: JsonObject): BatchCounts {
  const counts = body["request_counts"];
  if (!isJsonObject(counts)) return NO_COUNTS;
  const waiting = countIn(counts, "processing");
  const succeeded = countIn(counts, "succeeded");
  const failed = countIn(counts, "errored");
  const expired = countIn(counts, "expired");
  const cancelled = countIn(counts, "canceled");
  const all = [waiting, succeeded, failed, expired, cancelled];
  const total = all.reduce((sum, count) => (sum === null || count === null ? null : sum + count), 0);
  return { total, waiting, succeeded, failed, expired, cancelled };
}
