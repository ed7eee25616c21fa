import { isAboutDelivery, refusalOf, type ReplayRefusal } from "../../domain/dead-letter/replay.js";
import type { LetterState } from "../../domain/dead-letter/where.js";
import { routeMaxCostNanoUsd, type PlanRoutes } from "../../domain/route/plan-routes.js";
import { loadRequests, type Letter, type StoredRequest } from "../../adapters/postgres/operator/letter-rows.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import { buildRoutePlanner } from "../build-domain.js";
import type { Operator } from "./open-operator.js";
import { selectLetters } from "./select-letters.js";
import { routesOf } from "./stored-routes.js";

/** What a replay would do, without doing it. */
export interface ReplayPlan {
  /** Letters that would be replayed. */
  readonly count: number;
  readonly groups: readonly {
    readonly code: string;
    readonly tenant: string | null;
    readonly state: LetterState;
    readonly count: number;
  }[];
  /** Upper bound of the first calls of those letters, nano-dollars; each is at most one call and its retries cost no more than it each. */
  readonly maxCostNanoUsd: bigint;
  /** Letters whose cost has no bound that is known: their request is not in the ledger, or no route serves it now. */
  readonly unknownCost: number;
  readonly refused: readonly {
    readonly why: ReplayRefusal;
    readonly count: number;
    readonly examples: readonly number[];
  }[];
}

const BODIES_AT_ONCE = 50;
const EXAMPLES_MAX = 5;

export async function planReplay(operator: Operator, filter: LetterFilter, parked: boolean): Promise<ReplayPlan> {
  const planRoutes = buildRoutePlanner(operator.config);
  const groups = new Map<string, { code: string; tenant: string | null; state: LetterState; count: number }>();
  const refused = new RefusedCounts();
  let [count, maxCostNanoUsd, unknownCost] = [0, 0n, 0];
  for await (const page of selectLetters(operator, filter)) {
    const good = page.filter((letter) => {
      const why = refusalOf({ ...letter, hasJob: letter.job !== null }, parked);
      if (why !== null) refused.add(why, letter.no);
      return why === null;
    });
    for (const letter of good) {
      const name = JSON.stringify([letter.code, letter.tenant, letter.state]);
      const group = groups.get(name) ?? { code: letter.code, tenant: letter.tenant, state: letter.state, count: 0 };
      groups.set(name, { ...group, count: group.count + 1 });
    }
    const calling = good.filter(({ code }) => !isAboutDelivery(code));
    const cost = await costOf(operator, planRoutes, calling);
    count += good.length;
    maxCostNanoUsd += cost.maxNanoUsd;
    unknownCost += cost.unknown;
  }
  return {
    count,
    groups: [...groups.values()].sort((a, b) => b.count - a.count),
    maxCostNanoUsd,
    unknownCost,
    refused: refused.all,
  };
}

/** Refusals by their reason, with the first letters of each as examples. */
export class RefusedCounts {
  readonly #counts = new Map<ReplayRefusal, { count: number; examples: number[] }>();

  add(why: ReplayRefusal, letterNo: number): void {
    const entry = this.#counts.get(why) ?? { count: 0, examples: [] };
    entry.count += 1;
    if (entry.examples.length < EXAMPLES_MAX) entry.examples.push(letterNo);
    this.#counts.set(why, entry);
  }

  get all(): ReplayPlan["refused"] {
    return [...this.#counts].map(([why, { count, examples }]) => ({ why, count, examples }));
  }
}

async function costOf(
  operator: Operator,
  planRoutes: PlanRoutes,
  letters: readonly Letter[],
): Promise<{ readonly maxNanoUsd: bigint; readonly unknown: number }> {
  let [maxNanoUsd, known] = [0n, 0];
  for (let start = 0; start < letters.length; start += BODIES_AT_ONCE) {
    // Serial: requests are whole bodies, and few of them are in memory at once.
    const jobs = letters
      .slice(start, start + BODIES_AT_ONCE)
      .flatMap((letter) => (letter.job === null ? [] : [letter.job]));
    for (const request of await loadRequests(operator.pools.durable, jobs)) {
      const cost = request.answered ? 0n : maxCostOf(planRoutes, request);
      if (cost === null) continue;
      maxNanoUsd += cost;
      known += 1;
    }
  }
  return { maxNanoUsd, unknown: letters.length - known };
}

/** The dearest of the routes that serve it now; null when none does. */
function maxCostOf(planRoutes: PlanRoutes, request: StoredRequest): bigint | null {
  const { routes, facts } = routesOf(planRoutes, request);
  const costs = routes.map((route) => routeMaxCostNanoUsd(route, facts));
  return costs.length === 0 ? null : costs.reduce((most, cost) => (cost > most ? cost : most), 0n);
}
