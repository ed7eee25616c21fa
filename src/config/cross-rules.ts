import { batchRules } from "./batch-rules.js";
import { budgetKey, levelText, PERIODS } from "../domain/budget/budget.js";
import { isTimeZone } from "../domain/budget/budget-window.js";
import { FORMAT_FAMILIES, familyOf } from "../domain/route/format-family.js";
import type { BrokenRule } from "./broken-rule.js";
import type { ConfigPath } from "./config-path.js";
import type { Config } from "./config.js";
import { routingRules } from "./routing-rules.js";
import type { KnownKind } from "./schema.js";

/** Rules that relate keys to each other, which the schema can't say. Pure; order is the order of the file's sections in the contract. */
export function brokenRules(config: Config, kinds: readonly KnownKind[]): readonly BrokenRule[] {
  return [
    ...orderRules(config),
    ...topicRules(config),
    ...authRules(config),
    ...accountRules(config, kinds),
    ...batchRules(config, kinds),
    ...modelRules(config),
    ...routingRules(config),
    ...budgetRules(config),
    ...retentionRules(config),
  ];
}

function orderRules(config: Config): readonly BrokenRule[] {
  const { kafka, delivery } = config;
  const { session } = config.postgres;
  return [
    ...atMost(
      "kafka.heartbeatMs",
      kafka.heartbeatMs,
      "kafka.sessionTimeoutMs",
      kafka.sessionTimeoutMs / 3,
      "a third of",
    ),
    ...atMost(
      "kafka.fetchBytesPerPartitionMax",
      kafka.fetchBytesPerPartitionMax,
      "kafka.fetchBytesMax",
      kafka.fetchBytesMax,
      "",
    ),
    ...atMost(
      "postgres.session.beatMs",
      session.beatMs,
      "postgres.session.stopAfterMs",
      session.stopAfterMs / 2,
      "half of",
    ),
    ...atMost(
      "postgres.session.stopAfterMs",
      session.stopAfterMs + delivery.sendWithinMs,
      "postgres.session.deadAfterMs",
      session.deadAfterMs - 1,
      "one less than",
      "postgres.session.stopAfterMs and delivery.sendWithinMs together",
      ["delivery.sendWithinMs"],
    ),
    ...atMost("delivery.defaultTtlMs", delivery.defaultTtlMs, "delivery.maxTtlMs", delivery.maxTtlMs, ""),
    ...atMost("delivery.defaultTtlBatchMs", delivery.defaultTtlBatchMs, "delivery.maxTtlMs", delivery.maxTtlMs, ""),
    ...atMost("batching.pollMinMs", config.batching.pollMinMs, "batching.pollMaxMs", config.batching.pollMaxMs, ""),
    ...atMost("delivery.backoffBaseMs", delivery.backoffBaseMs, "delivery.backoffMaxMs", delivery.backoffMaxMs, ""),
  ];
}

function topicRules(config: Config): readonly BrokenRule[] {
  const { topics, registry } = config;
  const seen = new Map<string, string>();
  const broken: BrokenRule[] = [];
  const claim = (name: string, where: string, path: ConfigPath): void => {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, where);
    else
      broken.push({
        path,
        reads: [["topics"]],
        message: `${name} is already used by ${first}; each topic has one purpose`,
      });
  };
  topics.jobs.forEach((topic, index) => {
    claim(topic.name, `topics.jobs[${String(index)}]`, ["topics", "jobs", index]);
    claim(topic.deadLetterTopic, `the dead letters of topics.jobs[${String(index)}]`, ["topics", "jobs", index]);
  });
  for (const role of ["results", "costs", "events"] as const) {
    claim(topics[role].name, `topics.${role}`, ["topics", role]);
    if (topics[role].encoding === "avro" && registry.url === null) {
      broken.push({
        path: ["topics", role, "encoding"],
        reads: [["registry"]],
        message: "avro needs registry.url, which is missing",
      });
    }
  }
  return broken;
}

