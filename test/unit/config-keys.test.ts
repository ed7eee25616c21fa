/** Every key of the config has a reader, or the operator is told that it has none. A new key fails here until somebody says which. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { NOT_USED, unusedKeys } from "../../src/config/not-used.js";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { configJsonSchema } from "../../src/config/schema.js";
import type { SchemaNode } from "../support/schema-node.js";

/** Keys by the file that reads their value; `*` is a name of the operator's, `[]` an item of a list. */
const READ_IN: Readonly<Record<string, readonly string[]>> = {
  "src/adapters/kafka/topics.ts": [
    "kafka.brokers.[]",
    "kafka.clientId",
    "kafka.ssl",
    "kafka.sasl.mechanism",
    "kafka.sasl.username",
    "kafka.sasl.password",
    "kafka.connectionTimeoutMs",
    "kafka.requestTimeoutMs",
  ],
  "src/app/router-session.ts": [
    "redis.url",
    "redis.timeoutMs",
    "storage.journal.folder",
    "storage.journal.bytesMax",
    "kafka.groupId",
    "kafka.sessionTimeoutMs",
    "kafka.heartbeatMs",
    "kafka.maxWaitMs",
    "kafka.fetchBytesMax",
    "kafka.fetchBytesPerPartitionMax",
    "kafka.partitionsAtOnce",
    "kafka.sendTimeoutMs",
    "kafka.watchdogMs",
    "results.valueBytesMax",
    "shutdown.graceMs",
    "providers.*.limits.concurrency",
    "providers.*.batch.concurrency",
    "providers.*.callTimeoutMs",
    "providers.*.idleTimeoutMs",
    "providers.*.connectTimeoutMs",
    "providers.*.responseBytesMax",
    "providers.*.apiKey",
    "batching.resultLineBytesMax",
    "batching.stepsAtOnce",
    "batching.rescueLookMs",
    "batching.callPriorMs",
    "alerts.enabled",
  ],
  "src/pipeline/batch/batch-outlook.ts": [
    "batching.turnaroundPriorMs",
    "batching.turnaroundWindowMs",
    "batching.turnaroundsMax",
  ],
  "src/pipeline/batch/batch-stage.ts": ["batching.lookEveryMs", "batching.pollMinMs", "batching.pollMaxMs"],
  "src/pipeline/batch/batch-creation.ts": ["batching.transferTimeoutMs"],
  "src/pipeline/batch/batch-worker.ts": ["batching.groupSizeMax", "batching.callTimeoutMs"],
  "src/pipeline/batch/orphan-scan.ts": ["batching.scanForMs"],
  "src/pipeline/batch/line-planner.ts": ["providers.*.batch.way"],
  "src/pipeline/batch/batch-builder.ts": [
    "providers.*.batch.enqueuedTokensMax",
    "providers.*.batch.openBatchesMax",
    "providers.*.batch.flushAfterMs",
  ],
  "src/domain/batch/pack.ts": ["providers.*.batch.linesMax", "providers.*.batch.bytesMax"],
  "src/domain/batch/life-doubt.ts": ["providers.*.inDoubt.createGraceMs"],
  "src/domain/batch/life-results.ts": ["batching.eraseAfterMs"],
  "src/app/session/load-watch.ts": [
    "limits.pending.jobsMax",
    "limits.pending.bytesMax",
    "limits.pending.outboxRowsMax",
    "limits.pending.resumeAt",
  ],
  "src/app/session/stages.ts": [
    "limits.groups.sizeMax",
    "limits.groups.waitMs",
    "limits.groups.queuedMax",
    "limits.groups.queuedBytesMax",
    "limits.groups.slotWaitMs",
    "limits.groups.writesAtOnce",
    "delivery.unsentMax",
    "delivery.sendWithinMs",
    "delivery.sweepAfterMs",
    "delivery.undeliverableAfterMs",
    "providers.*.inDoubt.graceMs",
  ],
  "src/pipeline/relay/relay-stage.ts": ["limits.relay.recordsMax", "limits.relay.bytesMax"],
  "src/pipeline/relay/topic-queue.ts": [
    "limits.relay.recordsPerSend",
    "limits.relay.bytesPerSend",
    "limits.relay.costWaitMs",
    "limits.relay.refusedRecordsMax",
  ],
  "src/config/build-config.ts": [
    "batching.flushAfterMs",
    "providers.*.apiKey.[]",
    "providers.*.inDoubt.retryMaxUsd",
    "budgets.[].limitUsd",
    "alerts.spendMinUsd",
    "providers.*.dailySpendUsd",
    "providers.*.committed.usdPerMonth",
    "tenants.*.providers.[]",
    "rules.[].name",
    ...["tenants", "tiers", "models"].map((list) => `rules.[].match.${list}.[]`),
    ...["labels.*", "bytesMin", "bytesMax", "tokensMin", "tokensMax"].map((key) => `rules.[].match.${key}`),
    ...["force.[]", "forbid.[]", "weight.routes.[]", "weight.factor"].map((key) => `rules.[].${key}`),
    "routing.businessHours.latencyFactor",
    "routing.businessHours.offPeakCostFactor",
    "models.*.rescue",
    "models.*.rescueMaxUsd",
  ],
  "src/config/topic-list.ts": [
    "topics.jobs.[]",
    "topics.jobs.[].name",
    "topics.jobs.[].partitions",
    "topics.jobs.[].retentionDays",
    "topics.jobs.[].replication",
    ...["results", "costs", "events"].flatMap((topic) => [
      `topics.${topic}`,
      `topics.${topic}.name`,
      `topics.${topic}.partitions`,
      `topics.${topic}.retentionDays`,
      `topics.${topic}.replication`,
    ]),
    "topics.deadLetters.partitions",
    "topics.deadLetters.retentionDays",
    "topics.deadLetters.replication",
    "tenants.*.replyTopics.[]",
  ],
  "src/domain/limit/limits.ts": ["requestsPerMinute", "tokensPerMinute", "requestsPerDay", "tokensPerDay"].flatMap(
    (limit) =>
      [
        "",
        "models.*.",
        "endpoints.chat.",
        "endpoints.embeddings.",
        "tiers.premium.",
        "tiers.standard.",
        "tiers.free.",
      ].map((part) => `providers.*.limits.${part}${limit}`),
  ),
  "src/app/open-encoders.ts": ["topics.results.encoding", "topics.costs.encoding", "topics.events.encoding"],
  "src/app/run-router.ts": [
    "kafka.inflatedBytesMax",
    "registry.url",
    "registry.username",
    "registry.password",
    "registry.timeoutMs",
    "registry.negativeCacheMs",
    "http.host",
    "http.port",
  ],
  "src/adapters/postgres/connection.ts": [
    "postgres.url",
    "postgres.connectionsMax",
    "postgres.connectionTimeoutMs",
    "postgres.statementTimeoutMs",
  ],
  "src/pipeline/session/session-keeper.ts": [
    "postgres.session.beatMs",
    "postgres.session.stopAfterMs",
    "postgres.session.deadAfterMs",
  ],
  "src/app/build-domain.ts": [
    "environment",
    "providers.*.committed.timeZone",
    "storage.compressAboveBytes",
    "limits.groups.waitersMax",
    "auth.tenantFrom",
    "auth.topicTenants.*",
    "tenants.*.weight",
    "dedupe.enabled",
    "cache.enabled",
    "cache.maxAgeMs",
    "headers.copiedMax",
    "headers.copiedBytesMax",
    "prices.file",
    "providers.*.prices.file",
    "providers.*.kind",
    "providers.*.baseUrl",
    "providers.*.regions.[]",
    "providers.*.capabilities.[]",
    "providers.*.maxOutputTokensDefault",
    "models.*.maxOutputTokensDefault",
    "models.*.candidates.[].provider",
    "models.*.candidates.[].model",
  ],
  "src/domain/budget/budget.ts": ["budgets.[].kind"],
  "src/domain/budget/budget-levels.ts": [
    "budgets.[].tenant",
    "budgets.[].department",
    "budgets.[].application",
    "budgets.[].window",
    "budgets.[].timeZone",
  ],
  "src/app/build-routing.ts": ["models.*.order", "routing.latencyBudgetMs"],
  "src/domain/route/week-hours.ts": ["routing.businessHours", "rules.[].match.time"].flatMap((hours) =>
    ["timeZone", "days.[]", "from", "to"].map((key) => `${hours}.${key}`),
  ),
  "src/domain/route/score-weights.ts": ["chains.*", "routing.tiers.premium", "routing.tiers.free"].flatMap((weights) =>
    ["cost", "latency", "reliability"].map((key) => `${weights}.${key}`),
  ),
  "src/domain/job/build-job.ts": ["tenants.*.tier"],
  "src/domain/job/admit.ts": [
    "limits.intake.valueBytesMax",
    "limits.intake.depthMax",
    "limits.intake.headerCountMax",
    "limits.intake.headerBytesMax",
  ],
  "src/domain/job/deadline.ts": ["delivery.defaultTtlMs", "delivery.defaultTtlBatchMs", "delivery.maxTtlMs"],
  "src/domain/route/next-attempt.ts": [
    "delivery.attemptsMax",
    "delivery.backoffBaseMs",
    "delivery.backoffMaxMs",
    "delivery.retryAfterMaxMs",
    "delivery.onContentRefused",
  ],
  "src/pipeline/dispatch/dispatch-stage.ts": [
    "delivery.claimSizeMax",
    "delivery.idlePollMs",
    "providers.*.inDoubt.policy",
  ],
  "src/domain/health/breaker.ts": [
    "health.degradedAfter",
    "health.openAfter",
    "health.failureRate",
    "health.rateCallsMin",
    "health.cooldownMs",
    "health.accountCooldownMs",
    "health.cooldownMaxMs",
    "health.rampMs",
  ],
  "src/pipeline/dispatch/route-health.ts": ["health.rateWindowMs"],
  "src/pipeline/dispatch/health-watch.ts": ["health.lookEveryMs"],
  "src/domain/cost/account-price.ts": [
    "providers.*.prices.zero",
    "providers.*.prices.factor",
    ...["input", "output", "cachedInput", "cacheWrite", "cacheWrite1h"].flatMap((price) => [
      `providers.*.prices.perMillion.*.${price}`,
      `providers.*.prices.perMillion.*.batch.${price}`,
    ]),
  ],
  "src/pipeline/alert/alert-stage.ts": ["alerts.everyMs"],
  "src/domain/alert/judge.ts": ["alerts.windowMs"],
  "src/domain/alert/standing.ts": ["alerts.raiseAfterMs", "alerts.clearAfterMs", "alerts.againAfterMs"],
  "src/domain/alert/rules.ts": [
    "alerts.errorRate",
    "alerts.errorCallsMin",
    "alerts.downCallsMin",
    "alerts.latencyP95Ms",
    "alerts.standstillMs",
    "alerts.deadlinesMax",
    "alerts.inDoubtMax",
    "alerts.deadLettersPerMinute",
    "alerts.batchMedians",
    "alerts.spendFactor",
    "alerts.rateLimitUse",
  ],
  "src/domain/alert/notice.ts": [
    "alerts.webhook.triesMax",
    "alerts.webhook.giveUpAfterMs",
    "alerts.webhook.backoffBaseMs",
    "alerts.webhook.backoffMaxMs",
  ],
  "src/adapters/webhook/signed-webhook.ts": ["alerts.webhook.url", "alerts.webhook.secret", "alerts.webhook.timeoutMs"],
  "src/adapters/json-schema/check-schema.ts": [
    "limits.answerSchemas.bytesMax",
    "limits.answerSchemas.rememberedMax",
    "limits.answerSchemas.checkMs",
  ],
};

