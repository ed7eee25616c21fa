/** No answer has more tokens; beyond it a number is a fault, and sums would stop being exact. */
const TOKENS_MAX = 1e12;

/** Reads what a provider reports as token counts. Absent or null is "not reported"; what is no count makes the usage suspect. */
export class TokenReader {
  #suspect = false;

  /** Whether anything read so far can't be true. */
  get suspect(): boolean {
    return this.#suspect;
  }

  read(value: unknown): number | null {
    if (value === undefined || value === null) return null;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX) return value;
    this.#suspect = true;
    return null;
  }

  /** Marks the usage as suspect when a part is larger than what it is part of; an unreported side proves nothing. */
  expectWithin(part: number | null, whole: number | null): void {
    if (part !== null && whole !== null && part > whole) this.#suspect = true;
  }

  expectEqual(one: number | null, other: number | null): void {
    if (one !== null && other !== null && one !== other) this.#suspect = true;
  }
}
