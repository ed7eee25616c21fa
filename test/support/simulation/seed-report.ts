import type { SimulationResult } from "./simulation.js";

/** A seed's end in a line, with the history of what went wrong. */
export function told({ seed, violation, history }: SimulationResult): string {
  return violation === null
    ? `seed ${String(seed)} holds`
    : `seed ${String(seed)}: ${violation.checker}: ${violation.message}\n${history}`;
}

/** Counts over all results, by name. */
export function summed(counts: readonly Readonly<Record<string, number>>[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const one of counts)
    for (const [name, count] of Object.entries(one)) sums.set(name, (sums.get(name) ?? 0) + count);
  return sums;
}

/** What was seen less often than it has to be: a run in which nothing was broken would prove nothing. @param atLeast how often, a seed. */
export function seenTooSeldom(
  sums: ReadonlyMap<string, number>,
  atLeast: Readonly<Record<string, number>>,
  seeds: number,
): readonly (readonly [string, number])[] {
  return Object.entries(atLeast).filter(([name, share]) => (sums.get(name) ?? 0) < seeds * share);
}
