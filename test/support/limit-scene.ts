import type { AccountLimits, StatedLimits } from "../../src/domain/limit/limits.js";
import { counts, type SeenKind, type SeenLimit } from "./limit-oracle.js";
import { SeededRandom } from "./simulation/seeded-random.js";

/**
 * Random limits, demand and trouble for the limit world:
 * - `steady`: nothing happens but calls; at the end double demand for everything
 * - `large`: the same, and some calls are worth many seconds of their limit, or more than it ever allows
 * - `trouble`: Redis is flushed, lost, lost with all it knew, or set back
 * - `alone`: there is no Redis
 * - `refused`: for half a second the provider refuses all calls
 * - `learned`: the provider says that less is allowed than the config states
 */
export type SceneKind = "steady" | "large" | "trouble" | "alone" | "refused" | "learned";

export const ACCOUNT = "acme";
/** When the last call comes in. */
export const PHASES_MS = 140_000;
/** At the end demand is double for so long, in worlds that are judged by what they use. */
const DOUBLE_MS = 75_000;
const KINDS: readonly SceneKind[] = [
  "steady",
  "trouble",
  "large",
  "trouble",
  "alone",
  "steady",
  "trouble",
  "refused",
  "trouble",
  "learned",
];
const NONE: StatedLimits = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };

const CHAT_ONLY: readonly SeenKind["endpoint"][] = ["chat"];
const EITHER_ENDPOINT: readonly SeenKind["endpoint"][] = ["chat", "embeddings"];
const STANDARD_ONLY: readonly SeenKind["tier"][] = ["standard"];
const EITHER_TIER: readonly SeenKind["tier"][] = ["standard", "free"];

export interface Phase {
  readonly fromMs: number;
  readonly toMs: number;
  readonly of: SeenKind;
  readonly perSecond: number;
  /** Least and most of a call. */
  readonly tokens: readonly [number, number];
  /** To which calls come. */
  readonly routers: readonly number[];
}

export type Trouble = "flush" | "lost" | "back" | "clock set back" | "provider says less";

export interface Scene {
  readonly kind: SceneKind;
  readonly routers: number;
  readonly shared: boolean;
  readonly accounts: AccountLimits;
  /** Which calls there are. */
  readonly kinds: readonly SeenKind[];
  /** Those by the minute, as the oracle knows them. */
  readonly limits: readonly SeenLimit[];
  /** Of the limits, what the routers may use. */
  readonly share: number;
  readonly phases: readonly Phase[];
  readonly trouble: readonly { readonly atMs: number; readonly what: Trouble }[];
  readonly refusing: readonly [number, number] | null;
  /** What the provider says is allowed. */
  readonly learned: number;
  /** How far off each router's clocks are. */
  readonly clocks: readonly { readonly wallMs: number; readonly monotonicMs: number }[];
  readonly serverClockMs: number;
}

export function randomScene(seed: number): Scene {
  const random = new SeededRandom(seed);
  const kind = KINDS[seed % KINDS.length] ?? "steady";
  const models = isPlain(kind) || random.chance(0.5) ? ["m"] : ["m", "big"];
  const endpoints = isPlain(kind) || random.chance(0.7) ? CHAT_ONLY : EITHER_ENDPOINT;
  const tiers = random.chance(0.7) ? STANDARD_ONLY : EITHER_TIER;
  const routers = random.between(1, 3);
  const tokens: readonly [number, number] = [random.between(20, 60), random.between(60, 400)];
  const accounts = isPlain(kind)
    ? plainLimits(random.between(400, 900), tiers)
    : randomLimits(random, { models, endpoints, tiers }, tokens);
  const limits = seenLimits(accounts);
  const kinds = kindsOf({ models, endpoints, tiers });
  const common = { kind, routers, kinds, accounts, limits };
  const phases = randomPhases(random, common, tokens);
  return {
    ...common,
    phases,
    shared: kind !== "alone",
    share: 1,
    trouble: randomTrouble(random, kind),
    refusing: kind === "refused" ? [40_000, 40_500] : null,
    learned: Math.floor((accounts.requestsPerMinute ?? 100) / 2),
    clocks: Array.from({ length: routers }, () => ({
      wallMs: random.between(-3_600_000, 3_600_000),
      monotonicMs: random.between(0, 1_000_000_000),
    })),
    serverClockMs: random.between(1_000_000_000, 2_000_000_000),
  };
}

/** One limit, double demand, and one thing that happens. */
function isPlain(kind: SceneKind): boolean {
  return kind === "refused" || kind === "learned";
}

/** That of a tier never holds a call, but parts the calls of the account. */
function plainLimits(requestsPerMinute: number, [, tier]: readonly SeenKind["tier"][]): AccountLimits {
  const apart = { ...NONE, requestsPerMinute: 10 * requestsPerMinute };
  return { ...NONE, requestsPerMinute, models: {}, ...(tier === undefined ? {} : { tiers: { [tier]: apart } }) };
}

interface Kinds {
  readonly models: readonly string[];
  readonly endpoints: readonly SeenKind["endpoint"][];
  readonly tiers: readonly SeenKind["tier"][];
}

/** Calls with no limits but the account's, with one more each, and with all of them. */
function kindsOf({ models, endpoints, tiers }: Kinds): readonly SeenKind[] {
  const [model = "m", otherModel = model] = models;
  const [endpoint = "chat", otherEndpoint = endpoint] = endpoints;
  const [tier = "standard", otherTier = tier] = tiers;
  const all = [
    { model, endpoint, tier },
    { model: otherModel, endpoint, tier },
    { model, endpoint: otherEndpoint, tier },
    { model, endpoint, tier: otherTier },
    { model: otherModel, endpoint: otherEndpoint, tier: otherTier },
  ];
  return [...new Map(all.map((kind) => [Object.values(kind).join(" "), kind])).values()];
}

