import type { Clock } from "../ports/system.js";

/**
 * A queue whose readers take groups, one after the other. While one is at work the next group waits `waitMs` for company; with all of them idle
 * it takes what comes within the same turn, since nobody who comes later would have to wait for long. Bounded by whoever fills it (slots, or
 * offers that wait).
 */
export class GroupQueue<Item> {
  readonly #clock: Clock;
  readonly #sizeMax: number;
  readonly #waitMs: number;
  readonly #isBusy: () => boolean;
  #items: Item[] = [];
  #wake: (() => void) | null = null;
  #closed = false;
  #taking: Promise<unknown> = Promise.resolve();

  /** @param isBusy whether a group that was taken is still worked on. */
  constructor(clock: Clock, sizeMax: number, waitMs: number, isBusy: () => boolean) {
    this.#clock = clock;
    this.#sizeMax = sizeMax;
    this.#waitMs = waitMs;
    this.#isBusy = isBusy;
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
    if (this.#items.length < this.#sizeMax && this.#waitMs > 0 && !this.#closed)
      await this.#clock.sleep(this.#isBusy() ? this.#waitMs : 0);
    const group = this.#items.slice(0, this.#sizeMax);
    this.#items = this.#items.slice(group.length);
    return group;
  }
}
