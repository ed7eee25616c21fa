import type { Seed } from "./day-use.js";
import type { LimitRule, LimitUnit } from "./limits.js";

/**
 * One limit's memory. Two things are kept:
 * - what was granted within the last window, in slots of time, so that no window ever holds more than the limit, however it lies;
 * - for limits by the minute a level that fills at the limit's rate and holds at most one second of it, so that calls go out evenly.
 *
 * A grant is used a little later than it is given (`MARGIN_MS`), so that much more than a window is counted. A bucket begins as if the limit
 * had been used evenly until then, and a full level right before it: what was granted before it was there is not known, be it by another
 * process or by a store that forgot. For a limit by the day the ledger knows better: what it says takes the place of the assumption (`seed`).
 * A grant that is too large for the level needs a full one, and room in the window.
 *
 * Who was refused saves: for a short while nobody else is given what it asked for, so that small asks can't starve a large one. Nobody
 * begins to save where another does, in whatever bucket of the call, see `saveUp` in lease.ts.
 *
 * The script in adapters/redis does the same, line by line; a test holds the two against each other.
 */
export interface BucketRules {
  readonly unit: LimitUnit;
  readonly windowMs: number;
  readonly slotMs: number;
  /** Whether it has a level. */
  readonly paced: boolean;
}

/** From the moment a grant counts until its bytes leave: how long a lease holds, and what storing an intent and connecting take. */
export const MARGIN_MS = 400;
/** The level holds what comes in so long. */
export const LEVEL_MS = 1000;
/** What a refused one asked for is kept for it so long; it asks again well before. */
export const SAVING_MS = 400;
/** After a refusal by the provider: half, then this share of the limit more a second. */
const TIGHTEN = 0.5;
const FACTOR_MIN = 0.05;
const RECOVERY_PER_MS = 0.01 / 1000;
/** Refusals within so long are about one and the same overload. */
export const TIGHTEN_EVERY_MS = 2000;
/** Sums of fractions are not exact. */
const EPSILON = 1e-6;

const MINUTE = { windowMs: 60_000, slotMs: 100, paced: true } as const;
const DAY = { windowMs: 86_400_000, slotMs: 300_000, paced: false } as const;

export function bucketRules({ unit, window }: Pick<LimitRule, "unit" | "window">): BucketRules {
  return { unit, ...(window === "minute" ? MINUTE : DAY) };
}

/** What holds at a moment of the share that held `passedMs` before. */
export function recoveredFactor(factor: number, passedMs: number): number {
  return Math.min(1, factor + passedMs * RECOVERY_PER_MS);
}

/** Time is handed in, and never goes back: an earlier one counts as the last. */
export class LimitBucket {
  readonly rules: BucketRules;
  readonly bornMs: number;
  #stated: number;
  #learned: number | null = null;
  #factor = 1;
  #tightenedMs = -Infinity;
  #level = 0;
  #atMs: number;
  /** By number of slot, what was granted in it; `#sum` over all of them. */
  readonly #slots = new Map<number, number>();
  #sum = 0;
  #saver: string | null = null;
  #saved = 0;
  #savedUntilMs = -Infinity;
  /** Share of the limit that counts as granted before its birth. */
  #before: number;
  #isSeeded = false;

  /** @param before share of the limit that counts as granted within the window before, evenly. */
  constructor(rules: BucketRules, limit: number, nowMs: number, before = 1) {
    this.rules = rules;
    this.#stated = limit;
    this.#atMs = nowMs;
    this.bornMs = nowMs;
    this.#before = before;
  }

