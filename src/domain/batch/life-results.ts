import type { EpochMs } from "../ids.js";
import type { Batch } from "./batch.js";
import { backoffMs, event, goOn, troubled, type LifeSettings, type LifeStep } from "./life.js";
import type { ResultsCursor } from "./provider-batch.js";

/** From the provider's last word to the moment in which each line has an outcome, and what is cleared away after it. */

/** Whole reads of the results before a line that none of them shows is missing. */
const PASSES_MAX = 2;
/** Reads in which a part was not there before its results are given up. */
const GONE_TRIES = 6;
const ERASE_TRIES = 20;

export function ingestBegins(batch: Batch, nowMs: EpochMs): LifeStep {
  return goOn(batch, { state: "ingesting" }, nowMs);
}

/** A group was read. Only what is new counts as progress: a read of what is known already must not hide that a part stays away. */
export function groupStored(
  batch: Batch,
  cursor: ResultsCursor | null,
  outcomes: ReadonlyMap<string, number>,
  nowMs: EpochMs,
): LifeStep {
  const progress = outcomes.size === 0 ? {} : { outcomes: added(batch.outcomes, outcomes), tries: 0, trouble: null };
  return goOn(batch, { cursor, ...progress }, nowMs);
}

function added(outcomes: Batch["outcomes"], more: ReadonlyMap<string, number>): Batch["outcomes"] {
  const sum: Record<string, number> = { ...outcomes };
  for (const [outcome, count] of more) sum[outcome] = (sum[outcome] ?? 0) + count;
  return sum;
}

/** Whether this read is the last one: what it does not show is missing. */
export function isLastPass({ passes, parts }: Pick<Batch, "passes" | "parts">): boolean {
  return parts.length === 0 || passes + 1 >= PASSES_MAX;
}

/** What one read of all results came to. */
export interface ReadEnd {
  /** Some line has no outcome yet. */
  readonly linesOpen: boolean;
  /** A part was not there. */
  readonly gone: boolean;
}

export type AfterRead =
  | { readonly kind: "step"; readonly step: LifeStep }
  /** What is open gets its outcome without a result. `lost`: the provider had results and has them no more. */
  | { readonly kind: "settle"; readonly as: "line_expired" | "cancelled" | "line_missing"; readonly lost: boolean };

export function afterRead(
  batch: Batch,
  { linesOpen, gone }: ReadEnd,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): AfterRead {
  if (!linesOpen) return { kind: "step", step: allDone(batch, settings, nowMs) };
  const anew = { ...batch, cursor: null };
  if (gone && batch.tries < GONE_TRIES) {
    const trouble = { message: "the provider does not have the results (any more)", retryAfterMs: null };
    return { kind: "step", step: troubled(anew, trouble, settings, nowMs, random) };
  }
  if (gone) return { kind: "settle", as: "line_missing", lost: true };
  if (!isLastPass(batch)) {
    const again = { ...anew, passes: batch.passes + 1, nextAtMs: nowMs + backoffMs(1, settings, random) };
    return { kind: "step", step: { batch: again, effects: [] } };
  }
  return { kind: "settle", as: outcomeOfMissing(batch), lost: false };
}

/** A line that never ran is told by how its batch ended; anything else should have had a result. */
function outcomeOfMissing({ seen }: Batch): "line_expired" | "cancelled" | "line_missing" {
  if (seen?.state === "expired") return "line_expired";
  return seen?.state === "cancelled" ? "cancelled" : "line_missing";
}

/** The read broke off; it goes on at the cursor, for as long as the provider keeps results. */
export function readBroke(
  batch: Batch,
  failure: { readonly message: string; readonly retryAfterMs: number | null },
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const step = troubled(batch, failure, settings, nowMs, random);
  const halfLifeMs = (batch.endedAtMs ?? nowMs) + settings.resultsKeptMs / 2;
  const isLate = nowMs >= halfLifeMs && (batch.seen?.atMs ?? 0) < halfLifeMs;
  if (!isLate) return step;
  const late = event("batch.stuck", "its results can't be read, and half of the time that they are kept is over");
  // Once: the time of the last look tells that it was said.
  const seen = batch.seen === null ? null : { ...batch.seen, atMs: nowMs };
  return { batch: { ...step.batch, seen }, effects: [late] };
}

/** Whether the provider may have deleted the results by now. */
export function resultsOverdue(batch: Batch, settings: LifeSettings, nowMs: EpochMs): boolean {
  return nowMs >= (batch.endedAtMs ?? nowMs) + settings.resultsKeptMs;
}

export function allDone(batch: Batch, { eraseAfterMs }: LifeSettings, nowMs: EpochMs): LifeStep {
  return {
    batch: {
      ...batch,
      state: "done",
      doneAtMs: nowMs,
      passes: batch.passes + 1,
      tries: 0,
      trouble: null,
      nextAtMs: nowMs + eraseAfterMs,
    },
    effects: [],
  };
}

export function erased(batch: Batch, nowMs: EpochMs): LifeStep {
  return { batch: { ...batch, erasedAtMs: nowMs, nextAtMs: null, trouble: null }, effects: [] };
}

/** What can't be deleted is left to the provider's own retention after a while. */
export function eraseFailed(
  batch: Batch,
  failure: { readonly message: string; readonly retryAfterMs: number | null },
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const step = troubled(batch, failure, settings, nowMs, random);
  return step.batch.tries < ERASE_TRIES ? step : { batch: { ...step.batch, nextAtMs: null }, effects: [] };
}
