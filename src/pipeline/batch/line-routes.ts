import type { ModelPrice } from "../../domain/cost/price.js";
import type { Batch } from "../../domain/batch/batch.js";
import { readRequestFacts } from "../../domain/route/request-facts.js";
import type { PlanRoutes } from "../../domain/route/plan-routes.js";
import type { Route, RoutePlan } from "../../domain/route/route.js";
import type { BatchLine } from "../../ports/batch-ledger.js";
import type { Work } from "../dispatch/work.js";

/** Distinct models of lines that are kept; names come from callers, so there must be a bound. */
const ROUTES_MAX = 1_000;

/** A route that the config no longer has: nothing is known of its price. */
const NO_PRICE: ModelPrice = {
  version: "unknown",
  inputNanoPerMillion: 0n,
  outputNanoPerMillion: 0n,
  cachedInputNanoPerMillion: null,
  cacheWriteNanoPerMillion: null,
  cacheWrite1hNanoPerMillion: null,
  longContext: null,
};

/**
 * The routes of lines, by what the config says now. A line's own route follows from its policy's model, its format, account and model; only
 * what a failed line goes on with needs the plan of its request, which is made when somebody asks.
 */
export class LineRoutes {
  readonly #planRoutes: PlanRoutes;
  readonly #routes = new Map<string, Route | null>();

  constructor(planRoutes: PlanRoutes) {
    this.#planRoutes = planRoutes;
  }

  /** Null: the config has it no more. */
  routeOf(line: BatchLine): Route | null {
    const { account, model } = line.attempt;
    const key = [line.format, line.policy.model, account, model].join("\n");
    const known = this.#routes.get(key);
    if (known !== undefined) return known;
    const route = this.#plan(line).routes.find((one) => one.account === account && one.model === model) ?? null;
    if (route === null) return null;
    if (this.#routes.size >= ROUTES_MAX) this.#routes.clear();
    this.#routes.set(key, route);
    return route;
  }

  /** The line as what its outcome is judged by. `priced`: the price of a line there is known. */
  workOf(line: BatchLine, batch: Batch, nowMs: number): { readonly work: Work; readonly priced: boolean } {
    const known = this.routeOf(line);
    const route = { ...(known ?? unknownRoute(line)), price: known?.batchPrice ?? NO_PRICE };
    let plan: RoutePlan | null = null;
    const planned = (): RoutePlan => (plan ??= this.#plan(line));
    const { execution, attempt, format, policy, bodyText, history, decision } = line;
    const work: Work = {
      ...{ execution, intent: attempt, format, policy, bodyText, route, history },
      get routes() {
        const { routes } = planned();
        return routes.length === 0 ? [route] : routes;
      },
      get firstPrice() {
        if (attempt.routeIndex === 0 && known !== null) return known.price;
        return planned().first?.price ?? known?.price ?? NO_PRICE;
      },
      ...(known === null ? {} : { callPrice: known.price }),
      latestDeadlineMs: line.latestDeadlineMs ?? nowMs,
      ...(decision === null ? {} : { decision }),
      batch: { no: batch.no, providerBatchId: batch.providerBatchId },
    };
    return { work, priced: known !== null && known.batchPrice !== null };
  }

  #plan({ format, policy, bodyText, maxCostNanoUsd }: BatchLine): RoutePlan {
    return this.#planRoutes(policy, readRequestFacts(format, bodyText, Buffer.byteLength(bodyText), maxCostNanoUsd));
  }
}

function unknownRoute({ attempt }: BatchLine): Route {
  return {
    account: attempt.account,
    kind: attempt.provider,
    model: attempt.model,
    price: NO_PRICE,
    batchPrice: null,
    maxOutputTokens: 1,
    contextTokens: null,
    unseen: { overheadTokens: 0, imageTokensMax: 0 },
  };
}
