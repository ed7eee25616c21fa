import type { AdmittedJob, IncomingRecord, Refusal } from "../../domain/job/job.js";
import type { JobAdmission } from "../../domain/job/admit.js";
import { readRequestFacts, type RequestFacts } from "../../domain/route/request-facts.js";
import { routeMaxCostNanoUsd, type PlanRoutes } from "../../domain/route/plan-routes.js";
import type { Route, RoutePlan } from "../../domain/route/route.js";
import type { DecodedValue } from "../../ports/broker.js";
import type { LinePlan, LinePlanner } from "../batch/line-planner.js";
import { explainedLine } from "../dispatch/explained-line.js";
import type { RouteChooser } from "../dispatch/route-chooser.js";

/** An admitted job with the routes that can serve it, the one it takes and the bound of its call, and whether it waits for a batch instead. */
export interface PlannedJob {
  readonly job: AdmittedJob;
  readonly route: Route;
  /** Its place in the plan. */
  readonly routeIndex: number;
  readonly facts: RequestFacts;
  readonly plan: RoutePlan;
  readonly maxNanoUsd: bigint;
  readonly line: PlannedLine;
  /** Only there when true: no route can be called now, so it waits as a row. */
  readonly waits?: boolean;
}

type PlannedLine = Exclude<LinePlan, { readonly kind: "refused" }>;

export type Planned =
  | { readonly kind: "job"; readonly planned: PlannedJob }
  | { readonly kind: "cancel"; readonly tenant: string; readonly jobId: string }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** Admission and routing of one record: pure, and never throws for bad input. */
export class IntakePlanner {
  readonly #admission: JobAdmission;
  readonly #planRoutes: PlanRoutes;
  readonly #chooser: Pick<RouteChooser, "choose">;
  readonly #lines: Pick<LinePlanner, "plan">;

  constructor(
    admission: JobAdmission,
    planRoutes: PlanRoutes,
    chooser: Pick<RouteChooser, "choose">,
    lines: Pick<LinePlanner, "plan">,
  ) {
    this.#admission = admission;
    this.#planRoutes = planRoutes;
    this.#chooser = chooser;
    this.#lines = lines;
  }

  plan(record: IncomingRecord, decoded: DecodedValue | undefined, nowMs: number): Planned {
    const admission =
      decoded === undefined
        ? this.#admission.admit(record, nowMs)
        : decoded.kind === "refused"
          ? this.#admission.refuse(record, decoded, nowMs)
          : this.#admission.admitAvro(record, decoded.document, nowMs);
    if (admission.kind !== "job") return admission;
    const { job } = admission;
    const facts = readRequestFacts(
      job.format,
      job.bodyText,
      Buffer.byteLength(job.bodyText),
      job.requirements.maxCostNanoUsd,
    );
    const plan = this.#planRoutes(job.policy, facts);
    const { mode, deadlineMs, policy, explain } = job;
    const chosen = this.#chooser.choose({
      ...{ plan, facts, policy, mode, deadlineMs, nowMs, explain },
      latestDeadlineMs: deadlineMs,
      routeIndex: 0,
      tried: [],
    });
    if (chosen.kind === "none") return refusedJob(job, chosen.failure.code, chosen.failure.message);
    const { route, index: routeIndex } = chosen;
    const waits = chosen.kind === "wait";
    // A batch takes hours, and what keeps a call back now may be over by then.
    const line =
      waits && mode !== "batch"
        ? DIRECT
        : this.#lines.plan({ mode, nowMs, deadlineMs, facts, plan, routeIndex, again: false });
    if (line.kind === "refused") return refusedJob(job, line.code, line.message);
    const maxNanoUsd = routeMaxCostNanoUsd(route, facts);
    const planned = {
      job,
      route,
      routeIndex,
      facts,
      plan,
      maxNanoUsd,
      line: explainedLine(line, chosen, deadlineMs - nowMs),
    };
    return { kind: "job", planned: waits ? { ...planned, waits } : planned };
  }
}

const DIRECT: PlannedLine = { kind: "direct" };

export type RefusedPlan = Extract<Planned, { readonly kind: "refused" }>;

/** The refusal of a record whose tenant and id are proven: it gets a result too. */
export function refusedJob(job: AdmittedJob, code: Refusal["code"], message: string): RefusedPlan {
  return {
    kind: "refused",
    refusal: {
      code,
      message,
      tenant: job.tenant,
      jobId: job.jobId,
      identity: {
        tenant: job.tenant,
        jobId: job.jobId,
        format: job.format,
        labels: job.labels,
        submittedAtMs: job.submittedAtMs,
        reply: job.reply,
        ...(job.headersDropped === undefined ? {} : { headersDropped: job.headersDropped }),
      },
    },
  };
}
