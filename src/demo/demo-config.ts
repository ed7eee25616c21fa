import { stringify } from "yaml";
import type { DemoScope } from "./demo-scope.js";

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

export interface DemoConfigOptions {
  readonly environment: string;
  readonly topics: DemoTopics;
  readonly doubt: "retry" | "fail";
  readonly scope: DemoScope;
}

/**
 * The gateway's config file of one run, as YAML. Addresses and keys stay `${…}` references, as in an operator's file; the
 * environment of the gateway's processes holds them.
 */
export function demoConfig(options: DemoConfigOptions): string {
  const { topics, scope } = options;
  const inDoubt = { policy: options.doubt, graceMs: 30_000 };
  const account = (kind: string, name: string, concurrency: number): Readonly<Record<string, unknown>> => ({
    kind,
    baseUrl: `\${${name}_BASE_URL}`,
    apiKey: `\${${name}_API_KEY}`,
    limits: { concurrency },
    inDoubt,
  });
  const openai = { "openai-main": account("openai", "OPENAI", 64) };
  const claude = scope.anthropic ? { "claude-main": account("anthropic", "ANTHROPIC", 32) } : {};
  return stringify({
    environment: options.environment,
    kafka: { brokers: ["${KAFKA_BROKERS}"] },
    topics: { jobs: [topics.jobs], results: topics.results, costs: topics.costs, events: topics.events },
    postgres: { url: "${DATABASE_URL}" },
    registry: { url: "${SCHEMA_REGISTRY_URL}" },
    redis: { url: "${REDIS_URL}" },
    auth: { tenantFrom: "body" },
    tenants: { catalogue: { tier: "standard" }, shop: { tier: "free" } },
    providers: { ...openai, ...claude },
    models: {
      cheap: {
        maxOutputTokensDefault: 512,
        candidates: [
          { provider: "openai-main", model: "gpt-4.1-mini" },
          ...(scope.anthropic ? [{ provider: "claude-main", model: "claude-haiku-4-5" }] : []),
        ],
      },
    },
    http: { port: 0 },
  });
}
