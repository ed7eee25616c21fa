import { nanoUsdFromText } from "../domain/cost/decimal-money.js";
import type { RouteRule, RuleEffect } from "../domain/route/route-rules.js";
import type {
  AccountBatchConfig,
  AccountConfig,
  AccountLimitsConfig,
  AccountPrices,
  AlertsConfig,
  ByName,
  Config,
  DeepReadonly,
  JobsTopic,
  KafkaConfig,
  RoutingConfig,
  TopicSettings,
  TopicsConfig,
  WrittenTopic,
} from "./config.js";
import type { StatedLimits } from "../domain/limit/limits.js";
import type { ParsedConfig } from "./schema.js";

type Parsed = DeepReadonly<ParsedConfig>;
type ParsedAccount = Parsed["providers"][string];

const JOBS_TOPIC_DEFAULTS = { partitions: 12, retentionDays: 7, replication: null } as const;
const WRITTEN_TOPIC_DEFAULTS = {
  results: { partitions: 12, retentionDays: 14, replication: null, encoding: "json" },
  costs: { partitions: 6, retentionDays: 400, replication: null, encoding: "json" },
  events: { partitions: 6, retentionDays: 7, replication: null, encoding: "json" },
} as const;

/** Brings the parsed file into the program's form and freezes it. Expects what the schema let through. */
export function buildConfig(parsed: Parsed): Config {
  return deepFreeze({
    ...parsed,
    kafka: buildKafka(parsed),
    topics: buildTopics(parsed.topics),
    registry: {
      url: parsed.registry.url ?? null,
      username: parsed.registry.username ?? null,
      password: parsed.registry.password ?? null,
      timeoutMs: parsed.registry.timeoutMs,
      negativeCacheMs: parsed.registry.negativeCacheMs,
    },
    storage: {
      ...parsed.storage,
      journal: { folder: parsed.storage.journal.folder ?? null, bytesMax: parsed.storage.journal.bytesMax },
    },
    redis: { url: parsed.redis.url ?? null, timeoutMs: parsed.redis.timeoutMs },
    auth: { tenantFrom: parsed.auth.tenantFrom, topicTenants: byName(parsed.auth.topicTenants, (tenant) => tenant) },
    tenants: byName(parsed.tenants, ({ tier, weight, replyTopics, providers }) => ({
      tier,
      weight,
      replyTopics,
      // Sorted: it is part of what jobs share their calls by, and an order would mean nothing.
      ...(providers === undefined ? {} : { providers: [...new Set(providers)].sort() }),
    })),
    providers: byName(parsed.providers, (account) => buildAccount(account, parsed.batching.flushAfterMs)),
    models: byName(parsed.models, ({ maxOutputTokensDefault, candidates, order, rescue, rescueMaxUsd }) => ({
      maxOutputTokensDefault,
      order,
      rescueMaxNanoUsd: rescue === "never" ? null : nanoUsd(rescueMaxUsd),
      candidates,
    })),
    budgets: parsed.budgets.map(({ tenant, department, application, limitUsd, ...rest }) => ({
      level: { of: "tenant", tenant, department: department ?? null, application: application ?? null },
      limitNanoUsd: nanoUsd(limitUsd),
      ...rest,
    })),
    prices: { file: parsed.prices.file ?? null },
    alerts: buildAlerts(parsed.alerts),
    chains: byName(parsed.chains, (weights) => weights),
    rules: parsed.rules.map(buildRule),
    routing: buildRoutingConfig(parsed.routing),
  });
}

function buildAlerts({ latencyP95Ms, spendMinUsd, webhook, ...same }: Parsed["alerts"]): AlertsConfig {
  return {
    ...same,
    latencyP95Ms: latencyP95Ms ?? null,
    spendMinNanoUsd: nanoUsd(spendMinUsd),
    webhook: webhook ?? null,
  };
}

function buildRule({ name, match, force, forbid, weight }: Parsed["rules"][number]): RouteRule {
  const effect: RuleEffect =
    force !== undefined
      ? { kind: "force", routes: force }
      : forbid !== undefined
        ? { kind: "forbid", routes: forbid }
        : { kind: "weight", routes: weight?.routes ?? [], factor: weight?.factor ?? 1 };
  return {
    name,
    match: {
      tenants: match.tenants ?? [],
      tiers: match.tiers ?? [],
      models: match.models ?? [],
      labels: byName(match.labels, (value) => value),
      bytesMin: match.bytesMin,
      bytesMax: match.bytesMax,
      tokensMin: match.tokensMin,
      tokensMax: match.tokensMax,
      time: match.time ?? null,
    },
    effect,
  };
}

function buildRoutingConfig({ latencyBudgetMs, tiers, businessHours }: Parsed["routing"]): RoutingConfig {
  if (businessHours === undefined) return { latencyBudgetMs, factors: { tiers, businessHours: null } };
  const { latencyFactor, offPeakCostFactor, ...hours } = businessHours;
  return { latencyBudgetMs, factors: { tiers, businessHours: { hours, latencyFactor, offPeakCostFactor } } };
}

function buildKafka({ kafka, environment }: Parsed): KafkaConfig {
  return {
    ...kafka,
    brokers: [...new Set(kafka.brokers.flatMap((brokers) => brokers.split(",")))],
    clientId: kafka.clientId ?? `sluice-${environment}-router`,
    groupId: kafka.groupId ?? `sluice-${environment}-intake`,
    sasl: kafka.sasl ?? null,
  };
}

