/** Judges what a provider saw, from times and amounts alone. It imports nothing: no limiter can lend it a mistake of its own. */

export interface SeenKind {
  readonly model: string;
  readonly endpoint: "chat" | "embeddings";
  readonly tier: "free" | "standard" | "premium";
}

export interface SeenCall extends SeenKind {
  /** True time at which its first byte was there. */
  readonly atMs: number;
  readonly tokens: number;
}

/** Of a model, an endpoint, a tier; null: of any. */
export interface SeenLimit {
  readonly name: string;
  readonly model: SeenKind["model"] | null;
  readonly endpoint: SeenKind["endpoint"] | null;
  readonly tier: SeenKind["tier"] | null;
  readonly unit: "requests" | "tokens";
  readonly limit: number;
}

const MINUTE_MS = 60_000;

export function counts({ model, endpoint, tier }: Omit<SeenLimit, "name" | "unit" | "limit">, call: SeenKind): boolean {
  return (
    (model === null || call.model === model) &&
    (endpoint === null || call.endpoint === endpoint) &&
    (tier === null || call.tier === tier)
  );
}

/** What of calls counts against a limit, in the order of time. */
function countedBy(limit: SeenLimit, calls: readonly SeenCall[]): { readonly atMs: number; readonly by: number }[] {
  const { unit } = limit;
  return calls
    .filter((call) => counts(limit, call))
    .map(({ atMs, tokens }) => ({ atMs, by: unit === "requests" ? 1 : tokens }))
    .sort((one, other) => one.atMs - other.atMs);
}

/** The fullest 60 s that begin with a call not before `fromMs`. */
export function fullestMinute(
  limit: SeenLimit,
  calls: readonly SeenCall[],
  fromMs: number,
): { readonly sum: number; readonly fromMs: number } {
  const counted = countedBy(limit, calls);
  let fullest = { sum: 0, fromMs };
  let sum = 0;
  let last = 0;
  for (const [first, { atMs }] of counted.entries()) {
    while (last < counted.length && (counted[last]?.atMs ?? 0) < atMs + MINUTE_MS) {
      sum += counted[last]?.by ?? 0;
      last += 1;
    }
    if (atMs >= fromMs && sum > fullest.sum) fullest = { sum, fromMs: atMs };
    sum -= counted[first]?.by ?? 0;
  }
  return fullest;
}

/** What counts against a limit from one time to before another. */
export function sumBetween(limit: SeenLimit, calls: readonly SeenCall[], fromMs: number, toMs: number): number {
  let sum = 0;
  for (const { atMs, by } of countedBy(limit, calls)) if (atMs >= fromMs && atMs < toMs) sum += by;
  return sum;
}
