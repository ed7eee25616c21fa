import { estimatePromptTokens } from "../../domain/batch/estimate-tokens.js";
import type { WaitReason } from "../../domain/execution/waits.js";
import type { ErrorCode, Failure } from "../../domain/failure.js";
import type { EpochMs } from "../../domain/ids.js";
import type { JobMode, RoutePolicy } from "../../domain/job/job.js";
import { familyOf } from "../../domain/route/format-family.js";
import type { RouteName } from "../../domain/route/next-attempt.js";
import { outputTokensBound, type RequestFacts } from "../../domain/route/request-facts.js";
import { UNKNOWN_CONDITIONS, type RouteConditions } from "../../domain/route/route-condition.js";
import type { RouteComparison } from "../../domain/route/route-decision.js";
import type { RejectedRoute, Route, RoutePlan } from "../../domain/route/route.js";
import {
  RouteScorer,
  type CountPrompt,
  type LikelyBatch,
  type RouteQuestion,
  type ScoredRoute,
} from "../../domain/route/score-routes.js";
import { ChainWeights, DEFAULT_WEIGHT_FACTORS } from "../../domain/route/score-weights.js";

/** A request that is to be served, and what the choice of its route goes by. */
export interface RouteWish {
  readonly plan: RoutePlan;
  readonly facts: RequestFacts;
  readonly policy: RoutePolicy;
  readonly mode: JobMode;
  /** The first of its jobs' deadlines and the last. */
  readonly deadlineMs: EpochMs;
  readonly latestDeadlineMs: EpochMs;
  readonly nowMs: EpochMs;
  /** Place in the plan of the route whose turn it is; one that is not there: the first. */
  readonly routeIndex: number;
  /** The routes of the tries before, oldest first. */
  readonly tried: readonly RouteName[];
  /** All that decided is wanted, though the first of the list is taken. */
  readonly explain: boolean;
}

export type RouteChoice =
  /** `routes`: only there where there was something to choose. */
  | { readonly kind: "route"; readonly route: Route; readonly index: number; readonly routes?: RouteComparison }
  /**
   * No route can be called now, and what keeps them back passes before the deadline. The route is the one whose turn it is; `rejected` is
   * only there when all that decided is wanted.
   */
  | {
      readonly kind: "wait";
      readonly rejected?: readonly RejectedRoute[];
      readonly runAtMs: EpochMs;
      readonly waitsFor: WaitReason;
      readonly route: Route;
      readonly index: number;
    }
  | { readonly kind: "none"; readonly failure: Failure };

/** What of the config decides between routes. */
export interface RoutingSettings {
  /** Aliases whose candidates are chosen by score; all others are taken in their written order. */
  readonly scored: ReadonlySet<string>;
  readonly weights: ChainWeights;
  readonly latencyBudgetMs: number;
}

export interface ChooserParts {
  readonly routing: RoutingSettings;
  readonly conditions: RouteConditions;
  /** How long a trial of an account that was not well may take; no time when left out. */
  readonly trialMs?: (account: string) => number;
  readonly likelyBatch: LikelyBatch;
  /** For prompts near a window; by their bytes when left out. */
  readonly countPrompt?: CountPrompt;
}

export const LISTED_ONLY: RoutingSettings = {
  scored: new Set(),
  weights: new ChainWeights({}, DEFAULT_WEIGHT_FACTORS),
  latencyBudgetMs: 30_000,
};

/** Written order, nothing known. */
const PLAIN: ChooserParts = {
  routing: LISTED_ONLY,
  conditions: UNKNOWN_CONDITIONS,
  likelyBatch: (_, mode) => mode === "batch",
};

const REASONS_MAX = 20;

/**
 * Which of its plan's routes a request takes next. The plan's order never changes, since stored attempts name routes by their place in
 * it; what changes with the time is which of them is chosen. Takes nothing and waits for nothing.
 *
 * In the written order it is the route whose turn it is, unless something speaks against it (see score-routes.ts), then the next in the
 * list; a route without a free place is waited for, not left for a dearer one. By score it is the best of those that can be called now.
 */
export class RouteChooser {
  readonly #parts: ChooserParts;
  readonly #scorer: RouteScorer;

  constructor(parts: ChooserParts = PLAIN) {
    this.#parts = parts;
    this.#scorer = new RouteScorer(parts.conditions, parts.likelyBatch, parts.trialMs, parts.countPrompt);
  }

  choose(wish: RouteWish): RouteChoice {
    const { plan, policy } = wish;
    const { first } = plan;
    if (first === null) {
      const message = plan.failure?.message ?? "no candidate can serve this job any more";
      return none(plan.failure?.code ?? "NO_ROUTE", message);
    }
    const byScore = this.#parts.routing.scored.has(policy.model) && plan.accounts.length > 1;
    if (!byScore && wish.tried.length === 0 && !wish.explain && !ruledOut(plan)) {
      const next = routeAt(plan, first, wish.routeIndex);
      if (this.#isFree(next.route, wish)) return { kind: "route", ...next };
    }
    return this.#compare(wish, first, byScore ? "score" : "listed");
  }

  /** Whether nothing speaks against the route whose turn it is: then nobody asks about the others, and their part of the plan is not worked out. */
  #isFree(route: Route, { facts, policy, mode, deadlineMs, nowMs }: RouteWish): boolean {
    const { conditions, likelyBatch } = this.#parts;
    const { account, model, contextTokens, maxOutputTokens } = route;
    if (policy.maxLatencyMs !== undefined) return false;
    // No prompt has more tokens than bytes.
    const outputTokens = outputTokensBound(facts, maxOutputTokens);
    if (contextTokens !== null && facts.bodyBytes + route.unseen.overheadTokens + outputTokens > contextTokens)
      return false;
    if (conditions === UNKNOWN_CONDITIONS) return true;
    const { state } = conditions.health(account, model, nowMs);
    if (state !== "closed" || conditions.spent(account, nowMs) !== null) return false;
    if (likelyBatch(route, mode, deadlineMs - nowMs)) return true;
    const promptTokens = estimatePromptTokens(facts, route.unseen.imageTokensMax) + route.unseen.overheadTokens;
    const tokens = promptTokens + outputTokens;
    const tier = policy.tier ?? "standard";
    return conditions.headroom(route, tokens, nowMs, familyOf(facts.format), tier).kind !== "never";
  }

