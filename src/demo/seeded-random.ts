/** Numbers from 0 up to, not including, 1. */
export type RandomSource = () => number;

/** A repeatable source of numbers for plans that a seed has to reproduce; not for secrets. */
export function seededRandom(seed: number): RandomSource {
  let state = seed >>> 0;
  return () => {
    // A counter stepped by an odd constant and mixed by multiply-and-shift rounds: full period, good enough for a plan of kills.
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 0x1_0000_0000;
  };
}
