import type { Clock } from "../ports/system.js";

/**
 * A queue whose readers take groups, one after the other: everything that came while it was busy, or what comes within `waitMs` of the first item. Bounded by
 * whoever fills it (slots, or offers that wait).
 */
export class GroupQueue<Item> {
  readonly #clock: Clock;
  readonly #sizeMax: number;
  readonly #waitMs: number;
  #items: Item[] = [];
  #wake: (() => void) | null = null;
  #closed = false;
  #taking: Promise<unknown> = Promise.resolve();

  constructor(clock: Clock, sizeMax: number, waitMs: number) {
    this.#clock = clock;
    this.#sizeMax = sizeMax;
    this.#waitMs = waitMs;
  }

  get length(): number {
    return this.#items.length;
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#signal();
  }

  /** No more items will come; `take` gives the rest and then null. */
  close(): void {
    this.#closed = true;
    this.#signal();
  }

  #signal(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** @returns 1 to `sizeMax` items, or null when the queue is closed and empty. A second reader waits for the first to have its group. */
  take(): Promise<readonly Item[] | null> {
    const group = this.#taking.then(() => this.#take());
    this.#taking = group;
    return group;
  }

  async #take(): Promise<readonly Item[] | null> {
    while (this.#items.length === 0) {
      if (this.#closed) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#items.length < this.#sizeMax && this.#waitMs > 0 && !this.#closed) await this.#clock.sleep(this.#waitMs);
    const group = this.#items.slice(0, this.#sizeMax);
    this.#items = this.#items.slice(group.length);
    return group;
  }
}
