import { Waiters } from "../waiters.js";

/** Places an account begins with; each answer opens two more, up to its concurrency. */
const FIRST_PLACES = 8;
const PLACES_PER_ANSWER = 2;
/** So long a place belongs to the direct job that asked for one in vain: it asks again after 200 ms, when it is claimed. */
const REFUSED_COUNTS_MS = 1000;
/** Answers are counted over so long. */
const WINDOW_MS = 50;
/** An intent takes about as long to be stored, or as long as was seen of late, up to `STORE_MAX_MS`: what is given out ahead waits for a connection. */
const STORE_MS = 50;
const STORE_MAX_MS = 150;
/** Of what was seen last, in the mean. */
const STORE_WEIGHT = 0.2;

/**
 * Free places for calls, by account: from the durable intent until the answer is there. A place is taken before the transaction that
 * stores the intent and given back when it was not needed.
 *
 * While an intent is stored its place would stand empty, so places that are about to come free are given out ahead: as many as come free
 * while an intent is stored, by what was seen of both, and never more than are open. Slow calls thus have none ahead, and fast ones leave
 * no connection idle. Calls in the air are never more than the account's concurrency: that many connections has its adapter, which sends the
 * others as calls come back and gives up those that waited for `delivery.sendWithinMs`.
 *
 * An account starts with few places and gets more with its answers. A router that has just started has no connection open yet, and whatever
 * intents it has stored when it is killed are in doubt, sent or not; and a provider that has just come back is not met with a stampede.
 */
export class Slots {
  readonly #accounts: Map<string, AccountPlaces>;
  readonly #monotonicMs: () => number;
  readonly #waiting = new Waiters();
  #storeMs = STORE_MS;

  /**
   * @param concurrency calls at once by account.
   * @param monotonicMs a clock in milliseconds.
   * @param background those of them that lines of groups may take, by account; none when left out.
   */
  constructor(
    concurrency: ReadonlyMap<string, number>,
    monotonicMs: () => number,
    background: ReadonlyMap<string, number> = new Map(),
  ) {
    this.#monotonicMs = monotonicMs;
    this.#accounts = new Map(
      [...concurrency].map(([name, limit]) => [
        name,
        {
          ...{ limit, open: Math.min(limit, FIRST_PLACES), used: 0 },
          background: { limit: background.get(name) ?? 0, used: 0 },
          ...{ refusedAtMs: -Infinity, promised: { untilMs: -Infinity, used: 0 } },
          answers: { sinceMs: -Infinity, count: 0, before: 0 },
        },
      ]),
    );
  }

  /** Free places over all accounts. */
  get free(): number {
    let sum = 0;
    const nowMs = this.#monotonicMs();
    for (const places of this.#accounts.values()) sum += this.#freeOf(places, nowMs);
    return sum;
  }

  /** Whether some account has a free place now. */
  any(): boolean {
    return this.free > 0;
  }

  /**
   * How many calls could start now; so many may for as long as an intent takes to be stored, though fewer would be given out ahead by then: a
   * group is made for this number, and one of its jobs that found no place would have to wait as a row.
   */
  promise(): number {
    let sum = 0;
    const nowMs = this.#monotonicMs();
    for (const places of this.#accounts.values()) {
      const free = this.#freeOf(places, nowMs);
      places.promised = { untilMs: nowMs + this.#storeMs, used: places.used + free };
      sum += free;
    }
    return sum;
  }

  freeOf(account: string): number {
    const places = this.#accounts.get(account);
    return places === undefined ? 0 : this.#freeOf(places, this.#monotonicMs());
  }

  freeByAccount(): ReadonlyMap<string, number> {
    const nowMs = this.#monotonicMs();
    return new Map([...this.#accounts].map(([account, places]) => [account, this.#freeOf(places, nowMs)]));
  }

  /** Free or not, without those that are given out ahead. */
  openOf(account: string): number {
    return this.#accounts.get(account)?.open ?? 0;
  }

  take(account: string): boolean {
    const places = this.#accounts.get(account);
    if (places === undefined) return false;
    if (places.used >= places.open) {
      const nowMs = this.#monotonicMs();
      if (this.#freeOf(places, nowMs) <= 0 && !isPromised(places, nowMs)) {
        places.refusedAtMs = nowMs;
        return false;
      }
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
    if (answered) {
      places.open = Math.min(places.limit, places.open + PLACES_PER_ANSWER);
      countAnswer(places.answers, this.#monotonicMs());
    }
    this.#waiting.tell();
  }

  /** Calls went out so long after their places were taken. */
  stored(ms: number): void {
    const counts = Math.min(STORE_MAX_MS, Math.max(STORE_MS, ms));
    this.#storeMs += (counts - this.#storeMs) * STORE_WEIGHT;
  }

  /** Resolves at the next release. @param over as in `Waiters`. */
  released(over?: AbortSignal): Promise<void> {
    return this.#waiting.next(over);
  }

  #freeOf({ open, used, answers }: AccountPlaces, nowMs: number): number {
    const ahead = Math.round((answersOf(answers, nowMs) * this.#storeMs) / WINDOW_MS);
    return Math.max(0, open + Math.min(open, ahead) - used);
  }
}

interface AccountPlaces {
  readonly limit: number;
  open: number;
  used: number;
  /** Of the used ones. */
  readonly background: { readonly limit: number; used: number };
  /** When a direct job last asked in vain. */
  refusedAtMs: number;
  /** As many may be used until then. */
  promised: { readonly untilMs: number; readonly used: number };
  readonly answers: Answers;
}

/** Calls that were answered since `sinceMs`, and in the window before it. */
interface Answers {
  sinceMs: number;
  count: number;
  before: number;
}

function isPromised({ promised, used }: AccountPlaces, nowMs: number): boolean {
  return nowMs < promised.untilMs && used < promised.used;
}

function countAnswer(answers: Answers, nowMs: number): void {
  const sinceMs = nowMs - answers.sinceMs;
  if (sinceMs >= WINDOW_MS) {
    answers.before = sinceMs < 2 * WINDOW_MS ? answers.count : 0;
    answers.sinceMs = nowMs;
    answers.count = 0;
  }
  answers.count += 1;
}

/** How many there are in a window at the moment; none of a provider that has stopped answering. */
function answersOf({ sinceMs, count, before }: Answers, nowMs: number): number {
  const agoMs = nowMs - sinceMs;
  if (agoMs >= 2 * WINDOW_MS) return 0;
  return agoMs >= WINDOW_MS ? count : Math.max(count, before);
}