function buildTopics(topics: Parsed["topics"]): TopicsConfig {
  return {
    jobs: topics.jobs.map((topic): JobsTopic => {
      const settings = typeof topic === "string" ? { name: topic, ...JOBS_TOPIC_DEFAULTS } : topic;
      return { name: settings.name, deadLetterTopic: `${settings.name}.dlq`, ...topicSettings(settings) };
    }),
    results: writtenTopic(topics.results, "results"),
    costs: writtenTopic(topics.costs, "costs"),
    events: writtenTopic(topics.events, "events"),
    deadLetters: topicSettings(topics.deadLetters),
  };
}

function writtenTopic(topic: Parsed["topics"]["results"], role: keyof typeof WRITTEN_TOPIC_DEFAULTS): WrittenTopic {
  const settings = typeof topic === "string" ? { name: topic, ...WRITTEN_TOPIC_DEFAULTS[role] } : topic;
  return { name: settings.name, encoding: settings.encoding, ...topicSettings(settings) };
}

function topicSettings(settings: {
  readonly partitions: number;
  readonly retentionDays: number;
  readonly replication?: number | null | undefined;
}): TopicSettings {
  return {
    partitions: settings.partitions,
    retentionDays: settings.retentionDays,
    replication: settings.replication ?? null,
  };
}

function buildAccount({ dailySpendUsd, committed, ...account }: ParsedAccount, flushAfterMs: number): AccountConfig {
  const key = typeof account.apiKey === "string" ? account.apiKey : account.apiKey?.[0];
  return {
    ...account,
    dailySpendNanoUsd: dailySpendUsd === undefined ? null : nanoUsd(dailySpendUsd),
    committed:
      committed === undefined
        ? null
        : { nanoUsdPerMonth: nanoUsd(committed.usdPerMonth), timeZone: committed.timeZone },
    baseUrl: account.baseUrl?.replace(/\/+$/, "") ?? null,
    apiKey: key ?? null,
    // A silence that outlasts the call is cut with it; so that a short call limit need not be said twice.
    idleTimeoutMs: Math.min(account.idleTimeoutMs, account.callTimeoutMs),
    connectTimeoutMs: Math.min(account.connectTimeoutMs, account.callTimeoutMs),
    regions: account.regions ?? null,
    capabilities: account.capabilities ?? null,
    limits: buildLimits(account.limits),
    inDoubt: {
      policy: account.inDoubt.policy,
      retryMaxNanoUsd: nanoUsd(account.inDoubt.retryMaxUsd),
      graceMs: account.inDoubt.graceMs,
      createGraceMs: account.inDoubt.createGraceMs,
    },
    batch: account.batch === undefined ? null : buildBatch(account.batch, flushAfterMs),
    prices: buildPrices(account.prices),
  };
}

function buildLimits(limits: ParsedAccount["limits"]): AccountLimitsConfig {
  return {
    ...{ ...statedLimits(limits), models: byName(limits.models, statedLimits) },
    ...{ endpoints: statedParts(limits.endpoints), tiers: statedParts(limits.tiers) },
    concurrency: limits.concurrency,
  };
}

type ParsedLimits = { readonly [Name in keyof StatedLimits]?: number | undefined };

/** Those that are stated. */
function statedParts(parts: Readonly<Record<string, ParsedLimits | undefined>>): ByName<StatedLimits> {
  const stated = Object.entries(parts).flatMap(([name, limits]) =>
    limits === undefined ? [] : [[name, limits] as const],
  );
  return byName(Object.fromEntries(stated), statedLimits);
}

function statedLimits(stated: ParsedLimits): StatedLimits {
  const { requestsPerMinute, tokensPerMinute, requestsPerDay, tokensPerDay } = stated;
  return {
    requestsPerMinute: requestsPerMinute ?? null,
    tokensPerMinute: tokensPerMinute ?? null,
    requestsPerDay: requestsPerDay ?? null,
    tokensPerDay: tokensPerDay ?? null,
  };
}

function buildBatch(batch: NonNullable<ParsedAccount["batch"]>, flushAfterMs: number): AccountBatchConfig {
  return {
    way: batch.way ?? null,
    linesMax: batch.linesMax ?? null,
    bytesMax: batch.bytesMax ?? null,
    enqueuedTokensMax: batch.enqueuedTokensMax ?? null,
    openBatchesMax: batch.openBatchesMax,
    flushAfterMs: batch.flushAfterMs ?? flushAfterMs,
    concurrency: batch.concurrency ?? null,
  };
}

function buildPrices(prices: ParsedAccount["prices"]): AccountPrices | null {
  if (prices?.zero === true) return { zero: true };
  if (prices?.factor !== undefined) return { factor: prices.factor };
  if (prices?.file !== undefined) return { file: prices.file };
  if (prices?.perMillion === undefined) return null;
  return { perMillion: byName(prices.perMillion, (price) => price) };
}

/** The schema lets through decimal dollars of at most nine places, which are whole nano-dollars. */
function nanoUsd(amount: string): bigint {
  const nano = nanoUsdFromText(amount);
  if (nano === null) throw new Error(`the schema let through ${amount} as an amount`);
  return nano;
}

/** Without a prototype, so that a name from outside such as `constructor` finds nothing. */
function byName<From, To>(entries: Readonly<Record<string, From>>, convert: (value: From) => To): ByName<To> {
  const result = Object.create(null) as Record<string, To>; // Object.create returns any
  for (const [name, value] of Object.entries(entries)) result[name] = convert(value);
  return result;
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
