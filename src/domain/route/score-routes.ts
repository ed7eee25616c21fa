import type { LongContextPrice, ModelPrice } from "../cost/price.js";
import type { WaitReason } from "../execution/waits.js";
import type { EpochMs } from "../ids.js";
import type { JobMode, Tier } from "../job/job.js";
import { familyOf } from "./format-family.js";
import type { RouteName } from "./next-attempt.js";
import { routeMaxCostNanoUsd } from "./plan-routes.js";
import { outputTokensBound, type RequestFacts } from "./request-facts.js";
import type { Headroom, RouteConditions, RouteStatistics } from "./route-condition.js";
import { ruleFactor, type RuleOutcome } from "./route-rules.js";
import type { RejectedRoute, Route } from "./route.js";
import type { ScoreWeights } from "./score-weights.js";

/**
 * Which of a plan's routes serves a request now, by what is known of each right now: first what speaks against a route, then how the
 * others compare. Pure for given conditions, and ties go to the one that is listed first.
 *
 * It is asked of every job, so it is one pass over the candidates and one over those that are left, in numbers only (nano-dollars as
 * floating point: they compare, nobody books them), without objects in between. Measured: a list of small objects a step costs
 * seven times as much.
 *
 * A route is rejected while its circuit is open, its account has spent enough, a limit can never hold the call, or its latency is above
 * what the job allows. Behind all others come, from the last: those that an estimate says are too short for the prompt (no proof, so
 * they are better than nothing), those that were tried before, those on trial where a trial in vain would take all the time there is,
 * and those whose last calls failed (degraded).
 *
 * A call is expected to cost nothing where the account's commitment covers it: that is paid for already.
 */

export interface RouteQuestion {
  readonly routes: readonly Route[];
  /** `listed`: the first one, from `turn` on; `score`: the best one. */
  readonly order: "listed" | "score";
  /** Place of the route whose turn it is. */
  readonly turn: number;
  readonly tried: readonly RouteName[];
  readonly facts: RequestFacts;
  /** Estimated tokens of the prompt's text; pictures are added by what they count at each provider. */
  readonly textTokens: number;
  readonly mode: JobMode;
  readonly tier: Tier;
  /** Until the deadline. */
  readonly leftMs: number;
  readonly weights: ScoreWeights;
  readonly rules: readonly RuleOutcome[] | undefined;
  /** Slowest p95 that is allowed; null: any. */
  readonly maxLatencyMs: number | null;
  /** A p95 of this or more scores 0. */
  readonly latencyBudgetMs: number;
  readonly nowMs: EpochMs;
}

/** A route that could serve, with what it scored: 0 to 1, 1 is best; the sum is weighted. */
export interface ScoredRoute {
  readonly account: string;
  readonly model: string;
  readonly score: number;
  readonly cost: number;
  readonly latency: number;
  readonly reliability: number;
  /** Expected, the retries after failures included; whole nano-dollars as text. */
  readonly expectedNanoUsd: string;
  /** Only there where the account's commitment covers the call, which costs nothing then: what is left of it, as text. */
  readonly committedLeftNanoUsd?: string;
}

export type RouteAnswer =
  /** `index`: of the chosen one in the question's routes. */
  | { readonly kind: "route"; readonly index: number }
  /** None can be called now; the first may be tried again then. */
  | { readonly kind: "wait"; readonly runAtMs: EpochMs; readonly waitsFor: WaitReason }
  | { readonly kind: "none" };

/** Whether a route would serve the request in a batch: then it is priced as a line, and no limit of calls holds it. */
export type LikelyBatch = (route: Route, mode: JobMode, leftMs: number) => boolean;

/** Tokens that a route's model is expected to count for the prompt of a request. */
export type CountPrompt = (facts: RequestFacts, route: Route) => number;

/** A share of failures beyond this is counted as this: nothing is charged for more than twenty tries. */
const FAILURE_RATE_MAX = 0.95;
/** Of a route that nothing is known of. */
const NEUTRAL = 0.5;
/** A steady latency is worth a fifth of reliability: timeouts are set by the slowest. */
const STEADINESS_SHARE = 0.2;
/** A trial is anybody's when so much of its time is left at most. */
const TRIAL_LEFT_SHARE = 0.9;
/** When it is looked at again whether an account may spend: the next window, or a raised limit. */
const SPENT_LOOK_MS = 60_000;
/** Of a condition that should be over by now. */
const STALE_LOOK_MS = 1_000;

