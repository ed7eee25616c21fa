import type { BatchWayRules } from "../../domain/batch/batch-rules.js";
import { estimatePromptTokens } from "../../domain/batch/estimate-tokens.js";
import { packLimits, reasonOfSize } from "../../domain/batch/pack.js";
import { promptPrefix } from "../../domain/batch/prompt-prefix.js";
import { poolOf, type PooledLine } from "../../domain/batch/queued-line.js";
import { expectedTurnaround, type TurnaroundBook } from "../../domain/batch/turnaround.js";
import type { EpochMs } from "../../domain/ids.js";
import { attemptId } from "../../domain/job/ids.js";
import type { JobMode } from "../../domain/job/job.js";
import { chooseMode, withMargin, type BatchOffer, type ModeChoice } from "../../domain/route/choose-mode.js";
import { routeMaxCostNanoUsd } from "../../domain/route/plan-routes.js";
import type { RequestFacts } from "../../domain/route/request-facts.js";
import { placeForLine, UNKNOWN_CONDITIONS, type RouteConditions } from "../../domain/route/route-condition.js";
import type { CountPrompt } from "../../domain/route/score-routes.js";
import type { RouteDecision } from "../../domain/route/route-decision.js";
import type { Route, RoutePlan } from "../../domain/route/route.js";
import type { BatchProvider, EncodedLine } from "../../ports/batch-provider.js";
import type { BatchAccountSettings } from "./batch-settings.js";

/** An account whose config has a `batch` section. */
export interface LineAccount {
  readonly provider: Pick<BatchProvider, "rules" | "encodeLine">;
  readonly settings: BatchAccountSettings;
}

export interface LinePlannerParts {
  /** Empty: every execution gets a call of its own. */
  readonly accounts: ReadonlyMap<string, LineAccount>;
  /** The newest there is. */
  readonly turnaround: () => TurnaroundBook;
  /** Estimated prompt tokens that the account's batches may still take besides those that run and those that wait; null: not limited, or unknown. */
  readonly headroomTokens: (account: string) => number | null;
  /** What is known right now of routes; left out: nothing. */
  readonly conditions?: Pick<RouteConditions, "health" | "spent">;
  /** Where an account limits the tokens of its batches; by bytes when left out. */
  readonly countPrompt?: CountPrompt;
}

/** An execution that is to be served, and by which route next. */
export interface ServiceWish {
  readonly mode: JobMode;
  readonly nowMs: EpochMs;
  readonly deadlineMs: EpochMs;
  readonly facts: RequestFacts;
  readonly plan: RoutePlan;
  /** Place of the route whose turn it is; one that is not in the plan: the first. */
  readonly routeIndex: number;
  /** It was given to a provider or a pool before. */
  readonly again: boolean;
}

export type LinePlan =
  /** By the route whose turn it is. `decision` is only there where there was something to choose. */
  | { readonly kind: "direct"; readonly decision?: RouteDecision }
  | { readonly kind: "pool"; readonly pooled: PooledLine; readonly decision: RouteDecision }
  /** Mode `batch`, and no route can; in words. */
  | { readonly kind: "refused"; readonly code: "NO_ROUTE" | "NO_ROUTE_IN_TIME"; readonly message: string };

const DIRECT: LinePlan = { kind: "direct" };
/** A line has no id before its attempt has a number; what this one adds is taken off again. */
const PLACEHOLDER_ID = attemptId(0, 0);

/**
 * Says of each execution whether it waits for a batch or gets a call of its own. The route whose turn it is decides, unless the job asks
 * for a batch and only another route can make one. Pure but for what it is handed; a job that no account of its plan could batch costs
 * a look into a map.
 */
export class LinePlanner {
  readonly #parts: LinePlannerParts;

  constructor(parts: LinePlannerParts) {
    this.#parts = parts;
  }

