import { stringify } from "yaml";
import { MODEL_ALIAS, SHOP_ALIAS } from "./film-jobs.js";
import type { DemoScope } from "./demo-scope.js";
import type { JobMix } from "./job-mix.js";

/** Topics of one run. On servers that the demo starts itself these are the defaults of the contract. */
export interface DemoTopics {
  readonly jobs: string;
  readonly results: string;
  readonly costs: string;
  readonly events: string;
  readonly deadLetters: string;
}

export const DEFAULT_TOPICS: DemoTopics = topicsNamed("llm.jobs.v1", "llm.results.v1", "llm.costs.v1", "llm.events.v1");

/** Topics of their own, for servers that others use too and that may hold an earlier run. */
export function ownTopics(run: string): DemoTopics {
  return topicsNamed(`${run}.jobs`, `${run}.results`, `${run}.costs`, `${run}.events`);
}

function topicsNamed(jobs: string, results: string, costs: string, events: string): DemoTopics {
  return { jobs, results, costs, events, deadLetters: `${jobs}.dlq` };
}

/** A provider account of the run, and the model that the alias `cheap` means there. */
export interface DemoAccount {
  readonly name: string;
  readonly kind: string;
  /** `${NAME}_…` references: what they stand for is in the environment of the gateway's processes only. Null: the provider's own address. */
  readonly baseUrl: string | null;
  readonly apiKey: string;
  readonly model: string;
  readonly concurrency: number;
}

/** The accounts at the simulator, in the order of trial. */
export function simulatedAccounts(scope: DemoScope): readonly DemoAccount[] {
  const openai = {
    name: "openai-main",
    kind: "openai",
    baseUrl: "${OPENAI_BASE_URL}",
    apiKey: "${OPENAI_API_KEY}",
    model: "gpt-4.1-mini",
    concurrency: 64,
  };
  const claude = {
    name: "claude-main",
    kind: "anthropic",
    baseUrl: "${ANTHROPIC_BASE_URL}",
    apiKey: "${ANTHROPIC_API_KEY}",
    model: "claude-haiku-4-5",
    concurrency: 32,
  };
  return scope.anthropic ? [openai, claude] : [openai];
}

export interface DemoConfigOptions {
  readonly environment: string;
  readonly topics: DemoTopics;
  readonly doubt: "retry" | "fail";
  readonly accounts: readonly DemoAccount[];
  /** Mixed: batches at each account. */
  readonly mix: JobMix;
  /**
   * In a mixed run: the shop's jobs try the accounts in the other order, so that both have batches. Not with kills: Anthropic's batches are
   * told apart by their numbers of lines, for two days none of an account may have another's, and kills leave so many small ones that a few
   * last lines would find no number free.
   */
  readonly shopElsewhere: boolean;
  /** Where a router that is killed leaves the answers that it could not store, for the one after it. */
  readonly journalFolder: string;
}

/** Small and soon closed, so that a short run has many; asked about often, since the simulator's batches live hours in seconds. */
const BATCHING = {
  turnaroundPriorMs: 6 * 3_600_000,
  lookEveryMs: 200,
  pollMinMs: 250,
  pollMaxMs: 2000,
  callTimeoutMs: 10_000,
};
const ACCOUNT_BATCH = { linesMax: 50, flushAfterMs: 2000 };
const CREATE_GRACE_MS = 20_000;

/** What an alias caps an answer at when the job says nothing. */
export const OUTPUT_TOKENS_MAX = 512;

/**
 * The gateway's config file of one run, as YAML. Addresses and keys stay `${…}` references, as in an operator's file; the
 * environment of the gateway's processes holds them.
 */
export function demoConfig(options: DemoConfigOptions): string {
  const { topics, accounts } = options;
  const mixed = options.mix === "mixed";
  const inDoubt = { policy: options.doubt, graceMs: 30_000, ...(mixed ? { createGraceMs: CREATE_GRACE_MS } : {}) };
  const batch = mixed ? { batch: ACCOUNT_BATCH } : {};
  const providers = accounts.map(({ name, kind, baseUrl, apiKey, concurrency }) => [
    name,
    { kind, ...(baseUrl === null ? {} : { baseUrl }), apiKey, limits: { concurrency }, inDoubt, ...batch },
  ]);
  return stringify({
    environment: options.environment,
    kafka: { brokers: ["${KAFKA_BROKERS}"] },
    topics: { jobs: [topics.jobs], results: topics.results, costs: topics.costs, events: topics.events },
    postgres: { url: "${DATABASE_URL}" },
    registry: { url: "${SCHEMA_REGISTRY_URL}" },
    redis: { url: "${REDIS_URL}" },
    storage: { journal: { folder: options.journalFolder } },
    auth: { tenantFrom: "body" },
    tenants: { catalogue: { tier: "standard" }, shop: { tier: "free" } },
    providers: Object.fromEntries(providers) as unknown,
    models: Object.fromEntries(orders(options).map(([alias, order]) => [alias, aliasOf(order)])) as unknown,
    ...(mixed ? { batching: BATCHING } : {}),
    http: { port: 0 },
  });
}

/** The accounts in the order of trial, by alias. */
function orders({
  accounts,
  mix,
  shopElsewhere,
}: Pick<DemoConfigOptions, "accounts" | "mix" | "shopElsewhere">): readonly (readonly [
  string,
  readonly DemoAccount[],
])[] {
  const shop = shopElsewhere ? [...accounts].reverse() : accounts;
  return [[MODEL_ALIAS, accounts], ...(mix === "mixed" ? [[SHOP_ALIAS, shop] as const] : [])];
}

/** The first model of each alias, as `provider/model` of the price list: what list prices are worked out from. */
export function firstModels(
  options: Pick<DemoConfigOptions, "accounts" | "mix" | "shopElsewhere">,
): ReadonlyMap<string, string> {
  return new Map(
    orders(options).flatMap(([alias, [first]]) =>
      first === undefined ? [] : [[alias, `${first.kind}/${first.model}`] as const],
    ),
  );
}

function aliasOf(accounts: readonly DemoAccount[]): unknown {
  return {
    maxOutputTokensDefault: OUTPUT_TOKENS_MAX,
    candidates: accounts.map(({ name, model }) => ({ provider: name, model })),
  };
}
