import type { RequestFormat, RoutePolicy } from "../../domain/job/job.js";
import type { PlanRoutes } from "../../domain/route/plan-routes.js";
import { readRequestFacts, type RequestFacts } from "../../domain/route/request-facts.js";
import type { Route } from "../../domain/route/route.js";
import type { StoredRequest } from "../../adapters/postgres/operator/letter-rows.js";
import { fromStored } from "../../adapters/postgres/stored-body.js";

/** The routes that can serve a stored request by the config of now, best first. */
export function routesOf(
  planRoutes: PlanRoutes,
  request: StoredRequest,
): { readonly routes: readonly Route[]; readonly facts: RequestFacts } {
  const body = fromStored(request.requestHex, request.gzip);
  // Written from an AdmittedJob, both.
  const facts = readRequestFacts(
    request.format as RequestFormat,
    body,
    Buffer.byteLength(body),
    request.maxCostNanoUsd,
  );
  return { routes: planRoutes(JSON.parse(request.policyText) as RoutePolicy, facts).routes, facts };
}
