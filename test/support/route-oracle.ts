import type { RouteWorld, WorldCandidate } from "./route-world.js";

/**
 * Says by brute force which candidate a world's job must take, and which reasons against a candidate are true. Written from what the
 * README promises, with lists and sorting; it imports no code of the choice.
 */

export interface OracleSettings {
  readonly nowMs: number;
  readonly latencyBudgetMs: number;
  readonly trialMs: number;
  readonly bodyBytes: number;
  readonly overheadTokens: number;
  readonly outputTokensDefault: number;
  /** Cost, latency, reliability. */
  readonly weights: readonly [number, number, number];
}

export interface OracleAnswer {
  readonly kind: "route" | "wait" | "none";
  /** Places that are right to take: equal in everything but the last digits of their score. */
  readonly places: readonly number[];
  readonly runAtMs: number | null;
  readonly scores: ReadonlyMap<number, number>;
}

interface Judged {
  readonly place: number;
  readonly key: readonly number[];
  readonly score: number;
}

const CHAINS = { standard: [4, 3, 3], cost: [8, 1, 1], fast: [1, 7, 2], own: [0, 1, 3] } as const;
const TIERS = { standard: [1, 1, 1], premium: [0.5, 1.5, 2], free: [3, 0.5, 0.5] } as const;

export function weightsOf({ chain, tier }: RouteWorld): readonly [number, number, number] {
  const [cost, latency, reliability] = CHAINS[chain];
  const [ofCost, ofLatency, ofReliability] = TIERS[tier];
  return [cost * ofCost, latency * ofLatency, reliability * ofReliability];
}

/** What the job, its tenant and the rules rule out whatever the providers do. */
export function isExcluded(world: RouteWorld, place: number): boolean {
  const one = world.candidates[place]!;
  return (
    (world.allowed.length > 0 && !world.allowed.includes(place)) ||
    world.forbidden.includes(place) ||
    (world.needsVision && !one.seesPictures) ||
    (world.outputTokens ?? 0) > one.maxOutputTokens
  );
}

const inBatch = (world: RouteWorld, one: WorldCandidate): boolean => world.mode === "batch" && one.hasBatch;
const promptTokens = ({ bodyBytes, overheadTokens }: OracleSettings): number =>
  Math.ceil(bodyBytes / 3) + overheadTokens;
const outputTokens = (world: RouteWorld, settings: OracleSettings): number =>
  world.outputTokens ?? settings.outputTokensDefault;

function isTooLong(world: RouteWorld, one: WorldCandidate, settings: OracleSettings): boolean {
  return one.contextTokens !== null && promptTokens(settings) + outputTokens(world, settings) > one.contextTokens;
}

/** On trial, and the trial may last longer than the job. */
function isInHaste({ leftMs }: RouteWorld, { health }: WorldCandidate, { trialMs }: OracleSettings): boolean {
  return health.state === "half_open" && leftMs < trialMs;
}

function isTooSlow(world: RouteWorld, { statistics }: WorldCandidate): boolean {
  return world.maxLatencyMs !== null && (statistics === null || statistics.p95Ms > world.maxLatencyMs);
}

/** Whether the commitment of its account pays for the dearest outcome: a token for each byte, read or not, and the longest answer. */
export function isCommitted(world: RouteWorld, place: number, settings: OracleSettings): boolean {
  const one = world.candidates[place]!;
  if (one.committedLeft === null || one.committedLeft === 0n) return false;
  const prompt = settings.bodyBytes + settings.overheadTokens;
  const answer = outputTokens(world, settings);
  const cents = inBatch(world, one)
    ? (prompt * one.inputCents + answer * one.outputCents) / 2
    : prompt * Math.max(one.inputCents, one.cachedCents ?? 0) + answer * one.outputCents;
  // A cent for a million tokens is ten nano-dollars a token.
  return Number(one.committedLeft) >= cents * 10;
}

function expectedCost(world: RouteWorld, place: number, settings: OracleSettings): number {
  if (isCommitted(world, place, settings)) return 0;
  const one = world.candidates[place]!;
  const factor = inBatch(world, one) ? 0.5 : 1;
  const share = one.statistics?.cachedInputShare ?? 0;
  const cached = inBatch(world, one) || one.cachedCents === null ? one.inputCents * factor : one.cachedCents;
  const perPromptToken = share * cached + (1 - share) * one.inputCents * factor;
  const tries = 1 / (1 - Math.min(0.95, one.statistics?.failureRate ?? 0));
  return tries * (promptTokens(settings) * perPromptToken + outputTokens(world, settings) * one.outputCents * factor);
}

/** @param turn place of the route whose turn it is, among those that are not excluded. */
export function oracleAnswer(world: RouteWorld, turn: number, settings: OracleSettings): OracleAnswer {
  const places = world.candidates.map((_, place) => place).filter((place) => !isExcluded(world, place));
  const at = (place: number): WorldCandidate => world.candidates[place]!;
  const callable = places.filter((place) => {
    const one = at(place);
    const never = !inBatch(world, one) && one.headroom.kind === "never";
    return one.health.state !== "open" && !one.spent && !isTooSlow(world, one) && !never;
  });
  if (callable.length === 0) return withoutRoute(world, places, settings);
  const cheapest = Math.min(...callable.map((place) => expectedCost(world, place, settings)));
  const judged = callable.map((place): Judged => {
    const score = scoreOf(world, place, cheapest, settings);
    return { place, score, key: keyOf(world, place, turn, settings) };
  });
  const first = [...judged].sort((one, other) => compare(one.key, other.key))[0]!;
  const equal = judged.filter(({ key }) => compare(key, first.key) === 0);
  const best = Math.max(...equal.map(({ score }) => score));
  const right =
    world.order === "listed"
      ? [nextInList(equal, turn, world.candidates.length)]
      : equal.filter(({ score }) => best - score < 1e-9).map(({ place }) => place);
  return {
    kind: "route",
    places: right,
    runAtMs: null,
    scores: new Map(judged.map(({ place, score }) => [place, score])),
  };
}

