import { batchFileName, batchId, batchMark, type Batch } from "../../domain/batch/batch.js";
import { searchedSinceMs, type CreateIntent } from "../../domain/batch/life-doubt.js";
import { faultyLines } from "../../domain/batch/life-refusal.js";
import { troubled, type LifeSettings, type LifeStep } from "../../domain/batch/life.js";
import type { BatchRefusal } from "../../domain/batch/provider-batch.js";
import { expectedTurnaround } from "../../domain/batch/turnaround.js";
import type { StoredCreate } from "../../ports/batch-ledger.js";
import type { BatchProvider, CallLimits } from "../../ports/batch-provider.js";
import type { BatchAccount, BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import type { LineJudge } from "./line-judge.js";
import type { LineSource } from "./line-source.js";
import type { LineWriter } from "./line-writer.js";

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

/** What one step works with. */
export interface At {
  readonly batch: Batch;
  readonly account: BatchAccount;
  readonly provider: BatchProvider;
  readonly settings: LifeSettings;
}

/** How far back creations of an account are asked for: longer than any provider lets a batch run. */
const CREATES_KNOWN_MS = 7 * 24 * 3_600_000;

/** What the steps of a batch share, from the seal to the last file that is deleted. */
export class StepTools {
  readonly #of: WorkerParts;

  constructor(of: WorkerParts) {
    this.#of = of;
  }

  /** Deletes what is found under the name of an upload. @returns why it could not. */
  async deleteUpload(
    batch: Batch,
    upload: number,
    provider: BatchProvider,
  ): Promise<{ readonly message: string; readonly retryAfterMs: number | null } | null> {
    const file = {
      name: batchFileName({ ...batch, uploads: upload }),
      sinceMs: searchedSinceMs(batch.createdAtMs, true),
    };
    const found = await provider.findFiles(file, this.calls(), this.#of.cut);
    if (found.kind === "failed") return found;
    for (const { fileId } of found.files) {
      // Serial: hardly ever more than one.
      const reply = await provider.deleteFile(fileId, this.calls(), this.#of.cut);
      if (reply.kind === "failed") return reply;
    }
    return null;
  }

  /** The lines that a refusal names, with their attempts: looked up while all of them are open, since places shift afterwards. */
  async named(batch: Batch, refusal: BatchRefusal): Promise<BatchRefusal> {
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

  /** What was stored before the creation, and the batches at the provider that others of ours are. */
  async intentOf(batch: Batch): Promise<{ readonly intent: CreateIntent; readonly known: ReadonlySet<string> }> {
    const creates = await this.#of.parts.ledger.creates(batch.account, this.nowMs() - CREATES_KNOWN_MS);
    const isIts = (one: StoredCreate): boolean => one.batchNo === batch.no && one.number === batch.creates;
    const intent = creates.find(isIts) ?? {
      mark: batchMark(batch),
      fileId: batch.fileId,
      lines: batch.lines,
      intentAtMs: batch.createAtMs ?? batch.createdAtMs,
    };
    return { intent, known: knownBatches(creates.filter((one) => !isIts(one))) };
  }

  save(step: LifeStep): Promise<Batch | null> {
    return this.#of.saves.save(step);
  }

  troubled(
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
    return troubled(batch, failure, settings, this.nowMs(), this.random());
  }

  expectedMs({ account, model }: Batch): number {
    return expectedTurnaround(this.#of.parts.turnaround(), account, model).p95Ms;
  }

  calls(): CallLimits {
    return { timeoutMs: this.#of.parts.settings.callTimeoutMs };
  }

  nowMs(): number {
    return this.#of.parts.clock.nowMs();
  }

  random(): number {
    return this.#of.parts.random.next();
  }
}

/** What is said of a batch whose provider names no reason. */
export const NOTHING_LEFT: BatchRefusal = {
  because: "unclassified",
  message: "",
  lines: [],
  retryAfterMs: null,
  provider: { status: null, code: null, requestId: null },
};

export function knownBatches(creates: readonly StoredCreate[]): ReadonlySet<string> {
  return new Set(creates.flatMap(({ providerBatchId }) => (providerBatchId === null ? [] : [providerBatchId])));
}