function authRules(config: Config): readonly BrokenRule[] {
  const { auth, tenants, topics } = config;
  const broken: BrokenRule[] = [];
  const reads: readonly ConfigPath[] = [["auth"], ["tenants"], ["topics", "jobs"]];
  if (auth.tenantFrom === "body" && config.environment === "production") {
    const message =
      "body believes whatever a job says of itself and is refused in production; use topic with auth.topicTenants";
    broken.push({ path: ["auth", "tenantFrom"], reads: [["environment"]], message });
  }
  for (const [topic, tenant] of Object.entries(auth.topicTenants)) {
    const path = ["auth", "topicTenants", topic];
    if (!(tenant in tenants))
      broken.push({ path, reads, message: `${tenant} is not a tenant; known: ${list(Object.keys(tenants))}` });
    if (!topics.jobs.some(({ name }) => name === topic)) {
      broken.push({
        path,
        reads,
        message: `${topic} is not in topics.jobs: ${list(topics.jobs.map(({ name }) => name))}`,
      });
    }
  }
  if (auth.tenantFrom === "topic") {
    for (const { name } of topics.jobs.filter((topic) => !(topic.name in auth.topicTenants))) {
      const message = `tenantFrom is topic, but ${name} has no tenant; add it here, or set auth.tenantFrom to body for a trial`;
      broken.push({ path: ["auth", "topicTenants"], reads, message });
    }
  }
  return [...broken, ...replyTopicRules(config)];
}

/** A result written to a topic that jobs are read from, or that holds other records, would be taken for something else. */
function replyTopicRules(config: Config): readonly BrokenRule[] {
  const { topics, tenants } = config;
  const taken = [
    ...topics.jobs.flatMap((topic) => [topic.name, topic.deadLetterTopic]),
    topics.costs.name,
    topics.events.name,
  ];
  return Object.entries(tenants).flatMap(([tenant, { replyTopics }]) =>
    replyTopics.flatMap((topic, index) =>
      taken.includes(topic)
        ? [
            {
              path: ["tenants", tenant, "replyTopics", index],
              reads: [["topics"]],
              message: `${topic} holds other records; results need a topic of their own`,
            },
          ]
        : [],
    ),
  );
}

function accountRules(config: Config, kinds: readonly KnownKind[]): readonly BrokenRule[] {
  return Object.entries(config.providers).flatMap(([name, account]) => {
    const path = ["providers", name];
    const broken: BrokenRule[] = [];
    const selfHosted = kinds.some((known) => known.kind === account.kind && known.selfHosted);
    if (selfHosted && (account.prices === null || "factor" in account.prices)) {
      const message = `an ${account.kind} account must say what it costs: prices: { zero: true }, prices: { perMillion: { <model>: { input, output } } } or prices: { file }`;
      broken.push({ path: [...path, "prices"], reads: [[...path, "kind"]], message });
    }
    if (selfHosted && account.baseUrl === null) {
      broken.push({
        path: [...path, "baseUrl"],
        reads: [[...path, "kind"]],
        message: `missing; an ${account.kind} account has no address of its own`,
      });
    }
    if (!selfHosted && account.apiKey === null) {
      broken.push({
        path: [...path, "apiKey"],
        reads: [[...path, "kind"]],
        message: `missing; ${account.kind} wants a key, written as \${NAME}`,
      });
    }
    const known = kinds.find(({ kind }) => kind === account.kind);
    for (const endpoint of FORMAT_FAMILIES) {
      if (!(endpoint in account.limits.endpoints) || known?.formats.some((format) => familyOf(format) === endpoint))
        continue;
      const message = `an ${account.kind} account has no endpoint for ${endpoint}`;
      broken.push({ path: [...path, "limits", "endpoints", endpoint], reads: [[...path, "kind"]], message });
    }
    if (account.committed !== null && !isTimeZone(account.committed.timeZone))
      broken.push({
        path: [...path, "committed", "timeZone"],
        reads: [],
        message: unknownTimeZone(account.committed.timeZone),
      });
    return broken;
  });
}

