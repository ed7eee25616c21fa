import fc from "fast-check";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { JobMode, RoutePolicy } from "../../src/domain/job/job.js";
import type { Catalog } from "../../src/domain/route/catalog.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import type {
  Headroom,
  RouteConditions,
  RouteHealth,
  RouteStatistics,
} from "../../src/domain/route/route-condition.js";
import type { RouteWish } from "../../src/pipeline/dispatch/route-chooser.js";

/** A catalog, a job and what is known of each provider: all that a choice between routes goes by, as plain data. */
export interface RouteWorld {
  readonly candidates: readonly WorldCandidate[];
  readonly order: "listed" | "score";
  readonly chain: "standard" | "cost" | "fast" | "own";
  readonly tier: "free" | "standard" | "premium";
  readonly mode: JobMode;
  readonly promptChars: number;
  readonly outputTokens: number | null;
  readonly needsVision: boolean;
  readonly maxLatencyMs: number | null;
  readonly leftMs: number;
  /** By place in the list; empty: all. */
  readonly allowed: readonly number[];
  readonly forbidden: readonly number[];
  readonly halved: readonly number[];
  /** Place of each earlier try, and of the route whose turn it is. */
  readonly tried: readonly number[];
  readonly turn: number;
}

/** One account and model of its own each. */
export interface WorldCandidate {
  /** US cents per million tokens. */
  readonly inputCents: number;
  readonly outputCents: number;
  readonly cachedCents: number | null;
  readonly hasBatch: boolean;
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number;
  readonly seesPictures: boolean;
  readonly health: RouteHealth;
  readonly statistics: RouteStatistics | null;
  readonly headroom: Headroom;
  readonly spent: boolean;
  /** Nano-dollars of its account's commitment; null: none. */
  readonly committedLeft: bigint | null;
}

export const NOW_MS = 1_796_126_400_000;
export const OUTPUT_TOKENS_DEFAULT = 400;
export const LATENCY_BUDGET_MS = 30_000;
export const OWN_CHAIN = { cost: 0, latency: 1, reliability: 3 };

const cents = (max: number) =>
  fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 9, arbitrary: fc.integer({ min: 1, max }) });

const health: fc.Arbitrary<RouteHealth> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<RouteHealth>({ state: "closed", untilMs: null, because: null }) },
  { weight: 1, arbitrary: fc.constant<RouteHealth>({ state: "half_open", untilMs: null, because: "on trial" }) },
  {
    weight: 1,
    arbitrary: fc.constant<RouteHealth>({ state: "degraded", untilMs: null, because: "2 failures in a row" }),
  },
  {
    weight: 2,
    arbitrary: fc
      .integer({ min: -5_000, max: 600_000 })
      .map((inMs): RouteHealth => ({ state: "open", untilMs: NOW_MS + inMs, because: "its circuit is open" })),
  },
);

const statistics: fc.Arbitrary<RouteStatistics | null> = fc.option(
  fc
    .record({
      failureRate: fc.constantFrom(0, 0.01, 0.1, 0.3, 0.6, 1),
      p95Ms: fc.integer({ min: 1, max: 60_000 }),
      steadiness: fc.constantFrom(0.1, 0.5, 1),
      cachedInputShare: fc.constantFrom(0, 0.5, 1),
    })
    .map(({ failureRate, p95Ms, steadiness, cachedInputShare }) => ({
      ...{ failureRate, p95Ms, cachedInputShare },
      p50Ms: p95Ms * steadiness,
      calls: 100,
    })),
  { freq: 3 },
);

const headroom: fc.Arbitrary<Headroom> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Headroom>({ kind: "go" }) },
  { weight: 1, arbitrary: fc.constant<Headroom>({ kind: "never", because: "larger than tokens/min allow" }) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 1, max: 3 }).map((seconds): Headroom => ({
      kind: "wait",
      runAtMs: NOW_MS + seconds * 1000,
      waitsFor: "concurrency",
      limit: "requests/min",
    })),
  },
);

const candidate: fc.Arbitrary<WorldCandidate> = fc.record({
  inputCents: cents(500),
  outputCents: cents(2_000),
  cachedCents: fc.option(cents(100)),
  hasBatch: fc.boolean(),
  contextTokens: fc.constantFrom(null, 600, 2_000, 128_000),
  maxOutputTokens: fc.constantFrom(500, 4_096),
  seesPictures: fc.boolean(),
  health,
  statistics,
  headroom,
  spent: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
  committedLeft: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    // From nothing to more than any call of these worlds may cost.
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 60 }).map((millions) => BigInt(millions) * 1_000_000n) },
  ),
});

