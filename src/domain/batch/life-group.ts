import type { EpochMs } from "../ids.js";
import type { Batch } from "./batch.js";
import { event, goOn, type LifeStep } from "./life.js";

/**
 * The life of a group as pure steps: a batch for an account whose provider has no batch API. Its row only holds the lines together and says
 * how far they are. Each line is a direct call with an intent and an outcome of its own, so a kill leaves nothing here to be found out.
 */

export type GroupTask =
  /** Its builder is gone: what was bound is its content. */
  | "seal"
  /** From now on its lines may be called. */
  | "open"
  /** See that its lines are called, and how far they are. */
  | "watch"
  /** No further line is called; those that were not go back. */
  | "stop"
  /** It ends before a line was called; all go back. */
  | "give_up";

export function groupTask({ state, cancelAskedAtMs }: Batch): GroupTask {
  switch (state) {
    case "building":
      return "seal";
    case "sealed":
      return cancelAskedAtMs === null ? "open" : "give_up";
    case "submitted":
      return cancelAskedAtMs === null ? "watch" : "stop";
    case "cancelling":
      return "watch";
    case "failed":
      return "give_up";
    case "uploading":
    case "uploaded":
    case "creating":
    case "ended":
    case "ingesting":
    case "done":
      throw new Error(`InvariantError: a group is never due in state ${state}`);
  }
}

/** How far the lines of a batch are. */
export interface LineCounts {
  /** Without an outcome: not called yet, called, or in doubt. */
  readonly open: number;
  /** The others, by outcome; `not_sent`: given back, `in_doubt`: the work went on without knowing. */
  readonly outcomes: Readonly<Record<string, number>>;
}

export function groupOpens(batch: Batch, expectedMs: number, nowMs: EpochMs): LifeStep {
  const opened = { state: "submitted", submittedAtMs: nowMs, expectedAtMs: nowMs + expectedMs } as const;
  const told = event("batch.submitted", "its lines are called one by one, in the background", {
    lines: String(batch.lines),
  });
  return { ...goOn(batch, opened, nowMs), effects: [told] };
}

export function groupStops(batch: Batch, nowMs: EpochMs): LifeStep {
  return goOn(batch, { state: "cancelling" }, nowMs);
}

/** @param lookMs until it is looked at again. */
export function groupSeen(batch: Batch, { open, outcomes }: LineCounts, lookMs: number, nowMs: EpochMs): LifeStep {
  if (open > 0) return { batch: { ...batch, outcomes, nextAtMs: nowMs + lookMs }, effects: [] };
  const over = { state: "done", outcomes, endedAtMs: nowMs, doneAtMs: nowMs, nextAtMs: null } as const;
  const state = batch.cancelAskedAtMs === null ? "completed" : "cancelled";
  const turnaroundMs = nowMs - (batch.submittedAtMs ?? nowMs);
  const details = { state, turnaroundMs: String(turnaroundMs), lines: String(batch.lines) };
  return { batch: { ...batch, ...over }, effects: [event("batch.ended", `ended as ${state}`, details)] };
}

/** Nothing of it was called, and its lines are back where they are decided anew. */
export function groupGivenUp(batch: Batch, nowMs: EpochMs): LifeStep {
  const trouble = batch.trouble ?? "cancelled by an operator before a line of it was called";
  return { batch: { ...batch, state: "failed", trouble, doneAtMs: nowMs, nextAtMs: null }, effects: [] };
}