  plan(wish: ServiceWish): LinePlan {
    const { mode, plan, nowMs, deadlineMs } = wish;
    if (mode === "direct" || deadlineMs <= nowMs) return DIRECT;
    if (mode === "batch") return this.#forced(wish);
    if (!this.#mayBatch(plan)) return DIRECT;
    const next = routeAt(plan, wish.routeIndex);
    return next === null ? DIRECT : this.#ofRoute(wish, next.route, next.index).plan;
  }

  /** Whether a call by this route would rather wait for a batch, by what the choice between routes has to know of it: no line is encoded. */
  likely(route: Route, mode: JobMode, leftMs: number): boolean {
    if (mode === "direct") return false;
    const account = this.#parts.accounts.get(route.account);
    if (account === undefined || route.batchPrice === null) return false;
    if (mode === "batch") return true;
    const { p95Ms } = expectedTurnaround(this.#parts.turnaround(), route.account, route.model);
    return leftMs >= account.settings.flushAfterMs + withMargin(p95Ms);
  }

  #mayBatch({ accounts }: RoutePlan): boolean {
    return this.#parts.accounts.size > 0 && accounts.some((account) => this.#parts.accounts.has(account));
  }

  /**
   * The route whose turn it is, then the others in their order; behind those that are well the ones whose calls fail, and last those that
   * would get no call now: a batch takes hours, and what speaks against them may be over by then.
   */
  #forced(wish: ServiceWish): LinePlan {
    const { plan, nowMs } = wish;
    if (!this.#mayBatch(plan)) {
      const names = plan.accounts.join(", ");
      return refused("NO_ROUTE", `no batch can be made: no account of this job has batches (${names})`);
    }
    const { conditions = UNKNOWN_CONDITIONS } = this.#parts;
    const next = routeAt(plan, wish.routeIndex);
    const reasons: { readonly code: "NO_ROUTE" | "NO_ROUTE_IN_TIME"; readonly because: string }[] = [];
    const offered = (route: Route, index: number): LinePlan | null => {
      const { choice, plan: found } = this.#ofRoute(wish, route, index);
      if (choice.kind !== "refused") return found;
      reasons.push({ code: choice.code, because: `${route.account}/${route.model}: ${choice.because}` });
      return null;
    };
    const isWell = next !== null && placeForLine(conditions, next.route, nowMs) === 0;
    const ofNext = next !== null && isWell ? offered(next.route, next.index) : null;
    if (ofNext !== null) return ofNext;
    const others = plan.routes.map((route, index) => ({ route, index })).filter(({ index }) => index !== next?.index);
    const left = next === null || isWell ? others : [next, ...others];
    const placed = left.map((one) => ({ ...one, place: placeForLine(conditions, one.route, nowMs) }));
    for (const { route, index } of placed.sort((one, other) => one.place - other.place)) {
      const found = offered(route, index);
      if (found !== null) return found;
    }
    const late = reasons.filter(({ code }) => code === "NO_ROUTE_IN_TIME");
    const shown = late.length > 0 ? late : reasons;
    const words = shown.slice(0, 5).map(({ because }) => because);
    return refused(late.length > 0 ? "NO_ROUTE_IN_TIME" : "NO_ROUTE", `no batch can be made: ${words.join("; ")}`);
  }

  /** The line is only encoded when the numbers are for a batch: that costs what a call's body costs. */
  #ofRoute(wish: ServiceWish, route: Route, index: number): { readonly choice: ModeChoice; readonly plan: LinePlan } {
    const tokens = this.#promptTokens(wish.facts, route);
    const byNumbers = choose(wish, route, this.#offer(wish.facts, route, tokens));
    const account = this.#parts.accounts.get(route.account);
    if (byNumbers.kind !== "batch" || account === undefined) return { choice: byNumbers, plan: planOf(byNumbers) };
    const line = lineOf(account, wish.facts, route, tokens);
    if (line.kind === "not_carried") {
      const choice = choose(wish, route, { kind: "impossible", because: line.because });
      return { choice, plan: planOf(choice) };
    }
    return { choice: byNumbers, plan: this.#pooled(wish.facts, { route, index, tokens }, line, byNumbers) };
  }

  /** A line pays for a tokenizer only where its tokens decide something. */
  #promptTokens(facts: RequestFacts, route: Route): number {
    const { accounts, countPrompt } = this.#parts;
    const isLimited = (accounts.get(route.account)?.settings.enqueuedTokensMax ?? null) !== null;
    return isLimited && countPrompt !== undefined
      ? countPrompt(facts, route)
      : estimatePromptTokens(facts, route.unseen.imageTokensMax);
  }

  #offer(facts: RequestFacts, route: Route, tokens: number): BatchOffer {
    const account = this.#parts.accounts.get(route.account);
    if (account === undefined) return { kind: "impossible", because: `${route.account} has no batches` };
    if (route.batchPrice === null)
      return { kind: "impossible", because: `what ${route.model} costs in a batch of ${route.account} is not known` };
    const { medianMs, p95Ms } = expectedTurnaround(this.#parts.turnaround(), route.account, route.model);
    return {
      kind: "offered",
      turnaroundP95Ms: p95Ms,
      turnaroundMedianMs: medianMs,
      fillMs: account.settings.flushAfterMs,
      batchMaxNanoUsd: routeMaxCostNanoUsd(route, facts, route.batchPrice),
      tokens,
      headroomTokens: this.#parts.headroomTokens(route.account),
      ...(wayOf(account)?.way === "calls" ? { inBackground: true } : {}),
    };
  }

