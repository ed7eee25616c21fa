/**
 * Whose turn it is in a queue: tenants in turn, each as often as its weight says. A tenant that comes back after a while begins where the
 * others are, so nobody saves up turns. In memory, a router by itself: fairness needs no common count.
 */
export class TenantTurns {
  readonly #weightOf: (tenant: string) => number;
  /** By tenant, the turns it had, divided by its weight. */
  readonly #had = new Map<string, number>();
  /** Where the one of them is whose turn is next. */
  #here = 0;

  /** @param weightOf above 0. */
  constructor(weightOf: (tenant: string) => number) {
    this.#weightOf = weightOf;
  }

  /** How many of the next `places` each of these tenants has. Changes nothing: `took` says what came of it. */
  share(tenants: readonly string[], places: number): ReadonlyMap<string, number> {
    const [only] = tenants;
    if (only === undefined || places <= 0) return new Map();
    if (tenants.length === 1) return new Map([[only, places]]);
    const turns = tenants.map((tenant) => ({ tenant, step: 1 / this.#weightOf(tenant), had: this.#hadBy(tenant) }));
    const shares = new Map<string, number>();
    for (let place = 0; place < places; place += 1) {
      let next = turns[0];
      for (const turn of turns) if (next === undefined || turn.had + turn.step < next.had + next.step) next = turn;
      if (next === undefined) break;
      next.had += next.step;
      shares.set(next.tenant, (shares.get(next.tenant) ?? 0) + 1);
    }
    return shares;
  }

  /**
   * @param taken by tenant, above 0.
   * @param waiting tenants without a turn this time.
   */
  took(taken: ReadonlyMap<string, number>, waiting: readonly string[]): void {
    if (taken.size === 0) return;
    for (const [tenant, count] of taken) this.#had.set(tenant, this.#hadBy(tenant) + count / this.#weightOf(tenant));
    const here = Math.min(...[...taken.keys(), ...waiting].map((tenant) => this.#hadBy(tenant)));
    this.#here = Math.max(this.#here, here);
    for (const [tenant, had] of this.#had) if (had <= this.#here) this.#had.delete(tenant);
  }

  #hadBy(tenant: string): number {
    return Math.max(this.#here, this.#had.get(tenant) ?? 0);
  }
}
