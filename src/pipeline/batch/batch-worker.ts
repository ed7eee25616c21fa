import { batchId, type Batch } from "../../domain/batch/batch.js";
import { findCreated, searchedSinceMs } from "../../domain/batch/life-doubt.js";
import { givenUp, linesReturned } from "../../domain/batch/life-refusal.js";
import { erased, eraseFailed } from "../../domain/batch/life-results.js";
import { afterAbsent, afterAnswer, afterLostLook, cancelAsked, notOurs } from "../../domain/batch/life-watch.js";
import { nextTask, type BatchTask } from "../../domain/batch/life.js";
import { PROVIDER_BATCH_STATES, type ProviderBatch } from "../../domain/batch/provider-batch.js";
import { parseAttemptId } from "../../domain/job/ids.js";
import type { BatchProvider, ResultItem } from "../../ports/batch-provider.js";
import { BatchCreation } from "./batch-creation.js";
import { lifeSettings } from "./batch-parts.js";
import { refusedLine } from "./line-judge.js";
import { listSince } from "./provider-list.js";
import { ResultIngest } from "./result-ingest.js";
import { NOTHING_LEFT, StepTools, type At, type WorkerParts } from "./step-tools.js";

/** Results of a batch adopted by its size that are looked at for a line of ours. */
const PROOF_LINES_MAX = 200;
/** Earlier uploads of one batch whose files are looked for when it is erased. */
const ERASED_UPLOADS_MAX = 20;

/**
 * Takes a batch through its life: does what the state asks for, stores what the answer makes of it, and so on until it has to wait. A state
 * that announces something is stored before it is done; after a kill at any instant whoever finds the batch knows what may have happened.
 */
export class BatchWorker {
  readonly #of: WorkerParts;
  readonly #tools: StepTools;
  readonly #creation: BatchCreation;

  constructor(of: WorkerParts) {
    this.#of = of;
    this.#tools = new StepTools(of);
    this.#creation = new BatchCreation(of, this.#tools);
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
      const task = nextTask(batch, settings, this.#tools.nowMs());
      // Serial: each step begins with what the last one stored.
      batch = await this.#do(task, { batch, account, provider: account.provider, settings });
    }
  }

