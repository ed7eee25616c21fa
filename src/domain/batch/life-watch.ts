import type { EpochMs } from "../ids.js";
import type { Batch } from "./batch.js";
import { event, goOn, NOT_THERE, pollMs, troubled, type LifeEffect, type LifeSettings, type LifeStep } from "./life.js";
import { seenBatch } from "./life-create.js";
import { afterRefusal, failedStep } from "./life-refusal.js";
import {
  PROVIDER_BATCH_STATES,
  type BatchRefusal,
  type ProviderBatch,
  type ProviderBatchState,
} from "./provider-batch.js";

/** A batch at its provider: asked about until it has ended, stopped when it does not. */

/** A batch that is complete is asked again so often before it is believed that no results are there. */
const EMPTY_TRIES = 3;
/** Beyond its window, and again beyond its cancellation, a batch has so much time: cancelling takes up to 10 minutes. */
const STUCK_MARGIN_MS = 1_800_000;

/** Whether an answer says that the provider has the batch no more: to be looked up in its list before it is believed. */
export type WatchStep = LifeStep | { readonly kind: "look" };

/** The provider's answer about a submitted batch. @param refusal of a failed one, with its lines looked up. */
export function afterAnswer(
  batch: Batch,
  provided: ProviderBatch,
  refusal: BatchRefusal,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const seen = seenBatch(provided, nowMs);
  if (provided.state === "failed") return afterRefusal({ ...batch, seen }, refusal, settings, nowMs, random);
  if (!PROVIDER_BATCH_STATES[provided.state].ended)
    return withEffects(
      stillRunning({ ...batch, seen }, batch, provided, settings, nowMs, random),
      acceptedNow(batch, provided),
    );
  const isEmpty = provided.results.length === 0 && provided.state === "completed";
  if (isEmpty && batch.tries < EMPTY_TRIES) {
    const trouble = { message: "it is complete without any results", retryAfterMs: null };
    return troubled({ ...batch, seen }, trouble, settings, nowMs, random);
  }
  return withEffects(
    ended({ ...batch, seen, parts: provided.results }, provided.endedAtMs, nowMs),
    acceptedNow(batch, provided),
  );
}

const LOOKED_AT: ReadonlySet<ProviderBatchState> = new Set(["running", "finishing", "completed"]);

/** Once: when it is first seen past the look at its lines. */
function acceptedNow({ seen }: Batch, { state }: ProviderBatch): readonly LifeEffect[] {
  const isNew = LOOKED_AT.has(state) && (seen === null || !LOOKED_AT.has(seen.state));
  return isNew ? [{ kind: "accepted" }] : [];
}

function withEffects(step: LifeStep, more: readonly LifeEffect[]): LifeStep {
  return { ...step, effects: [...more, ...step.effects] };
}

/** @param endedAtMs by the provider's clock; null: it does not say. */
function ended(batch: Batch, endedAtMs: number | null, nowMs: EpochMs): LifeStep {
  const its = { ...batch, state: "ended" as const, endedAtMs: Math.min(endedAtMs ?? nowMs, nowMs) };
  const turnaroundMs = its.endedAtMs - (batch.submittedAtMs ?? its.endedAtMs);
  const state = batch.seen?.state ?? "lost";
  const details = { state, turnaroundMs: String(turnaroundMs), lines: String(batch.lines) };
  const step = goOn(its, { tries: 0, trouble: null, cursor: null, passes: 0 }, nowMs);
  return { ...step, effects: [event("batch.ended", `ended as ${state}`, details)] };
}

