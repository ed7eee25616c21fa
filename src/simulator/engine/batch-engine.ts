/**
 * Batches of all providers over simulated time: creates, shows and cancels them, and lets them live (batch-life.ts) in short turns. All
 * of it survives a restart. Nothing here knows how a provider writes things; that is its BatchApi's and its operations' part.
 */
import { randomBytes } from "node:crypto";
import type { BatchApi, BatchDetails, ResultFileName } from "./batch-api.js";
import { faultOf } from "./batch-faults.js";
import type { BatchFault } from "./batch-faults.js";
import { BatchLife } from "./batch-life.js";
import type { BatchLifeParts, ValidationGate } from "./batch-life.js";
import { isFinal, NO_COUNTS, NO_USAGE } from "./batch-record.js";
import type { BatchRecord, BatchShelf } from "./batch-record.js";
import { parseBatchTimes } from "./batch-times.js";
import type { BatchTimetable } from "./batch-times.js";
import { viewOf } from "./batch-view.js";
import type { BatchView, Looks } from "./batch-view.js";
import type { BillFile } from "./bill-file.js";
import type { FaultBook } from "./fault-rules.js";
import type { FileStore, StoredFile } from "./file-store.js";
import type { Limits } from "./limits.js";
import type { PriceTable, ProviderName } from "./price-table.js";
import type { SimulatedClock } from "./simulated-clock.js";
import { TurnLoop } from "./turn-loop.js";

export type { BatchView } from "./batch-view.js";

/** What a batch is made from. */
export type BatchOrder = {
  readonly api: BatchApi;
  readonly account: string;
  /** Of its own provider's form, and new. */
  readonly id: string;
  /** The operation and the path that create it, by which fault rules match. */
  readonly operation: string;
  readonly path: string;
  /** The model of its first line as asked for; "" when unknown. For fault rules. */
  readonly model: string;
  /** One request a line. Removed with the batch's end when it is not listed. */
  readonly input: StoredFile;
  /** Known at the creation only by providers that are sent the requests inline. */
  readonly lines: number | null;
  readonly details: BatchDetails;
};

export type BatchEngineParts = {
  readonly apis: readonly BatchApi[];
  readonly shelf: BatchShelf;
  readonly files: FileStore;
  readonly bill: BillFile;
  readonly faults: FaultBook;
  readonly limits: Limits;
  readonly clock: SimulatedClock;
  readonly prices: PriceTable;
  readonly seed: number;
  readonly timetable: BatchTimetable;
};

/** A batch as tests see it, whatever its faults hide. */
export type BatchSummary = {
  readonly provider: ProviderName;
  readonly account: string;
  readonly id: string;
  readonly state: string;
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly removed: boolean;
  readonly faults: readonly BatchFault[];
  /** Why it stands still, when something went wrong with the simulator itself. */
  readonly halted: string | null;
};

type Entry = { readonly life: BatchLife; readonly looks: Looks; halted: string | null };

export class BatchEngine {
  timetable: BatchTimetable;
  readonly #parts: BatchEngineParts;
  readonly #life: BatchLifeParts;
  readonly #loop: TurnLoop;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();

