import type { Batch } from "./batch.js";
import type { BatchCounts } from "./provider-batch.js";

/** How far a batch is, as people are told. Null: the provider has it and does not say. */
export interface BatchProgress {
  /** Lines that the provider is done with, or whose outcome is stored, whichever are more. */
  readonly done: number | null;
  /** Of all lines, whole, rounded down: 100 only when nothing is left. */
  readonly percent: number | null;
}

export function batchProgress(batch: Pick<Batch, "lines" | "providerBatchId" | "seen" | "outcomes">): BatchProgress {
  const stored = Object.values(batch.outcomes).reduce((sum, count) => sum + count, 0);
  const told = batch.seen === null ? null : doneOf(batch.seen.counts);
  const isUntold = told === null && stored === 0 && batch.providerBatchId !== null;
  if (isUntold) return { done: null, percent: null };
  const done = Math.min(batch.lines, Math.max(stored, told ?? 0));
  return { done, percent: batch.lines === 0 ? 0 : Math.floor((done * 100) / batch.lines) };
}

function doneOf({ total, waiting, succeeded, failed, expired, cancelled }: BatchCounts): number | null {
  const told = [succeeded, failed, expired, cancelled].filter((count) => count !== null);
  if (told.length > 0) return told.reduce((sum, count) => sum + count, 0);
  return total === null || waiting === null ? null : Math.max(0, total - waiting);
}

/**
 * What asking a batch to stop means in its state:
 * - `never_sent`: the provider has nothing of it; all its lines go back
 * - `unclear`: its create may have arrived; first that is found out
 * - `at_provider`: the provider is asked, or no further line of a group is called; lines that are done stay and are charged
 * - `asked`: that has been asked already
 * - `over`: it has ended, there is nothing to stop
 */
export type CancelMeaning = "never_sent" | "unclear" | "at_provider" | "asked" | "over";

export function cancelMeaning({ state, cancelAskedAtMs }: Pick<Batch, "state" | "cancelAskedAtMs">): CancelMeaning {
  switch (state) {
    case "ended":
    case "ingesting":
    case "done":
    case "failed":
      return "over";
    case "cancelling":
      return "asked";
    case "building":
    case "sealed":
    case "uploading":
    case "uploaded":
      return cancelAskedAtMs === null ? "never_sent" : "asked";
    case "creating":
      return cancelAskedAtMs === null ? "unclear" : "asked";
    case "submitted":
      return cancelAskedAtMs === null ? "at_provider" : "asked";
  }
}