function scoreOf(world: RouteWorld, place: number, cheapest: number, settings: OracleSettings): number {
  const one = world.candidates[place]!;
  const { statistics } = one;
  const expected = expectedCost(world, place, settings);
  const budgetMs = Math.min(world.maxLatencyMs ?? settings.latencyBudgetMs, world.leftMs);
  const aspects = [
    expected === 0 ? 1 : cheapest / expected,
    statistics === null ? 0.5 : Math.max(0, (budgetMs - statistics.p95Ms) / budgetMs),
    statistics === null ? 0.5 : 0.8 - 0.8 * statistics.failureRate + (0.2 * statistics.p50Ms) / statistics.p95Ms,
  ];
  const sum = settings.weights.reduce((total, weight) => total + weight, 0);
  const mean = aspects.reduce((total, aspect, index) => total + aspect * settings.weights[index]!, 0) / sum;
  return world.halved.includes(place) ? mean / 2 : mean;
}

/** The smaller the better, member by member. */
function keyOf(world: RouteWorld, place: number, turn: number, settings: OracleSettings): readonly number[] {
  const one = world.candidates[place]!;
  const wait = world.order === "score" && !inBatch(world, one) && one.headroom.kind === "wait" ? one.headroom : null;
  const tooLong = isTooLong(world, one, settings);
  const wasTried = world.tried.includes(place);
  const degraded = one.health.state === "degraded";
  const inHaste = isInHaste(world, one, settings);
  const isSound = !degraded && !inHaste && !tooLong && wait === null;
  const again = world.order === "score" && place === turn && wasTried && isSound;
  const flag = (is: boolean): number => (is ? 1 : 0);
  return [
    wait?.runAtMs ?? 0,
    flag(tooLong),
    flag(wasTried && place !== turn),
    flag(inHaste),
    flag(degraded),
    flag(!again),
  ];
}

function compare(one: readonly number[], other: readonly number[]): number {
  const differs = one.findIndex((value, index) => value !== other[index]);
  return differs === -1 ? 0 : one[differs]! - other[differs]!;
}

function nextInList(equal: readonly Judged[], turn: number, count: number): number {
  const distance = ({ place }: Judged): number => (place - turn + count) % count;
  return [...equal].sort((one, other) => distance(one) - distance(other))[0]!.place;
}

/** What keeps routes back passes (an open circuit, spent money), or it does not. */
function withoutRoute(world: RouteWorld, places: readonly number[], { nowMs }: OracleSettings): OracleAnswer {
  const until = places.flatMap((place) => {
    const { health, spent } = world.candidates[place]!;
    if (health.state === "open") return [(health.untilMs ?? 0) > nowMs ? health.untilMs! : nowMs + 1000];
    return spent ? [nowMs + 60_000] : [];
  });
  const runAtMs = Math.min(...until);
  const isWait = until.length > 0 && runAtMs < nowMs + world.leftMs;
  return { kind: isWait ? "wait" : "none", places: [], runAtMs: isWait ? runAtMs : null, scores: new Map() };
}

/** Whether a reason's words are true of the candidate; words that nobody knows are not. */
export function isTrue(world: RouteWorld, place: number, because: string, settings: OracleSettings): boolean {
  const one = world.candidates[place]!;
  const name = `account-${String(place)}`;
  const claims: readonly (readonly [RegExp, boolean])[] = [
    [/^its circuit is open$/, one.health.state === "open"],
    [new RegExp(`^${name} has spent its day$`), one.spent],
    [/^larger than tokens\/min allow$/, one.headroom.kind === "never" && !inBatch(world, one)],
    [/^requests\/min is used up for now$/, one.headroom.kind === "wait" && !inBatch(world, one)],
    [/^how long it takes is not known yet/, world.maxLatencyMs !== null && one.statistics === null],
    [
      new RegExp(
        `^one in twenty of its calls takes ${String(one.statistics?.p95Ms)} ms .* allows ${String(world.maxLatencyMs)}$`,
      ),
      world.maxLatencyMs !== null && (one.statistics?.p95Ms ?? 0) > world.maxLatencyMs,
    ],
    [
      new RegExp(
        `^about ${String(promptTokens(settings))} tokens of prompt and ${String(outputTokens(world, settings))} of answer, it takes ${String(one.contextTokens)}$`,
      ),
      isTooLong(world, one, settings),
    ],
    [/^it is on trial, and a trial in vain /, isInHaste(world, one, settings)],
    [/^2 failures in a row$/, one.health.state === "degraded"],
    [/^it was tried before$/, world.tried.includes(place)],
    [/^the rule not-these forbids it$/, world.forbidden.includes(place)],
    [/^its tenant may only use /, world.allowed.length > 0 && !world.allowed.includes(place)],
    [/^the request needs vision, which model-\d+ lacks$/, world.needsVision && !one.seesPictures],
    [
      new RegExp(
        `^the job asks for ${String(world.outputTokens)} output tokens, model-\\d+ gives at most ${String(one.maxOutputTokens)}$`,
      ),
      (world.outputTokens ?? 0) > one.maxOutputTokens,
    ],
  ];
  const claim = claims.find(([words]) => words.test(because));
  return claim?.[1] === true;
}
