/** Places an account begins with; each answer opens two more, up to its concurrency. */
const FIRST_PLACES = 8;
const PLACES_PER_ANSWER = 2;

/**
 * Free places for calls, by account: from the durable intent until the answer is there. A place is taken before the transaction that
 * stores the intent and given back when it was not needed.
 *
 * An account starts with few places and gets more with its answers. A router that has just started has no connection open yet, and whatever
 * intents it has stored when it is killed are in doubt, sent or not; and a provider that has just come back is not met with a stampede.
 */
export class Slots {
  readonly #accounts: Map<string, AccountPlaces>;
  #waiting: (() => void)[] = [];

  /** @param concurrency calls at once by account. */
  constructor(concurrency: ReadonlyMap<string, number>) {
    this.#accounts = new Map(
      [...concurrency].map(([name, limit]) => [name, { limit, open: Math.min(limit, FIRST_PLACES), used: 0 }]),
    );
  }

  /** Free places over all accounts. */
  get free(): number {
    let sum = 0;
    for (const { open, used } of this.#accounts.values()) sum += open - used;
    return sum;
  }

  /** Whether some account has a free place now. */
  any(): boolean {
    return this.free > 0;
  }

  freeOf(account: string): number {
    const places = this.#accounts.get(account);
    return places === undefined ? 0 : places.open - places.used;
  }

  take(account: string): boolean {
    const places = this.#accounts.get(account);
    if (places === undefined || places.used >= places.open) return false;
    places.used += 1;
    return true;
  }

  /** @param answered whether the call came back with something, so that more may go out. */
  release(account: string, answered: boolean): void {
    const places = this.#accounts.get(account);
    if (places === undefined) return;
    places.used -= 1;
    if (answered) places.open = Math.min(places.limit, places.open + PLACES_PER_ANSWER);
    if (this.#waiting.length > 0) for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves at the next release. */
  released(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

interface AccountPlaces {
  readonly limit: number;
  open: number;
  used: number;
}
