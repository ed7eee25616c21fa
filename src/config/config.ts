import type { Budget } from "../domain/budget/budget.js";
import type { BatchWay } from "../domain/batch/batch-rules.js";
import type { OwnPrices } from "../domain/cost/account-price.js";
import type { AccountLimits } from "../domain/limit/limits.js";
import type { ProviderKind } from "../domain/route/route.js";
import type { RouteRule } from "../domain/route/route-rules.js";
import type { ScoreWeights, WeightFactors } from "../domain/route/score-weights.js";
import type { ParsedConfig } from "./schema.js";

/**
 * The config the program works with: checked, complete, frozen. Sections that need no other form than the file's have the file's type;
 * their units are in their names, their bounds and reasons in the schema. Maps by name have no prototype, so a tenant called
 * `constructor` is not found.
 */
export interface Config extends DeepReadonly<
  Pick<
    ParsedConfig,
    | "environment"
    | "batching"
    | "health"
    | "limits"
    | "dedupe"
    | "cache"
    | "results"
    | "delivery"
    | "headers"
    | "retention"
    | "shutdown"
    | "http"
  >
> {
  readonly kafka: KafkaConfig;
  readonly topics: TopicsConfig;
  readonly registry: RegistryConfig;
  readonly storage: StorageConfig;
  readonly postgres: DeepReadonly<ParsedConfig["postgres"]>;
  readonly redis: { readonly url: string | null; readonly timeoutMs: number };
  readonly auth: AuthConfig;
  readonly tenants: ByName<TenantConfig>;
  readonly providers: ByName<AccountConfig>;
  readonly models: ByName<ModelConfig>;
  readonly budgets: readonly Budget[];
  readonly prices: { readonly file: string | null };
  readonly alerts: AlertsConfig;
  /** Besides the built-in ones. */
  readonly chains: ByName<ScoreWeights>;
  readonly rules: readonly RouteRule[];
  readonly routing: RoutingConfig;
}

type ParsedAlerts = DeepReadonly<ParsedConfig["alerts"]>;

export interface AlertsConfig extends Omit<ParsedAlerts, "latencyP95Ms" | "spendMinUsd" | "webhook"> {
  /** Null: no target. */
  readonly latencyP95Ms: number | null;
  readonly spendMinNanoUsd: bigint;
  /** Null: nobody is told over HTTP. The secret is never to be logged. */
  readonly webhook: NonNullable<ParsedAlerts["webhook"]> | null;
}

export interface RoutingConfig {
  readonly latencyBudgetMs: number;
  readonly factors: WeightFactors;
}

export type ByName<Value> = Readonly<Record<string, Value>>;

export type DeepReadonly<Value> = Value extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : Value extends object
    ? { readonly [Key in keyof Value]: DeepReadonly<Value[Key]> }
    : Value;

type ParsedStorage = DeepReadonly<ParsedConfig["storage"]>;

export interface StorageConfig extends Omit<ParsedStorage, "journal"> {
  readonly journal: { readonly folder: string | null; readonly bytesMax: number };
}

type ParsedKafka = DeepReadonly<ParsedConfig["kafka"]>;

export interface KafkaConfig extends Omit<ParsedKafka, "brokers" | "clientId" | "groupId" | "sasl"> {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  /** `sluice-<environment>-router` unless the file says otherwise. */
  readonly clientId: string;
  /** `sluice-<environment>-intake` unless the file says otherwise. */
  readonly groupId: string;
  readonly sasl: {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
    readonly username: string;
    readonly password: string;
  } | null;
}

export interface TopicSettings {
  readonly partitions: number;
  readonly retentionDays: number;
  /** Null: 3 with min.insync.replicas 2, or as many as there are brokers when fewer. */
  readonly replication: number | null;
}
export interface JobsTopic extends TopicSettings {
  readonly name: string;
  /** `<name>.dlq`. */
  readonly deadLetterTopic: string;
}
export interface WrittenTopic extends TopicSettings {
  readonly name: string;
  readonly encoding: "json" | "avro";
}
export interface TopicsConfig {
  readonly jobs: readonly JobsTopic[];
  readonly results: WrittenTopic;
  readonly costs: WrittenTopic;
  readonly events: WrittenTopic;
  readonly deadLetters: TopicSettings;
}

export interface RegistryConfig {
  readonly url: string | null;
  readonly username: string | null;
  readonly password: string | null;
  readonly timeoutMs: number;
  readonly negativeCacheMs: number;
}

export interface AuthConfig {
  readonly tenantFrom: "topic" | "body";
  /** Jobs topic to tenant; complete when `tenantFrom` is topic. */
  readonly topicTenants: ByName<string>;
}

export interface TenantConfig {
  readonly tier: "free" | "standard" | "premium";
  /** Turns in the queue, against those of the others. */
  readonly weight: number;
  readonly replyTopics: readonly string[];
  /** Accounts, or `account/model`; left out: all. Sorted. */
  readonly providers?: readonly string[];
}

type ParsedAccount = DeepReadonly<ParsedConfig["providers"][string]>;

/** Prices of an account's own; a price table is named by its file. */
export type AccountPrices = Exclude<OwnPrices, { readonly table: unknown }> | { readonly file: string };

/** An entry of `providers`: an account. */
export interface AccountConfig extends Omit<
  ParsedAccount,
  | "baseUrl"
  | "apiKey"
  | "inDoubt"
  | "batch"
  | "prices"
  | "kind"
  | "regions"
  | "capabilities"
  | "dailySpendUsd"
  | "committed"
  | "limits"
> {
  readonly kind: ProviderKind;
  /** Without a slash at the end; null: the provider's own address. */
  readonly baseUrl: string | null;
  /** The key for new work; null when the account needs none. Never to be logged. */
  readonly apiKey: string | null;
  readonly limits: AccountLimitsConfig;
  /** Null: no limit. */
  readonly dailySpendNanoUsd: bigint | null;
  /** Null: none. */
  readonly committed: CommittedConfig | null;
  readonly inDoubt: DoubtConfig;
  /** Null: no batches of this account. */
  readonly batch: AccountBatchConfig | null;
  /** Null: the price table as it is. A model that a stated list doesn't name has no price. */
  readonly prices: AccountPrices | null;
  /** Null: unknown. */
  readonly regions: readonly string[] | null;
  readonly capabilities: readonly string[] | null;
}

/** What is paid for an account whether it is used or not. */
export interface CommittedConfig {
  readonly nanoUsdPerMonth: bigint;
  /** Whose months. */
  readonly timeZone: string;
}

export interface AccountLimitsConfig extends Required<AccountLimits> {
  readonly concurrency: number;
}

export interface DoubtConfig {
  readonly policy: "retry" | "fail";
  readonly retryMaxNanoUsd: bigint;
  readonly graceMs: number;
  readonly createGraceMs: number;
}

/** Null: the provider's own. */
export interface AccountBatchConfig {
  readonly way: BatchWay | null;
  readonly linesMax: number | null;
  readonly bytesMax: number | null;
  readonly enqueuedTokensMax: number | null;
  readonly openBatchesMax: number;
  readonly flushAfterMs: number;
  /** Where lines are calls: so many at once; null: half of the account's places. */
  readonly concurrency: number | null;
}

export interface ModelConfig {
  readonly maxOutputTokensDefault: number;
  readonly order: "listed" | "score";
  /** Most that a call beside a line of a batch may cost whose deadline is near; null: none is made. */
  readonly rescueMaxNanoUsd: bigint | null;
  /** In the order they are tried; each names an account of `providers`. */
  readonly candidates: readonly { readonly provider: string; readonly model: string }[];
}
