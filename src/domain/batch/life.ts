import type { EpochMs } from "../ids.js";
import type { EventKind } from "../event/event.js";
import type { Batch } from "./batch.js";
import type { BatchFence } from "./batch-rules.js";
import type { BatchRefusal } from "./provider-batch.js";

/**
 * The life of a batch as pure steps: what has to be done for it next, and what it becomes by what the provider or the ledger answered. The
 * stage loads, does what the task says, stores the step on condition of the version that it read, then sees to the effects.
 *
 * What is announced by a state is stored before it is done (`uploading`, `creating`). So a batch that is *found* in such a state was left
 * there by a kill or by an unclear answer: an upload is cleared away and made anew, a creation is looked for and never repeated before it
 * is proved to be absent.
 */

/** What a provider took at the last moment, a batch before its input file was deleted or a file, shows in its list after this at the latest. */
export const LIST_LAG_MS = 60_000;

/** What the steps go by: the config, the account's, and the rules of its provider. */
export interface LifeSettings {
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  readonly createGraceMs: number;
  readonly eraseAfterMs: number;
  readonly fence: BatchFence;
  /** The provider keeps our mark; else batches are told apart by size and time. */
  readonly keepsMarks: boolean;
  readonly windowMs: number;
  readonly resultsKeptMs: number;
}

export interface LifeEvent {
  readonly kind: Extract<EventKind, `batch.${string}`>;
  readonly message: string;
  readonly details?: Readonly<Record<string, string>>;
}

export type LifeEffect =
  | { readonly kind: "event"; readonly event: LifeEvent }
  /** Nothing beyond so many enqueued tokens until then. */
  | { readonly kind: "hold_account"; readonly tokensMax: number; readonly untilMs: EpochMs }
  /** The next batch of the pool is at most so large: the fault is among the lines and not named. */
  | { readonly kind: "bisect"; readonly linesMax: number }
  /** The provider has looked at its lines and runs them: the next one of the pool may be larger again. */
  | { readonly kind: "accepted" }
  /** The faulty lines are found: bisecting is over. */
  | { readonly kind: "fault_found" }
  /** A second batch of the same mark. */
  | { readonly kind: "cancel_twin"; readonly providerBatchId: string };

/** A create intent that begins, or what one came to. */
export type CreateChange =
  | { readonly kind: "intent"; readonly mark: string; readonly fileId: string | null }
  | { readonly kind: "settled"; readonly as: "created" | "refused" | "absent" | "not_sent" };

export interface LifeStep {
  readonly batch: Batch;
  readonly create?: CreateChange;
  /** Only there when true: lines that were given back are out after all. */
  readonly linesOut?: true;
  readonly effects: readonly LifeEffect[];
}

export type BatchTask =
  /** Count what was bound, and fix it. */
  | { readonly kind: "seal" }
  /** The file of an upload that led to no batch. */
  | { readonly kind: "drop_file"; readonly fileId: string }
  | { readonly kind: "upload" }
  /** Whatever an interrupted upload left. */
  | { readonly kind: "clear_upload" }
  | { readonly kind: "check_file" }
  | { readonly kind: "create" }
  /** The creation may have been made. */
  | { readonly kind: "reconcile" }
  | { readonly kind: "ask" }
  | { readonly kind: "cancel" }
  | { readonly kind: "ingest" }
  | { readonly kind: "give_up"; readonly refusal: BatchRefusal }
  | { readonly kind: "return_lines" }
  | { readonly kind: "erase" };

/** So many longest waits without being taken: a batch is given up, its lines are decided anew. With 5 minutes each an hour. */
const GIVE_UP_AFTER_WAITS = 12;

/** What is to be done for a batch that is due. */
export function nextTask(batch: Batch, settings: LifeSettings, nowMs: EpochMs): BatchTask {
  switch (batch.state) {
    case "building":
      return { kind: "seal" };
    case "sealed":
      return sealedTask(batch, settings, nowMs);
    case "uploading":
      return { kind: "clear_upload" };
    case "uploaded":
      if (batch.cancelAskedAtMs !== null) return giveUp(CANCELLED);
      return { kind: batch.tries > 0 ? "check_file" : "create" };
    case "creating":
      return { kind: "reconcile" };
    case "submitted":
      return { kind: batch.cancelAskedAtMs === null ? "ask" : "cancel" };
    case "cancelling":
      return { kind: "ask" };
    case "ended":
    case "ingesting":
      return { kind: "ingest" };
    case "failed":
      return { kind: batch.doneAtMs === null ? "return_lines" : "erase" };
    case "done":
      return { kind: "erase" };
  }
}

