/** A batch as it is kept on disk, and the shelf that keeps them: one JSON file a batch, replaced whole at each change of state. */
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { BatchDetails, BatchProblem, BatchState, ResultFileMeta } from "./batch-api.js";
import type { BatchFault } from "./batch-faults.js";
import type { ProviderName } from "./price-table.js";

/** Simulated milliseconds, each null until it comes. */
export type BatchTimes = {
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly inProgressMs: number | null;
  readonly finalizingMs: number | null;
  readonly completedMs: number | null;
  readonly failedMs: number | null;
  readonly expiredMs: number | null;
  readonly cancellingMs: number | null;
  readonly cancelledMs: number | null;
};

export type BatchUsage = {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
};

/** Lines by how they ended. */
export type BatchCounts = {
  readonly succeeded: number;
  readonly failed: number;
  readonly expired: number;
  readonly cancelled: number;
};

export type BatchRecord = {
  /** In order of creation, from 1. */
  readonly serial: number;
  readonly api: string;
  readonly provider: ProviderName;
  readonly account: string;
  readonly id: string;
  readonly state: BatchState;
  /** Its results are being written, to this end. */
  readonly closing: "completed" | "expired" | "cancelled" | null;
  readonly times: BatchTimes;
  /** Of the clock on the wall, for faults that callers time. */
  readonly createdRealMs: number;
  /** The simulator's at its creation: a line that is run again after a restart gets the same answer. */
  readonly seed: number;
  /** The id of the input in the file store. */
  readonly input: string;
  /** Whether callers uploaded the input; else it is removed with the batch's end. */
  readonly inputIsListed: boolean;
  /** 0 until validated, unless known at the creation. */
  readonly total: number;
  /** Set when the batch is final; what a running batch has done is in its journal. */
  readonly counts: BatchCounts;
  readonly usage: BatchUsage;
  /** The dated name of the one model; null with several, or while unknown. */
  readonly model: string | null;
  /** Input tokens by listed model, while they count as enqueued. */
  readonly enqueued: Readonly<Record<string, number>>;
  readonly problems: readonly BatchProblem[];
  /** The result files as named; each stands once `outputFile` or `errorFile` says so. */
  readonly results: { readonly output: ResultFileMeta; readonly error: ResultFileMeta } | null;
  readonly outputFile: string | null;
  readonly errorFile: string | null;
  readonly details: BatchDetails;
  readonly faults: readonly BatchFault[];
  readonly isRemoved: boolean;
};

export const NO_COUNTS: BatchCounts = { succeeded: 0, failed: 0, expired: 0, cancelled: 0 };
export const NO_USAGE: BatchUsage = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 };

const FINAL: ReadonlySet<BatchState> = new Set(["completed", "failed", "expired", "cancelled"]);

export function isFinal(record: BatchRecord): boolean {
  return FINAL.has(record.state);
}

export class BatchShelf {
  readonly #folder: string;
  #lastSerial = 0;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  newSerial(): number {
    this.#lastSerial += 1;
    return this.#lastSerial;
  }

  /** Every batch kept, oldest first. */
  readAll(): readonly BatchRecord[] {
    const names = readdirSync(this.#folder).filter((name) => name.endsWith(".json"));
    // Written by `keep` of this or an earlier run: this is the parsing edge.
    const records = names.map((name) => JSON.parse(readFileSync(join(this.#folder, name), "utf8")) as BatchRecord);
    this.#lastSerial = Math.max(0, ...records.map((record) => record.serial));
    return records.sort((a, b) => a.serial - b.serial);
  }

  keep(record: BatchRecord): void {
    const path = this.#path(record, "json");
    writeFileSync(`${path}.new`, JSON.stringify(record));
    renameSync(`${path}.new`, path);
  }

  journalPath(record: BatchRecord): string {
    return this.#path(record, "journal");
  }

  dropJournal(record: BatchRecord): void {
    rmSync(this.journalPath(record), { force: true });
  }

  /** Holds on to the bytes of the input, which its owner may delete while the batch runs. */
  holdInput(record: BatchRecord, path: string): void {
    const held = this.#path(record, "input");
    rmSync(held, { force: true });
    try {
      linkSync(path, held);
    } catch {
      // Not every file system has links.
      copyFileSync(path, held);
    }
  }

  /** Where the held bytes are; null when none are held. */
  heldInput(record: BatchRecord): string | null {
    const held = this.#path(record, "input");
    return existsSync(held) ? held : null;
  }

  dropInput(record: BatchRecord): void {
    rmSync(this.#path(record, "input"), { force: true });
  }

  #path(record: BatchRecord, ending: string): string {
    return join(this.#folder, `${String(record.serial)}.${ending}`);
  }
}
