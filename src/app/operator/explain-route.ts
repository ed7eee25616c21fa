import type { Config } from "../../config/config.js";
import type { IncomingRecord, RoutePolicy, Tier } from "../../domain/job/job.js";
import { readRequestFacts } from "../../domain/route/request-facts.js";
import { UNKNOWN_CONDITIONS } from "../../domain/route/route-condition.js";
import type { RouteComparison } from "../../domain/route/route-decision.js";
import type { ScoreWeights } from "../../domain/route/score-weights.js";
import { RouteChooser } from "../../pipeline/dispatch/route-chooser.js";
import { buildAdmission, buildRoutePlanner } from "../build-domain.js";
import { buildRouting } from "../build-routing.js";

/** What a router that knows nothing of its providers would make of a job. */
export type RouteExplanation =
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  | {
      readonly kind: "route";
      readonly tenant: string;
      readonly tier: Tier;
      readonly policy: RoutePolicy;
      readonly order: "listed" | "score";
      /** Null where the order is the written one. */
      readonly weights: ScoreWeights | null;
      readonly chosen: string;
      readonly routes: RouteComparison;
    };

/**
 * Answers from the config alone, without a server: health, latency, limits and budgets are unknown, and whether the job would be a line
 * of a batch is not asked.
 * @param text a job as it would be sent.
 */
export function explainRoute(config: Config, text: string, nowMs: number): RouteExplanation {
  const admission = buildAdmission(config, "none").admit(recordOf(config, text, nowMs), nowMs);
  if (admission.kind === "refused") return { kind: "refused", ...codeAndMessage(admission.refusal) };
  if (admission.kind === "cancel") return { kind: "refused", code: "NULL_VALUE", message: "expected a job" };
  const { job } = admission;
  const facts = readRequestFacts(
    job.format,
    job.bodyText,
    Buffer.byteLength(job.bodyText),
    job.requirements.maxCostNanoUsd,
  );
  const plan = buildRoutePlanner(config)(job.policy, facts);
  const routing = buildRouting(config);
  const chooser = new RouteChooser({
    routing,
    conditions: UNKNOWN_CONDITIONS,
    likelyBatch: (_, mode) => mode === "batch",
  });
  const { policy, mode, deadlineMs, tenant, tier } = job;
  const choice = chooser.choose({
    ...{ plan, facts, policy, mode, deadlineMs, nowMs },
    latestDeadlineMs: deadlineMs,
    routeIndex: 0,
    tried: [],
    explain: true,
  });
  if (choice.kind === "none") return { kind: "refused", ...codeAndMessage(choice.failure) };
  const byScore = routing.scored.has(policy.model);
  return {
    kind: "route",
    ...{ tenant, tier, policy },
    order: byScore ? "score" : "listed",
    weights: byScore ? routing.weights.of(policy.chain, tier, nowMs) : null,
    chosen: `${choice.route.account}/${choice.route.model}`,
    routes: (choice.kind === "route" ? choice.routes : undefined) ?? { because: "the only candidate", rejected: [] },
  };
}

/** As it would come from the topic that proves the job's tenant, when there is one. */
function recordOf({ topics, auth }: Config, text: string, nowMs: number): IncomingRecord {
  const tenant = tenantOf(text);
  const own = topics.jobs.find(({ name }) => auth.topicTenants[name] === tenant) ?? topics.jobs[0];
  const value = Buffer.from(text);
  return { topic: own?.name ?? "", partition: 0, offset: 0, timestampMs: nowMs, key: null, value, headers: [] };
}

function tenantOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    const tenant = typeof value === "object" && value !== null && "tenant" in value ? value.tenant : null;
    return typeof tenant === "string" ? tenant : null;
  } catch {
    return null; // admission says what is wrong with it
  }
}

function codeAndMessage({ code, message }: { readonly code: string; readonly message: string }) {
  return { code, message };
}
