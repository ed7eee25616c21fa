import type { AttemptOutcome } from "../failure.js";
import type { EndedState } from "../execution/execution.js";
import type { Usage } from "../cost/usage.js";
import type { RequestFormat, Tier } from "../job/job.js";
import type { RouteDecision } from "../route/route-decision.js";
import type { ProviderKind, RejectedRoute } from "../route/route.js";
import type { ScoredRoute } from "../route/score-routes.js";
import type { CostRecord } from "./cost-record.js";
import type { Served } from "./outgoing.js";
import type { ResultError } from "./rendering.js";

/** A result as schemas/result.schema.json says it, but for `body`, which goes in as text. Members that may be absent mean null then. */
export interface ResultDocument {
  readonly v: 1;
  readonly resultId: string;
  readonly jobId: string;
  readonly tenant: string;
  readonly generation: number;
  readonly status: EndedState;
  readonly format: RequestFormat | null;
  readonly body: null;
  readonly finishReason: string | null;
  readonly error: ResultError | null;
  readonly provider?: ProviderKind | null;
  readonly model?: string | null;
  readonly modelVersion?: string | null;
  readonly mode?: "direct" | "batch";
  readonly batchId?: string | null;
  readonly served?: Served;
  readonly requestHash?: string;
  readonly executionId?: string | null;
  readonly tier?: Tier;
  readonly attempts: readonly ResultAttempt[];
  readonly decision?: ResultDecision | null;
  readonly usage?: Usage;
  readonly cost: ResultCost;
  readonly times: {
    readonly submittedAt: string;
    readonly acceptedAt: string | null;
    readonly startedAt: string | null;
    readonly finishedAt: string;
    readonly deadline: string | null;
  };
  readonly labels: Readonly<Record<string, string>>;
}

export interface ResultDecision {
  /** Account and model that answered. */
  readonly chosen: string;
  readonly because: string;
  readonly rejectedCount: number;
  /** What was chosen between a batch and a call of its own; only there where there was a choice and the job asked for it. */
  readonly mode?: RouteDecision["mode"];
  readonly numbers?: RouteDecision["numbers"];
  /** Why this route and not another; these only there where there were several and the job asked for it. */
  readonly routeBecause?: string;
  readonly scores?: readonly ScoredRoute[];
  readonly rejected?: readonly RejectedRoute[];
}

export interface ResultAttempt {
  readonly number: number;
  readonly attemptId: string;
  readonly provider: ProviderKind;
  readonly account: string;
  readonly model: string;
  readonly mode: "direct" | "batch";
  /** Only there for a line of a batch. */
  readonly batchId?: string | null;
  readonly outcome: AttemptOutcome;
  readonly providerRequestId: string | null;
  readonly startedAt: string;
  readonly ms: number;
  readonly costId: string | null;
}

interface ResultCost extends Pick<CostRecord, "nanoUsd" | "maxNanoUsd" | "listNanoUsd"> {
  readonly priceVersion: string | null;
  readonly billing: CostRecord["billing"] | null;
  readonly costId: string | null;
}
