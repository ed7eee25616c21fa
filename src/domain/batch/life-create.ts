import type { EpochMs } from "../ids.js";
import { batchMark, type Batch, type SeenBatch } from "./batch.js";
import { backoffMs, event, goOn, troubled, type LifeSettings, type LifeStep } from "./life.js";
import { failedStep } from "./life-refusal.js";
import type { ProviderBatch } from "./provider-batch.js";

/** From the seal to the moment in which the provider is known to have a batch. */

/** Lines were counted. @param sums of the lines as they are sent. */
export function sealed(
  batch: Batch,
  sums: { readonly lines: number; readonly linesBytes: number; readonly tokens: number },
  nowMs: EpochMs,
): LifeStep {
  if (sums.lines === 0) {
    const refusal = {
      because: "unclassified",
      message: "no line was bound to it",
      lines: [],
      retryAfterMs: null,
      provider: { status: null, code: null, requestId: null },
    } as const;
    return failedStep({ ...batch, ...sums }, refusal, nowMs);
  }
  return goOn(batch, { ...sums, state: "sealed", sealedAtMs: nowMs }, nowMs);
}

export function fileDropped(batch: Batch, nowMs: EpochMs): LifeStep {
  return goOn(batch, { fileId: null }, nowMs);
}

/** The name of the file is fixed before its first byte leaves. */
export function uploadBegins(batch: Batch, nowMs: EpochMs): LifeStep {
  return goOn(batch, { state: "uploading", uploads: batch.uploads + 1, fileId: null }, nowMs);
}

/** A fresh file may not be shown yet. One that is not shown for so many looks is gone: another router took the upload for one that had failed. */
const ABSENT_LOOKS_MAX = 10;

/** @param file `absent`: it was uploaded, and the provider does not show it. */
export function uploaded(
  batch: Batch,
  file: { readonly fileId: string; readonly state: "ready" | "processing" | "failed" | "absent" },
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const its = { ...batch, fileId: file.fileId };
  const again = (message: string): LifeStep =>
    troubled({ ...its, state: "sealed" }, { message, retryAfterMs: null }, settings, nowMs, random);
  if (file.state === "absent" && batch.tries >= ABSENT_LOOKS_MAX) return again("the provider has the file no more");
  switch (file.state) {
    case "ready":
      return goOn(its, { state: "uploaded", tries: 0, trouble: null }, nowMs);
    case "absent":
    case "processing": {
      const state = batch.state === "uploaded" ? {} : ({ state: "uploaded", tries: 0 } as const);
      const waits = { message: "the provider still looks at the file", retryAfterMs: null };
      return troubled({ ...its, ...state }, waits, settings, nowMs, random);
    }
    case "failed":
      return again("the provider could not use the file");
  }
}

/** Nothing of earlier uploads is left, or nothing that matters: the next one has another name. */
export function uploadCleared(batch: Batch, nowMs: EpochMs): LifeStep {
  return goOn(batch, { state: "sealed", fileId: null }, nowMs);
}

/** Stored before the call: whoever finds it in `creating` knows that it may have been made. */
export function createBegins(batch: Batch, nowMs: EpochMs): LifeStep {
  const creating = { ...batch, state: "creating", creates: batch.creates + 1, createAtMs: nowMs, tries: 0 } as const;
  const create = { kind: "intent", mark: batchMark(creating), fileId: batch.fileId } as const;
  return { ...goOn(creating, {}, nowMs), create };
}

/** @param expectedMs turnaround that is expected. */
export function created(
  batch: Batch,
  provided: ProviderBatch,
  expectedMs: number,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const message = `submitted with ${String(batch.lines)} lines`;
  return submitted(batch, provided, { expectedMs, atMs: nowMs }, settings, nowMs, random, [
    event("batch.submitted", message, { providerBatchId: provided.batchId }),
  ]);
}

/** It was looked for after a doubt and found. */
export function adopted(
  batch: Batch,
  provided: ProviderBatch,
  expectedMs: number,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const atMs = provided.createdAtMs ?? batch.createAtMs ?? nowMs;
  const found: Batch = settings.keepsMarks ? batch : { ...batch, unproven: true };
  return submitted(found, provided, { expectedMs, atMs }, settings, nowMs, random, [
    event("batch.adopted", "found at the provider after its creation was not answered", {
      providerBatchId: provided.batchId,
      proof: settings.keepsMarks ? "mark" : "size and time; its results have to show our lines",
    }),
  ]);
}

function submitted(
  batch: Batch,
  provided: ProviderBatch,
  since: { readonly expectedMs: number; readonly atMs: EpochMs },
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
  effects: LifeStep["effects"],
): LifeStep {
  return {
    batch: {
      ...batch,
      state: "submitted",
      providerBatchId: provided.batchId,
      submittedAtMs: since.atMs,
      expectedAtMs: since.atMs + since.expectedMs,
      seen: seenBatch(provided, nowMs),
      parts: provided.results,
      tries: 0,
      trouble: null,
      nextAtMs: nowMs + backoffMs(1, settings, random),
    },
    create: { kind: "settled", as: "created" },
    effects,
  };
}

export function seenBatch(provided: ProviderBatch, nowMs: EpochMs): SeenBatch {
  const { state, unknownWord, counts } = provided;
  return { state, unknownWord, counts, atMs: nowMs };
}

/** Bytes left and no usable answer came: it is looked for from now on. */
export function createUnclear(
  batch: Batch,
  message: string,
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const step = troubled(batch, { message, retryAfterMs: null }, settings, nowMs, random);
  return { ...step, effects: [doubtBegan(message)] };
}

/** No byte left: there is no batch, without any proof. */
export function createNotSent(
  batch: Batch,
  reply: { readonly because: "no_connection" | "stopped"; readonly message: string },
  settings: LifeSettings,
  nowMs: EpochMs,
  random: number,
): LifeStep {
  const create = { kind: "settled", as: "not_sent" } as const;
  const again: Batch = { ...batch, state: "sealed", createAtMs: null };
  if (reply.because === "stopped") return { ...goOn(again, {}, nowMs), create };
  const trouble = { message: reply.message, retryAfterMs: null };
  return { ...troubled(again, trouble, settings, nowMs, random), create };
}

export function doubtBegan(why: string): LifeStep["effects"][number] {
  return event(
    "batch.doubt",
    `its creation was sent and not answered; it is looked for before anything is sent again: ${why}`,
  );
}