/** A minute's tokens are worth some hundred calls: less would be granted by the call. The first of each kind has no limits of its own. */
function randomLimits(
  random: SeededRandom,
  { models, endpoints, tiers }: Kinds,
  tokens: readonly [number, number],
): AccountLimits {
  const mean = (tokens[0] + tokens[1]) / 2;
  const stated = (): StatedLimits => {
    const requests = random.between(200, 800);
    const kind = random.pick(["requests", "tokens", "both"]);
    const perCall = mean * (0.6 + random.next());
    return {
      ...NONE,
      requestsPerMinute: kind === "tokens" ? null : requests,
      tokensPerMinute: kind === "requests" ? null : Math.ceil(requests * perCall),
    };
  };
  const ofOther = ([, other]: readonly string[]) => (other === undefined ? {} : { [other]: stated() });
  return { ...stated(), models: ofOther(models), endpoints: ofOther(endpoints), tiers: ofOther(tiers) };
}

function seenLimits({ models, endpoints, tiers, ...account }: AccountLimits): readonly SeenLimit[] {
  const of = (stated: StatedLimits, whose: Partial<SeenLimit>): readonly SeenLimit[] => {
    const all = { model: null, endpoint: null, tier: null, ...whose };
    const name = [ACCOUNT, ...Object.values(whose)].join(" ");
    const { requestsPerMinute: requests, tokensPerMinute: tokens } = stated;
    return [
      ...(requests === null ? [] : [{ ...all, name: `${name} requests`, unit: "requests" as const, limit: requests }]),
      ...(tokens === null ? [] : [{ ...all, name: `${name} tokens`, unit: "tokens" as const, limit: tokens }]),
    ];
  };
  return [
    ...of(account, {}),
    ...Object.entries(models).flatMap(([model, stated]) => of(stated, { model })),
    ...(endpoints?.embeddings === undefined ? [] : of(endpoints.embeddings, { endpoint: "embeddings" })),
    ...(tiers?.free === undefined ? [] : of(tiers.free, { tier: "free" })),
  ];
}

/** Calls a second that use all of some limit of theirs, if they were alone. */
function rateOf(limits: readonly SeenLimit[], of: SeenKind, meanTokens: number): number {
  const rates = limits
    .filter((limit) => counts(limit, of))
    .map(({ unit, limit }) => limit / 60 / (unit === "requests" ? 1 : meanTokens));
  return Math.min(...rates);
}

function randomPhases(
  random: SeededRandom,
  { kind, kinds, limits, routers }: Pick<Scene, "kind" | "kinds" | "limits" | "routers">,
  tokens: readonly [number, number],
): readonly Phase[] {
  const mean = (tokens[0] + tokens[1]) / 2;
  const isJudged = kind === "steady";
  const all = Array.from({ length: routers }, (_, no) => no);
  const some = (): readonly number[] => {
    const chosen = all.filter(() => random.chance(0.6));
    return chosen.length === 0 ? all : chosen;
  };
  const doubleFromMs = isJudged ? PHASES_MS - DOUBLE_MS : PHASES_MS;
  const phases: Phase[] = [];
  for (const of of kinds) {
    const rate = rateOf(limits, of, mean);
    let fromMs = 0;
    while (fromMs < doubleFromMs) {
      const toMs = Math.min(doubleFromMs, fromMs + random.between(3000, 25_000));
      // Queues are of the time that they began in: the quiet comes long enough before the double demand.
      const isLast = isJudged && toMs > doubleFromMs - 25_000;
      const factor = isLast ? 0 : isPlain(kind) ? 2 : random.pick([0, 0, 0.3, 1, 2, 2]);
      phases.push({ fromMs, toMs, of, perSecond: rate * factor, tokens, routers: isPlain(kind) ? all : some() });
      fromMs = toMs;
    }
    if (isJudged) phases.push({ fromMs, toMs: PHASES_MS, of, perSecond: 2 * rate, tokens, routers: all });
    if (kind === "large") phases.push(...largeCalls(random, limits, of, all));
  }
  return phases;
}

/** Some calls that are worth up to half a minute, and a few that are worth more than a minute. */
function largeCalls(
  random: SeededRandom,
  limits: readonly SeenLimit[],
  of: SeenKind,
  routers: readonly number[],
): readonly Phase[] {
  const own = limits.filter((limit) => limit.unit === "tokens" && counts(limit, of));
  const least = Math.min(...own.map(({ limit }) => limit));
  if (least === Infinity) return [];
  const all = { fromMs: 0, toMs: PHASES_MS, of, routers };
  return [
    { ...all, perSecond: 1 / random.between(8, 30), tokens: [Math.ceil(least / 30), Math.ceil(least / 2)] },
    { ...all, perSecond: 1 / 40, tokens: [least + 1, 2 * least] },
  ];
}

function randomTrouble(random: SeededRandom, kind: SceneKind): Scene["trouble"] {
  if (kind === "learned") return [{ atMs: random.between(30_000, 70_000), what: "provider says less" }];
  if (kind !== "trouble") return [];
  const trouble: { atMs: number; what: Trouble }[] = [];
  for (let atMs = random.between(2000, 60_000); atMs < PHASES_MS; atMs += random.between(2000, 60_000)) {
    const what = random.pick<Trouble>(["flush", "lost", "lost", "clock set back"]);
    trouble.push({ atMs, what });
    if (what !== "lost") continue;
    const backMs = atMs + random.between(200, random.pick([1500, 40_000]));
    if (random.chance(0.5)) trouble.push({ atMs: backMs - 1, what: "flush" });
    trouble.push({ atMs: backMs, what: "back" });
    atMs = backMs;
  }
  return trouble;
}
