import { kindFacts } from "../adapters/providers/registry.js";
import { seededRandom, type RandomSource } from "../demo/seeded-random.js";
import { parsePriceTable } from "../domain/cost/price-table.js";
import { defaultPolicy } from "../domain/job/default-policy.js";
import type { Tier } from "../domain/job/job.js";
import type { Catalog } from "../domain/route/catalog.js";
import { createRoutePlanner } from "../domain/route/plan-routes.js";
import { readRequestFacts, type RequestFacts } from "../domain/route/request-facts.js";
import type { Headroom, RouteConditions, RouteHealth, RouteStatistics } from "../domain/route/route-condition.js";
import { withComparison } from "../domain/route/route-decision.js";
import { BUILT_IN_CHAINS, ChainWeights, DEFAULT_WEIGHT_FACTORS } from "../domain/route/score-weights.js";
import { RouteChooser, type RouteWish } from "../pipeline/dispatch/route-chooser.js";

export interface RouteFigures {
  readonly candidates: number;
  readonly decisions: number;
  /** Mean of a decision. */
  readonly rejected: number;
  /** Of one processor: the candidates judged for the request, chosen between, and the decision made as it is stored. */
  readonly decisionsPerS: number;
}

const CANDIDATES = 20;
const ACCOUNTS = 10;
const WORLDS = 101; // shares no divisor with the number of jobs, so each job meets many
/** No more than a processor's cache holds: what a decision reads of a job was written a moment before, when the job was admitted. */
const JOBS = 1_000;
const WARM_UP = 50_000;
const CHUNK = 1_000;
const START_MS = 1_796_126_400_000; // any: no clock is read for a decision
const SEED = 7;

/**
 * Decisions between 20 candidates by score: random jobs in random states of the providers, half of the candidates rejected. Reading a
 * request is not part of it, and nothing is remembered from one job for the next.
 */
