import { TenantTurns } from "./tenant-turns.js";

/** Rows of a tenant that wait alike: for a limit, or, with an empty name, until they are due. */
export interface QueuePart {
  readonly limit: string;
  readonly tenant: string;
}

/** Most rows to take of a part. */
export interface QueueShare extends QueuePart {
  readonly most: number;
}

/** What a claim wants of the queue. */
export interface QueueWish {
  /** Rows that are due. */
  readonly limit: number;
  /** Rows by the limit that they wait for. */
  readonly limits?: ReadonlyMap<string, number>;
}

/** What a claim got of the rows of one limit. */
export interface TakenOfLimit {
  readonly rows: number;
  /** There may be more. */
  readonly more: boolean;
}

/** The turns of tenants in each part of the queue. Names of limits come from the config, so there are few. */
export class QueueTurns {
  readonly #weightOf: (tenant: string) => number;
  readonly #turns = new Map<string, TenantTurns>();

  /** @param weightOf above 0. */
  constructor(weightOf: (tenant: string) => number) {
    this.#weightOf = weightOf;
  }

  /** @param parts those that have rows, as far as known. */
  share(parts: readonly QueuePart[], { limit, limits }: QueueWish): readonly QueueShare[] {
    const wished = [["", limit] as const, ...(limits ?? [])];
    return wished.flatMap(([name, places]) => {
      const tenants = parts.filter((part) => part.limit === name).map(({ tenant }) => tenant);
      const shares = this.#turnsOf(name).share(tenants, places);
      return [...shares].map(([tenant, most]) => ({ limit: name, tenant, most }));
    });
  }

  /** Once it stands. @param taken one entry a row. */
  took(parts: readonly QueuePart[], shares: readonly QueueShare[], taken: readonly QueuePart[]): void {
    for (const name of new Set(shares.map(({ limit }) => limit))) {
      const rows = new Map<string, number>();
      for (const { limit, tenant } of taken) if (limit === name) rows.set(tenant, (rows.get(tenant) ?? 0) + 1);
      const served = new Set(shares.flatMap(({ limit, tenant }) => (limit === name ? [tenant] : [])));
      const waiting = parts.filter(({ limit, tenant }) => limit === name && !served.has(tenant));
      this.#turnsOf(name).took(
        rows,
        waiting.map(({ tenant }) => tenant),
      );
    }
  }

  #turnsOf(name: string): TenantTurns {
    const known = this.#turns.get(name) ?? new TenantTurns(this.#weightOf);
    this.#turns.set(name, known);
    return known;
  }
}

/** The shares that were taken in full, so that their parts may hold more. */
export function filledShares(shares: readonly QueueShare[], taken: readonly QueuePart[]): readonly QueueShare[] {
  const counts = new Map<string, number>();
  for (const part of taken) counts.set(keyOf(part), (counts.get(keyOf(part)) ?? 0) + 1);
  return shares.filter((share) => (counts.get(keyOf(share)) ?? 0) >= share.most);
}

/** What came of a wish, by limit. */
export function takenOfLimits(
  { limits }: QueueWish,
  shares: readonly QueueShare[],
  taken: readonly QueuePart[],
): ReadonlyMap<string, TakenOfLimit> {
  const found = new Map<string, TakenOfLimit>();
  if (limits === undefined || limits.size === 0) return found;
  const filled = filledShares(shares, taken);
  for (const name of limits.keys()) {
    const rows = taken.filter(({ limit }) => limit === name).length;
    found.set(name, { rows, more: filled.some(({ limit }) => limit === name) });
  }
  return found;
}

function keyOf({ limit, tenant }: QueuePart): string {
  return `${tenant}\n${limit}`;
}