  #isDue({ nextAtMs }: Batch): boolean {
    return nextAtMs !== null && nextAtMs <= this.#tools.nowMs();
  }

  async #postpone(batch: Batch): Promise<void> {
    const { log, settings } = this.#of.parts;
    const message = `its account ${batch.account} has no batches in the config any more`;
    log.error("batch.account_unknown", { batch: batchId(batch.no), note: message });
    const nextAtMs = this.#tools.nowMs() + settings.pollMaxMs;
    await this.#of.saves.save({ batch: { ...batch, trouble: message, nextAtMs }, effects: [] });
  }

  #do(task: BatchTask, at: At): Promise<Batch | null> {
    switch (task.kind) {
      case "seal":
        return this.#creation.seal(at);
      case "drop_file":
        return this.#creation.dropFile(at, task.fileId);
      case "upload":
        return this.#creation.upload(at);
      case "clear_upload":
        return this.#creation.clearUpload(at);
      case "check_file":
        return this.#creation.checkFile(at);
      case "create":
        return this.#creation.create(at);
      case "reconcile":
        return this.#creation.reconcile(at);
      case "ask":
        return this.#ask(at);
      case "cancel":
        return this.#cancel(at);
      case "ingest":
        return new ResultIngest(this.#of, at.account, at.batch).run();
      case "give_up":
        return this.#tools.save(givenUp(at.batch, task.refusal, this.#tools.nowMs()));
      case "return_lines":
        return this.#returnLines(at);
      case "erase":
        return this.#erase(at);
    }
  }

  async #ask(at: At): Promise<Batch | null> {
    const { batch, provider, settings } = at;
    const reply = await provider.get(batch.providerBatchId ?? "", this.#tools.calls(), this.#of.cut);
    switch (reply.kind) {
      case "failed":
        return this.#tools.save(this.#tools.troubled(batch, reply, settings));
      case "absent": {
        const step = afterAbsent(batch, settings, this.#tools.nowMs(), this.#tools.random());
        return "kind" in step ? this.#lookForLost(at) : this.#tools.save(step);
      }
      case "batch":
        this.#of.parts.reach?.("batch.polled");
        return this.#answered(at, reply.batch);
    }
  }

  async #lookForLost({ batch, provider, settings }: At): Promise<Batch | null> {
    const sinceMs = searchedSinceMs(batch.submittedAtMs ?? batch.createdAtMs, true); // by its id
    const listed = await listSince(provider, sinceMs, this.#tools.calls(), this.#of.cut);
    if (listed.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, listed, settings));
    const isListed = listed.batches.some((one) => one.batchId === batch.providerBatchId);
    return this.#tools.save(afterLostLook(batch, isListed, settings, this.#tools.nowMs(), this.#tools.random()));
  }

  async #answered(at: At, provided: ProviderBatch): Promise<Batch | null> {
    const { batch, settings } = at;
    const hasEnded = PROVIDER_BATCH_STATES[provided.state].ended;
    if (hasEnded && batch.unproven === true && provided.results.length > 0) {
      const proof = await this.#prove(at, provided);
      if (proof.kind === "unread") return this.#tools.save(this.#tools.troubled(batch, proof, settings));
      if (proof.kind === "not_ours") return this.#notOurs(at);
    }
    const refusal =
      provided.state === "failed"
        ? await this.#tools.named(
            batch,
            provided.refusal ?? { ...NOTHING_LEFT, message: "the provider does not say why" },
          )
        : NOTHING_LEFT;
    const step = afterAnswer(batch, provided, refusal, settings, this.#tools.nowMs(), this.#tools.random());
    const saved = await this.#tools.save(step);
    if (saved?.state === "ended") this.#of.parts.reach?.("batch.ended");
    return saved;
  }

  /** Whether a batch that was adopted by its size alone holds a line of ours. */
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
    if (await this.#isLine(batch, ids)) return { kind: "ours" };
    return { kind: provesAnother(ids) ? "not_ours" : "ours" };
  }

  async #isLine(batch: Batch, ids: readonly string[]): Promise<boolean> {
    const keys = ids.map(parseAttemptId).filter((key) => key !== null);
    if (keys.length === 0) return false;
    return (await this.#of.parts.ledger.linesByAttempt(batch.no, keys)).length > 0;
  }

  async #notOurs({ batch, provider, settings }: At): Promise<Batch | null> {
    const { intent, known } = await this.#tools.intentOf(batch);
    const listed = await listSince(
      provider,
      searchedSinceMs(intent.intentAtMs, settings.keepsMarks),
      this.#tools.calls(),
      this.#of.cut,
    );
    if (listed.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, listed, settings));
    const others = listed.batches.filter((one) => one.batchId !== batch.providerBatchId);
    const found = findCreated(intent, others, known, settings.keepsMarks);
    const other = found.kind === "one" ? found.batch : null;
    return this.#tools.save(notOurs(batch, other, settings, this.#tools.nowMs(), this.#tools.random()));
  }

  async #cancel({ batch, provider, settings }: At): Promise<Batch | null> {
    const reply = await provider.cancel(batch.providerBatchId ?? "", this.#tools.calls(), this.#of.cut);
    if (reply.kind === "failed") return this.#tools.save(this.#tools.troubled(batch, reply, settings));
    this.#of.parts.reach?.("batch.cancel_answered");
    const saved = await this.#tools.save(cancelAsked(batch, settings, this.#tools.nowMs(), this.#tools.random()));
    if (saved !== null) this.#of.parts.reach?.("batch.cancelling");
    return saved;
  }

  /** The faulty lines end alone; all others go where they are decided anew. */
  async #returnLines({ batch }: At): Promise<Batch | null> {
    const { ledger, session, settings } = this.#of.parts;
    const outcomes = await this.#endFaulty(batch);
    let returned = 0;
    do {
      // Serial: a group a transaction.
      returned = await ledger.returnLines(session, batch.no, null, settings.groupSizeMax, this.#tools.nowMs());
      if (returned > 0) this.#of.parts.reach?.("batch.lines_returned");
    } while (returned > 0);
    return this.#tools.save(linesReturned(batch, outcomes, this.#tools.nowMs()));
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
    if (failure !== null)
      return this.#tools.save(eraseFailed(batch, failure, settings, this.#tools.nowMs(), this.#tools.random()));
    this.#of.parts.reach?.("batch.erased");
    return this.#tools.save(erased(batch, this.#tools.nowMs()));
  }

  /** The last one, too, when nobody knows what became of it: a fresh file may not have been listed when it was looked for. */
  async #eraseEarlier(batch: Batch, provider: BatchProvider): Promise<Parameters<typeof eraseFailed>[1] | null> {
    const from = Math.max(1, batch.uploads - ERASED_UPLOADS_MAX);
    const last = batch.fileId === null ? batch.uploads : batch.uploads - 1;
    for (let upload = from; upload <= last; upload += 1) {
      // Serial: hardly ever one.
      const failure = await this.#tools.deleteUpload(batch, upload, provider);
      if (failure !== null) return failure;
    }
    return null;
  }

  async #eraseLast(batch: Batch, provider: BatchProvider): Promise<Parameters<typeof eraseFailed>[1] | null> {
    const { providerBatchId, fileId, parts } = batch;
    if (providerBatchId !== null) {
      const reply = await provider.erase(
        { batchId: providerBatchId, fileId, parts },
        this.#tools.calls(),
        this.#of.cut,
      );
      return reply.kind === "failed" ? reply : null;
    }
    if (fileId === null) return null;
    const reply = await provider.deleteFile(fileId, this.#tools.calls(), this.#of.cut);
    return reply.kind === "failed" ? reply : null;
  }
}

function customIdOf(item: ResultItem): string | null {
  return item.kind === "line" || item.kind === "malformed" ? item.customId : null;
}

/**
 * Whether results without a line of ours are those of another batch: they have the line of another batch of the gateway, or more than one line
 * that nobody sent. Nothing to read, or one stray line, is what a provider may make of a batch of ours: its lines come out as missing then.
 */
function provesAnother(ids: readonly string[]): boolean {
  return ids.length > 1 || ids.some((id) => parseAttemptId(id) !== null);
}