/** Candidates are grouped: a higher group is only taken when no lower one is left, and within one the order or the score decides. */
const DEGRADED = 1;
/** On trial, for a job that has no time for one in vain. */
const IN_HASTE = 2;
const TRIED = 4;
const TOO_LONG = 8;
const WAITS = 16;
const REJECTED = 100;
/** The same route again, as the failure's class asks for. */
const AGAIN = -1;

/** Reads the conditions of each candidate, and remembers the last question's numbers until the next. Not for two questions at once. */
export class RouteScorer {
  readonly #conditions: RouteConditions;
  readonly #likelyBatch: LikelyBatch;
  readonly #trialMs: (account: string) => number;
  readonly #countPrompt: CountPrompt | null;
  #routes: readonly Route[] = [];
  #groups = new Int32Array(0);
  #expected = new Float64Array(0);
  #costs = new Float64Array(0);
  #latencies = new Float64Array(0);
  #reliabilities = new Float64Array(0);
  #scores = new Float64Array(0);
  #runAtMs = new Float64Array(0);
  /** Empty: nothing speaks against it. */
  #reasons: string[] = [];
  /** By place, of those that a commitment covers: what is left of it. */
  readonly #committed = new Map<number, bigint>();
  /** Of the routes whose condition passes, the first to be tried again. */
  #waitUntilMs = Number.POSITIVE_INFINITY;
  #waitsFor: WaitReason = "breaker";

  /**
   * @param trialMs how long a trial of an account that was not well may take.
   * @param countPrompt null: prompts are held against windows by their bytes.
   */
  constructor(
    conditions: RouteConditions,
    likelyBatch: LikelyBatch,
    trialMs: (account: string) => number = () => 0,
    countPrompt: CountPrompt | null = null,
  ) {
    this.#countPrompt = countPrompt;
    this.#conditions = conditions;
    this.#likelyBatch = likelyBatch;
    this.#trialMs = trialMs;
  }

