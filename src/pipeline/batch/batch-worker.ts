import { batchFileName, batchId, batchMark, type Batch } from "../../domain/batch/batch.js";
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
import { afterLook, fenced, findCreated, searchedSinceMs, type CreateIntent } from "../../domain/batch/life-doubt.js";
import { afterRefusal, faultyLines, failedStep, givenUp, linesReturned } from "../../domain/batch/life-refusal.js";
import { erased, eraseFailed } from "../../domain/batch/life-results.js";
import { afterAbsent, afterAnswer, afterLostLook, cancelAsked, notOurs } from "../../domain/batch/life-watch.js";
import { nextTask, troubled, type BatchTask, type LifeSettings, type LifeStep } from "../../domain/batch/life.js";
import { PROVIDER_BATCH_STATES, type BatchRefusal, type ProviderBatch } from "../../domain/batch/provider-batch.js";
import { expectedTurnaround } from "../../domain/batch/turnaround.js";
import type { LedgerKey } from "../../domain/ids.js";
import { parseAttemptId } from "../../domain/job/ids.js";
import type { StoredCreate } from "../../ports/batch-ledger.js";
import type { BatchProvider, CallLimits, CreateReply, ResultItem } from "../../ports/batch-provider.js";
import { lifeSettings, type BatchAccount, type BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import { refusedLine, type LineJudge } from "./line-judge.js";
import type { LineSource } from "./line-source.js";
import type { LineWriter } from "./line-writer.js";
import { listSince } from "./provider-list.js";
import { ResultIngest } from "./result-ingest.js";

export interface WorkerParts {
  readonly parts: BatchStageParts;
  readonly saves: BatchSaves;
  readonly source: LineSource;
  readonly judge: LineJudge;
  readonly writer: LineWriter;
  /** No further step is begun. */
  readonly stop: AbortSignal;
  /** What is under way is cut off. */
  readonly cut: AbortSignal;
}

/** Results of a batch adopted by its size that are looked at for a line of ours. */
const PROOF_LINES_MAX = 200;
/** Earlier uploads of one batch whose files are looked for when it is erased. */
const ERASED_UPLOADS_MAX = 20;
/** How far back creations of an account are asked for: longer than any provider lets a batch run. */
const CREATES_KNOWN_MS = 7 * 24 * 3_600_000;

/** What one step works with. */
interface At {
  readonly batch: Batch;
  readonly account: BatchAccount;
  readonly provider: BatchProvider;
  readonly settings: LifeSettings;
}

/**
 * Takes a batch through its life: does what the state asks for, stores what the answer makes of it, and so on until it has to wait. A state
 * that announces something is stored before it is done; after a kill at any instant whoever finds the batch knows what may have happened.
 */
export class BatchWorker {
  readonly #of: WorkerParts;

  constructor(of: WorkerParts) {
    this.#of = of;
  }

  /** @param found a batch that this session holds. @throws trouble with the ledger, after which the batch is as it was stored last. */
  async work(found: Batch): Promise<void> {
    const { accounts, mayStart } = this.#of.parts;
    const account = accounts.get(found.account);
    if (account === undefined) {
      await this.#postpone(found);
      return;
    }
    let batch: Batch | null = found;
    while (batch !== null && this.#isDue(batch) && mayStart() && !this.#of.stop.aborted) {
      const settings = lifeSettings(batch, account, this.#of.parts.settings);
      const task = nextTask(batch, settings, this.#nowMs());
      // Serial: each step begins with what the last one stored.
      batch = await this.#do(task, { batch, account, provider: account.provider, settings });
    }
  }

  #isDue({ nextAtMs }: Batch): boolean {
    return nextAtMs !== null && nextAtMs <= this.#nowMs();
  }

  async #postpone(batch: Batch): Promise<void> {
    const { log, settings } = this.#of.parts;
    const message = `its account ${batch.account} has no batches in the config any more`;
    log.error("batch.account_unknown", { batch: batchId(batch.no), note: message });
    const nextAtMs = this.#nowMs() + settings.pollMaxMs;
    await this.#of.saves.save({ batch: { ...batch, trouble: message, nextAtMs }, effects: [] });
  }

  #do(task: BatchTask, at: At): Promise<Batch | null> {
    switch (task.kind) {
      case "seal":
        return this.#seal(at);
      case "drop_file":
        return this.#dropFile(at, task.fileId);
      case "upload":
        return this.#upload(at);
      case "clear_upload":
        return this.#clearUpload(at);
      case "check_file":
        return this.#checkFile(at);
      case "create":
        return this.#create(at);
      case "reconcile":
        return this.#reconcile(at);
      case "ask":
        return this.#ask(at);
      case "cancel":
        return this.#cancel(at);
      case "ingest":
        return new ResultIngest(this.#of, at.account, at.batch).run();
      case "give_up":
        return this.#save(givenUp(at.batch, task.refusal, this.#nowMs()));
      case "return_lines":
        return this.#returnLines(at);
      case "erase":
        return this.#erase(at);
    }
  }

  /** A batch whose builder is gone: what was bound is its content. */
  async #seal({ batch, provider }: At): Promise<Batch | null> {
    const sums = await this.#measure(batch, provider);
    return this.#save(sealed(batch, { ...sums, tokens: batch.tokens }, this.#nowMs()));
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
      await ledger.returnLines(session, batch.no, group, group.length, this.#nowMs());
    }
  }

  async #dropFile({ batch, provider, settings }: At, fileId: string): Promise<Batch | null> {
    const reply = await provider.deleteFile(fileId, this.#calls(), this.#of.cut);
    if (reply.kind === "failed") return this.#save(this.#troubled(batch, reply, settings));
    return this.#save(fileDropped(batch, this.#nowMs()));
  }

  async #upload({ batch, provider, settings }: At): Promise<Batch | null> {
    const { parts, saves, source, cut } = this.#of;
    const announced = await this.#save(uploadBegins(batch, this.#nowMs()));
    if (announced === null) return null;
    await saves.reached("uploading", announced);
    const upload = {
      name: batchFileName(announced),
      lines: source.encoded(provider, announced),
      linesBytes: announced.linesBytes,
    };
    const limits = { timeoutMs: parts.settings.transferTimeoutMs };
    const reply = await provider.upload(upload, limits, cut).catch(whenResized);
    if (reply === "resized") return this.#resized(announced, provider, settings);
    if (reply.kind === "failed") return this.#save(this.#troubled(announced, reply, settings));
    const stored = await this.#save(uploaded(announced, reply.file, settings, this.#nowMs(), this.#random()));
    if (stored !== null) await saves.reached("uploaded", stored);
    return stored;
  }

  /** The lines come to something else than when they were counted: the config has changed. They are counted anew. */
  async #resized(batch: Batch, provider: BatchProvider, settings: LifeSettings): Promise<Batch | null> {
    const sums = await this.#measure(batch, provider);
    const trouble = { message: "its lines have another size than when it was sealed", retryAfterMs: null };
    if (sums.lines > 0) return this.#save(this.#troubled({ ...batch, ...sums }, trouble, settings));
    const refusal = { ...NOTHING_LEFT, message: "none of its lines can be sent any more" };
    return this.#save(failedStep({ ...batch, ...sums }, refusal, this.#nowMs()));
  }

  async #clearUpload({ batch, provider, settings }: At): Promise<Batch | null> {
    const failure = await this.#deleteUpload(batch, batch.uploads, provider);
    if (failure !== null) return this.#save(this.#troubled(batch, failure, settings));
    return this.#save(uploadCleared(batch, this.#nowMs()));
  }

  /** Deletes what is found under the name of an upload. @returns why it could not. */
  async #deleteUpload(
    batch: Batch,
    upload: number,
    provider: BatchProvider,
  ): Promise<{ readonly message: string; readonly retryAfterMs: number | null } | null> {
    const file = {
      name: batchFileName({ ...batch, uploads: upload }),
      sinceMs: searchedSinceMs(batch.createdAtMs, true),
    };
    const found = await provider.findFiles(file, this.#calls(), this.#of.cut);
    if (found.kind === "failed") return found;
    for (const { fileId } of found.files) {
      // Serial: hardly ever more than one.
      const reply = await provider.deleteFile(fileId, this.#calls(), this.#of.cut);
      if (reply.kind === "failed") return reply;
    }
    return null;
  }

  async #checkFile({ batch, provider, settings }: At): Promise<Batch | null> {
    const file = { name: batchFileName(batch), sinceMs: searchedSinceMs(batch.createdAtMs, true) };
    const found = await provider.findFiles(file, this.#calls(), this.#of.cut);
    if (found.kind === "failed") return this.#save(this.#troubled(batch, found, settings));
    const its = found.files.find(({ fileId }) => fileId === batch.fileId);
    const state = its?.state ?? "processing"; // a fresh file may not be shown yet
    const fileId = batch.fileId ?? "";
    return this.#save(uploaded(batch, { fileId, state }, settings, this.#nowMs(), this.#random()));
  }

  async #create(at: At): Promise<Batch | null> {
    const announced = await this.#save(createBegins(at.batch, this.#nowMs()));
    if (announced === null) return null;
    await this.#of.saves.reached("creating", announced);
    return this.#sendCreate({ ...at, batch: announced });
  }

  /** Only after the intent is stored, and once for each, unless the provider takes the same mark for the same batch. */
  async #sendCreate(at: At): Promise<Batch | null> {
    const { batch, provider, settings } = at;
    const { parts, saves, source, cut } = this.#of;
    const { callTimeoutMs } = parts.settings;
    const limits = { timeoutMs: callTimeoutMs, sendWithinMs: callTimeoutMs, maySend: () => this.#mayCreate(batch) };
    const { lineFormat, model, linesBytes } = batch;
    const input =
      batch.way === "file"
        ? ({ way: "file", fileId: batch.fileId ?? "" } as const)
        : ({ way: "inline", lines: source.encoded(provider, batch), linesBytes } as const);
    const create = { mark: batchMark(batch), lineFormat, model, input };
    const reply = await provider.create(create, limits, cut).catch(whenResized);
    await saves.reached("answered", batch);
    if (reply !== "resized") return this.#created(at, reply);
    // Bytes may have left before that showed.
    const sums = await this.#measure(batch, provider);
    const message = "its lines have another size than when it was sealed";
    return this.#save(createUnclear({ ...batch, ...sums }, message, settings, this.#nowMs(), this.#random()));
  }

  /** Asked right before the first byte leaves. */
  #mayCreate(batch: Batch): boolean {
    if (!this.#of.parts.mayStart()) return false;
    void this.#of.saves.reached("create_leaving", batch); // the bytes wait for nobody
    return true;
  }

  async #created({ batch, settings }: At, reply: CreateReply): Promise<Batch | null> {
    const nowMs = this.#nowMs();
    const random = this.#random();
    switch (reply.kind) {
      case "created": {
        const step = created(batch, reply.batch, this.#expectedMs(batch), settings, nowMs, random);
        const submitted = await this.#save(step);
        if (submitted !== null) await this.#of.saves.reached("submitted", submitted);
        return submitted;
      }
      case "refused":
        return this.#refused(batch, reply.refusal, settings);
      case "unclear":
        return this.#save(createUnclear(batch, reply.failure.message, settings, nowMs, random));
      case "not_sent":
        return this.#save(createNotSent(batch, reply, settings, nowMs, random));
    }
  }

  async #refused(batch: Batch, refusal: BatchRefusal, settings: LifeSettings): Promise<Batch | null> {
    const named = await this.#named(batch, refusal);
    return this.#save(afterRefusal(batch, named, settings, this.#nowMs(), this.#random()));
  }

  /** The lines that a refusal names, with their attempts: looked up while all of them are open, since places shift afterwards. */
  async #named(batch: Batch, refusal: BatchRefusal): Promise<BatchRefusal> {
    const faults = faultyLines(batch, refusal);
    if (faults.length === 0) return refusal;
    const attempts = await this.#of.source.attemptsAt(
      batch,
      faults.map(({ lineNumber }) => lineNumber),
    );
    const lines = faults.flatMap((fault) => {
      const attempt = attempts.get(fault.lineNumber);
      return attempt === undefined ? [] : [{ ...fault, attempt }];
    });
    return { ...refusal, lines };
  }

  async #reconcile(at: At): Promise<Batch | null> {
    const { batch, provider, settings } = at;
    const { saves, cut } = this.#of;
    const { intent, known } = await this.#intentOf(batch);
    const listed = await listSince(
      provider,
      searchedSinceMs(intent.intentAtMs, settings.keepsMarks),
      this.#calls(),
      cut,
    );
    if (listed.kind === "failed") return this.#save(this.#troubled(batch, listed, settings));
    const found = findCreated(intent, listed.batches, known, settings.keepsMarks);
    const step = afterLook(batch, found, this.#expectedMs(batch), settings, this.#nowMs(), this.#random());
    if (!("kind" in step)) return this.#save(step);
    if (step.kind === "repeat") return this.#sendCreate(at);
    const reply = await provider.deleteFile(step.fileId, this.#calls(), cut);
    if (reply.kind === "failed") return this.#save(this.#troubled(batch, reply, settings));
    const after = await this.#save(fenced(batch, settings, this.#nowMs()));
    if (after !== null) await saves.reached("fenced", after);
    return after;
  }

  /** What was stored before the creation, and the batches at the provider that others of ours are. */
  async #intentOf(batch: Batch): Promise<{ readonly intent: CreateIntent; readonly known: ReadonlySet<string> }> {
    const creates = await this.#of.parts.ledger.creates(batch.account, this.#nowMs() - CREATES_KNOWN_MS);
    const isIts = (one: StoredCreate): boolean => one.batchNo === batch.no && one.number === batch.creates;
    const intent = creates.find(isIts) ?? {
      mark: batchMark(batch),
      fileId: batch.fileId,
      lines: batch.lines,
      intentAtMs: batch.createAtMs ?? batch.createdAtMs,
    };
    return { intent, known: knownBatches(creates.filter((one) => !isIts(one))) };
  }

  async #ask(at: At): Promise<Batch | null> {
    const { batch, provider, settings } = at;
    const reply = await provider.get(batch.providerBatchId ?? "", this.#calls(), this.#of.cut);
    switch (reply.kind) {
      case "failed":
        return this.#save(this.#troubled(batch, reply, settings));
      case "absent": {
        const step = afterAbsent(batch, settings, this.#nowMs(), this.#random());
        return "kind" in step ? this.#lookForLost(at) : this.#save(step);
      }
      case "batch":
        return this.#answered(at, reply.batch);
    }
  }

  async #lookForLost({ batch, provider, settings }: At): Promise<Batch | null> {
    const sinceMs = searchedSinceMs(batch.submittedAtMs ?? batch.createdAtMs, true); // by its id
    const listed = await listSince(provider, sinceMs, this.#calls(), this.#of.cut);
    if (listed.kind === "failed") return this.#save(this.#troubled(batch, listed, settings));
    const isListed = listed.batches.some((one) => one.batchId === batch.providerBatchId);
    return this.#save(afterLostLook(batch, isListed, settings, this.#nowMs(), this.#random()));
  }

  async #answered(at: At, provided: ProviderBatch): Promise<Batch | null> {
    const { batch, settings } = at;
    const hasEnded = PROVIDER_BATCH_STATES[provided.state].ended;
    if (hasEnded && !settings.keepsMarks && provided.results.length > 0) {
      const proof = await this.#prove(at, provided);
      if (proof.kind === "unread") return this.#save(this.#troubled(batch, proof, settings));
      if (proof.kind === "not_ours") return this.#notOurs(at);
    }
    const refusal =
      provided.state === "failed"
        ? await this.#named(batch, provided.refusal ?? { ...NOTHING_LEFT, message: "the provider does not say why" })
        : NOTHING_LEFT;
    const step = afterAnswer(batch, provided, refusal, settings, this.#nowMs(), this.#random());
    const saved = await this.#save(step);
    if (saved?.state === "ended") await this.#of.saves.reached("ended", saved);
    return saved;
  }

  /** Whether a batch that may have been adopted by its size alone holds a line of ours. */
  async #prove(
    { batch, provider }: At,
    { batchId: providerBatchId, results: parts }: ProviderBatch,
  ): Promise<
    | { readonly kind: "ours" | "not_ours" }
    | { readonly kind: "unread"; readonly message: string; readonly retryAfterMs: number | null }
  > {
    const { parts: its, cut } = this.#of;
    const request = { batchId: providerBatchId, lineFormat: batch.lineFormat, parts, cursor: null };
    const ids: string[] = [];
    for await (const item of provider.results(request, { timeoutMs: its.settings.callTimeoutMs }, cut)) {
      if (item.kind === "broken") return { ...item.failure, kind: "unread" };
      const id = customIdOf(item);
      if (id !== null) ids.push(id);
      // Nearly always the first one tells.
      if (id !== null && ids.length === 1 && (await this.#isLine(batch, ids))) return { kind: "ours" };
      if (ids.length >= PROOF_LINES_MAX) break;
    }
    if (ids.length === 0) return { kind: "ours" }; // nothing to read proves nothing; its lines come out as missing
    return { kind: (await this.#isLine(batch, ids)) ? "ours" : "not_ours" };
  }

  async #isLine(batch: Batch, ids: readonly string[]): Promise<boolean> {
    const keys = ids.map(parseAttemptId).filter((key) => key !== null);
    if (keys.length === 0) return false;
    return (await this.#of.parts.ledger.linesByAttempt(batch.no, keys)).length > 0;
  }

  async #notOurs({ batch, provider, settings }: At): Promise<Batch | null> {
    const { intent, known } = await this.#intentOf(batch);
    const listed = await listSince(
      provider,
      searchedSinceMs(intent.intentAtMs, settings.keepsMarks),
      this.#calls(),
      this.#of.cut,
    );
    if (listed.kind === "failed") return this.#save(this.#troubled(batch, listed, settings));
    const others = listed.batches.filter((one) => one.batchId !== batch.providerBatchId);
    const found = findCreated(intent, others, known, settings.keepsMarks);
    const other = found.kind === "one" ? found.batch : null;
    return this.#save(notOurs(batch, other, settings, this.#nowMs(), this.#random()));
  }

  async #cancel({ batch, provider, settings }: At): Promise<Batch | null> {
    const reply = await provider.cancel(batch.providerBatchId ?? "", this.#calls(), this.#of.cut);
    if (reply.kind === "failed") return this.#save(this.#troubled(batch, reply, settings));
    return this.#save(cancelAsked(batch, settings, this.#nowMs(), this.#random()));
  }

  /** The faulty lines end alone; all others go where they are decided anew. */
  async #returnLines({ batch }: At): Promise<Batch | null> {
    const { ledger, session, settings } = this.#of.parts;
    const outcomes = await this.#endFaulty(batch);
    let returned = 0;
    do {
      // Serial: a group a transaction.
      returned = await ledger.returnLines(session, batch.no, null, settings.groupSizeMax, this.#nowMs());
    } while (returned > 0);
    return this.#save(linesReturned(batch, outcomes, this.#nowMs()));
  }

  async #endFaulty(batch: Batch): Promise<Batch["outcomes"]> {
    const { parts, judge, writer } = this.#of;
    const { refusal } = batch;
    const faults = new Map(
      refusal?.lines.flatMap(({ attempt, code }) => (attempt === undefined ? [] : [[attempt.no, { attempt, code }]])),
    );
    if (refusal === null || faults.size === 0) return batch.outcomes;
    const keys = [...faults.values()].map(({ attempt }) => attempt);
    const lines = await parts.ledger.linesByAttempt(batch.no, keys);
    const open = lines.filter(({ state }) => state === "batched");
    const calls = open.map((line) => {
      const code = faults.get(line.attempt.no)?.code ?? refusal.provider.code;
      return judge.ofEnd(batch, line, refusedLine(refusal.message, { ...refusal.provider, code }));
    });
    await writer.write(batch, calls);
    return { ...batch.outcomes, refused: keys.length };
  }

  async #erase({ batch, provider, settings }: At): Promise<Batch | null> {
    const failure = (await this.#eraseEarlier(batch, provider)) ?? (await this.#eraseLast(batch, provider));
    if (failure !== null) return this.#save(eraseFailed(batch, failure, settings, this.#nowMs(), this.#random()));
    return this.#save(erased(batch, this.#nowMs()));
  }

  async #eraseEarlier(batch: Batch, provider: BatchProvider): Promise<Parameters<typeof eraseFailed>[1] | null> {
    const from = Math.max(1, batch.uploads - ERASED_UPLOADS_MAX);
    for (let upload = from; upload < batch.uploads; upload += 1) {
      // Serial: hardly ever one.
      const failure = await this.#deleteUpload(batch, upload, provider);
      if (failure !== null) return failure;
    }
    return null;
  }

  async #eraseLast(batch: Batch, provider: BatchProvider): Promise<Parameters<typeof eraseFailed>[1] | null> {
    const { providerBatchId, fileId, parts } = batch;
    if (providerBatchId !== null) {
      const reply = await provider.erase({ batchId: providerBatchId, fileId, parts }, this.#calls(), this.#of.cut);
      return reply.kind === "failed" ? reply : null;
    }
    if (fileId === null) return null;
    const reply = await provider.deleteFile(fileId, this.#calls(), this.#of.cut);
    return reply.kind === "failed" ? reply : null;
  }

  #save(step: LifeStep): Promise<Batch | null> {
    return this.#of.saves.save(step);
  }

  #troubled(
    batch: Batch,
    failure: { readonly message: string; readonly retryAfterMs: number | null },
    settings: LifeSettings,
  ): LifeStep {
    this.#of.parts.log.warn("batch.troubled", {
      batch: batchId(batch.no),
      account: batch.account,
      state: batch.state,
      message: failure.message,
    });
    return troubled(batch, failure, settings, this.#nowMs(), this.#random());
  }

  #expectedMs({ account, model }: Batch): number {
    return expectedTurnaround(this.#of.parts.turnaround(), account, model).p95Ms;
  }

  #calls(): CallLimits {
    return { timeoutMs: this.#of.parts.settings.callTimeoutMs };
  }

  #nowMs(): number {
    return this.#of.parts.clock.nowMs();
  }

  #random(): number {
    return this.#of.parts.random.next();
  }
}

const NOTHING_LEFT: BatchRefusal = {
  because: "unclassified",
  message: "",
  lines: [],
  retryAfterMs: null,
  provider: { status: null, code: null, requestId: null },
};

/** @throws what is not about the size of the lines. */
function whenResized(error: unknown): "resized" {
  if (error instanceof RangeError) return "resized";
  throw error;
}

export function knownBatches(creates: readonly StoredCreate[]): ReadonlySet<string> {
  return new Set(creates.flatMap(({ providerBatchId }) => (providerBatchId === null ? [] : [providerBatchId])));
}

function customIdOf(item: ResultItem): string | null {
  return item.kind === "line" || item.kind === "malformed" ? item.customId : null;
}
