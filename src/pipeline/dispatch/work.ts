import type { AttemptIntent, AttemptSummary } from "../../domain/execution/execution.js";
import type { LedgerKey } from "../../domain/ids.js";
import type { RequestFormat, RoutePolicy } from "../../domain/job/job.js";
import type { ModelPrice } from "../../domain/cost/price.js";
import type { RouteDecision } from "../../domain/route/route-decision.js";
import type { Route } from "../../domain/route/route.js";

/** An execution whose intent is stored, ready to be called. */
export interface Work {
  readonly execution: LedgerKey;
  readonly intent: AttemptIntent;
  readonly format: RequestFormat;
  readonly policy: RoutePolicy;
  readonly bodyText: string;
  readonly route: Route;
  /** May be worked out when it is first looked at (see RoutePlan). */
  readonly routes: readonly Route[];
  /** Price of the first capable route: what the list price is reckoned from. */
  readonly firstPrice: ModelPrice;
  /** Only there where the route's price is that of a line of a batch: what a call would cost there. */
  readonly callPrice?: ModelPrice;
  readonly history: readonly AttemptSummary[];
  /** Of the jobs that waited when the intent was stored; others may have joined since. */
  readonly latestDeadlineMs: number;
  /** Only there where there was something to choose between a batch and a call of its own. */
  readonly decision?: RouteDecision;
  /** Only there for a line of a batch, called or read from results: then the route's price is that of a line. */
  readonly batch?: { readonly no: number; readonly providerBatchId: string | null };
}
