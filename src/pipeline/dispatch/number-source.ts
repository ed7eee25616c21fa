/**
 * Ledger numbers for intents and jobs, and the mark below which none of ours is unfinished. Numbers only grow, so a recovery reads
 * the attempts of a dead session from its last mark on.
 */
export class NumberSource {
  readonly #takeBlock: () => Promise<{ readonly from: number; readonly count: number }>;
  #blocks: { next: number; end: number }[] = [];
  #left = 0;
  readonly #open = new Set<number>();

  constructor(takeBlock: () => Promise<{ readonly from: number; readonly count: number }>) {
    this.#takeBlock = takeBlock;
  }

  /** After this, `count` calls of `next` do not run out. One caller at a time may rely on it: the stages reserve for a group and use it at once. */
  async reserve(count: number): Promise<void> {
    while (this.#left < count + SPARE) {
      // Serial: each block must lie above the last.
      const block = await this.#takeBlock();
      this.#blocks.push({ next: block.from, end: block.from + block.count });
      this.#blocks.sort((a, b) => a.next - b.next);
      this.#left += block.count;
    }
  }

  next(): number {
    const block = this.#blocks[0];
    if (block === undefined) throw new Error("InvariantError: a number was taken without being reserved");
    const value = block.next;
    block.next += 1;
    this.#left -= 1;
    if (block.next === block.end) this.#blocks.shift();
    return value;
  }

  /** A number for an intent: open until `close`. */
  open(): number {
    const value = this.next();
    this.#open.add(value);
    return value;
  }

  close(value: number): void {
    this.#open.delete(value);
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** No open intent has a lower number, nor will a coming one. */
  lowMark(): number {
    let low = this.#blocks[0]?.next ?? Number.MAX_SAFE_INTEGER;
    for (const value of this.#open) if (value < low) low = value;
    return low === Number.MAX_SAFE_INTEGER ? 0 : low;
  }
}

/** Stages share a source, so each leaves room for one group of each other: of intake, of dispatch, and of lines that are bound to a batch. */
const SPARE = 3072;
