import { batchFileName, batchMark, type Batch } from "../../domain/batch/batch.js";
import {
  created,
  createBegins,
  createNotSent,
  createUnclear,
  fileDropped,
  sealed,
  uploadBegins,
  uploadCleared,
  uploaded,
} from "../../domain/batch/life-create.js";
import { afterLook, fenced, findCreated, searchedSinceMs } from "../../domain/batch/life-doubt.js";
import { afterRefusal, failedStep } from "../../domain/batch/life-refusal.js";
import type { LifeSettings } from "../../domain/batch/life.js";
import type { BatchRefusal } from "../../domain/batch/provider-batch.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { BatchProvider, CreateReply } from "../../ports/batch-provider.js";
import { NOT_ARMED, reachSoon, type ReachPoint } from "../../ports/crash-points.js";
import { listSince } from "./provider-list.js";
import { freeSize, takenSizes } from "./taken-sizes.js";
import { NOTHING_LEFT, type At, type StepTools, type WorkerParts } from "./step-tools.js";

/**
 * The steps from the seal to the moment in which the provider is known to have a batch, or known not to: upload, create, and the search for
 * one whose creation was not answered. Each returns the batch as it is stored then; null when somebody else has it.
 */
export class BatchCreation {
  readonly #of: WorkerParts;
  readonly #tools: StepTools;

  constructor(of: WorkerParts, tools: StepTools) {
    this.#of = of;
    this.#tools = tools;
  }

  /** A batch whose builder is gone: what was bound is its content, as far as its size is free. */
  async seal({ batch, provider }: At): Promise<Batch | null> {
    let sums = await this.#measure(batch, provider);
    const taken = await takenSizes(this.#of.parts.ledger, batch.account, provider, this.#tools.nowMs());
    const size = freeSize(sums.lines, taken);
    if (size < sums.lines) {
      const over = Array.from({ length: sums.lines - size }, (_unused, at) => size + at + 1);
      await this.#giveBack(batch, [...(await this.#of.source.attemptsAt(batch, over)).values()]);
      sums = await this.#measure(batch, provider);
    }
    return this.#tools.save(sealed(batch, { ...sums, tokens: batch.tokens }, this.#tools.nowMs()));
  }

  /** Lines that can't be sent any more go back. */
  async #measure(
    batch: Batch,
    provider: BatchProvider,
  ): Promise<{ readonly lines: number; readonly linesBytes: number }> {
    const { lines, linesBytes, unfit } = await this.#of.source.measure(provider, batch);
    await this.#giveBack(batch, unfit);
    return { lines, linesBytes };
  }

  async #giveBack(batch: Batch, attempts: readonly LedgerKey[]): Promise<void> {
    const { ledger, session, settings } = this.#of.parts;
    for (let from = 0; from < attempts.length; from += settings.groupSizeMax) {
      const group = attempts.slice(from, from + settings.groupSizeMax);
      // Serial: a group a transaction.
      await ledger.returnLines(session, batch.no, group, group.length, this.#tools.nowMs());
    }
  }

  async dropFile({ batch, provider, settings }: At, fileId: string): Promise<Batch | null> {
    const reply = await provider.deleteFile(fileId, this.#tools.calls(), this.#of.cut);
    if (reply.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, reply, settings));
    return this.#tools.save(fileDropped(batch, this.#tools.nowMs()));
  }

  async upload({ batch, provider, settings }: At): Promise<Batch | null> {
    const { parts, source, cut } = this.#of;
    const announced = await this.#tools.save(uploadBegins(batch, this.#tools.nowMs()));
    if (announced === null) return null;
    parts.reach?.("batch.uploading");
    const upload = {
      name: batchFileName(announced),
      lines: this.#passing(source.encoded(provider, announced)),
      linesBytes: announced.linesBytes,
    };
    const limits = { timeoutMs: parts.settings.transferTimeoutMs };
    parts.health.stepBegins(batch.account, this.#tools.nowMs());
    const reply = await provider.upload(upload, limits, cut).catch(whenResized);
    if (reply === "resized") return this.#resized(announced, provider, settings);
    if (reply.kind === "failed") return this.#tools.save(this.#tools.troubled(announced, reply, settings));
    parts.reach?.("batch.upload_answered");
    const stored = await this.#tools.save(
      uploaded(announced, reply.file, settings, this.#tools.nowMs(), this.#tools.random()),
    );
    if (stored !== null) parts.reach?.("batch.uploaded");
    return stored;
  }

  /** The same lines. Without somebody to be told of each they come as they are. */
  #passing(lines: AsyncGenerator<Uint8Array, void, undefined>): AsyncIterable<Uint8Array> {
    const { reach } = this.#of.parts;
    return reach === undefined || reach === NOT_ARMED ? lines : told(lines, reach);
  }