export const routeWorlds: fc.Arbitrary<RouteWorld> = fc.integer({ min: 1, max: 12 }).chain((count) => {
  const place = fc.integer({ min: 0, max: count - 1 });
  const few = fc.uniqueArray(place, { maxLength: Math.ceil(count / 3) });
  return fc.record({
    candidates: fc.array(candidate, { minLength: count, maxLength: count }),
    order: fc.constantFrom("listed" as const, "score" as const, "score" as const),
    chain: fc.constantFrom("standard" as const, "cost" as const, "fast" as const, "own" as const),
    tier: fc.constantFrom("free" as const, "standard" as const, "premium" as const),
    mode: fc.constantFrom("direct" as const, "direct" as const, "batch" as const),
    promptChars: fc.integer({ min: 1, max: 6_000 }),
    outputTokens: fc.constantFrom(null, null, 100, 1_000),
    needsVision: fc.integer({ min: 0, max: 6 }).map((one) => one === 0),
    maxLatencyMs: fc.option(fc.integer({ min: 100, max: 60_000 }), { freq: 3 }),
    leftMs: fc.constantFrom(500, 20_000, 3_600_000),
    allowed: fc.oneof(
      { weight: 4, arbitrary: fc.constant<number[]>([]) },
      { weight: 1, arbitrary: fc.uniqueArray(place, { minLength: 1 }) },
    ),
    forbidden: few,
    halved: few,
    tried: fc.oneof(
      { weight: 3, arbitrary: fc.constant<number[]>([]) },
      { weight: 1, arbitrary: fc.array(place, { maxLength: 3 }) },
    ),
    turn: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: place }),
  });
});

export const accountOf = (place: number): string => `account-${String(place)}`;
export const modelOf = (place: number): string => `model-${String(place)}`;

const dollars = (amount: number): string => (amount / 100).toFixed(3);

export function catalogOf({ candidates }: RouteWorld): Catalog {
  const models = candidates.map((one, place) => [
    `openai/${modelOf(place)}`,
    {
      inputPerMTok: 1,
      outputPerMTok: 1,
      contextWindow: one.contextTokens,
      maxOutputTokens: one.maxOutputTokens,
      capabilities: one.seesPictures ? ["chat", "vision"] : ["chat"],
    },
  ]);
  return {
    prices: parsePriceTable({ asOf: "2026-11-24", models: Object.fromEntries(models) as unknown }),
    accounts: candidates.map((one, place) => ({
      ...{ name: accountOf(place), facts: kindFacts("openai"), regions: null, capabilities: null },
      maxOutputTokensDefault: OUTPUT_TOKENS_DEFAULT,
      prices: {
        perMillion: {
          [modelOf(place)]: {
            input: dollars(one.inputCents),
            output: dollars(one.outputCents),
            ...(one.cachedCents === null ? {} : { cachedInput: dollars(one.cachedCents) }),
            ...(one.hasBatch
              ? { batch: { input: dollars(one.inputCents / 2), output: dollars(one.outputCents / 2) } }
              : {}),
          },
        },
      },
    })),
    aliases: [
      {
        name: "any",
        maxOutputTokensDefault: OUTPUT_TOKENS_DEFAULT,
        candidates: candidates.map((_, place) => ({ account: accountOf(place), model: modelOf(place) })),
      },
    ],
  };
}

export function conditionsOf({ candidates }: RouteWorld): RouteConditions {
  const of = (account: string): WorldCandidate => candidates[Number(account.split("-")[1])]!;
  return {
    health: (account) => of(account).health,
    statistics: (account) => of(account).statistics,
    headroom: ({ account }) => of(account).headroom,
    spent: (account) => (of(account).spent ? `${account} has spent its day` : null),
    committedLeft: (account) => of(account).committedLeft,
  };
}

export function policyOf(world: RouteWorld): RoutePolicy {
  const rules = [
    ...(world.forbidden.length === 0
      ? []
      : [{ rule: "not-these", effect: { kind: "forbid" as const, routes: world.forbidden.map(accountOf) } }]),
    ...(world.halved.length === 0
      ? []
      : [
          {
            rule: "rather-others",
            effect: {
              kind: "weight" as const,
              routes: world.halved.map((place) => `${accountOf(place)}/${modelOf(place)}`),
              factor: 0.5,
            },
          },
        ]),
  ];
  return {
    ...defaultPolicy("any"),
    chain: world.chain,
    ...(world.allowed.length === 0 ? {} : { allowed: world.allowed.map(accountOf) }),
    ...(rules.length === 0 ? {} : { rules }),
    ...(world.tier === "standard" ? {} : { tier: world.tier }),
    ...(world.maxLatencyMs === null ? {} : { maxLatencyMs: world.maxLatencyMs }),
  };
}

export function bodyOf({ promptChars, outputTokens }: RouteWorld): string {
  return JSON.stringify({
    model: "any",
    messages: [{ role: "user", content: "x".repeat(promptChars) }],
    ...(outputTokens === null ? {} : { max_tokens: outputTokens }),
  });
}

/** All of a wish but its plan, which is the planner's. */
export function wishOf(world: RouteWorld): Omit<RouteWish, "plan"> {
  const bodyText = bodyOf(world);
  const facts = readRequestFacts("openai.chat", bodyText, Buffer.byteLength(bodyText), null);
  return {
    facts: world.needsVision ? { ...facts, capabilities: ["vision"] } : facts,
    policy: policyOf(world),
    mode: world.mode,
    deadlineMs: NOW_MS + world.leftMs,
    latestDeadlineMs: NOW_MS + world.leftMs,
    nowMs: NOW_MS,
    routeIndex: 0,
    tried: world.tried.map((place) => ({ account: accountOf(place), model: modelOf(place) })),
    explain: true,
  };
}
