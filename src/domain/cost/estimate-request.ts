import { outputTokensBound, type RequestFacts } from "../route/request-facts.js";
import type { Route } from "../route/route.js";
import { chargeNanoUsd } from "./charge.js";
import type { ModelPrice } from "./price.js";
import { NO_USAGE } from "./usage.js";

/** What a request would cost, nano-dollars, without a cached token. */
export interface EstimatedCost {
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** A call on the first route. */
  readonly direct: bigint;
  /** A line of a batch on the first route; a call where it must not wait, or there is no batch for it. */
  readonly batched: bigint;
  /** The cheapest of all routes, in a batch where it may wait. */
  readonly routed: bigint;
}

export interface EstimateQuestion {
  readonly facts: RequestFacts;
  /** Those that can serve it, the first first. */
  readonly routes: readonly Route[];
  readonly mayWait: boolean;
  /** Length of the answer; null: as long as its cap allows. A cap that is lower counts. */
  readonly outputTokens: number | null;
  readonly promptTokens: (facts: RequestFacts, route: Route) => number;
}

/** @returns null when the first route can't be priced for a request of this length, or there is none. */
export function estimateRequest(question: EstimateQuestion): EstimatedCost | null {
  const [first] = question.routes;
  if (first === undefined) return null;
  const onFirst = costOn(question, first);
  if (onFirst === null) return null;
  const all = question.routes.flatMap((route) => costOn(question, route)?.batched ?? []);
  return { ...onFirst, routed: all.reduce((least, cost) => (cost < least ? cost : least), onFirst.batched) };
}

function costOn(question: EstimateQuestion, route: Route): Omit<EstimatedCost, "routed"> | null {
  const { facts, mayWait } = question;
  const bound = outputTokensBound(facts, route.maxOutputTokens);
  const outputTokens = question.outputTokens === null ? bound : Math.min(bound, question.outputTokens * facts.choices);
  const promptTokens = question.promptTokens(facts, route);
  const priced = (price: ModelPrice): bigint | null => {
    const charge = chargeNanoUsd({ ...NO_USAGE, inputTokens: promptTokens, outputTokens }, price);
    return charge.kind === "charged" ? charge.nanoUsd : null;
  };
  const direct = priced(route.price);
  if (direct === null) return null;
  const line = mayWait && route.batchPrice !== null ? priced(route.batchPrice) : null;
  return { promptTokens, outputTokens, direct, batched: line ?? direct };
}