  choose(question: RouteQuestion): RouteAnswer {
    const { routes, order } = question;
    this.#begin(routes);
    for (let place = 0; place < routes.length; place += 1) {
      const route = routes[place];
      if (route !== undefined) this.#judge(question, route, place);
    }
    if (order === "score") this.#score(question);
    const index = order === "score" ? this.#best() : this.#next(question.turn);
    if (index >= 0) return { kind: "route", index };
    return this.#waitUntilMs === Number.POSITIVE_INFINITY
      ? { kind: "none" }
      : { kind: "wait", runAtMs: this.#waitUntilMs, waitsFor: this.#waitsFor };
  }

  /** Of the last question: why routes were passed over for the chosen one, in the order of the list; -1: none was chosen. */
  rejected(chosen: number): RejectedRoute[] {
    const limit = chosen < 0 ? REJECTED - 1 : at(this.#groups, chosen);
    const found: RejectedRoute[] = [];
    for (let place = 0; place < this.#routes.length; place += 1) {
      const route = this.#routes[place];
      const because = this.#reasons[place];
      if (route === undefined || because === undefined || because === "" || at(this.#groups, place) <= limit) continue;
      found.push({ account: route.account, model: route.model, because });
    }
    return found;
  }

  /** Of the last question, which was for scores: the others and the chosen one, in the order of the list. */
  scored(chosen: number): ScoredRoute[] {
    const limit = Math.max(0, at(this.#groups, chosen));
    const found: ScoredRoute[] = [];
    for (let place = 0; place < this.#routes.length; place += 1) {
      const route = this.#routes[place];
      if (route === undefined || at(this.#groups, place) > limit) continue;
      found.push({
        account: route.account,
        model: route.model,
        score: rounded(at(this.#scores, place)),
        cost: rounded(at(this.#costs, place)),
        latency: rounded(at(this.#latencies, place)),
        reliability: rounded(at(this.#reliabilities, place)),
        expectedNanoUsd: String(Math.round(at(this.#expected, place))),
        ...this.#committedAt(place),
      });
    }
    return found;
  }

  #committedAt(place: number): Pick<ScoredRoute, "committedLeftNanoUsd"> | null {
    const left = this.#committed.get(place);
    return left === undefined ? null : { committedLeftNanoUsd: left.toString() };
  }

  /** Of the last question: the place that the chosen one has among the scored. */
  rank(chosen: number): number {
    const limit = Math.max(0, at(this.#groups, chosen));
    let before = 0;
    for (let place = 0; place < chosen; place += 1) if (at(this.#groups, place) <= limit) before += 1;
    return before;
  }

  #begin(routes: readonly Route[]): void {
    this.#routes = routes;
    this.#waitUntilMs = Number.POSITIVE_INFINITY;
    if (this.#committed.size > 0) this.#committed.clear();
    const { length } = routes;
    if (length <= this.#groups.length) return;
    this.#groups = new Int32Array(length);
    this.#expected = new Float64Array(length);
    this.#costs = new Float64Array(length);
    this.#latencies = new Float64Array(length);
    this.#reliabilities = new Float64Array(length);
    this.#scores = new Float64Array(length);
    this.#runAtMs = new Float64Array(length);
    this.#reasons = new Array<string>(length).fill("");
  }

  /** What speaks against a route, and its numbers where they are wanted. */
  #judge(question: RouteQuestion, route: Route, place: number): void {
    const { order, nowMs, maxLatencyMs } = question;
    const { account, model } = route;
    const health = this.#conditions.health(account, model, nowMs);
    if (health.state === "open") {
      this.#passes(health.untilMs ?? nowMs + STALE_LOOK_MS, "breaker", nowMs);
      this.#reject(place, health.because ?? "its circuit is open");
      return;
    }
    const spent = this.#conditions.spent(account, nowMs);
    if (spent !== null) {
      this.#passes(nowMs + SPENT_LOOK_MS, "budget", nowMs);
      this.#reject(place, spent);
      return;
    }
    const statistics =
      order === "score" || maxLatencyMs !== null ? this.#conditions.statistics(account, model, nowMs) : null;
    if (maxLatencyMs !== null && (statistics === null || statistics.p95Ms > maxLatencyMs)) {
      this.#reject(place, reasonOfLatency(statistics, maxLatencyMs));
      return;
    }
    const promptTokens = promptTokensAt(route, question);
    const outputTokens = outputTokensBound(question.facts, route.maxOutputTokens);
    let group = 0;
    let because = "";
    if (health.state === "degraded") {
      group = DEGRADED;
      because = health.because ?? "its last calls failed";
    } else if (health.state === "half_open" && this.#hasNoTime(question, account, health.untilMs)) {
      group = IN_HASTE;
      because = "it is on trial, and a trial in vain would take the time that is left";
    }
    if (wasTried(question.tried, account, model)) {
      if (place !== question.turn) {
        group += TRIED;
        because = "it was tried before";
      } else if (order === "score" && group === 0) group = AGAIN;
    }
    const counted = this.#countNear(route, question.facts, promptTokens, outputTokens);
    if (isTooLong(route, question.facts, counted + outputTokens)) {
      group = (group === AGAIN ? 0 : group) + TOO_LONG;
      because = `about ${String(counted)} tokens of prompt and ${String(outputTokens)} of answer, it takes ${String(route.contextTokens)}`;
    }
    const inBatch = this.#likelyBatch(route, question.mode, question.leftMs);
    if (!inBatch) {
      const headroom = this.#headroom(question, route, promptTokens, outputTokens);
      if (headroom.kind === "never") {
        this.#reject(place, headroom.because);
        return;
      }
      if (headroom.kind === "wait" && order === "score") {
        group = (group === AGAIN ? 0 : group) + WAITS;
        because = `${headroom.limit} is used up for now`;
        this.#runAtMs[place] = headroom.runAtMs;
      }
    }
    this.#groups[place] = group;
    this.#reasons[place] = because;
    if (order === "listed") return;
    const failureRate = statistics === null ? 0 : Math.min(statistics.failureRate, FAILURE_RATE_MAX);
    this.#expected[place] = this.#isCommitted(question, route, place, inBatch)
      ? 0
      : tokensNanoUsd(route, inBatch, statistics, promptTokens, outputTokens) / (1 - failureRate);
    this.#latencies[place] =
      statistics === null ? NEUTRAL : Math.max(0, 1 - statistics.p95Ms / question.latencyBudgetMs);
    this.#reliabilities[place] = statistics === null ? NEUTRAL : reliabilityOf(statistics);
  }

  /** @param untilMs when the trial is over; one that nobody with the time for it has taken up for a while is anybody's. */
  #hasNoTime({ leftMs, nowMs }: RouteQuestion, account: string, untilMs: EpochMs | null): boolean {
    const neededMs = this.#trialMs(account);
    return leftMs < neededMs && (untilMs === null || untilMs - nowMs >= neededMs * TRIAL_LEFT_SHARE);
  }

  /** Only where the window is near: a prompt of half as many tokens again as its bytes let expect is none in use. */
  #countNear(route: Route, facts: RequestFacts, byBytes: number, outputTokens: number): number {
    const { contextTokens, unseen } = route;
    if (this.#countPrompt === null || contextTokens === null || byBytes * 1.5 + outputTokens <= contextTokens)
      return byBytes;
    return this.#countPrompt(facts, route) + unseen.overheadTokens;
  }

  /** Whether what is left of the account's commitment covers the call, though it cost the most that it may. */
  #isCommitted({ facts, nowMs }: RouteQuestion, route: Route, place: number, inBatch: boolean): boolean {
    const left = this.#conditions.committedLeft(route.account, nowMs);
    if (left === null || left === 0n) return false;
    const price = inBatch ? (route.batchPrice ?? route.price) : route.price;
    if (left < routeMaxCostNanoUsd(route, facts, price)) return false;
    this.#committed.set(place, left);
    return true;
  }

  /** By bytes, which is mostly too much: who would be ruled out by that is counted. */
  #headroom({ facts, tier, nowMs }: RouteQuestion, route: Route, byBytes: number, outputTokens: number): Headroom {
    const endpoint = familyOf(facts.format);
    const headroom = this.#conditions.headroom(route, byBytes + outputTokens, nowMs, endpoint, tier);
    if (headroom.kind !== "never" || this.#countPrompt === null) return headroom;
    return this.#conditions.headroom(route, this.#countPrompt(facts, route) + outputTokens, nowMs, endpoint, tier);
  }

  #reject(place: number, because: string): void {
    this.#groups[place] = REJECTED;
    this.#reasons[place] = because;
  }

  #passes(untilMs: EpochMs, waitsFor: WaitReason, nowMs: EpochMs): void {
    const runAtMs = untilMs > nowMs ? untilMs : nowMs + STALE_LOOK_MS;
    if (runAtMs >= this.#waitUntilMs) return;
    this.#waitUntilMs = runAtMs;
    this.#waitsFor = waitsFor;
  }

  /** The cheapest of those that are left has cost 1, one that is twice as dear 0.5; what costs nothing beats all that does. */
  #score({ weights, rules }: RouteQuestion): void {
    const { length } = this.#routes;
    let cheapest = Number.POSITIVE_INFINITY;
    for (let place = 0; place < length; place += 1) {
      if (at(this.#groups, place) < REJECTED) cheapest = Math.min(cheapest, at(this.#expected, place));
    }
    const sum = weights.cost + weights.latency + weights.reliability;
    for (let place = 0; place < length; place += 1) {
      if (at(this.#groups, place) >= REJECTED) continue;
      const expected = at(this.#expected, place);
      const cost = expected <= cheapest ? 1 : cheapest / expected;
      this.#costs[place] = cost;
      const score =
        (weights.cost * cost +
          weights.latency * at(this.#latencies, place) +
          weights.reliability * at(this.#reliabilities, place)) /
        sum;
      const route = this.#routes[place];
      this.#scores[place] =
        rules === undefined || route === undefined ? score : score * ruleFactor(rules, route.account, route.model);
    }
  }

  /** Of the best group the one with the best score, the first of equals; of those that all have to wait the one that waits least. */
  #best(): number {
    let best = -1;
    for (let place = 0; place < this.#routes.length; place += 1) {
      const group = at(this.#groups, place);
      if (group >= REJECTED) continue;
      if (best === -1 || this.#isBetter(place, best, group, at(this.#groups, best))) best = place;
    }
    return best;
  }

  #isBetter(place: number, best: number, group: number, bestGroup: number): boolean {
    const waits = group >= WAITS;
    if (waits && bestGroup >= WAITS) {
      const [runAtMs, bestAtMs] = [at(this.#runAtMs, place), at(this.#runAtMs, best)];
      if (runAtMs !== bestAtMs) return runAtMs < bestAtMs;
    }
    return group !== bestGroup ? group < bestGroup : at(this.#scores, place) > at(this.#scores, best);
  }

  /** Of the best group the next in the list, from the one whose turn it is. */
  #next(turn: number): number {
    const { length } = this.#routes;
    let best = -1;
    for (let step = 0; step < length; step += 1) {
      const place = (turn + step) % length;
      const group = at(this.#groups, place);
      if (group < REJECTED && (best === -1 || group < at(this.#groups, best))) best = place;
    }
    return best;
  }
}

/** What follows from a route alone: prices a token, in nano-dollars. */
interface Rates {
  readonly direct: TokenRates;
  /** Null: no price of a line is known. */
  readonly batch: TokenRates | null;
}

interface TokenRates {
  readonly input: number;
  readonly output: number;
  /** Null: cached tokens cost what others do. */
  readonly cachedInput: number | null;
  /** Prompts of more tokens than this have the rates of `long`. */
  readonly longAboveTokens: number;
  readonly long: Omit<TokenRates, "longAboveTokens" | "long"> | null;
}

/** Routes live as long as the plans of the config, so their rates are worked out once. */
const RATES = new WeakMap<Route, Rates>();

function ratesOf(route: Route): Rates {
  let rates = RATES.get(route);
  if (rates === undefined) {
    rates = { direct: perToken(route.price), batch: route.batchPrice === null ? null : perToken(route.batchPrice) };
    RATES.set(route, rates);
  }
  return rates;
}

function perToken({ longContext, ...price }: ModelPrice): TokenRates {
  const of = (one: Omit<LongContextPrice, "aboveTokens">): Omit<TokenRates, "longAboveTokens" | "long"> => ({
    input: Number(one.inputNanoPerMillion) / 1e6,
    output: Number(one.outputNanoPerMillion) / 1e6,
    cachedInput: one.cachedInputNanoPerMillion === null ? null : Number(one.cachedInputNanoPerMillion) / 1e6,
  });
  const long = longContext === null ? null : of(longContext);
  return { ...of(price), longAboveTokens: longContext?.aboveTokens ?? Number.POSITIVE_INFINITY, long };
}

/** Of one try: the prompt, of which as much is read from the cache as of late, and the longest answer. */
function tokensNanoUsd(
  route: Route,
  inBatch: boolean,
  statistics: RouteStatistics | null,
  promptTokens: number,
  outputTokens: number,
): number {
  const all = ratesOf(route);
  const rates = inBatch ? (all.batch ?? all.direct) : all.direct;
  const { input, output, cachedInput } = promptTokens > rates.longAboveTokens ? (rates.long ?? rates) : rates;
  const share = statistics?.cachedInputShare ?? 0;
  const inputRate = cachedInput === null || share === 0 ? input : share * cachedInput + (1 - share) * input;
  return promptTokens * inputRate + outputTokens * output;
}

/** Mostly how many calls succeed; the rest is how close the slow ones are to the usual. */
function reliabilityOf({ failureRate, p50Ms, p95Ms }: RouteStatistics): number {
  const steadiness = p95Ms > 0 ? Math.min(1, p50Ms / p95Ms) : 1;
  return (1 - STEADINESS_SHARE) * (1 - failureRate) + STEADINESS_SHARE * steadiness;
}

function reasonOfLatency(statistics: RouteStatistics | null, maxLatencyMs: number): string {
  return statistics === null
    ? `how long it takes is not known yet, the job allows ${String(maxLatencyMs)} ms`
    : `one in twenty of its calls takes ${String(Math.round(statistics.p95Ms))} ms or more, the job allows ${String(maxLatencyMs)}`;
}

function promptTokensAt(route: Route, { textTokens, facts }: RouteQuestion): number {
  const { overheadTokens, imageTokensMax } = route.unseen;
  return textTokens + overheadTokens + (facts.images === 0 ? 0 : facts.images * imageTokensMax);
}

/** A window is one input's, and a request for embeddings may hold thousands; sound and files are not understood. */
function isTooLong({ contextTokens }: Route, facts: RequestFacts, tokens: number): boolean {
  if (contextTokens === null || tokens <= contextTokens) return false;
  return familyOf(facts.format) === "chat" && (!facts.holdsMedia || facts.images > 0);
}

function wasTried(tried: readonly RouteName[], account: string, model: string): boolean {
  for (const one of tried) if (one.account === account && one.model === model) return true;
  return false;
}

/** Places are within the arrays: they grow with the routes. */
function at(numbers: Int32Array | Float64Array, place: number): number {
  return numbers[place] ?? 0;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
