/**
 * Free places for calls, by account: from the durable intent until the answer is there. A place is taken before the transaction that
 * stores the intent and given back when it was not needed.
 */
export class Slots {
  readonly #free: Map<string, number>;
  #total: number;
  #waiting: (() => void)[] = [];

  /** @param concurrency calls at once by account. */
  constructor(concurrency: ReadonlyMap<string, number>) {
    this.#free = new Map(concurrency);
    this.#total = [...concurrency.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Free places over all accounts. */
  get free(): number {
    return this.#total;
  }

  freeOf(account: string): number {
    return this.#free.get(account) ?? 0;
  }

  take(account: string): boolean {
    const free = this.#free.get(account) ?? 0;
    if (free === 0) return false;
    this.#free.set(account, free - 1);
    this.#total -= 1;
    return true;
  }

  release(account: string): void {
    this.#free.set(account, (this.#free.get(account) ?? 0) + 1);
    this.#total += 1;
    if (this.#waiting.length > 0) for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves at the next release. */
  released(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
