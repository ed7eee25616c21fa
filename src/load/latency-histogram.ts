/** A bucket ends this much above the one before it: what a quantile may be off by, upwards. */
const GROWTH = 1.05;
/** A day; longer ones count as so long. */
const LONGEST_MS = 86_400_000;
const BUCKETS = bucketOf(LONGEST_MS) + 1;

function bucketOf(ms: number): number {
  return ms <= 1 ? 0 : Math.ceil(Math.log(ms) / Math.log(GROWTH));
}

/** How long things took, in buckets: as much memory for a million of them as for ten. */
export class LatencyHistogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** @param ms below 0 counts as 0: clocks of two processes may differ. */
  add(ms: number): void {
    const bucket = bucketOf(Math.min(Math.max(ms, 0), LONGEST_MS));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count += 1;
  }

  merge(other: LatencyHistogram): void {
    other.#counts.forEach((count, bucket) => {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    });
    this.#count += other.#count;
  }

  /** @param share 0 to 1. @returns what at least that share took at most, in milliseconds, up to 5 % too much; null: nothing was added. */
  quantile(share: number): number | null {
    if (this.#count === 0) return null;
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= wanted) return GROWTH ** bucket;
    }
    return LONGEST_MS;
  }
}

export interface Quantiles {
  readonly answered: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export function quantilesOf(histogram: LatencyHistogram): Quantiles {
  const rounded = (share: number): number | null => {
    const ms = histogram.quantile(share);
    return ms === null ? null : Math.round(ms * 10) / 10;
  };
  return { answered: histogram.count, p50Ms: rounded(0.5), p95Ms: rounded(0.95), p99Ms: rounded(0.99) };
}
