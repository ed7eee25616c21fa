import type { EpochMs } from "../ids.js";
import type { Batch } from "./batch.js";
import {
  backoffMs,
  event,
  goOn,
  LIST_LAG_MS,
  NOT_THERE,
  troubled,
  type LifeEffect,
  type LifeSettings,
  type LifeStep,
} from "./life.js";
import { adopted, doubtBegan, seenBatch } from "./life-create.js";
import { failedStep } from "./life-refusal.js";
import type { ProviderBatch } from "./provider-batch.js";

/** A creation that may have been made: how a batch is known again, and when it is believed not to be there. */

/** Clocks differ: a batch may seem to be older than its intent by so much. */
const CLOCK_SKEW_MS = 60_000;
/** What bears a mark or a name of ours is known however far a clock was off, so it is looked for beyond a wrong time zone, too. */
const MARKED_SKEW_MS = 26 * 3_600_000;

/** From when on a provider is searched for something of ours. @param marked whether it can be told from others. */
export function searchedSinceMs(ourTimeMs: EpochMs, marked: boolean): EpochMs {
  return ourTimeMs - (marked ? MARKED_SKEW_MS : CLOCK_SKEW_MS);
}

/** What was stored before the call. */
export interface CreateIntent {
  readonly mark: string;
  readonly fileId: string | null;
  readonly lines: number;
  readonly intentAtMs: EpochMs;
}

export type Found =
  | { readonly kind: "none" }
  | { readonly kind: "one"; readonly batch: ProviderBatch; readonly twins: readonly string[] }
  /** Without marks nobody can say which of them it is. */
  | { readonly kind: "several"; readonly batchIds: readonly string[] };

/**
 * Which of the account's batches this intent made. By mark, else by the input file, which has at most one intent; where neither is kept by
 * size and time among those that no other intent of ours accounts for.
 * @param known batches at the provider that others of ours are.
 */
export function findCreated(
  intent: CreateIntent,
  listed: readonly ProviderBatch[],
  known: ReadonlySet<string>,
  keepsMarks: boolean,
): Found {
  const open = listed.filter(({ batchId }) => !known.has(batchId));
  const named = open.filter(
    ({ mark, fileId }) => mark === intent.mark || (intent.fileId !== null && fileId === intent.fileId),
  );
  const candidates =
    named.length > 0 || keepsMarks || intent.fileId !== null ? named : open.filter((one) => isOfSize(intent, one));
  const [first, ...others] = [...candidates].sort((a, b) => (a.createdAtMs ?? 0) - (b.createdAtMs ?? 0));
  if (first === undefined) return { kind: "none" };
  if (others.length > 0 && named.length === 0)
    return { kind: "several", batchIds: candidates.map(({ batchId }) => batchId) };
  return { kind: "one", batch: first, twins: others.map(({ batchId }) => batchId) };
}

/** A count that is not told, as on a fresh batch, rules nothing out. */
function isOfSize({ lines, intentAtMs }: CreateIntent, { counts, createdAtMs, mark }: ProviderBatch): boolean {
  if (mark !== null || (counts.total !== null && counts.total !== lines)) return false;
  return createdAtMs === null || createdAtMs >= intentAtMs - CLOCK_SKEW_MS;
}

export type DoubtStep =
  | LifeStep
  /** Its absence is to be proved: the input file is deleted, so that a creation on its way must fail. */
  | { readonly kind: "fence"; readonly fileId: string }
  /** The same creation again makes no second batch. */
  | { readonly kind: "repeat" };

/** What a look at the provider's list says of a batch in `creating`. @param expectedMs turnaround that is expected. */
export function afterLook(
  batch: Batch,
  found: Found,
  expectedMs: number,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): DoubtStep {
  switch (found.kind) {
    case "one": {
      const step = adopted(batch, found.batch, expectedMs, settings, nowMs, random);
      return { ...step, effects: [...step.effects, ...found.twins.map(cancelTwin)] };
    }
    case "several":
      return held(batch, found.batchIds, settings, nowMs, random);
    case "none":
      return notFound(batch, settings, nowMs, random);
  }
}

