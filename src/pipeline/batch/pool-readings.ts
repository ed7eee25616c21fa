import type { BatchLedger, PoolLoad } from "../../ports/batch-ledger.js";
import type { Clock } from "../../ports/system.js";

/** A reading is used for so many times as long as it took: adding up what waits takes a twentieth of one connection at most. */
const REST = 20;

/**
 * What waits in the pools, read once for all who ask. The ledger adds up all waiting rows for it (measured: 117 ms for 50,000), so many of
 * them are read less often; a few are as good as read each time.
 */
export class PoolReadings {
  readonly #ledger: Pick<BatchLedger, "pools">;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #last: readonly PoolLoad[] = [];
  #freshUntilMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<readonly PoolLoad[]> | null = null;

  constructor(ledger: Pick<BatchLedger, "pools">, clock: Pick<Clock, "monotonicMs">) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** @returns the same list as before while nothing newer was read. Rejects when the ledger can't be asked. */
  read(): Promise<readonly PoolLoad[]> {
    if (this.#reading !== null) return this.#reading;
    if (this.#clock.monotonicMs() < this.#freshUntilMs) return Promise.resolve(this.#last);
    this.#reading = this.#readNow().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readNow(): Promise<readonly PoolLoad[]> {
    const startedMs = this.#clock.monotonicMs();
    this.#last = await this.#ledger.pools();
    const endedMs = this.#clock.monotonicMs();
    this.#freshUntilMs = endedMs + REST * (endedMs - startedMs);
    return this.#last;
  }
}