/** Paths of the schema's values that are neither section nor list nor map. */
function leaves(node: SchemaNode, path: readonly string[] = []): readonly string[] {
  const named = Object.entries(node.properties ?? {}).flatMap(([key, child]) => leaves(child, [...path, key]));
  const any = typeof node.additionalProperties === "object" ? leaves(node.additionalProperties, [...path, "*"]) : [];
  const items = node.items === undefined ? [] : leaves(node.items, [...path, "[]"]);
  const options = (node.anyOf ?? []).flatMap((option) => leaves(option, path));
  const below = [...named, ...any, ...items, ...options];
  return below.length === 0 ? [path.join(".")] : below;
}

const KEYS = [...new Set(leaves(configJsonSchema(PROVIDER_KINDS)))];
const UNUSED = NOT_USED.map(({ path }) => path.join("."));
const lastWord = (key: string): string => key.split(".").findLast((part) => part !== "*" && part !== "[]") ?? "";

/** The file's code without its comments and declarations of members: a name that is only declared is not read. */
function codeOf(file: string): string {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => !/^\s*(readonly |\*|\/\*|\/\/)/.test(line))
    .join("\n");
}

test("the schema has these keys and no others, each once in the table or the list of those without effect", () => {
  const listed = [...Object.values(READ_IN).flat(), ...UNUSED];
  expect(KEYS.length).toBeGreaterThan(90);
  expect([...listed].sort()).toEqual([...KEYS].sort());
});