function cancelTwin(providerBatchId: string): LifeEffect {
  return { kind: "cancel_twin", providerBatchId };
}

/** A wrong guess would give jobs the answers of another's, so it waits for a person, who may cancel it. */
function held(
  batch: Batch,
  batchIds: readonly string[],
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  if (batch.cancelAskedAtMs !== null) return absent(batch, nowMs);
  const message = `${String(batchIds.length)} batches at the provider may be it; look which one is not ours`;
  const step = troubled(batch, { message, retryAfterMs: settings.pollMaxMs }, settings, nowMs, random);
  const isNew = batch.trouble !== message;
  return { ...step, effects: isNew ? [event("batch.held", message, { candidates: batchIds.join(" ") })] : [] };
}

function notFound(batch: Batch, settings: LifeSettings, nowMs: EpochMs, random: number): DoubtStep {
  if (settings.fence === "idempotent_token") return { kind: "repeat" };
  const graceEndMs = (batch.createAtMs ?? nowMs) + settings.createGraceMs;
  if (nowMs < graceEndMs) return waiting(batch, graceEndMs, settings, nowMs, random);
  // Without its file id it is fenced already, and the list has had its time.
  if (settings.fence === "delete_file" && batch.fileId !== null) return { kind: "fence", fileId: batch.fileId };
  return absent(batch, nowMs);
}

function waiting(batch: Batch, untilMs: EpochMs, settings: LifeSettings, nowMs: EpochMs, random: number): LifeStep {
  const tries = batch.tries + 1;
  const nextAtMs = Math.min(untilMs, nowMs + backoffMs(tries, settings, random));
  const trouble = batch.trouble ?? "its creation was not answered";
  return {
    batch: { ...batch, tries, trouble, nextAtMs },
    // Left by a kill: nobody has told of it so far.
    effects: batch.tries === 0 ? [doubtBegan("the router stopped in between")] : [],
  };
}

/** The file is gone. What the provider took before that has time to show. */
export function fenced(batch: Batch, settings: LifeSettings, nowMs: EpochMs): LifeStep {
  const nextAtMs = nowMs + Math.min(settings.createGraceMs, LIST_LAG_MS);
  return { batch: { ...batch, fileId: null, nextAtMs }, effects: [] };
}

/**
 * It is not there and can't come any more, as far as anybody can tell. Its lines go on under attempts of their own, so that whatever is billed
 * for these, should it turn up all the same, is told apart.
 */
function absent(batch: Batch, nowMs: EpochMs): LifeStep {
  return { ...failedStep(batch, NOT_THERE, nowMs), create: { kind: "settled", as: "absent" } };
}

/**
 * A batch that was given up as absent is there. It is stopped, and what it has answered until then comes home: the first answer of a line's
 * execution serves, any other is waste.
 */
export function turnedUp(
  batch: Batch,
  { batch: provided, twins }: Extract<Found, { readonly kind: "one" }>,
  settings: LifeSettings,
  nowMs: EpochMs,
): LifeStep {
  const atMs = provided.createdAtMs ?? batch.createAtMs ?? nowMs;
  const back: Partial<Batch> = {
    state: "submitted",
    providerBatchId: provided.batchId,
    submittedAtMs: atMs,
    expectedAtMs: nowMs,
    seen: seenBatch(provided, nowMs),
    parts: provided.results,
    cancelAskedAtMs: nowMs,
    doneAtMs: null,
    erasedAtMs: null,
    refusal: null,
    trouble: null,
    tries: 0,
    ...(settings.keepsMarks ? {} : { unproven: true }),
  };
  const message =
    "it was given up as absent and is at the provider; it is stopped, and what it answered is used or waste";
  const found = event("batch.orphan_found", message, { providerBatchId: provided.batchId, state: provided.state });
  const create = { kind: "settled", as: "created" } as const;
  return { ...goOn(batch, back, nowMs), create, linesOut: true, effects: [found, ...twins.map(cancelTwin)] };
}
