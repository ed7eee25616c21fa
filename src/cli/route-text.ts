import type { RouteComparison } from "../domain/route/route-decision.js";
import type { RejectedRoute } from "../domain/route/route.js";
import { dollarsText, safeText } from "./display-text.js";
import { tableLines } from "./text-table.js";

/** How a route was chosen among several, for people. */
export function comparisonLines({ because, scored, rejected }: RouteComparison): readonly string[] {
  const scores = (scored ?? []).map((route) => [
    `${route.account}/${route.model}`,
    ...[route.score, route.cost, route.latency, route.reliability].map((value) => value.toFixed(3)),
    route.committedLeftNanoUsd === undefined ? dollarsText(BigInt(route.expectedNanoUsd)) : "committed",
  ]);
  return [
    `route    ${safeText(because)}`,
    ...(scores.length === 0
      ? []
      : tableLines(["scored", "score", "cost", "latency", "reliability", "expected"], scores)),
    ...rejected.map(rejectedLine),
  ];
}

export function rejectedLine({ account, model, because }: RejectedRoute): string {
  return `rejected ${account}/${model}: ${safeText(because)}`;
}
