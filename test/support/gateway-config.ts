import type { FreshTopicNames } from "./servers.js";

/** What a test changes in the gateway's config; times in milliseconds. */
export interface ConfigChanges {
  /** Of results, cost records and events; JSON when left out. */
  readonly encoding?: "avro";
  /** Whole sections in the place of what stands here. */
  readonly sections?: Readonly<Record<string, unknown>>;
  readonly concurrency?: number;
  readonly callTimeoutMs?: number;
  readonly inDoubt?: { readonly policy: "retry" | "fail"; readonly graceMs: number };
  readonly shutdownGraceMs?: number;
  /** Merged into the section `limits`. */
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly kafka?: Readonly<Record<string, unknown>>;
  readonly registry?: Readonly<Record<string, unknown>>;
  readonly postgres?: Readonly<Record<string, unknown>>;
  readonly delivery?: Readonly<Record<string, unknown>>;
  readonly results?: Readonly<Record<string, unknown>>;
  /** Accounts in the place of the one that stands here, given the simulator's address. */
  readonly providers?: (simulatorUrl: string) => Readonly<Record<string, unknown>>;
  /** Of the alias `cheap`, with accounts of one's own. */
  readonly candidates?: readonly { readonly provider: string; readonly model: string }[];
  /** Merged into the alias. */
  readonly alias?: Readonly<Record<string, unknown>>;
  /** Merged into the account. */
  readonly account?: Readonly<Record<string, unknown>>;
}

/** The gateway's config document: two tenants, one account at the simulator, one alias. Addresses and the key stay references. */
export function gatewayConfig(
  names: FreshTopicNames,
  simulatorUrl: string,
  changes: ConfigChanges,
  replyTopics: readonly string[] = [],
): unknown {
  return {
    environment: "test",
    kafka: { brokers: ["${KAFKA_BROKERS}"], groupId: groupOf(names), ...changes.kafka },
    topics: {
      jobs: [names.jobs],
      results: writtenTopic(names.results, changes),
      costs: writtenTopic(names.costs, changes),
      events: writtenTopic(names.events, changes),
    },
    registry: { url: "${SCHEMA_REGISTRY_URL}", ...changes.registry },
    postgres: { url: "${DATABASE_URL}", ...changes.postgres },
    auth: { tenantFrom: "body" },
    tenants: { acme: { tier: "standard", replyTopics }, zenith: { tier: "free" } },
    providers: changes.providers?.(simulatorUrl) ?? {
      "openai-main": {
        kind: "openai",
        baseUrl: `${simulatorUrl}/v1`,
        apiKey: "${OPENAI_API_KEY}",
        limits: { concurrency: changes.concurrency ?? 32 },
        callTimeoutMs: changes.callTimeoutMs ?? 30_000,
        inDoubt: changes.inDoubt ?? { policy: "retry", graceMs: 2000 },
        ...changes.account,
      },
    },
    models: {
      cheap: {
        maxOutputTokensDefault: 512,
        candidates: changes.candidates ?? [{ provider: "openai-main", model: "gpt-4.1-mini" }],
        ...changes.alias,
      },
    },
    limits: changes.limits ?? {},
    delivery: changes.delivery ?? {},
    results: changes.results ?? {},
    shutdown: { graceMs: changes.shutdownGraceMs ?? 10_000 },
    http: { port: 0 },
    ...changes.sections,
  };
}

function writtenTopic(name: string, { encoding }: ConfigChanges): unknown {
  return encoding === undefined ? name : { name, encoding };
}

export function groupOf(names: FreshTopicNames): string {
  return `rows-${names.jobs}`;
}
