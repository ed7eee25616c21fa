import type { EpochMs } from "../ids.js";
import type { Batch } from "./batch.js";
import { backoffMs, event, LIST_LAG_MS, type LifeEffect, type LifeSettings, type LifeStep } from "./life.js";
import { bisectedLinesMax } from "./pack.js";
import type { BatchRefusal, BatchRefusalReason, LineFault } from "./provider-batch.js";

/** What follows when a provider takes a batch not at all: nothing of it ran. */

/**
 * - `again`: nothing is wrong with the batch; later
 * - `smaller`: too much waits at the provider; half of it, later
 * - `halves`: the fault is among the lines; those that are named fail alone, else the next batch is half as large until the line is alone
 */
const AFTER_REFUSAL = {
  bad_line: "halves",
  queue_full: "smaller",
  too_many_batches: "again",
  too_large: "halves",
  file_gone: "again",
  file_not_ready: "again",
  rate_limited: "again",
  auth_failed: "again",
  quota_exhausted: "again",
  not_accepted: "halves",
  unclassified: "halves",
} as const satisfies Record<BatchRefusalReason, "again" | "smaller" | "halves">;

/** The lines that are the fault by themselves: those that are named, or the only one there is. */
export function faultyLines(batch: Batch, refusal: BatchRefusal): readonly LineFault[] {
  if (AFTER_REFUSAL[refusal.because] !== "halves") return [];
  if (refusal.because === "bad_line" && refusal.lines.length > 0) return refusal.lines;
  return batch.lines === 1 ? [{ lineNumber: 1, code: refusal.provider.code }] : [];
}

/** @param refusal whose faulty lines, see `faultyLines`, have their attempts. */
export function afterRefusal(
  batch: Batch,
  refusal: BatchRefusal,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const tries = batch.tries + 1;
  const waitMs = Math.max(Math.min(refusal.retryAfterMs ?? 0, settings.pollMaxMs), backoffMs(tries, settings, random));
  const isCreating = batch.state === "creating";
  const settled = isCreating ? ({ create: { kind: "settled", as: "refused" } } as const) : {};
  if (isCreating && AFTER_REFUSAL[refusal.because] === "again") {
    const again = { ...batch, state: "sealed" as const, tries, trouble: refusal.message, nextAtMs: nowMs + waitMs };
    return { batch: again, ...settled, effects: [] };
  }
  const effects = [...effectsOf(batch, refusal, settings, nowMs, waitMs), refused(batch, refusal)];
  return { ...failedStep(batch, refusal, nowMs), ...settled, effects };
}

function effectsOf(
  batch: Batch,
  refusal: BatchRefusal,
  { pollMaxMs }: LifeSettings,
  nowMs: EpochMs,
  waitMs: number,
): readonly LifeEffect[] {
  switch (AFTER_REFUSAL[refusal.because]) {
    case "again":
      // The lines would be back in the next batch at once.
      return [{ kind: "hold_account", tokensMax: 0, untilMs: nowMs + waitMs }];
    case "smaller": {
      const heldMs = Math.max(waitMs, pollMaxMs);
      return [{ kind: "hold_account", tokensMax: Math.floor(batch.tokens / 2), untilMs: nowMs + heldMs }];
    }
    case "halves":
      return faultyLines(batch, refusal).length > 0
        ? [{ kind: "fault_found" }]
        : [{ kind: "bisect", linesMax: bisectedLinesMax(batch.lines) }];
  }
}

/** Its lines go back; what the provider keeps of it is erased afterwards. */
export function failedStep(batch: Batch, refusal: BatchRefusal, nowMs: EpochMs): LifeStep {
  const failed: Batch = {
    ...batch,
    state: "failed",
    refusal,
    trouble: refusal.message,
    tries: 0,
    nextAtMs: nowMs,
  };
  return { batch: failed, effects: [] };
}

function refused(batch: Batch, refusal: BatchRefusal): LifeEffect {
  return event("batch.refused", `the provider does not take it: ${refusal.message}`, {
    because: refusal.because,
    lines: String(batch.lines),
    faultyLines: String(faultyLines(batch, refusal).length),
  });
}

/** An operator or our own patience ends it before the provider has it. */
export function givenUp(batch: Batch, refusal: BatchRefusal, nowMs: EpochMs): LifeStep {
  return { ...failedStep(batch, refusal, nowMs), effects: [event("batch.refused", refusal.message)] };
}

/** All its lines are back where they are decided anew. Its files are erased at once, unless one of an earlier upload may not be listed yet. */
export function linesReturned(batch: Batch, outcomes: Batch["outcomes"], nowMs: EpochMs): LifeStep {
  const isUploadUnknown = batch.uploads > (batch.fileId === null ? 0 : 1);
  const nextAtMs = nowMs + (isUploadUnknown ? LIST_LAG_MS : 0);
  return { batch: { ...batch, outcomes, doneAtMs: nowMs, tries: 0, nextAtMs }, effects: [] };
}
