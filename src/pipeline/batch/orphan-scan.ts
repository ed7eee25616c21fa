import { batchId } from "../../domain/batch/batch.js";
import { findCreated, searchedSinceMs } from "../../domain/batch/life-doubt.js";
import { PROVIDER_BATCH_STATES, type ProviderBatch } from "../../domain/batch/provider-batch.js";
import { NO_SUBJECT } from "../../domain/event/event.js";
import type { StoredCreate } from "../../ports/batch-ledger.js";
import { knownBatches } from "./step-tools.js";
import type { BatchAccount, BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import { listSince } from "./provider-list.js";

/**
 * Looks for batches whose creation was given up as absent and that turn up all the same, for as long as the config says. Their lines went
 * on elsewhere: such a batch is cancelled and told of, and what it cost stands on the provider's bill alone.
 */
export class OrphanScan {
  readonly #parts: BatchStageParts;
  readonly #saves: BatchSaves;
  readonly #cut: AbortSignal;
  /** Told of by this router. */
  readonly #told = new Set<string>();

  constructor(parts: BatchStageParts, saves: BatchSaves, cut: AbortSignal) {
    this.#parts = parts;
    this.#saves = saves;
    this.#cut = cut;
  }

  async round(): Promise<void> {
    for (const [name, account] of this.#parts.accounts) {
      // Serial: rare, and nothing waits for it.
      await this.#scan(name, account);
    }
  }

  async #scan(name: string, { provider }: BatchAccount): Promise<void> {
    const { ledger, clock, settings, log } = this.#parts;
    const creates = await ledger.creates(name, clock.nowMs() - settings.scanForMs);
    const absent = creates.filter(({ settled }) => settled === "absent");
    if (absent.length === 0) return;
    const keepsMarks = provider.rules.markCharactersMax !== null;
    const sinceMs = searchedSinceMs(Math.min(...absent.map(({ intentAtMs }) => intentAtMs)), keepsMarks);
    const listed = await listSince(provider, sinceMs, { timeoutMs: settings.callTimeoutMs }, this.#cut);
    if (listed.kind === "failed") {
      log.warn("batch.scan_failed", { account: name, message: listed.message });
      return;
    }
    const known = knownBatches(creates);
    // Serial: hardly ever one.
    for (const create of absent) {
      const found = findCreated(create, listed.batches, known, keepsMarks);
      if (found.kind === "none") continue;
      const ids = found.kind === "one" ? [found.batch.batchId, ...found.twins] : found.batchIds;
      for (const one of listed.batches.filter(({ batchId: id }) => ids.includes(id)))
        await this.#found(name, create, one, found.kind === "several");
    }
  }

  /** @param isGuess other batches may be it as well: then nothing is cancelled that may be another's. */
  async #found(name: string, { batchNo }: StoredCreate, orphan: ProviderBatch, isGuess: boolean): Promise<void> {
    const { accounts, clock, metrics, settings, log } = this.#parts;
    const provider = accounts.get(name)?.provider;
    if (provider === undefined) return;
    if (!isGuess && !PROVIDER_BATCH_STATES[orphan.state].ended && orphan.state !== "cancelling") {
      const reply = await provider.cancel(orphan.batchId, { timeoutMs: settings.callTimeoutMs }, this.#cut);
      if (reply.kind === "failed") log.warn("batch.orphan_uncancelled", { account: name, message: reply.message });
    }
    if (this.#told.has(orphan.batchId)) return;
    if (this.#told.size >= TOLD_MAX) this.#told.clear();
    this.#told.add(orphan.batchId);
    metrics.count("sluice_batches_total", { account: name, became: "orphan" });
    const what = isGuess ? "may be" : "is";
    await this.#saves.publish({
      kind: "batch.orphan_found",
      message: `batch ${orphan.batchId} at ${name} ${what} ${batchId(batchNo)}, whose creation was given up as absent`,
      ...NO_SUBJECT,
      provider: null,
      account: name,
      details: { batchId: batchId(batchNo), providerBatchId: orphan.batchId, state: orphan.state },
      atMs: clock.nowMs(),
    });
  }
}

const TOLD_MAX = 10_000;
