import type { CostRow } from "../result/outgoing.js";

/**
 * What cost records add to the books, by tenant: charges whose price is known, and corrections upwards. Nothing is taken off, since it is
 * for a counter, which only grows. @returns nothing when they add nothing.
 */
export function bookedBy(costs: readonly Pick<CostRow, "tenant" | "nanoUsd">[]): {
  readonly booked?: ReadonlyMap<string, bigint>;
} {
  const booked = new Map<string, bigint>();
  for (const { tenant, nanoUsd } of costs)
    if (nanoUsd !== null && nanoUsd > 0n) booked.set(tenant, (booked.get(tenant) ?? 0n) + nanoUsd);
  return booked.size === 0 ? {} : { booked };
}
