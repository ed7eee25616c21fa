/**
 * How large a batch of a pool may be while a faulty line is looked for: halved by each refusal that names none, doubled when a provider has
 * looked at one and runs it. A router that starts anew begins anew, which costs a few refusals, none of which is billed.
 */
export class PoolSizes {
  readonly #linesMax = new Map<string, number>();

  /** Null: not limited by this. */
  linesMax(pool: string): number | null {
    return this.#linesMax.get(pool) ?? null;
  }

  refused(pool: string, linesMax: number): void {
    this.#linesMax.set(pool, Math.min(linesMax, this.#linesMax.get(pool) ?? linesMax));
  }

  accepted(pool: string): void {
    const known = this.#linesMax.get(pool);
    if (known === undefined) return;
    if (known * 2 > FORGOTTEN_ABOVE) this.#linesMax.delete(pool);
    else this.#linesMax.set(pool, known * 2);
  }

  forget(pool: string): void {
    this.#linesMax.delete(pool);
  }
}

/** More than any provider takes. */
const FORGOTTEN_ABOVE = 1_000_000;
