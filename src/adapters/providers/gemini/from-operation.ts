import { NO_COUNTS } from "../../../domain/batch/provider-batch.js";
import type {
  BatchCounts,
  ProviderBatch,
  ProviderBatchState,
  ResultPart,
} from "../../../domain/batch/provider-batch.js";
import { countIn, stateOf, timeIn } from "../batch-answers.js";
import type { ListRole } from "../element-splitter.js";
import { isJsonObject, objectIn, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { failedOperationRefusal } from "./batch-refusals.js";
import { CANCELLED_STATUS, statusOfCode } from "./rpc-status.js";

/** Without the prefix: `BATCH_STATE_` on the wire, `JOB_STATE_` in guides. */
const STATES: Readonly<Record<string, ProviderBatchState>> = {
  UNSPECIFIED: "accepted",
  PENDING: "accepted",
  QUEUED: "accepted",
  RUNNING: "running",
  CANCELLING: "cancelling",
  SUCCEEDED: "completed",
  PARTIALLY_SUCCEEDED: "completed",
  FAILED: "failed",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
};

/** The member that holds inline results, and the one inside it; embeddings were seen under a name of their own. */
const INLINE_MEMBERS = ["inlinedResponses", "inlinedEmbedContentResponses"] as const;
const INLINE_LIST = "inlinedResponses";

/**
 * Inline results may fill most of an operation, and stand in it twice (`response` and `metadata.output`); the requests that it repeats are of no use.
 */
export function roleOfList(name: string, parent: string): ListRole {
  if (name === INLINE_LIST && INLINE_MEMBERS.some((member) => member === parent)) return "records";
  return name === "requests" && parent === "requests" ? "left_out" : null;
}

/** The name of a batch or a file as it may be put into a path. */
export function resourceName(value: unknown, collection: "batches" | "files"): string | null {
  return typeof value === "string" && new RegExp(`^${collection}/[\\w-]{1,200}$`).test(value) ? value : null;
}

/** A batch as a long-running operation; null when the object is none. Source: Gemini API batch reference, 2026-08. */
export function fromGeminiOperation(body: JsonObject): ProviderBatch | null {
  const batchId = resourceName(body["name"], "batches");
  if (batchId === null) return null;
  const metadata = objectIn(body, "metadata");
  const { state, unknownWord } = stateIn(body, metadata);
  return {
    batchId,
    state,
    unknownWord,
    mark: textIn(metadata, "displayName"),
    fileId: resourceName(objectIn(metadata, "inputConfig")["fileName"], "files"),
    model: textIn(metadata, "model")?.replace(/^models\//, "") ?? null,
    counts: countsOf(metadata),
    createdAtMs: timeIn(metadata, "createTime"),
    endedAtMs: timeIn(metadata, "endTime"),
    expiresAtMs: null,
    results: partsOf(body, batchId),
    refusal: state === "failed" ? failedOperationRefusal(objectIn(body, "error")) : null,
  };
}

/** `done` says whether the results are there; an error in place of them may be all there is to know. */
function stateIn(body: JsonObject, metadata: JsonObject): ReturnType<typeof stateOf> {
  const done = body["done"] === true;
  const error = body["error"];
  const word = textIn(metadata, "state")?.replace(/^(?:BATCH|JOB)_STATE_/, "") ?? null;
  const told = stateOf(word, STATES);
  if (done && isJsonObject(error) && (word === null || told.state === "completed"))
    return { state: statusOfCode(error["code"]) === CANCELLED_STATUS ? "cancelled" : "failed", unknownWord: null };
  if (word === null) return done ? { state: "completed", unknownWord: null } : told;
  return told.state === "completed" && !done ? { state: "finishing", unknownWord: null } : told;
}

/** Counts are int64, so they come as texts, and those of zero are left out. */
function countsOf(metadata: JsonObject): BatchCounts {
  const stats = metadata["batchStats"];
  if (!isJsonObject(stats)) return NO_COUNTS;
  const count = (name: string): number | null => (stats[name] === undefined ? 0 : countIn(stats, name));
  const total = count("requestCount");
  if (total === null || total === 0) return NO_COUNTS;
  return {
    ...NO_COUNTS,
    total,
    waiting: count("pendingRequestCount"),
    succeeded: count("successfulRequestCount"),
    failed: count("failedRequestCount"),
  };
}

function partsOf(body: JsonObject, batchId: string): readonly ResultPart[] {
  const outputs = [objectIn(body, "response"), objectIn(objectIn(body, "metadata"), "output")];
  const file = outputs.map((output) => resourceName(output["responsesFile"], "files")).find((name) => name !== null);
  if (file !== undefined) return [{ part: "results", ref: file }];
  return outputs.some(hasInlineList) ? [{ part: "inline", ref: batchId }] : [];
}

function hasInlineList(output: JsonObject): boolean {
  return INLINE_MEMBERS.some((member) => Array.isArray(objectIn(output, member)[INLINE_LIST]));
}