function stillRunning(
  batch: Batch,
  before: Batch,
  { unknownWord }: ProviderBatch,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const unknown: readonly LifeEffect[] =
    unknownWord === null || unknownWord === before.seen?.unknownWord
      ? []
      : [event("batch.stuck", "its status is none that is known here; taken as still running", { unknownWord })];
  const stuck = ofStuck(batch, settings, nowMs);
  if (stuck !== null) return { ...stuck, effects: [...unknown, ...stuck.effects] };
  const ageMs = nowMs - (batch.submittedAtMs ?? nowMs);
  const trouble = unknownWord === null ? null : `status ${unknownWord} is not known here`;
  const asked = { ...batch, tries: 0, trouble, nextAtMs: nowMs + pollMs(ageMs, settings, random) };
  return { batch: asked, effects: unknown };
}

/** Null: it has time left. */
function ofStuck(batch: Batch, { windowMs }: LifeSettings, nowMs: EpochMs): LifeStep | null {
  const dueMs = (batch.submittedAtMs ?? nowMs) + windowMs + STUCK_MARGIN_MS;
  if (batch.cancelAskedAtMs === null) {
    if (nowMs < dueMs) return null;
    const stuck = event("batch.stuck", "it should have ended by itself; it is cancelled");
    return { ...goOn(batch, { cancelAskedAtMs: nowMs }, nowMs), effects: [stuck] };
  }
  if (batch.state !== "cancelling" || nowMs < batch.cancelAskedAtMs + STUCK_MARGIN_MS) return null;
  if (nowMs < dueMs) return null;
  const step = ended(batch, null, nowMs);
  const lost = event("batch.stuck", "it does not end and can't be stopped; its lines go on without it");
  return { ...step, effects: [...step.effects, lost] };
}

/** The provider says that there is no such batch. Young ones may not be visible; an older one is looked for in the list. */
export function afterAbsent(batch: Batch, settings: LifeSettings, nowMs: EpochMs, random: number): WatchStep {
  const lastSeenMs = batch.seen?.atMs ?? batch.submittedAtMs ?? nowMs;
  if (nowMs - lastSeenMs >= settings.createGraceMs) return { kind: "look" };
  const trouble = { message: "the provider says that there is no such batch", retryAfterMs: null };
  return troubled(batch, trouble, settings, nowMs, random);
}

/** @param isListed whether the provider's list shows it all the same. */
export function afterLostLook(
  batch: Batch,
  isListed: boolean,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  if (isListed) {
    const trouble = { message: "the provider lists it and can't show it", retryAfterMs: settings.pollMaxMs };
    return troubled(batch, trouble, settings, nowMs, random);
  }
  const step = ended({ ...batch, parts: [] }, null, nowMs);
  const lost = event("batch.stuck", "the provider has it no more; its lines go on without it");
  return { ...step, effects: [...step.effects, lost] };
}

/** It was asked to stop, or has ended anyhow: its state tells next time. */
export function cancelAsked(batch: Batch, settings: LifeSettings, nowMs: EpochMs, random: number): LifeStep {
  const state = batch.state === "submitted" ? ({ state: "cancelling" } as const) : {};
  return { batch: { ...batch, ...state, tries: 0, nextAtMs: nowMs + pollMs(0, settings, random) }, effects: [] };
}

/** What was adopted by its size has results of others: it never was this batch. @param other that may be it instead. */
export function notOurs(
  batch: Batch,
  other: ProviderBatch | null,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const message = "the batch that was taken for it has none of its lines";
  const details = { providerBatchId: batch.providerBatchId ?? "" };
  if (other !== null) {
    const instead = { providerBatchId: other.batchId, seen: seenBatch(other, nowMs), parts: other.results };
    const step = goOn({ ...batch, ...instead }, { tries: 0, nextAtMs: nowMs }, nowMs);
    return { ...step, effects: [event("batch.doubt", message, details), event("batch.adopted", message, details)] };
  }
  const trouble = troubled(batch, { message, retryAfterMs: null }, settings, nowMs, random).batch;
  return {
    ...failedStep({ ...trouble, providerBatchId: null, parts: [] }, NOT_THERE, nowMs),
    create: { kind: "settled", as: "absent" },
    effects: [event("batch.doubt", message, details)],
  };
}
