import type { ProviderBatch } from "../../domain/batch/provider-batch.js";
import type { BatchCallFailure, BatchProvider, CallLimits } from "../../ports/batch-provider.js";

/** Pages of one look; at the smallest page of any provider these are 10,000 batches. */
const PAGES_MAX = 500;

export type Listed = { readonly kind: "listed"; readonly batches: readonly ProviderBatch[] } | BatchCallFailure;

/** All batches of the account that were made since then, newest first. A list that breaks off proves nothing, so it counts as failed. */
export async function listSince(
  provider: BatchProvider,
  sinceMs: number,
  limits: CallLimits,
  signal: AbortSignal,
): Promise<Listed> {
  const batches: ProviderBatch[] = [];
  let after: string | null = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    // Serial: each page tells where the next begins.
    const reply = await provider.list({ sinceMs, after }, limits, signal);
    if (reply.kind === "failed") return reply;
    batches.push(...reply.batches);
    if (reply.next === null) return { kind: "listed", batches };
    after = reply.next;
  }
  return {
    kind: "failed",
    outcome: "unclassified",
    sent: "answered",
    message: `the list of batches does not end after ${String(PAGES_MAX)} pages`,
    retryAfterMs: null,
    provider: { status: null, code: null, requestId: null },
  };
}
