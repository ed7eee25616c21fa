import type { RequestFormat } from "../job/job.js";
import type { BatchRules, BatchWayRules } from "./batch-rules.js";

/**
 * What a group demands: lines for an account whose provider has no batch API, each of which is a direct call in the background. Nothing
 * is created, uploaded or read there, so only what bounds a group and what makes its lines alike counts.
 */
const GROUP_WAY: BatchWayRules = {
  way: "calls",
  fence: "none",
  // A line can't go elsewhere once it is in a group; what waits in the pool still can. So groups are small, and follow one another.
  linesMax: 1_000,
  bytesMax: 1_073_741_824,
  lineBytesMax: 1_073_741_824,
  frameBytes: 0,
  embeddingInputsMax: null,
};

/** @param formats that the account's kind speaks. A group has one model: a server of one's own often holds one, and its prefix cache is of one. */
export function groupRules(formats: readonly RequestFormat[]): BatchRules {
  return {
    ways: [GROUP_WAY],
    formats,
    alike: { format: true, model: true },
    customIdForm: /.*/,
    // Groups are told apart by our own rows.
    markCharactersMax: 64,
    listFilter: "none",
    windowMs: Number.MAX_SAFE_INTEGER,
    expiredKeepsResults: true,
    resultsKeptMs: Number.MAX_SAFE_INTEGER,
    allowance: "enqueued_tokens",
    openBatchesMax: null,
    createsPerHourMax: null,
    discount: { percent: 0, cachedInput: "undiscounted" },
  };
}

/** Calls of a group at once when the config does not say: half of the account's places, so that the others are free for direct jobs. */
export function groupConcurrency(accountConcurrency: number): number {
  return Math.max(1, Math.floor(accountConcurrency / 2));
}
