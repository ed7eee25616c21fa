/** Places an account begins with; each answer opens two more, up to its concurrency. */
const FIRST_PLACES = 8;
const PLACES_PER_ANSWER = 2;
/** So long a place belongs to the direct job that asked for one in vain: it asks again after 200 ms, when it is claimed. */
const REFUSED_COUNTS_MS = 1000;

/**
 * Free places for calls, by account: from the durable intent until the answer is there. A place is taken before the transaction that
 * stores the intent and given back when it was not needed.
 *
 * An account starts with few places and gets more with its answers. A router that has just started has no connection open yet, and whatever
 * intents it has stored when it is killed are in doubt, sent or not; and a provider that has just come back is not met with a stampede.
 */
export class Slots {
  readonly #accounts: Map<string, AccountPlaces>;
  readonly #monotonicMs: () => number;
  #waiting: (() => void)[] = [];

  /**
   * @param concurrency calls at once by account.
   * @param background those of them that lines of groups may take, by account; none when left out.
   */
  constructor(concurrency: ReadonlyMap<string, number>, background: Background = NO_BACKGROUND) {
    this.#monotonicMs = background.monotonicMs;
    this.#accounts = new Map(
      [...concurrency].map(([name, limit]) => [
        name,
        {
          ...{ limit, open: Math.min(limit, FIRST_PLACES), used: 0 },
          background: { limit: background.places.get(name) ?? 0, used: 0 },
          refusedAtMs: -Infinity,
        },
      ]),
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

  /** Free or not. */
  openOf(account: string): number {
    return this.#accounts.get(account)?.open ?? 0;
  }

  take(account: string): boolean {
    const places = this.#accounts.get(account);
    if (places === undefined) return false;
    if (places.used >= places.open) {
      places.refusedAtMs = this.#monotonicMs();
      return false;
    }
    places.used += 1;
    return true;
  }

  /** A place for a line of a group: one that no direct job has asked for in vain of late, within what is meant for lines. */
  takeBehind(account: string): boolean {
    const places = this.#accounts.get(account);
    if (places === undefined || places.used >= places.open || places.background.used >= places.background.limit)
      return false;
    if (this.#monotonicMs() - places.refusedAtMs < REFUSED_COUNTS_MS) return false;
    places.used += 1;
    places.background.used += 1;
    return true;
  }

  /**
   * @param answered whether the call came back with something, so that more may go out.
   * @param behind whether it was a line of a group.
   */
  release(account: string, answered: boolean, behind = false): void {
    const places = this.#accounts.get(account);
    if (places === undefined) return;
    places.used -= 1;
    if (behind) places.background.used -= 1;
    if (answered) places.open = Math.min(places.limit, places.open + PLACES_PER_ANSWER);
    if (this.#waiting.length > 0) for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves at the next release. */
  released(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** What lines of groups may take. */
export interface Background {
  readonly places: ReadonlyMap<string, number>;
  readonly monotonicMs: () => number;
}

const NO_BACKGROUND: Background = { places: new Map(), monotonicMs: () => 0 };

interface AccountPlaces {
  readonly limit: number;
  open: number;
  used: number;
  /** Of the used ones. */
  readonly background: { readonly limit: number; used: number };
  /** When a direct job last asked in vain. */
  refusedAtMs: number;
}
