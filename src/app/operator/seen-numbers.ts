const ROOM_AT_FIRST = 1_024;
/** Spreads consecutive numbers over the table (Knuth, multiplicative hashing). */
const SPREAD = 0x9e3779b1;

/** A set of whole numbers from 1 up in 16 to 32 bytes each: a `Set` takes several times that for numbers beyond 2^31. */
export class SeenNumbers {
  #slots = new Float64Array(ROOM_AT_FIRST);
  #size = 0;

  has(number: number): boolean {
    return this.#slots[placeOf(this.#slots, number)] === number;
  }

  /** @returns false when it was there. */
  add(number: number): boolean {
    const place = placeOf(this.#slots, number);
    if (this.#slots[place] === number) return false;
    this.#slots[place] = number;
    this.#size += 1;
    if (this.#size * 2 > this.#slots.length) this.#grow();
    return true;
  }

  #grow(): void {
    const larger = new Float64Array(this.#slots.length * 2);
    for (const number of this.#slots) if (number !== 0) larger[placeOf(larger, number)] = number;
    this.#slots = larger;
  }
}

/** Where the number is, or the free place where it would be: at least half of all are free. */
function placeOf(slots: Float64Array, number: number): number {
  const mask = slots.length - 1;
  let place = Math.imul((number % 0x1_0000_0000) ^ Math.floor(number / 0x1_0000_0000), SPREAD) >>> 0;
  place = (place ^ (place >>> 15)) & mask;
  while (slots[place] !== 0 && slots[place] !== number) place = (place + 1) & mask;
  return place;
}
