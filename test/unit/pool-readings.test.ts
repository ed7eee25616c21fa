import { describe, expect, test } from "@jest/globals";
import { PoolReadings } from "../../src/pipeline/batch/pool-readings.js";
import type { PoolLoad } from "../../src/ports/batch-ledger.js";

/** A ledger whose reading takes so long, by a clock that only it moves. */
class SlowLedger {
  nowMs = 1000;
  reads = 0;
  fails = false;
  readonly #tookMs: number;

  constructor(tookMs: number) {
    this.#tookMs = tookMs;
  }

  readonly monotonicMs = (): number => this.nowMs;

  async pools(): Promise<readonly PoolLoad[]> {
    this.reads += 1;
    await Promise.resolve();
    this.nowMs += this.#tookMs;
    if (this.fails) throw new Error("away");
    return [{ pool: "p", lines: this.reads, bytes: 1, tokens: 1, oldestAtMs: 0, nearestLookAtMs: 0 }];
  }
}

describe("What waits in the pools is read", () => {
  test("once for all who ask at the same time", async () => {
    const ledger = new SlowLedger(0);
    const pools = new PoolReadings(ledger, ledger);
    const [one, other] = await Promise.all([pools.read(), pools.read()]);
    expect([ledger.reads, one === other]).toEqual([1, true]);
  });

  test("each time while that is quick", async () => {
    const ledger = new SlowLedger(0);
    const pools = new PoolReadings(ledger, ledger);
    await pools.read();
    expect((await pools.read())[0]?.lines).toBe(2);
  });

  test("again after twenty times as long as it took", async () => {
    const ledger = new SlowLedger(100);
    const pools = new PoolReadings(ledger, ledger);
    const first = await pools.read();
    ledger.nowMs += 1999;
    expect(await pools.read()).toBe(first);
    ledger.nowMs += 1;
    expect((await pools.read())[0]?.lines).toBe(2);
  });

  test("again at once when it could not be", async () => {
    const ledger = new SlowLedger(100);
    const pools = new PoolReadings(ledger, ledger);
    ledger.fails = true;
    await expect(pools.read()).rejects.toThrow("away");
    ledger.fails = false;
    expect((await pools.read())[0]?.lines).toBe(2);
  });
});