describe.each(Object.entries(READ_IN))("%s", (file, keys) => {
  test.each(keys)("reads %s", (key) => {
    expect(codeOf(file)).toMatch(new RegExp(`\\b${lastWord(key)}\\b`));
  });
});

test("keys without effect are read nowhere", () => {
  const folders = ["adapters", "app", "cli", "domain", "pipeline", "ports"].map((folder) => join("src", folder));
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(folder, name)),
  );
  const code = files.map(codeOf).join("\n");
  const reads = UNUSED.filter((key) => {
    const [section, last] = [key.slice(0, key.lastIndexOf(".")).replace(".", "\\."), lastWord(key)];
    const taken = new RegExp(
      `config\\.${section}\\.${last}\\b|\\{[^{}]*\\b${last}\\b[^{}]*\\} = [\\w.#]*config\\.${section};`,
    );
    return taken.test(code);
  });
  expect(reads).toEqual([]); // one that is read now belongs into the table above, and out of src/config/not-used.ts
});

describe("what config check says of keys without effect", () => {
  test("names each that stands in the file, with its place", () => {
    const text = "environment: test\nretention:\n  jobIdDays: 7\n  bodyDays: 7\n";
    expect(unusedKeys(text)).toEqual([
      { path: "retention.jobIdDays", line: 3, column: 3, message: expect.stringMatching(/^not used yet: the ledger/) },
      { path: "retention.bodyDays", line: 4, column: 3, message: expect.stringMatching(/^not used yet: the ledger/) },
    ]);
  });

  test("says nothing of the example", () => {
    const example = readFileSync("src/config/example.yaml", "utf8");
    expect(Object.keys(parse(example) as object)).toContain("kafka");
    expect(unusedKeys(example)).toEqual([]);
  });
});