function sealedTask(batch: Batch, { pollMaxMs }: LifeSettings, nowMs: EpochMs): BatchTask {
  if (batch.cancelAskedAtMs !== null) return giveUp(CANCELLED);
  const waitedMs = nowMs - (batch.sealedAtMs ?? batch.createdAtMs);
  if (batch.tries > 0 && waitedMs > GIVE_UP_AFTER_WAITS * pollMaxMs) return giveUp(NOT_TAKEN);
  if (batch.fileId !== null) return { kind: "drop_file", fileId: batch.fileId };
  return { kind: batch.way === "file" ? "upload" : "create" };
}

function giveUp(refusal: BatchRefusal): BatchTask {
  return { kind: "give_up", refusal };
}

const NOBODYS = { lines: [], retryAfterMs: null, provider: { status: null, code: null, requestId: null } } as const;
const CANCELLED: BatchRefusal = {
  ...NOBODYS,
  because: "unclassified",
  message: "cancelled by an operator before the provider had it",
};
const NOT_TAKEN: BatchRefusal = {
  ...NOBODYS,
  because: "unclassified",
  message: "the provider could not be given it for long; its lines are decided anew",
};

export const NOT_THERE: BatchRefusal = {
  ...NOBODYS,
  because: "unclassified",
  message: "its creation was never answered and no batch at the provider is it",
};

/** The wait after so many failures in a row: doubled each time up to the longest, and half of it is random. */
export function backoffMs(tries: number, { pollMinMs, pollMaxMs }: LifeSettings, random: number): number {
  const ceilingMs = Math.min(pollMaxMs, pollMinMs * 2 ** Math.min(Math.max(tries, 1) - 1, 30));
  return Math.ceil(ceilingMs * (0.5 + random / 2));
}

/** The wait until a batch is asked about again: an eighth of its age, so that it is found to have ended soon after it has. */
export function pollMs(ageMs: number, { pollMinMs, pollMaxMs }: LifeSettings, random: number): number {
  const waitMs = Math.min(pollMaxMs, Math.max(pollMinMs, ageMs / 8));
  return Math.ceil(waitMs * (0.75 + random / 4));
}

/** The same step failed again: the state stays, and it is tried after a wait. */
export function troubled(
  batch: Batch,
  trouble: { readonly message: string; readonly retryAfterMs: number | null },
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const tries = batch.tries + 1;
  const asked = Math.min(trouble.retryAfterMs ?? 0, settings.pollMaxMs);
  const nextAtMs = nowMs + Math.max(asked, backoffMs(tries, settings, random));
  return { batch: { ...batch, tries, trouble: trouble.message, nextAtMs }, effects: [] };
}

/** Nothing is begun at its account now. One that waits for long is given up like one that fails for long, see `nextTask`. */
export function notCalled(
  batch: Batch,
  untilMs: EpochMs,
  { pollMinMs, pollMaxMs }: LifeSettings,
  nowMs: EpochMs,
): LifeStep {
  const nextAtMs = Math.min(nowMs + pollMaxMs, Math.max(nowMs + Math.min(pollMinMs, pollMaxMs), untilMs));
  const tries = batch.state === "sealed" ? batch.tries + 1 : batch.tries;
  return { batch: { ...batch, tries, trouble: "its account is not called for now", nextAtMs }, effects: [] };
}

/** A step that goes on at once. */
export function goOn(batch: Batch, more: Partial<Batch>, nowMs: EpochMs): LifeStep {
  return { batch: { ...batch, ...more, nextAtMs: nowMs }, effects: [] };
}

export function event(
  kind: LifeEvent["kind"],
  message: string,
  details?: Readonly<Record<string, string>>,
): LifeEffect {
  return { kind: "event", event: { kind, message, ...(details === undefined ? {} : { details }) } };
}