  #pooled(
    facts: RequestFacts,
    { route, index, tokens }: { readonly route: Route; readonly index: number; readonly tokens: number },
    line: Carried,
    { decision, lookAtMs }: Extract<ModeChoice, { kind: "batch" }>,
  ): LinePlan {
    const queued = {
      account: route.account,
      provider: route.kind,
      model: route.model,
      routeIndex: index,
      way: line.way.way,
      lineFormat: line.encoded.lineFormat,
      bytes: line.bytes,
      tokens,
      embeddingInputs: line.encoded.embeddingInputs,
      prefix: promptPrefix(facts.format, route.model, facts.bodyText),
      maxNanoUsd: routeMaxCostNanoUsd(route, facts, route.batchPrice ?? route.price),
      lookAtMs,
    };
    return {
      kind: "pool",
      pooled: { pool: poolOf(queued, line.account.provider.rules.alike), line: queued },
      decision,
    };
  }
}

/** For a router whose config gives no account batches. */
export const DIRECT_ONLY = new LinePlanner({
  accounts: new Map(),
  turnaround: () => {
    throw new Error("InvariantError: turnarounds were asked for, and no account has batches");
  },
  headroomTokens: () => null,
});

interface Carried {
  readonly kind: "carried";
  readonly account: LineAccount;
  readonly way: BatchWayRules;
  readonly encoded: Extract<EncodedLine, { kind: "encoded" }>;
  /** Without its id. */
  readonly bytes: number;
}

function lineOf(
  account: LineAccount,
  facts: RequestFacts,
  route: Route,
  tokens: number,
): Carried | { readonly kind: "not_carried"; readonly because: string } {
  const { provider, settings } = account;
  const way = wayOf(account);
  if (way === null) return notCarried(`${route.account} has no batches of the way ${settings.way ?? ""}`);
  const encoded = provider.encodeLine(
    {
      attemptId: PLACEHOLDER_ID,
      format: facts.format,
      bodyText: facts.bodyText,
      model: route.model,
      maxOutputTokensDefault: route.maxOutputTokens,
    },
    way.way,
  );
  if (encoded.kind === "not_carried") return notCarried(encoded.reasons.join("; "));
  const bytes = encoded.bytes.length - PLACEHOLDER_ID.length;
  const size = { bytes, tokens, embeddingInputs: encoded.embeddingInputs };
  const tooLarge = reasonOfSize(size, packLimits(way, settings, settings.enqueuedTokensMax));
  return tooLarge === null ? { kind: "carried", account, way, encoded, bytes } : notCarried(tooLarge);
}

function notCarried(because: string): { readonly kind: "not_carried"; readonly because: string } {
  return { kind: "not_carried", because };
}

/** The operator's way, else the one that the provider's rules prefer. */
function wayOf({ provider, settings }: LineAccount): BatchWayRules | null {
  const { ways } = provider.rules;
  return (settings.way === null ? ways[0] : ways.find(({ way }) => way === settings.way)) ?? null;
}

function choose(wish: ServiceWish, route: Route, batch: BatchOffer): ModeChoice {
  const { mode, nowMs, deadlineMs, again, facts } = wish;
  const directMaxNanoUsd = routeMaxCostNanoUsd(route, facts);
  return chooseMode({
    mode,
    account: route.account,
    model: route.model,
    nowMs,
    deadlineMs,
    directMaxNanoUsd,
    batch,
    again,
  });
}

/** Of a choice for no batch. */
function planOf(choice: ModeChoice): LinePlan {
  return choice.kind === "direct" ? { kind: "direct", decision: choice.decision } : DIRECT;
}

function refused(code: "NO_ROUTE" | "NO_ROUTE_IN_TIME", message: string): LinePlan {
  return { kind: "refused", code, message };
}

/** Only others than the first need the whole plan. */
function routeAt(plan: RoutePlan, index: number): { readonly route: Route; readonly index: number } | null {
  const { first } = plan;
  if (first === null) return null;
  const route = index === 0 ? first : plan.routes[index];
  return route === undefined ? { route: first, index: 0 } : { route, index };
}
