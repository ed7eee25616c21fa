import { z } from "zod";
import type { BatchRules } from "../domain/batch/batch-rules.js";
import type { RequestFormat } from "../domain/job/job.js";
import { section, text } from "./fields.js";
import { BATCHING } from "./schema-batching.js";
import { AUTH, MODELS, PRICES, providersSection, TENANTS } from "./schema-accounts.js";
import { ALERTS } from "./schema-alerts.js";
import { BUDGETS } from "./schema-budgets.js";
import { CACHE, DEDUPE, DELIVERY, HEADERS, LIMITS, RESULTS, RETENTION, SHUTDOWN, STORAGE } from "./schema-delivery.js";
import { HEALTH } from "./schema-health.js";
import { CHAINS, ROUTING, RULES } from "./schema-routing.js";
import { HTTP, KAFKA, POSTGRES, REDIS, REGISTRY, TOPICS } from "./schema-servers.js";

/** What the config has to know of a kind of provider; the list comes from outside. */
export interface KnownKind {
  /** The word for it. */
  readonly kind: string;
  /** A server of one's own: it must say where it is and what it costs, and needs no key. */
  readonly selfHosted: boolean;
  /** Formats that it speaks: their families are its endpoints. */
  readonly formats: readonly RequestFormat[];
  /** What its batch API demands; left out: it has none that we can use. */
  readonly batch?: BatchRules;
}

/**
 * The config file's shape after `${…}` was replaced. What relates two keys is in cross-rules.ts: JSON Schema can't say it.
 * @param kinds at least one.
 */
export const configSchema = (kinds: readonly KnownKind[]) =>
  section({
    environment: text(
      /[a-z0-9][a-z0-9-]{0,31}/,
      "1 to 32 lower-case letters, digits and hyphens",
      "Part of group and client names; `production` switches the strict rules on.",
    ),
    kafka: KAFKA,
    topics: TOPICS,
    registry: REGISTRY,
    postgres: POSTGRES,
    redis: REDIS,
    storage: STORAGE,
    auth: AUTH,
    tenants: TENANTS,
    providers: providersSection(kinds.map(({ kind }) => kind) as [string, ...string[]]), // at least one, see above
    models: MODELS.prefault({}),
    prices: PRICES,
    chains: CHAINS.prefault({}),
    rules: RULES,
    routing: ROUTING,
    batching: BATCHING,
    budgets: BUDGETS,
    alerts: ALERTS,
    health: HEALTH,
    limits: LIMITS,
    dedupe: DEDUPE,
    cache: CACHE,
    results: RESULTS,
    delivery: DELIVERY,
    headers: HEADERS,
    retention: RETENTION,
    shutdown: SHUTDOWN,
    http: HTTP,
  });

/** The file as parsed: defaults filled in, not yet brought into the form that the program uses. */
export type ParsedConfig = z.output<ReturnType<typeof configSchema>>;

/** The published JSON Schema of the config file as people write it, `${…}` included. */
export function configJsonSchema(kinds: readonly KnownKind[]): Readonly<Record<string, unknown>> {
  return {
    ...z.toJSONSchema(configSchema(kinds), { io: "input" }),
    title: "Sluice config",
    description: "One YAML file. Rules that relate two keys are checked by `sluice config check`.",
  };
}