  /** What holds now: what is stated, or what the provider says where that is less, tightened after refusals. */
  get limit(): number {
    return Math.min(this.#stated, this.#learned ?? this.#stated) * this.#factor;
  }

  get learned(): number | null {
    return this.#learned;
  }

  get factor(): number {
    return this.#factor;
  }

  /** Granted within the window that counts. */
  get used(): number {
    return this.#sum + this.#usedBefore();
  }

  /** Whether what was used before it began is known to the ledger only. */
  get isUnseeded(): boolean {
    return !this.rules.paced && !this.#isSeeded;
  }

  /** What was used before it began, once; what was granted since is its own. */
  seed(seeds: readonly Seed[], nowMs: number): void {
    if (!this.isUnseeded) return;
    this.advance(nowMs);
    this.#isSeeded = true;
    this.#before = 0;
    for (const { agoMs, amount } of seeds) {
      const slot = this.#slotOf(Math.min(this.#atMs - agoMs, this.bornMs - 1));
      if (slot <= this.#slotOf(this.#atMs) - this.#span()) continue;
      this.#slots.set(slot, (this.#slots.get(slot) ?? 0) + amount);
      this.#sum += amount;
    }
    const inOrder = [...this.#slots].sort(([one], [other]) => one - other);
    this.#slots.clear();
    for (const [slot, amount] of inOrder) this.#slots.set(slot, amount);
  }

  /** What the config states may change, what the provider says too. Null: it said nothing so far. */
  learn(stated: number, learned: number | null): void {
    this.#stated = stated;
    if (learned !== null) this.#learned = learned;
  }

  /** The provider refused: half of what held until now, and nothing is saved up. */
  tighten(nowMs: number): void {
    this.advance(nowMs);
    if (this.#atMs - this.#tightenedMs < TIGHTEN_EVERY_MS) return;
    this.#tightenedMs = this.#atMs;
    this.#factor = Math.max(FACTOR_MIN, this.#factor * TIGHTEN);
    this.#level = Math.min(this.#level, 0);
  }

  advance(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs += passedMs;
    this.#factor = recoveredFactor(this.#factor, passedMs);
    this.#level = Math.min(this.#cap(), this.#level + passedMs * this.#perMs());
    const oldest = this.#slotOf(this.#atMs) - this.#span();
    for (const [slot, amount] of this.#slots) {
      if (slot > oldest) break; // in the order of time
      this.#slots.delete(slot);
      this.#sum = this.#slots.size === 0 ? 0 : this.#sum - amount;
    }
  }

  /** Call `advance` before. */
  allows(amount: number, asker: string): boolean {
    const saved = this.#savedFor(asker);
    const fits = this.used + saved + amount <= this.limit + EPSILON;
    return fits && (!this.rules.paced || this.#level + EPSILON >= this.#due(amount) + this.#due(saved));
  }

  /** The most that `allows` would let through, not negative. */
  most(asker: string): number {
    const saved = this.#savedFor(asker);
    const room = this.limit + EPSILON - this.used - saved;
    return Math.max(0, this.rules.paced ? Math.min(room, this.#level + EPSILON - this.#due(saved)) : room);
  }

  /** How long until `allows` lets it through, if nobody else takes anything meanwhile. */
  waitMs(amount: number, asker: string): number {
    const saved = this.#savedFor(asker);
    const lacking = Math.max(
      this.rules.paced ? this.#due(amount) + this.#due(saved) - this.#level : 0,
      this.used + saved + amount - this.limit,
    );
    return Math.ceil(Math.max(0, lacking) / this.#perMs());
  }

  take(amount: number): void {
    const slot = this.#slotOf(this.#atMs);
    this.#slots.set(slot, (this.#slots.get(slot) ?? 0) + amount);
    this.#sum += amount;
    // A debt beyond one second would be a loss: the window holds back what a large grant was too much.
    this.#level = Math.max(-this.#cap(), this.#level - amount);
  }

  /** What was granted at `atMs` and not used; what was granted before this bucket was there is not its own. */
  giveBack(amount: number, atMs: number): void {
    const slot = this.#slotOf(atMs);
    const there = this.#slots.get(slot);
    if (atMs < this.bornMs || there === undefined) return;
    const back = Math.min(there, amount);
    this.#slots.set(slot, there - back);
    this.#sum -= back;
    this.#level = Math.min(this.#cap(), this.#level + back);
  }

  /** What is more than holds now may have to wait for long: meanwhile nothing is kept for it. */
  save(amount: number, asker: string): void {
    if (amount > this.limit + EPSILON) return;
    if (this.isSavedForAnother(asker)) return;
    this.#saver = asker;
    this.#saved = amount;
    this.#savedUntilMs = this.#atMs + SAVING_MS;
  }

  isSavedFor(asker: string): boolean {
    return this.#saver === asker && this.#atMs < this.#savedUntilMs;
  }

  isSavedForAnother(asker: string): boolean {
    return this.#saver !== null && this.#saver !== asker && this.#atMs < this.#savedUntilMs;
  }

  saveNoMore(asker: string): void {
    if (this.#saver === asker) this.#saver = null;
  }

  #savedFor(asker: string): number {
    return this.isSavedForAnother(asker) ? this.#saved : 0;
  }

  /** What of an amount the level has to hold. */
  #due(amount: number): number {
    return Math.min(amount, this.#cap());
  }

  /** Slots that are counted; of the newest, which has just begun, nothing may have passed yet. */
  #span(): number {
    return Math.ceil((this.rules.windowMs + MARGIN_MS) / this.rules.slotMs) + 1;
  }

  #countedMs(): number {
    return this.#span() * this.rules.slotMs;
  }

  #perMs(): number {
    return this.limit / this.#countedMs();
  }

  #cap(): number {
    return Math.max(1, this.#perMs() * LEVEL_MS);
  }

  #slotOf(atMs: number): number {
    return Math.floor(atMs / this.rules.slotMs);
  }

  #usedBefore(): number {
    if (this.#before === 0) return 0;
    const burstMs = this.rules.paced ? this.#cap() / this.#perMs() : 0;
    const goneMs = Math.max(0, this.#atMs - this.bornMs - burstMs);
    return this.#before * this.limit * Math.max(0, 1 - goneMs / this.#countedMs());
  }
}
