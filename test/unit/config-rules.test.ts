import { describe, expect, test } from "@jest/globals";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parseConfig } from "../../src/config/parse.js";

const BASE = {
  environment: "environment: test",
  kafka: "kafka: { brokers: ['a:1'] }",
  postgres: "postgres: { url: 'postgres://h/d' }",
  auth: "auth: { tenantFrom: body }",
  tenants: "tenants: { acme: {}, shop: {} }",
  providers: "providers: { o: { kind: openai, apiKey: '${K}' } }",
};

const OWN_SERVER = "kind: openai-compatible, baseUrl: 'http://h', prices: { zero: true }";

/** Problems of the base config with some of its top-level keys said otherwise, as `path: message`. */
function problemsWith(changes: Readonly<Record<string, string>>): readonly string[] {
  const text = Object.values({
    ...BASE,
    ...Object.fromEntries(Object.entries(changes).map(([key, value]) => [key, `${key}: ${value}`])),
  }).join("\n");
  const noFiles = (): string => {
    throw new Error("no files here");
  };
  const outcome = parseConfig(text, { K: "key" }, noFiles, PROVIDER_KINDS);
  return outcome.ok ? [] : outcome.problems.map(({ path, message }) => `${path}: ${message}`);
}

describe("rules between keys", () => {
  test("the base config breaks none", () => {
    expect(problemsWith({})).toEqual([]);
  });

  const broken: Readonly<Record<string, readonly [changes: Readonly<Record<string, string>>, problem: string]>> = {
    "a heartbeat that leaves no room for lost ones": [
      { kafka: "{ brokers: ['a:1'], heartbeatMs: 2001 }" },
      "kafka.heartbeatMs: kafka.heartbeatMs must be at most a third of kafka.sessionTimeoutMs (2000), got 2001",
    ],
    "a partition's fetch above the whole fetch": [
      { kafka: "{ brokers: ['a:1'], fetchBytesMax: 65536 }" },
      "kafka.fetchBytesPerPartitionMax: ",
    ],
    "a beat that is too slow for the stop mark": [
      { postgres: "{ url: 'postgres://h/d', session: { beatMs: 4501 } }" },
      "postgres.session.beatMs: ",
    ],
    "a router that may still send when it is declared dead": [
      { postgres: "{ url: 'postgres://h/d', session: { stopAfterMs: 14900 } }" },
      "postgres.session.stopAfterMs: postgres.session.stopAfterMs and delivery.sendWithinMs together must be at most one less than postgres.session.deadAfterMs",
    ],
    "limits of an endpoint that the kind of account does not have": [
      {
        providers:
          "{ c: { kind: anthropic, apiKey: '${K}', limits: { endpoints: { embeddings: { requestsPerMinute: 5 } } } } }",
      },
      "providers.c.limits.endpoints.embeddings: an anthropic account has no endpoint for embeddings",
    ],
    "a default deadline beyond the longest": [
      { delivery: "{ maxTtlMs: 172800000, defaultTtlMs: 172800001 }" },
      "delivery.defaultTtlMs: ",
    ],
    "a first wait above the longest": [
      { delivery: "{ backoffBaseMs: 2000, backoffMaxMs: 1000 }" },
      "delivery.backoffBaseMs: ",
    ],
    "an allow-list of a tenant with an account of nobody": [
      { tenants: "{ acme: { providers: [o, p/gpt] } }" },
      "tenants.acme.providers[1]: p is not an account of providers: o",
    ],
    "a chain in which nothing counts": [
      { chains: "{ own: { cost: 0, latency: 0, reliability: 0 } }" },
      "chains.own: expected a weight above 0",
    ],
    "business hours on no planet": [
      { routing: "{ businessHours: { timeZone: Mars/Base, from: '08:00', to: '18:00' } }" },
      "routing.businessHours.timeZone: Mars/Base is no time zone; write one like Europe/Zurich or UTC",
    ],
    "hours without end": [
      { rules: "[{ name: r, match: { time: { timeZone: UTC, from: '08:00', to: '08:00' } }, forbid: [o] }]" },
      "rules[0].match.time.to: expected another time than from, 08:00",
    ],
    "two rules of one name": [
      { rules: "[{ name: r, forbid: [o] }, { name: r, force: [o] }]" },
      "rules[1].name: r is the name of rules[0] already",
    ],
    "a rule about a tenant of nobody": [
      { rules: "[{ name: r, match: { tenants: [nobody] }, forbid: [o] }]" },
      "rules[0].match.tenants[0]: nobody is not a tenant",
    ],
    "a rule about an account of nobody": [
      { rules: "[{ name: r, weight: { routes: [p], factor: 2 } }]" },
      "rules[0].weight.routes[0]: p is not an account of providers: o",
    ],
    "a rule with two effects": [
      { rules: "[{ name: r, forbid: [o], force: [o] }]" },
      "rules[0]: expected exactly one of force, forbid, weight",
    ],
    "a budget of nobody": [
      { budgets: "[{ tenant: shop, limitUsd: '1' }, { tenant: nobody, limitUsd: '1' }]" },
      "budgets[1].tenant: nobody is not a tenant; known: acme, shop",
    ],
    "two budgets on the same money": [
      {
        budgets:
          "[{ tenant: shop, limitUsd: '1' }, { tenant: acme, limitUsd: '1' }, { tenant: shop, limitUsd: '2', kind: soft }]",
      },
      "budgets[2].tenant: shop has a budget (in all) in budgets[0] already; keep one",
    ],
    "two budgets of one department in one window": [
      {
        budgets:
          "[{ tenant: shop, department: risk, limitUsd: '1', window: day }, { tenant: shop, limitUsd: '1', window: day }, { tenant: shop, department: risk, limitUsd: '2', window: day }]",
      },
      "budgets[2].tenant: shop, department risk has a budget (a day) in budgets[0] already; keep one",
    ],
    "a budget in a time zone that nobody knows": [
      { budgets: "[{ tenant: shop, limitUsd: '1', window: day, timeZone: Europe/Atlantis }]" },
      "budgets[0].timeZone: Europe/Atlantis is no time zone that this machine knows; expected a name such as Europe/Berlin",
    ],
    "a commitment in a time zone that nobody knows": [
      {
        providers:
          "{ o: { kind: openai, apiKey: '${K}', committed: { usdPerMonth: '100', timeZone: Europe/Atlantis } } }",
      },
      "providers.o.committed.timeZone: Europe/Atlantis is no time zone that this machine knows; expected a name such as Europe/Berlin",
    ],
    "one topic for two purposes": [
      { topics: "{ results: llm.costs.v1 }" },
      "topics.costs: llm.costs.v1 is already used by topics.results",
    ],
    "a jobs topic that is another's dead letters": [
      { topics: "{ jobs: [a, a.dlq] }" },
      "topics.jobs[1]: a.dlq is already used by the dead letters of topics.jobs[0]",
    ],
    "Avro without a registry": [
      { topics: "{ costs: { encoding: avro } }" },
      "topics.costs.encoding: avro needs registry.url",
    ],
    "a job's own word for its tenant in production": [
      { environment: "production" },
      "auth.tenantFrom: body believes whatever a job says of itself",
    ],
    "a jobs topic without a tenant": [
      { auth: "{ tenantFrom: topic }" },
      "auth.topicTenants: tenantFrom is topic, but llm.jobs.v1 has no tenant",
    ],
    "a topic of a tenant that is none": [
      { auth: "{ tenantFrom: topic, topicTenants: { llm.jobs.v1: nobody } }" },
      "auth.topicTenants.llm.jobs.v1: nobody is not a tenant; known: acme, shop",
    ],
    "a tenant's topic that is not read": [
      { auth: "{ tenantFrom: body, topicTenants: { other: acme } }" },
      "auth.topicTenants.other: other is not in topics.jobs: llm.jobs.v1",
    ],
    "a reply topic that is a jobs topic": [
      { tenants: "{ acme: { replyTopics: [llm.jobs.v1] } }" },
      "tenants.acme.replyTopics[0]: llm.jobs.v1 holds other records",
    ],
    "an openai-compatible account without a price": [
      { providers: "{ l: { kind: openai-compatible, baseUrl: 'http://h' } }" },
      "providers.l.prices: an openai-compatible account must say what it costs",
    ],
    "an openai-compatible account priced by the table": [
      { providers: "{ l: { kind: openai-compatible, baseUrl: 'http://h', prices: { factor: '0.5' } } }" },
      "providers.l.prices: an openai-compatible account must say what it costs",
    ],
    "an openai-compatible account without an address": [
      { providers: "{ l: { kind: openai-compatible, prices: { zero: true } } }" },
      "providers.l.baseUrl: missing",
    ],
    "a public provider without a key": [
      { providers: "{ o: { kind: anthropic } }" },
      "providers.o.apiKey: missing; anthropic wants a key",
    ],
    "a candidate of an account that is none": [
      { models: "{ m: { candidates: [{ provider: o, model: x }, { provider: p, model: x }] } }" },
      "models.m.candidates[1].provider: p is not an account of providers: o",
    ],
    "a candidate that the account has no price for": [
      {
        providers:
          "{ l: { kind: openai-compatible, baseUrl: 'http://h', prices: { perMillion: { a: { input: '1', output: '2' } } } } }",
        models: "{ m: { candidates: [{ provider: l, model: b }] } }",
      },
      "models.m.candidates[0].model: b has no price in providers.l.prices.perMillion",
    ],
    "a first poll after the last": [
      { batching: "{ pollMinMs: 2000, pollMaxMs: 1000 }" },
      "batching.pollMinMs: batching.pollMinMs must be at most batching.pollMaxMs (1000), got 2000",
    ],
    "a way to send lines to a provider that has no batch API": [
      { providers: `{ l: { ${OWN_SERVER}, batch: { way: file } } }` },
      "providers.l.batch.way: openai-compatible has no batch API here, and the lines of its batches are calls; leave it out",
    ],
    "more of its lines called at once than the account may have calls": [
      { providers: `{ l: { ${OWN_SERVER}, limits: { concurrency: 4 }, batch: { concurrency: 5 } } }` },
      "providers.l.batch.concurrency: expected at most limits.concurrency (4), got 5",
    ],
    "more lines in a group than one holds": [
      { providers: `{ l: { ${OWN_SERVER}, batch: { linesMax: 1001 } } }` },
      "providers.l.batch.linesMax: a batch of openai-compatible takes at most 1000, got 1001",
    ],
    "calls at once where the provider runs the lines": [
      { providers: "{ o: { kind: openai, apiKey: '${K}', batch: { concurrency: 4 } } }" },
      "providers.o.batch.concurrency: openai has a batch API, and runs the lines as it likes; leave it out. It is for kinds that have none: groq, openai-compatible",
    ],
    "a way that the provider does not offer": [
      { providers: "{ o: { kind: openai, apiKey: '${K}', batch: { way: inline } } }" },
      "providers.o.batch.way: openai takes batches only as file",
    ],
    "more lines than the provider takes": [
      { providers: "{ o: { kind: anthropic, apiKey: '${K}', batch: { linesMax: 100001 } } }" },
      "providers.o.batch.linesMax: anthropic takes at most 100000, got 100001",
    ],
    "more bytes than the way takes": [
      { providers: "{ o: { kind: gemini, apiKey: '${K}', batch: { way: inline, bytesMax: 20000000 } } }" },
      "providers.o.batch.bytesMax: gemini takes at most 19999999, got 20000000",
    ],
    "more open batches than the provider has room for": [
      { providers: "{ o: { kind: gemini, apiKey: '${K}', batch: { openBatchesMax: 101 } } }" },
      "providers.o.batch.openBatchesMax: gemini takes at most 100, got 101",
    ],
    "a create that may still arrive when it is made again": [
      { providers: "{ o: { kind: anthropic, apiKey: '${K}', inDoubt: { createGraceMs: 119999 }, batch: {} } }" },
      "providers.o.inDoubt.createGraceMs: expected at least batching.callTimeoutMs (120000), got 119999",
    ],
    "ids forgotten before their records": [
      { retention: "{ jobIdDays: 13 }" },
      "retention.jobIdDays: expected at least 14",
    ],
    "ids forgotten before one jobs topic's records": [
      { topics: "{ jobs: [a, { name: b, retentionDays: 30 }] }" },
      "retention.jobIdDays: expected at least 30",
    ],
    "bodies forgotten before the last deadline": [
      { retention: "{ bodyDays: 6 }" },
      "retention.bodyDays: expected at least delivery.maxTtlMs",
    ],
  };
  test.each(Object.entries(broken))("refuses %s", (_name, [changes, problem]) => {
    const found = problemsWith(changes);
    expect(found).toHaveLength(1);
    expect(found[0]?.slice(0, problem.length)).toBe(problem);
  });

  test("lets the lines of a server of one's own be called in groups", () => {
    const own = (batch: string) => problemsWith({ providers: `{ l: { ${OWN_SERVER}, batch: ${batch} } }` });
    expect([...own("{}"), ...own("{ concurrency: 32, linesMax: 1000, flushAfterMs: 0 }")]).toEqual([]);
  });

  test("names every jobs topic that lacks a tenant", () => {
    const found = problemsWith({
      auth: "{ tenantFrom: topic, topicTenants: { b: acme } }",
      topics: "{ jobs: [a, b, c] }",
    });
    expect(found.map((problem) => /but (\S+) has no tenant/.exec(problem)?.[1])).toEqual(["a", "c"]);
  });

  test("accepts production with a tenant for each topic", () => {
    expect(
      problemsWith({ environment: "production", auth: "{ tenantFrom: topic, topicTenants: { llm.jobs.v1: acme } }" }),
    ).toEqual([]);
  });

  test("says nothing of a rule whose other key is itself wrong", () => {
    const found = problemsWith({ kafka: "{ brokers: ['a:1'], heartbeatMs: 3000, sessionTimeoutMs: soon }" });
    expect(found.map((problem) => problem.split(":")[0])).toEqual(["kafka.sessionTimeoutMs"]);
  });
});
