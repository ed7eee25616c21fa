import { batchId } from "../../domain/batch/batch.js";
import { findCreated, searchedSinceMs, turnedUp, type Found } from "../../domain/batch/life-doubt.js";
import { NO_SUBJECT } from "../../domain/event/event.js";
import type { StoredCreate } from "../../ports/batch-ledger.js";
import { lifeSettings, type BatchAccount, type BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import { listSince } from "./provider-list.js";
import { knownBatches } from "./step-tools.js";

type FoundOne = Extract<Found, { readonly kind: "one" }>;

/**
 * Looks for batches whose creation was given up as absent and that turn up all the same, for as long as the config says. Their lines went
 * on elsewhere. Such a batch comes back to life to be stopped, so that what it answered until then is used or booked as waste.
 */
export class OrphanScan {
  readonly #parts: BatchStageParts;
  readonly #saves: BatchSaves;
  readonly #cut: AbortSignal;
  /** What this router has found so far: nothing is told, or brought back, a second time, as when its results showed no line of ours. */
  readonly #seen = new Set<string>();

  constructor(parts: BatchStageParts, saves: BatchSaves, cut: AbortSignal) {
    this.#parts = parts;
    this.#saves = saves;
    this.#cut = cut;
  }

  /** @returns batches that came back to life. */
  async round(): Promise<number> {
    let found = 0;
    // Serial: rare, and nothing waits for it.
    for (const [name, account] of this.#parts.accounts) found += await this.#scan(name, account);
    return found;
  }

  async #scan(name: string, account: BatchAccount): Promise<number> {
    const { ledger, clock, settings, log } = this.#parts;
    const { provider } = account;
    const creates = await ledger.creates(name, clock.nowMs() - settings.scanForMs);
    const absent = creates.filter(({ settled }) => settled === "absent");
    if (absent.length === 0) return 0;
    const keepsMarks = provider.rules.markCharactersMax !== null;
    const sinceMs = searchedSinceMs(Math.min(...absent.map(({ intentAtMs }) => intentAtMs)), keepsMarks);
    const listed = await listSince(provider, sinceMs, { timeoutMs: settings.callTimeoutMs }, this.#cut);
    if (listed.kind === "failed") {
      log.warn("batch.scan_failed", { account: name, message: listed.message });
      return 0;
    }
    const known = new Set(knownBatches(creates));
    let revived = 0;
    for (const create of absent) {
      const found = findCreated(create, listed.batches, known, keepsMarks);
      // Serial: hardly ever one.
      if (found.kind === "several") await this.#tell(name, create, found.batchIds);
      if (found.kind !== "one" || !(await this.#revive(account, create, found))) continue;
      known.add(found.batch.batchId);
      revived += 1;
    }
    return revived;
  }

  async #revive(account: BatchAccount, { batchNo }: StoredCreate, found: FoundOne): Promise<boolean> {
    const { ledger, session, clock, settings } = this.#parts;
    const orphan = `${batchId(batchNo)} ${found.batch.batchId}`;
    if (this.#seen.has(orphan)) return false;
    const batch = await ledger.takeFailed(session, batchNo);
    if (batch === null) return false;
    this.#note(orphan);
    const step = turnedUp(batch, found, lifeSettings(batch, account, settings), clock.nowMs());
    return (await this.#saves.save(step)) !== null;
  }

  /** Nothing is stopped that may be another's. */
  async #tell(name: string, { batchNo }: StoredCreate, candidates: readonly string[]): Promise<void> {
    const id = batchId(batchNo);
    const guess = `${id} ${candidates.join(" ")}`;
    if (this.#seen.has(guess)) return;
    this.#note(guess);
    this.#parts.metrics.count("sluice_batches_total", { account: name, became: "orphan" });
    await this.#saves.publish({
      kind: "batch.orphan_found",
      message: `${String(candidates.length)} batches at ${name} may be ${id}, whose creation was given up as absent; look which one it is`,
      ...NO_SUBJECT,
      provider: null,
      account: name,
      details: { batchId: id, candidates: candidates.join(" ") },
      atMs: this.#parts.clock.nowMs(),
    });
  }

  #note(found: string): void {
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear();
    this.#seen.add(found);
  }
}

const SEEN_MAX = 1000;