function unknownTimeZone(name: string): string {
  return `${name} is no time zone that this machine knows; expected a name such as Europe/Berlin`;
}

function modelRules(config: Config): readonly BrokenRule[] {
  const accounts = Object.keys(config.providers);
  return Object.entries(config.models).flatMap(([alias, { candidates }]) =>
    candidates.flatMap((candidate, index) => {
      const path = ["models", alias, "candidates", index];
      const account = config.providers[candidate.provider];
      if (account === undefined) {
        return [
          {
            path: [...path, "provider"],
            reads: [["providers"]],
            message: `${candidate.provider} is not an account of providers: ${list(accounts)}`,
          },
        ];
      }
      if (
        account.prices !== null &&
        "perMillion" in account.prices &&
        !(candidate.model in account.prices.perMillion)
      ) {
        const message = `${candidate.model} has no price in providers.${candidate.provider}.prices.perMillion; a model without a price is never called`;
        return [{ path: [...path, "model"], reads: [["providers"]], message }];
      }
      return [];
    }),
  );
}

/** One level and one window: two limits on the same money would both have to be held. */
function budgetRules({ budgets, tenants }: Config): readonly BrokenRule[] {
  const keys = budgets.map(budgetKey);
  return budgets.flatMap((budget, index): BrokenRule[] => {
    const { level, window, timeZone } = budget;
    if (level.of !== "tenant") return [];
    const path = ["budgets", index, "tenant"];
    if (!(level.tenant in tenants))
      return [
        {
          path,
          reads: [["tenants"]],
          message: `${level.tenant} is not a tenant; known: ${list(Object.keys(tenants))}`,
        },
      ];
    if (!isTimeZone(timeZone))
      return [{ path: ["budgets", index, "timeZone"], reads: [], message: unknownTimeZone(timeZone) }];
    const first = keys.indexOf(budgetKey(budget));
    if (first === index) return [];
    const message = `${levelText(level).replace(/^tenant /, "")} has a budget (${PERIODS[window]}) in budgets[${String(first)}] already; keep one`;
    return [{ path, reads: [], message }];
  });
}

function retentionRules(config: Config): readonly BrokenRule[] {
  const { retention, topics, delivery } = config;
  const longest = Math.max(topics.deadLetters.retentionDays, ...topics.jobs.map((topic) => topic.retentionDays));
  const broken: BrokenRule[] = [];
  if (retention.jobIdDays < longest) {
    const message = `expected at least ${String(longest)}, as long as the jobs and dead-letter topics keep records, got ${String(retention.jobIdDays)}; a record sent again after that would be a new job and be paid again`;
    broken.push({ path: ["retention", "jobIdDays"], reads: [["topics"]], message });
  }
  if (retention.bodyDays * 86_400_000 < delivery.maxTtlMs) {
    const message = `expected at least delivery.maxTtlMs (${String(delivery.maxTtlMs)} ms), got ${String(retention.bodyDays)} days; a job may need its body until its deadline`;
    broken.push({ path: ["retention", "bodyDays"], reads: [["delivery", "maxTtlMs"]], message });
  }
  return broken;
}

function atMost(
  key: string,
  value: number,
  limitKey: string,
  limit: number,
  relation: string,
  subject = key,
  alsoReads: readonly string[] = [],
): readonly BrokenRule[] {
  if (value <= limit) return [];
  const words = relation === "" ? limitKey : `${relation} ${limitKey}`;
  const path = key.split(".");
  const reads = [path, ...[limitKey, ...alsoReads].map((text) => text.split("."))];
  return [
    {
      path,
      reads,
      message: `${subject} must be at most ${words} (${String(Math.floor(limit))}), got ${String(value)}`,
    },
  ];
}

function list(names: readonly string[]): string {
  if (names.length === 0) return "none";
  const shown = names.slice(0, 20).join(", ");
  return names.length > 20 ? `${shown} and ${String(names.length - 20)} more` : shown;
}