  /** Takes up the batches of earlier runs where they were. */
  constructor(parts: BatchEngineParts) {
    const { shelf, files, bill, clock, prices, limits } = parts;
    this.#parts = parts;
    this.timetable = parts.timetable;
    this.#life = {
      ...{ shelf, files, bill, clock, prices, limits },
      timetable: () => this.timetable,
      overQueue: (record, model, tokens) => this.#overQueue(record, model, tokens),
      gate: this.#gate(),
    };
    this.#loop = new TurnLoop(clock, (work, error) => {
      const entry = [...this.#entries.values()].find((one) => one.life === work);
      if (entry !== undefined) entry.halted = error instanceof Error ? error.message : String(error);
    });
    for (const record of shelf.readAll()) this.#add(record);
  }

  create(order: BatchOrder): BatchView {
    const { shelf, clock, faults, seed } = this.#parts;
    const { api, account, operation, path, model, input } = order;
    const createdMs = clock.now();
    const { provider } = api;
    const record: BatchRecord = {
      serial: shelf.newSerial(),
      api: api.name,
      provider,
      account,
      id: order.id,
      state: "validating",
      closing: null,
      times: { ...NO_TIMES, createdMs, expiresMs: createdMs + api.windowMs },
      createdRealMs: Date.now(),
      seed,
      input: input.id,
      inputIsListed: input.listed,
      total: order.lines ?? 0,
      counts: NO_COUNTS,
      usage: NO_USAGE,
      model: null,
      enqueued: {},
      problems: [],
      results: null,
      outputFile: null,
      errorFile: null,
      details: order.details,
      faults: faults.pickForBatch({ provider, operation, path, model, key: account }),
      isRemoved: false,
    };
    shelf.keep(record);
    return this.#show(this.#add(record));
  }

  /** null when there is none (any more, or visible yet). */
  find(provider: ProviderName, account: string, id: string): BatchView | null {
    const entry = this.#visible(provider, account, id);
    return entry === null ? null : this.#show(entry);
  }

  /** Newest first. */
  list(provider: ProviderName, account: string): readonly BatchView[] {
    return [...this.#entries.values()]
      .filter(({ life }) => isOf(life.record, provider, account) && !isHidden(life.record, "listMs"))
      .reverse()
      .map((entry) => this.#show(entry));
  }

  /** Starts to cancel. "final" when it is too late; null as in `find`. */
  cancel(provider: ProviderName, account: string, id: string): BatchView | "final" | null {
    const entry = this.#visible(provider, account, id);
    if (entry === null) return null;
    if (!entry.life.cancel()) return entry.life.record.state === "cancelling" ? this.#show(entry) : "final";
    this.#loop.wake(entry.life);
    return this.#show(entry);
  }

  /** Forgets a batch and its result files; one that is not final goes on unseen. false as `find`'s null. */
  remove(provider: ProviderName, account: string, id: string): boolean {
    const entry = this.#visible(provider, account, id);
    if (entry === null) return false;
    const { life } = entry;
    life.record = { ...life.record, isRemoved: true };
    this.#parts.shelf.keep(life.record);
    for (const name of ["output", "error"] as const) {
      const file = this.resultFile(this.#show(entry), name);
      if (file !== null) this.#parts.files.remove(file);
    }
    return true;
  }

  /** A result file while it stands. */
  resultFile(batch: BatchView, name: ResultFileName): StoredFile | null {
    const id = name === "output" ? batch.outputFile : batch.errorFile;
    return id === null ? null : this.#parts.files.find(batch.provider, batch.account, id);
  }

  /** An id that no batch has. */
  newId(prefix: string): string {
    return `${prefix}${randomBytes(16).toString("hex")}`;
  }

  /** Changes how long things take, for the batches there are as well. */
  setTimetable(json: unknown): BatchTimetable {
    this.timetable = parseBatchTimes(json);
    this.#loop.wakeAll();
    return this.timetable;
  }

  summaries(): readonly BatchSummary[] {
    return [...this.#entries.values()].map(({ life, halted }) => {
      const { provider, account, id, state, total, counts, isRemoved, faults } = life.record;
      const { succeeded, failed } = life.done ?? counts;
      return { provider, account, id, state, total, succeeded, failed, removed: isRemoved, faults, halted };
    });
  }

  stop(): void {
    this.#loop.stop();
    for (const { life } of this.#entries.values()) life.stop();
  }

  #gate(): ValidationGate {
    let inside: BatchLife | null = null;
    return {
      enter: (life) => {
        inside ??= life;
        return inside === life;
      },
      leave: (life) => {
        if (inside !== life) return;
        inside = null;
        this.#loop.wakeAll();
      },
    };
  }

  #add(record: BatchRecord): Entry {
    const api = this.#parts.apis.find((one) => one.name === record.api);
    if (api === undefined) throw new Error(`expected a provider with the batch API ${record.api}`);
    const life = new BatchLife(this.#life, api, record);
    const entry: Entry = { life, looks: { backward: 0, strange: 0 }, halted: null };
    this.#entries.set(keyOf(record.provider, record.account, record.id), entry);
    if (!isFinal(record)) this.#loop.add(life);
    return entry;
  }

  #visible(provider: ProviderName, account: string, id: string): Entry | null {
    const entry = this.#entries.get(keyOf(provider, account, id));
    if (entry === undefined || entry.life.record.isRemoved || isHidden(entry.life.record, "getMs")) return null;
    return entry;
  }

  #show({ life, looks }: Entry): BatchView {
    return viewOf(life.record, life.done, looks);
  }

  #overQueue(record: BatchRecord, model: string, tokens: number): number | null {
    const tokensMax = this.#parts.limits.enqueuedTokensMax(model);
    if (tokensMax === null) return null;
    let enqueued = tokens;
    for (const { life } of this.#entries.values())
      if (life.record !== record && isOf(life.record, record.provider, record.account))
        enqueued += life.record.enqueued[model] ?? 0;
    return enqueued > tokensMax ? tokensMax : null;
  }
}

const NO_TIMES = {
  inProgressMs: null,
  finalizingMs: null,
  completedMs: null,
  failedMs: null,
  expiredMs: null,
  cancellingMs: null,
  cancelledMs: null,
} as const;

function keyOf(provider: ProviderName, account: string, id: string): string {
  return `${provider}\n${account}\n${id}`;
}

function isOf(record: BatchRecord, provider: ProviderName, account: string): boolean {
  return record.provider === provider && record.account === account && !record.isRemoved;
}

function isHidden(record: BatchRecord, field: "listMs" | "getMs"): boolean {
  const hiddenMs = faultOf(record.faults, "batch_hidden")?.[field] ?? 0;
  return Date.now() - record.createdRealMs < hiddenMs;
}