  #compare(wish: RouteWish, first: Route, order: RouteQuestion["order"]): RouteChoice {
    const { plan } = wish;
    const turn = routeAt(plan, first, wish.routeIndex);
    const question = this.#question(wish, order, turn.index);
    const answer = this.#scorer.choose(question);
    if (answer.kind === "route") {
      const { index } = answer;
      const route = plan.routes[index] ?? first;
      const routes = this.#comparison(wish, question, index);
      return routes === undefined ? { kind: "route", route, index } : { kind: "route", route, index, routes };
    }
    const isInTime = answer.kind === "wait" && answer.runAtMs < wish.latestDeadlineMs;
    if (isInTime && !wish.explain) return { ...answer, ...turn };
    const rejected = [...this.#scorer.rejected(-1), ...plan.rejected];
    if (isInTime) return { ...answer, ...turn, rejected };
    const reasons = words(rejected);
    return answer.kind === "wait"
      ? none("NO_ROUTE_IN_TIME", `no route can be called before the deadline: ${reasons}`)
      : none("NO_ROUTE", `no route can serve this request now: ${reasons}`);
  }

  #question(wish: RouteWish, order: RouteQuestion["order"], turn: number): RouteQuestion {
    const { plan, facts, policy, mode, deadlineMs, nowMs, tried } = wish;
    const { weights, latencyBudgetMs } = this.#parts.routing;
    const leftMs = Math.max(1, deadlineMs - nowMs);
    const tier = policy.tier ?? "standard";
    return {
      routes: plan.routes,
      order,
      turn,
      tried,
      facts,
      textTokens: estimatePromptTokens(facts, 0),
      mode,
      tier,
      leftMs,
      weights: weights.of(policy.chain, tier, nowMs),
      rules: policy.rules,
      maxLatencyMs: policy.maxLatencyMs ?? null,
      latencyBudgetMs: Math.min(policy.maxLatencyMs ?? latencyBudgetMs, leftMs),
      nowMs,
    };
  }

  /** Nothing where there was only one candidate. */
  #comparison({ plan }: RouteWish, question: RouteQuestion, index: number): RouteComparison | undefined {
    const { routes, order } = question;
    const rejected = this.#scorer.rejected(index);
    for (const one of plan.rejected) rejected.push(one);
    if (routes.length === 1 && rejected.length === 0) return undefined;
    if (order === "listed") return { because: this.#becauseListed(question, index), rejected };
    const scored = this.#scorer.scored(index);
    return { because: becauseScored(scored, this.#scorer.rank(index)), rejected, scored };
  }

  #becauseListed({ routes, turn, tried }: RouteQuestion, index: number): string {
    if (index !== turn) return "the next in the list that can be called";
    if (tried.length > 0) return `its turn after ${String(tried.length)} ${tried.length === 1 ? "try" : "tries"}`;
    return routes.length === 1 ? "the only candidate that can serve it" : "the first in the list that can serve it";
  }
}

/** @param chosen its place in `scored`. */
function becauseScored(scored: readonly ScoredRoute[], chosen: number): string {
  const { score: own = 0, committedLeftNanoUsd = null } = scored[chosen] ?? {};
  if (scored.length === 1) return "the only candidate that can be called now";
  for (const { score } of scored) if (score > own) return "tried again, as its failure asks for";
  const best = `the best score of ${String(scored.length)}, ${String(own)}`;
  if (committedLeftNanoUsd === null) return best;
  return `${best}; covered by the account's commitment, ${dollarsOf(committedLeftNanoUsd)} USD left`;
}

/** Whole cents, rounded down: what is said to be left is there. */
function dollarsOf(nanoUsd: string): string {
  const cents = BigInt(nanoUsd) / 10_000_000n;
  return `${String(cents / 100n)}.${String(cents % 100n).padStart(2, "0")}`;
}

/** The first route stands for one that is no longer there; only others than the first need the whole plan. */
export function routeAt(
  plan: RoutePlan,
  first: Route,
  index: number,
): { readonly route: Route; readonly index: number } {
  const route = index === 0 ? first : plan.routes[index];
  return route === undefined ? { route: first, index: 0 } : { route, index };
}

/** Whether candidates before the first route are known to be unable; without working the rest of the plan out. */
function ruledOut(plan: RoutePlan): boolean {
  return plan.ruledOut > 0;
}

function none(code: ErrorCode, message: string): RouteChoice {
  return { kind: "none", failure: { code, message, provider: null, retryAtMs: null } };
}

function words(rejected: readonly RejectedRoute[]): string {
  return rejected
    .slice(0, REASONS_MAX)
    .map(({ account, model, because }) => `${account}/${model}: ${because}`)
    .join("; ");
}
