import type { Config } from "../../config/config.js";
import { payerOf } from "../../domain/budget/budget-levels.js";
import type { WaitReason } from "../../domain/execution/waits.js";
import type { EpochMs } from "../../domain/ids.js";
import { callTokens } from "../../domain/limit/call-tokens.js";
import type { IncomingRecord, JobMode, RoutePolicy, Tier } from "../../domain/job/job.js";
import { familyOf } from "../../domain/route/format-family.js";
import { readRequestFacts } from "../../domain/route/request-facts.js";
import { UNKNOWN_CONDITIONS, type Headroom } from "../../domain/route/route-condition.js";
import type { RouteComparison } from "../../domain/route/route-decision.js";
import type { RejectedRoute } from "../../domain/route/route.js";
import type { LikelyBatch } from "../../domain/route/score-routes.js";
import type { ScoreWeights } from "../../domain/route/score-weights.js";
import { RouteChooser } from "../../pipeline/dispatch/route-chooser.js";
import { buildAdmission, buildRoutePlanner } from "../build-domain.js";
import { buildRouting } from "../build-routing.js";
import { liveConditions, seenOf, type LiveReadings, type SeenOfJob } from "./live-conditions.js";

/** What a router would make of a job. */
export type RouteExplanation =
  | { readonly kind: "refused"; readonly code: string; readonly message: string; readonly seen?: SeenOfJob }
  | (ExplainedJob & {
      readonly kind: "route";
      readonly chosen: string;
      readonly routes: RouteComparison;
      /** It would be accepted as a row, since a limit of the chosen route leaves nothing for it now. */
      readonly waits?: Pick<Extract<Headroom, { readonly kind: "wait" }>, "runAtMs" | "waitsFor" | "limit">;
    })
  /** No route can be called now: it would be accepted as a row. */
  | (ExplainedJob & {
      readonly kind: "wait";
      /** The route whose turn it is. */
      readonly turn: string;
      readonly runAtMs: EpochMs;
      readonly waitsFor: WaitReason;
      readonly rejected: readonly RejectedRoute[];
    });

interface ExplainedJob {
  readonly tenant: string;
  readonly tier: Tier;
  readonly mode: JobMode;
  readonly policy: RoutePolicy;
  readonly order: "listed" | "score";
  /** Null where the order is the written one. */
  readonly weights: ScoreWeights | null;
  /** Only there where somebody looked what routers share. */
  readonly seen?: SeenOfJob;
}

/**
 * Answers from the config, and from what routers share where that was read; without it health, limits and budgets are unknown. Latency and
 * error rates always are, and whether the job would be a line of a batch is not asked.
 * @param text a job as it would be sent.
 */
export function explainRoute(
  config: Config,
  text: string,
  nowMs: number,
  live: LiveReadings | null = null,
): RouteExplanation {
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
  const conditions = live === null ? UNKNOWN_CONDITIONS : liveConditions(config, live);
  const likelyBatch: LikelyBatch = (_, mode) => mode === "batch";
  const chooser = new RouteChooser({ routing, conditions, likelyBatch });
  const { policy, mode, deadlineMs, tenant, tier, labels } = job;
  const choice = chooser.choose({
    ...{ plan, facts, policy, mode, deadlineMs, nowMs },
    latestDeadlineMs: deadlineMs,
    routeIndex: 0,
    tried: [],
    explain: true,
  });
  const limited = { endpoint: familyOf(facts.format), tier: policy.tier ?? "standard" };
  const calls = plan.routes.map(({ account, model }) => ({ account, model, ...limited }));
  const seen = live === null ? {} : { seen: seenOf(config, live, payerOf(tenant, labels), calls) };
  if (choice.kind === "none") return { kind: "refused", ...codeAndMessage(choice.failure), ...seen };
  const byScore = routing.scored.has(policy.model);
  const explained: ExplainedJob = {
    ...{ tenant, tier, mode, policy },
    order: byScore ? "score" : "listed",
    weights: byScore ? routing.weights.of(policy.chain, tier, nowMs) : null,
    ...seen,
  };
  const { route } = choice;
  const name = `${route.account}/${route.model}`;
  if (choice.kind === "wait") {
    const { runAtMs, waitsFor, rejected = [] } = choice;
    return { kind: "wait", ...explained, turn: name, runAtMs, waitsFor, rejected };
  }
  const headroom = conditions.headroom(route, callTokens(route, facts), nowMs, limited.endpoint, limited.tier);
  return {
    kind: "route",
    ...explained,
    chosen: name,
    routes: choice.routes ?? { because: "the only candidate", rejected: [] },
    ...(headroom.kind === "wait" && !likelyBatch(route, mode, deadlineMs - nowMs) ? { waits: headroom } : {}),
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
