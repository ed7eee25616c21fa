import type pg from "pg";
import { run } from "./connection.js";

const BLOCK = 1000;

/**
 * Ledger numbers, taken from the sequence in blocks of 1,000. A kill loses the rest of a block, which leaves a gap and nothing
 * else. `reserve` before a transaction, then `next` inside it without waiting.
 */
export class NumberBlock {
  readonly #pool: pg.Pool;
  #ranges: { from: number; to: number }[] = [];
  #available = 0;
  #reserving: Promise<void> = Promise.resolve();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async take(): Promise<{ readonly from: number; readonly count: number }> {
    const rows = await run(this.#pool, "number-block", "SELECT nextval('ledger_number')", []);
    return { from: Number(rows[0]?.[0]), count: BLOCK };
  }

  /** Makes sure that `count` numbers are at hand. Calls wait for each other, so the sequence is not asked twice for the same need. */
  async reserve(count: number): Promise<void> {
    const waiting = this.#reserving.then(async () => {
      if (this.#available >= count * 2) return;
      const blocks = Math.ceil((count * 2 - this.#available) / BLOCK);
      const rows = await run(
        this.#pool,
        "number-blocks",
        "SELECT nextval('ledger_number') FROM generate_series(1, $1::int)",
        [blocks],
      );
      for (const row of rows) this.#ranges.push({ from: Number(row[0]), to: Number(row[0]) + BLOCK });
      this.#available += rows.length * BLOCK;
    });
    this.#reserving = waiting.catch(() => undefined);
    await waiting;
  }

  next(): number {
    const range = this.#ranges[0];
    if (range === undefined) throw new Error("InvariantError: a ledger number was taken without being reserved");
    const value = range.from;
    range.from += 1;
    this.#available -= 1;
    if (range.from === range.to) this.#ranges.shift();
    return value;
  }
}