  /** The lines come to something else than when they were counted: the config has changed. They are counted anew. */
  async #resized(batch: Batch, provider: BatchProvider, settings: LifeSettings): Promise<Batch | null> {
    const sums = await this.#measure(batch, provider);
    const trouble = { message: "its lines have another size than when it was sealed", retryAfterMs: null };
    if (sums.lines > 0) return this.#tools.save(this.#tools.troubled({ ...batch, ...sums }, trouble, settings));
    const refusal = { ...NOTHING_LEFT, message: "none of its lines can be sent any more" };
    return this.#tools.save(failedStep({ ...batch, ...sums }, refusal, this.#tools.nowMs()));
  }

  async clearUpload({ batch, provider, settings }: At): Promise<Batch | null> {
    const failure = await this.#tools.deleteUpload(batch, batch.uploads, provider);
    if (failure !== null) return this.#tools.save(this.#tools.troubled(batch, failure, settings));
    return this.#tools.save(uploadCleared(batch, this.#tools.nowMs()));
  }

  async checkFile({ batch, provider, settings }: At): Promise<Batch | null> {
    const file = { name: batchFileName(batch), sinceMs: searchedSinceMs(batch.createdAtMs, true) };
    const found = await provider.findFiles(file, this.#tools.calls(), this.#of.cut);
    if (found.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, found, settings));
    const its = found.files.find(({ fileId }) => fileId === batch.fileId);
    const seen = { fileId: batch.fileId ?? "", state: its?.state ?? "absent" } as const;
    return this.#tools.save(uploaded(batch, seen, settings, this.#tools.nowMs(), this.#tools.random()));
  }

  async create(at: At): Promise<Batch | null> {
    const beganMs = this.#of.parts.clock.monotonicMs();
    const announced = await this.#tools.save(createBegins(at.batch, this.#tools.nowMs()));
    if (announced === null) return null;
    this.#of.parts.reach?.("batch.creating");
    return this.#sendCreate({ ...at, batch: announced }, beganMs);
  }

  /** Only after the intent is stored, and once for each, unless the provider takes the same mark for the same batch. */
  async #sendCreate(at: At, beganMs: number): Promise<Batch | null> {
    const { batch, provider, settings } = at;
    const { parts, source, cut } = this.#of;
    const { callTimeoutMs } = parts.settings;
    const limits = {
      timeoutMs: callTimeoutMs,
      sendWithinMs: callTimeoutMs,
      maySend: () => this.#mayCreate(beganMs + callTimeoutMs),
    };
    const { lineFormat, model, linesBytes } = batch;
    const input =
      batch.way === "file"
        ? ({ way: "file", fileId: batch.fileId ?? "" } as const)
        : ({ way: "inline", lines: source.encoded(provider, batch), linesBytes } as const);
    const create = { mark: batchMark(batch), lineFormat, model, input };
    parts.health.stepBegins(batch.account, this.#tools.nowMs());
    const reply = await provider.create(create, limits, cut).catch(whenResized);
    parts.reach?.("batch.create_answered");
    if (reply !== "resized") return this.#created(at, reply);
    // Bytes may have left before that showed.
    const sums = await this.#measure(batch, provider);
    const message = "its lines have another size than when it was sealed";
    return this.#tools.save(
      createUnclear({ ...batch, ...sums }, message, settings, this.#tools.nowMs(), this.#tools.random()),
    );
  }

  /**
   * Asked right before the first byte leaves. Lines of a creation are read from the ledger, which may be away for long: past the time that a
   * creation is waited for, others may have proved that it never arrived, and made it again.
   */
  #mayCreate(untilMs: number): boolean {
    const { mayStart, reach, clock } = this.#of.parts;
    if (!mayStart() || clock.monotonicMs() > untilMs) return false;
    reach?.("batch.create_leaving");
    reachSoon(reach, "batch.create_in_flight");
    return true;
  }

  async #created({ batch, settings }: At, reply: CreateReply): Promise<Batch | null> {
    const nowMs = this.#tools.nowMs();
    const random = this.#tools.random();
    switch (reply.kind) {
      case "created": {
        const step = created(batch, reply.batch, this.#tools.expectedMs(batch), settings, nowMs, random);
        const submitted = await this.#tools.save(step);
        if (submitted !== null) this.#of.parts.reach?.("batch.submitted");
        return submitted;
      }
      case "refused":
        return this.#refused(batch, reply.refusal, settings);
      case "unclear":
        return this.#tools.save(createUnclear(batch, reply.failure.message, settings, nowMs, random));
      case "not_sent":
        return this.#tools.save(createNotSent(batch, reply, settings, nowMs, random));
    }
  }

  async #refused(batch: Batch, refusal: BatchRefusal, settings: LifeSettings): Promise<Batch | null> {
    const named = await this.#tools.named(batch, refusal);
    return this.#tools.save(afterRefusal(batch, named, settings, this.#tools.nowMs(), this.#tools.random()));
  }

  async reconcile(at: At): Promise<Batch | null> {
    const { batch, provider, settings } = at;
    const { parts, cut } = this.#of;
    const { intent, known } = await this.#tools.intentOf(batch);
    const listed = await listSince(
      provider,
      searchedSinceMs(intent.intentAtMs, settings.keepsMarks),
      this.#tools.calls(),
      cut,
    );
    if (listed.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, listed, settings));
    parts.reach?.("batch.list_read");
    const found = findCreated(intent, listed.batches, known, settings.keepsMarks);
    const step = afterLook(
      batch,
      found,
      this.#tools.expectedMs(batch),
      settings,
      this.#tools.nowMs(),
      this.#tools.random(),
    );
    if (!("kind" in step)) {
      const saved = await this.#tools.save(step);
      if (saved?.state === "submitted") parts.reach?.("batch.adopted");
      return saved;
    }
    if (step.kind === "repeat") return this.#sendCreate(at, parts.clock.monotonicMs());
    const reply = await provider.deleteFile(step.fileId, this.#tools.calls(), cut);
    if (reply.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, reply, settings));
    parts.reach?.("batch.fence_dropped");
    const after = await this.#tools.save(fenced(batch, settings, this.#tools.nowMs()));
    if (after !== null) parts.reach?.("batch.fenced");
    return after;
  }
}

/** Tells of a line when the next one is asked for: it was taken then. */
async function* told(lines: AsyncIterable<Uint8Array>, reach: ReachPoint): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const line of lines) {
    yield line;
    reach("batch.upload_line");
  }
}

/** @throws what is not about the size of the lines. */
function whenResized(error: unknown): "resized" {
  if (error instanceof RangeError) return "resized";
  throw error;
}