export function routeBench(seconds: number): RouteFigures {
  const random = seededRandom(SEED);
  const catalog = catalogOf(random);
  const worlds = Array.from({ length: WORLDS }, () => worldOf(random));
  const jobs = Array.from({ length: JOBS }, () => jobOf(random));
  const states: { now: World } = { now: worlds[0] ?? worldOf(random) };
  const chooser = new RouteChooser({
    routing: {
      scored: new Set(["any"]),
      weights: new ChainWeights({}, DEFAULT_WEIGHT_FACTORS),
      latencyBudgetMs: 30_000,
    },
    conditions: conditionsOf(states),
    likelyBatch: (_, mode) => mode === "batch",
  });
  const planRoutes = createRoutePlanner(catalog);
  let [rejected, decided] = [0, 0];
  const decide = (count: number): void => {
    for (let no = 0; no < count; no += 1) {
      const job = jobs[decided % JOBS];
      states.now = worlds[decided % WORLDS] ?? states.now;
      decided += 1;
      if (job === undefined) continue;
      const { facts, policy, mode, deadlineMs, latestDeadlineMs, nowMs, routeIndex, tried, explain } = job;
      const plan = planRoutes(policy, facts);
      const choice = chooser.choose({
        plan,
        facts,
        policy,
        mode,
        deadlineMs,
        latestDeadlineMs,
        nowMs,
        routeIndex,
        tried,
        explain,
      });
      if (choice.kind !== "route") continue;
      const decision = withComparison(undefined, choice.routes, choice.route, deadlineMs - nowMs);
      rejected += decision?.routes?.rejected.length ?? 0;
    }
  };
  decide(WARM_UP);
  [rejected, decided] = [0, 0];
  const before = process.cpuUsage();
  const spentUs = (): number => {
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  while (spentUs() < seconds * 1e6) decide(CHUNK);
  const perS = (decided * 1e6) / spentUs();
  return {
    candidates: CANDIDATES,
    decisions: decided,
    rejected: Number((rejected / decided).toFixed(2)),
    decisionsPerS: Math.round(perS),
  };
}

type Job = Omit<RouteWish, "plan">;

const accountName = (no: number): string => `account-${String(no % ACCOUNTS)}`;
const modelName = (no: number): string => `model-${String(no)}`;

/** One in five takes only short prompts, two in three see pictures. */
function catalogOf(random: RandomSource): Catalog {
  const models = Array.from({ length: CANDIDATES }, (_, no) => {
    const price = Math.ceil(random() * 500) / 100;
    return [
      `openai/${modelName(no)}`,
      {
        inputPerMTok: price,
        outputPerMTok: price * 4,
        cachedInputPerMTok: price / 2,
        contextWindow: no % 5 === 0 ? 4_000 : 128_000,
        maxOutputTokens: no % 4 === 0 ? 4_096 : 32_768,
        capabilities: no % 3 === 0 ? ["chat"] : ["chat", "vision"],
      },
    ];
  });
  return {
    prices: parsePriceTable({ asOf: "2026-11-24", models: Object.fromEntries(models) as unknown }),
    accounts: Array.from({ length: ACCOUNTS }, (_, no) => ({
      ...{ name: accountName(no), facts: kindFacts("openai"), regions: null, prices: null, capabilities: null },
      maxOutputTokensDefault: 1_024,
    })),
    aliases: [
      {
        name: "any",
        maxOutputTokensDefault: 1_024,
        candidates: Array.from({ length: CANDIDATES }, (_, no) => ({ account: accountName(no), model: modelName(no) })),
      },
    ],
  };
}

function jobOf(random: RandomSource): Job {
  const pick = <Item>(items: readonly [Item, ...Item[]]): Item =>
    items[Math.floor(random() * items.length)] ?? items[0];
  const prompt = "word ".repeat(20 + Math.floor(random() ** 3 * 4_000));
  const body = {
    model: "any",
    messages: [{ role: "user", content: prompt }],
    ...(random() < 0.2 ? { max_tokens: pick([100, 2_000, 8_000]) } : {}),
  };
  const bodyText = JSON.stringify(body);
  const facts: RequestFacts = {
    ...readRequestFacts("openai.chat", bodyText, Buffer.byteLength(bodyText), null),
    capabilities: random() < 0.2 ? ["vision"] : [],
  };
  const tier = pick<Tier>(["free", "standard", "premium"]);
  const policy = {
    ...defaultPolicy("any"),
    chain: pick(["standard", ...Object.keys(BUILT_IN_CHAINS)]),
    ...(tier === "standard" ? {} : { tier }),
    ...(random() < 0.25 ? { maxLatencyMs: 5_000 } : {}),
  };
  const nowMs = START_MS + Math.floor(random() * 86_400_000);
  const deadlineMs = nowMs + 1_000 + Math.floor(random() * 3_600_000);
  return {
    ...{ facts, policy, nowMs, deadlineMs, tried: [] },
    mode: "direct",
    latestDeadlineMs: deadlineMs,
    routeIndex: 0,
    explain: false,
  };
}

interface State {
  readonly health: RouteHealth;
  readonly statistics: RouteStatistics | null;
  readonly headroom: Headroom;
}

interface World {
  readonly states: ReadonlyMap<string, ReadonlyMap<string, State>>;
  readonly spent: ReadonlyMap<string, string>;
}

const WELL: RouteHealth = { state: "closed", untilMs: null, because: null };
const GO: Headroom = { kind: "go" };

function worldOf(random: RandomSource): World {
  const states = new Map<string, Map<string, State>>();
  const spent = new Map<string, string>();
  for (let no = 0; no < CANDIDATES; no += 1) {
    const account = accountName(no);
    const models = states.get(account) ?? new Map<string, State>();
    models.set(modelName(no), stateOf(random));
    states.set(account, models);
    if (random() < 0.03) spent.set(account, `${account} has spent 95 % of its day`);
  }
  return { states, spent };
}

function stateOf(random: RandomSource): State {
  const [sick, full, untilMs] = [random(), random(), START_MS + 90_000_000];
  const p95Ms = 200 + random() * 8_000;
  const statistics = { failureRate: random() ** 4, p50Ms: p95Ms * (0.3 + random() * 0.6), p95Ms, calls: 100 };
  return {
    health:
      sick < 0.14
        ? { state: "open", untilMs, because: "its circuit is open: 12 of 20 calls failed" }
        : sick < 0.2
          ? { state: "degraded", untilMs: null, because: "its last 2 calls failed" }
          : WELL,
    statistics: random() < 0.1 ? null : statistics,
    headroom:
      full < 0.08
        ? { kind: "never", because: "the call is larger than tokens/min ever allow" }
        : full < 0.17
          ? { kind: "wait", runAtMs: untilMs, waitsFor: "concurrency", limit: "requests/min" }
          : GO,
  };
}

function conditionsOf(states: { readonly now: World }): RouteConditions {
  const stateOf = (account: string, model: string): State | undefined => states.now.states.get(account)?.get(model);
  return {
    health: (account, model) => stateOf(account, model)?.health ?? WELL,
    statistics: (account, model) => stateOf(account, model)?.statistics ?? null,
    headroom: ({ account, model }) => stateOf(account, model)?.headroom ?? GO,
    spent: (account) => states.now.spent.get(account) ?? null,
    committedLeft: () => null,
  };
}
