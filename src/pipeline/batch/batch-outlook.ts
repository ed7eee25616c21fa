import { LIVE_BATCH_STATES, type BatchState } from "../../domain/batch/batch.js";
import { accountOfPool } from "../../domain/batch/queued-line.js";
import { turnaroundBook, type TurnaroundBook } from "../../domain/batch/turnaround.js";
import type { BatchLedger, BatchLoad, PoolLoad } from "../../ports/batch-ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock } from "../../ports/system.js";
import type { PoolReadings } from "./pool-readings.js";
import type { BatchingSettings } from "./batch-settings.js";

interface BatchOutlookParts {
  readonly ledger: Pick<BatchLedger, "turnarounds" | "batchLoads">;
  readonly pools: Pick<PoolReadings, "read">;
  readonly settings: Pick<BatchingSettings, "turnaroundPriorMs" | "turnaroundWindowMs" | "turnaroundsMax">;
  /** Enqueued tokens that each account with batches may have; null: not limited. */
  readonly tokensMax: ReadonlyMap<string, number | null>;
  readonly clock: Pick<Clock, "nowMs">;
  readonly metrics: Metrics;
}

/**
 * What a batch would meet if one were made now: how long batches take, how many tokens still fit. As of the last look, for those who have
 * to decide on many jobs a second; the ledger decides when a batch is opened. Before the first look it knows the stated prior and no more.
 */
export class BatchOutlook {
  readonly #parts: BatchOutlookParts;
  #turnaround: TurnaroundBook;
  #tokens: ReadonlyMap<string, number> | null = null;
  #seenLoads: readonly Pick<BatchLoad, "account" | "state">[] = [];

  constructor(parts: BatchOutlookParts) {
    this.#parts = parts;
    this.#turnaround = this.#bookOf([]);
  }

  get turnaround(): TurnaroundBook {
    return this.#turnaround;
  }

  /** Estimated prompt tokens that fit besides those of running and waiting lines; null: not limited, or not known yet. */
  headroomTokens(account: string): number | null {
    const tokensMax = this.#parts.tokensMax.get(account) ?? null;
    if (tokensMax === null || this.#tokens === null) return null;
    return Math.max(0, tokensMax - (this.#tokens.get(account) ?? 0));
  }

  /** One look. Rejects when the ledger can't be asked: then all stays as it was. */
  async look(): Promise<void> {
    const { ledger, settings, clock } = this.#parts;
    const sinceMs = clock.nowMs() - settings.turnaroundWindowMs;
    const [ended, pools, loads] = await Promise.all([
      ledger.turnarounds(sinceMs, settings.turnaroundsMax),
      this.#parts.pools.read(),
      ledger.batchLoads(),
    ]);
    this.#turnaround = this.#bookOf(ended);
    this.#tokens = tokensOf(pools, loads);
    this.#report(pools, loads);
  }

  #bookOf(ended: Parameters<typeof turnaroundBook>[0]): TurnaroundBook {
    const { turnaroundPriorMs, turnaroundWindowMs, turnaroundsMax } = this.#parts.settings;
    return turnaroundBook(
      ended,
      { priorMs: turnaroundPriorMs, windowMs: turnaroundWindowMs, perModelMax: turnaroundsMax },
      this.#parts.clock.nowMs(),
    );
  }

  /** What was there at the last look and is no more is told as 0. */
  #report(pools: readonly PoolLoad[], loads: readonly BatchLoad[]): void {
    const { metrics, tokensMax } = this.#parts;
    for (const { account, state } of this.#seenLoads) metrics.set("sluice_batches", { account, state }, 0);
    for (const { account, state, batches } of loads) metrics.set("sluice_batches", { account, state }, batches);
    this.#seenLoads = loads;
    const waiting = new Map([...tokensMax.keys()].map((account) => [account, 0]));
    for (const { pool, lines } of pools) add(waiting, accountOfPool(pool), lines);
    for (const [account, lines] of waiting) metrics.set("sluice_batch_waiting_lines", { account }, lines);
  }
}

const LIVE: ReadonlySet<BatchState> = new Set(LIVE_BATCH_STATES);

function tokensOf(pools: readonly PoolLoad[], loads: readonly BatchLoad[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { account, state, tokens } of loads) if (LIVE.has(state)) add(sums, account, tokens);
  for (const { pool, tokens } of pools) add(sums, accountOfPool(pool), tokens);
  return sums;
}

function add(sums: Map<string, number>, name: string, by: number): void {
  sums.set(name, (sums.get(name) ?? 0) + by);
}
