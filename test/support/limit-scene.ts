import type { AccountLimits, StatedLimits } from "../../src/domain/limit/limits.js";
import type { SeenLimit } from "./limit-oracle.js";
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

export interface Phase {
  readonly fromMs: number;
  readonly toMs: number;
  readonly model: string;
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
  readonly models: readonly string[];
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
  const routers = random.between(1, 3);
  const tokens: readonly [number, number] = [random.between(20, 60), random.between(60, 400)];
  const accounts = isPlain(kind)
    ? { ...NONE, requestsPerMinute: random.between(400, 900), models: {} }
    : randomLimits(random, models, tokens);
  const limits = seenLimits(accounts);
  const common = { kind, routers, models, accounts, limits };
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

/** A minute's tokens are worth some hundred calls: less would be granted by the call. */
function randomLimits(
  random: SeededRandom,
  models: readonly string[],
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
  const [, other] = models;
  return { ...stated(), models: other === undefined ? {} : { [other]: stated() } };
}

function seenLimits({ models, ...account }: AccountLimits): readonly SeenLimit[] {
  const of = (name: string, model: string | null, stated: StatedLimits): readonly SeenLimit[] => [
    ...(stated.requestsPerMinute === null
      ? []
      : [{ name: `${name} requests`, model, unit: "requests" as const, limit: stated.requestsPerMinute }]),
    ...(stated.tokensPerMinute === null
      ? []
      : [{ name: `${name} tokens`, model, unit: "tokens" as const, limit: stated.tokensPerMinute }]),
  ];
  return [
    ...of(ACCOUNT, null, account),
    ...Object.entries(models).flatMap(([model, stated]) => of(`${ACCOUNT}/${model}`, model, stated)),
  ];
}

/** Calls a second that use all of some limit of the model, if they were alone. */
function rateOf(limits: readonly SeenLimit[], model: string, meanTokens: number): number {
  const rates = limits
    .filter((limit) => limit.model === null || limit.model === model)
    .map(({ unit, limit }) => limit / 60 / (unit === "requests" ? 1 : meanTokens));
  return Math.min(...rates);
}

function randomPhases(
  random: SeededRandom,
  { kind, models, limits, routers }: Pick<Scene, "kind" | "models" | "limits" | "routers">,
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
  for (const model of models) {
    const rate = rateOf(limits, model, mean);
    let fromMs = 0;
    while (fromMs < doubleFromMs) {
      const toMs = Math.min(doubleFromMs, fromMs + random.between(3000, 25_000));
      // Queues are of the time that they began in: the quiet comes long enough before the double demand.
      const isLast = isJudged && toMs > doubleFromMs - 25_000;
      const factor = isLast ? 0 : isPlain(kind) ? 2 : random.pick([0, 0, 0.3, 1, 2, 2]);
      phases.push({ fromMs, toMs, model, perSecond: rate * factor, tokens, routers: isPlain(kind) ? all : some() });
      fromMs = toMs;
    }
    if (isJudged) phases.push({ fromMs, toMs: PHASES_MS, model, perSecond: 2 * rate, tokens, routers: all });
    if (kind === "large") phases.push(...largeCalls(random, limits, model, all));
  }
  return phases;
}

/** Some calls that are worth up to half a minute, and a few that are worth more than a minute. */
function largeCalls(
  random: SeededRandom,
  limits: readonly SeenLimit[],
  model: string,
  routers: readonly number[],
): readonly Phase[] {
  const own = limits.filter((limit) => limit.unit === "tokens" && (limit.model === null || limit.model === model));
  const least = Math.min(...own.map(({ limit }) => limit));
  if (least === Infinity) return [];
  const all = { fromMs: 0, toMs: PHASES_MS, model, routers };
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
