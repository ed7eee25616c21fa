import { describe, expect, test } from "@jest/globals";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parseConfig } from "../../src/config/parse.js";

/** The least that a config must hold, one key a line, so that line numbers in the cases can be read off. */
const LEAST = [
  "environment: test",
  "kafka: { brokers: ['127.0.0.1:9092'] }",
  "postgres: { url: 'postgres://127.0.0.1/sluice' }",
  "auth: { tenantFrom: body }",
  "tenants: { acme: {} }",
  "providers: {}",
];

const noFiles = (path: string): string => {
  throw Object.assign(new Error(`no such file ${path}`), { code: "ENOENT" });
};

interface Case {
  /** Lines after the least config; or, beginning with `key:` of a line of it, instead of that line. */
  readonly lines: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  /** `line:column path: message`, the message shortened at `…`. */
  readonly problems: readonly string[];
}

function textOf(lines: readonly string[]): string {
  const replaced = new Set(lines.map((line) => line.split(":")[0]));
  return [...LEAST.filter((line) => !replaced.has(line.split(":")[0])), ...lines].join("\n");
}

function parse(text: string, env: Readonly<Record<string, string>> = {}, files: Readonly<Record<string, string>> = {}) {
  return parseConfig(text, env, (path) => files[path] ?? noFiles(path), PROVIDER_KINDS);
}

function check({ lines, env, files, problems }: Case): void {
  const outcome = parse(textOf(lines), env, files);
  const found = outcome.ok
    ? []
    : outcome.problems.map(
        (problem) => `${String(problem.line)}:${String(problem.column)} ${problem.path}: ${problem.message}`,
      );
  expect(found).toHaveLength(problems.length);
  problems.forEach((problem, index) => {
    const [start = ""] = problem.split("…");
    expect(found[index]?.slice(0, start.length)).toBe(start);
  });
}

function configOf(
  lines: readonly string[],
  env: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
) {
  const outcome = parse(textOf(lines), env, files);
  if (!outcome.ok) throw new Error(outcome.problems.map(({ message }) => message).join("\n"));
  return outcome.config;
}

describe("a config that is right", () => {
  test("gets the contract's topics, partitions and retentions when it names none", () => {
    const { topics } = configOf([]);
    expect(topics.jobs).toEqual([
      { name: "llm.jobs.v1", deadLetterTopic: "llm.jobs.v1.dlq", partitions: 12, retentionDays: 7, replication: null },
    ]);
    expect(topics.results).toEqual({
      name: "llm.results.v1",
      encoding: "json",
      partitions: 12,
      retentionDays: 14,
      replication: null,
    });
    expect(topics.costs).toEqual({
      name: "llm.costs.v1",
      encoding: "json",
      partitions: 6,
      retentionDays: 400,
      replication: null,
    });
    expect(topics.events).toEqual({
      name: "llm.events.v1",
      encoding: "json",
      partitions: 6,
      retentionDays: 7,
      replication: null,
    });
    expect(topics.deadLetters).toEqual({ partitions: 3, retentionDays: 14, replication: null });
  });

  test("gives a topic written as a section the same defaults as one written as a name", () => {
    const { topics } = configOf(["topics: { jobs: [a, { name: b, partitions: 2 }], results: { name: r }, costs: c }"]);
    expect(topics.jobs.map(({ name, partitions, retentionDays }) => [name, partitions, retentionDays])).toEqual([
      ["a", 12, 7],
      ["b", 2, 7],
    ]);
    expect([topics.results.partitions, topics.results.retentionDays, topics.results.encoding]).toEqual([
      12,
      14,
      "json",
    ]);
    expect([topics.costs.name, topics.costs.partitions, topics.costs.retentionDays]).toEqual(["c", 6, 400]);
  });

  test("gets the timings of the design", () => {
    const config = configOf([]);
    expect([config.kafka.sessionTimeoutMs, config.kafka.heartbeatMs, config.kafka.maxWaitMs]).toEqual([
      6000, 1500, 200,
    ]);
    expect(config.postgres.session).toEqual({ beatMs: 3000, stopAfterMs: 9000, deadAfterMs: 15_000 });
    expect(config.postgres.connectionsMax).toBe(8);
    expect([config.delivery.defaultTtlMs, config.delivery.defaultTtlBatchMs, config.delivery.maxTtlMs]).toEqual([
      86_400_000, 172_800_000, 604_800_000,
    ]);
    expect([config.delivery.attemptsMax, config.delivery.backoffBaseMs, config.delivery.backoffMaxMs]).toEqual([
      5, 500, 60_000,
    ]);
    expect(config.limits.pending).toEqual({
      jobsMax: 200_000,
      bytesMax: 1_073_741_824,
      outboxRowsMax: 100_000,
      resumeAt: 0.8,
    });
    expect([config.retention.jobIdDays, config.retention.bodyDays, config.shutdown.graceMs]).toEqual([14, 7, 60_000]);
  });

  test("names groups and clients after the environment", () => {
    const { kafka } = configOf(["environment: staging"]);
    expect([kafka.clientId, kafka.groupId]).toEqual(["sluice-staging-router", "sluice-staging-intake"]);
  });

  test("takes several brokers out of one value and each once", () => {
    const config = configOf(["kafka: { brokers: ['${KAFKA_BROKERS}', 'c:3'] }"], { KAFKA_BROKERS: "a:1,b:2,c:3" });
    expect(config.kafka.brokers).toEqual(["a:1", "b:2", "c:3"]);
  });

  test("turns dollars into nano-dollars exactly", () => {
    const { providers } = configOf(
      ["providers: { o: { kind: openai, apiKey: '${K}', inDoubt: { retryMaxUsd: '0.000000001' } } }"],
      { K: "key" },
    );
    expect(providers["o"]?.inDoubt).toEqual({
      policy: "retry",
      retryMaxNanoUsd: 1n,
      graceMs: 30_000,
      createGraceMs: 600_000,
    });
  });

  test("has no batches for an account that says nothing of them", () => {
    const { providers, batching } = configOf(["providers: { o: { kind: openai, apiKey: '${K}' } }"], { K: "key" });
    expect(providers["o"]?.batch).toBeNull();
    expect([batching.turnaroundPriorMs, batching.pollMinMs, batching.pollMaxMs]).toEqual([43_200_000, 10_000, 300_000]);
    expect([batching.eraseAfterMs, batching.scanForMs]).toEqual([86_400_000, 172_800_000]);
  });

  test("switches an account's batches on by an empty section, with the common age and the provider's limits", () => {
    const { providers } = configOf(
      [
        "providers: { o: { kind: openai, apiKey: '${K}', batch: {} }, a: { kind: anthropic, apiKey: '${K}', batch: { flushAfterMs: 0, linesMax: 50, openBatchesMax: 3 } } }",
        "batching: { flushAfterMs: 7000 }",
      ],
      { K: "key" },
    );
    const unlimited = { way: null, linesMax: null, bytesMax: null, enqueuedTokensMax: null, concurrency: null };
    expect(providers["o"]?.batch).toEqual({ ...unlimited, openBatchesMax: 20, flushAfterMs: 7000 });
    expect(providers["a"]?.batch).toEqual({ ...unlimited, linesMax: 50, openBatchesMax: 3, flushAfterMs: 0 });
  });

  test("knows limits by endpoint and tier, of which those that are left out are none", () => {
    const none = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
    const limitsOf = (limits: string) =>
      configOf([`providers: { o: { kind: openai, apiKey: '\${K}', limits: ${limits} } }`], { K: "key" }).providers["o"]
        ?.limits;
    const limits = limitsOf(
      "{ endpoints: { embeddings: { tokensPerMinute: 7 } }, tiers: { free: { requestsPerDay: 5 } } }",
    );
    expect(limits).toMatchObject({ ...none, endpoints: {}, tiers: {} });
    expect({ ...limits?.endpoints }).toEqual({ embeddings: { ...none, tokensPerMinute: 7 } });
    expect({ ...limits?.tiers }).toEqual({ free: { ...none, requestsPerDay: 5 } });
    expect([{ ...limitsOf("{}")?.endpoints }, { ...limitsOf("{}")?.tiers }]).toEqual([{}, {}]);
  });

  test("takes the first key of a list and no slash at the end of an address", () => {
    const config = configOf(
      ["providers: { o: { kind: openai, baseUrl: 'http://h/v1//', apiKey: ['${NEW}', '${OLD}'] } }"],
      { NEW: "n", OLD: "o" },
    );
    expect([config.providers["o"]?.apiKey, config.providers["o"]?.baseUrl]).toEqual(["n", "http://h/v1"]);
  });

  test("cuts the idle limit of a call down to the call's own", () => {
    const config = configOf(["providers: { o: { kind: openai, apiKey: '${K}', callTimeoutMs: 2000 } }"], { K: "key" });
    expect([
      config.providers["o"]?.callTimeoutMs,
      config.providers["o"]?.idleTimeoutMs,
      config.providers["o"]?.connectTimeoutMs,
    ]).toEqual([2000, 2000, 2000]);
  });

  test("is frozen in its depth", () => {
    const config = configOf(["providers: { o: { kind: openai, apiKey: '${K}' } }"], { K: "key" });
    const parts = [
      config,
      config.kafka,
      config.kafka.brokers,
      config.topics.jobs[0],
      config.tenants,
      config.providers["o"],
      config.providers["o"]?.inDoubt,
    ];
    expect(parts.map((part) => Object.isFrozen(part))).toEqual(parts.map(() => true));
  });

  test("finds no tenant, account or model under the names of a prototype", () => {
    const { tenants, providers, models, auth } = configOf([]);
    const found = ["constructor", "__proto__", "toString"].filter((name) =>
      [tenants, providers, models, auth.topicTenants].some((map) => name in map),
    );
    expect(found).toEqual([]);
  });
});

describe("a config that is wrong says where and what", () => {
  const cases: Readonly<Record<string, Case>> = {
    "a missing key": { lines: ["kafka: {}"], problems: ["6:1 kafka.brokers: missing; expected a list of brokers"] },
    "a key one letter off": {
      lines: ["kafka: { brokers: ['a:1'], sesionTimeoutMs: 5 }"],
      problems: ["6:28 kafka.sesionTimeoutMs: unknown key; did you mean sessionTimeoutMs?"],
    },
    "a key in another style": {
      lines: ["shutdown: { grace_ms: 5 }"],
      problems: ["7:13 shutdown.grace_ms: unknown key; did you mean graceMs?"],
    },
    "an unknown key at the top": { lines: ["kafak: {}"], problems: ["7:1 kafak: unknown key; did you mean kafka?"] },
    "an unknown key that is near to none": {
      lines: ["http: { colour: red }"],
      problems: ["7:9 http.colour: unknown key; known here: host, port"],
    },
    "an unknown key inside a list": {
      lines: ["topics: { jobs: [{ name: j, partitons: 3 }] }"],
      problems: ["7:29 topics.jobs[0].partitons: unknown key; did you mean partitions?"],
    },
    "a number out of bounds": {
      lines: ["http: { port: 70000 }"],
      problems: ["7:15 http.port: expected a whole number from 0 to 65535, got 70000"],
    },
    "a number with a fraction": {
      lines: ["delivery: { attemptsMax: 2.5 }"],
      problems: ["7:26 delivery.attemptsMax: expected a whole number from 1 to 100, got 2.5"],
    },
    "text instead of a number": {
      lines: ["delivery: { attemptsMax: many }"],
      problems: ['7:26 delivery.attemptsMax: expected a whole number from 1 to 100, got "many"'],
    },
    "nothing instead of a section": {
      lines: ["delivery:"],
      problems: ["7:10 delivery: expected a section with keys, got nothing"],
    },
    "a list instead of a section": {
      lines: ["delivery: []"],
      problems: ["7:11 delivery: expected a section with keys, got a list"],
    },
    "a number instead of money": {
      lines: ["providers: { o: { kind: openai, apiKey: '${K}', inDoubt: { retryMaxUsd: 0.05 } } }"],
      env: { K: "k" },
      problems: ["6:73 providers.o.inDoubt.retryMaxUsd: expected an amount in US dollars as quoted decimal text"],
    },
    "money finer than a nano-dollar": {
      lines: ["providers: { o: { kind: openai, apiKey: '${K}', inDoubt: { retryMaxUsd: '0.0000000001' } } }"],
      env: { K: "k" },
      problems: ["6:73 providers.o.inDoubt.retryMaxUsd: expected an amount in US dollars as quoted decimal text"],
    },
    "a word that is not in the list": {
      lines: ["tenants: { acme: { tier: premum } }"],
      problems: [
        '6:26 tenants.acme.tier: expected one of free, standard, premium, got "premum"; did you mean premium?',
      ],
    },
    "a name that can't be one": {
      lines: ["tenants: { 'a b': {} }"],
      problems: ["6:12 tenants.a b: expected a name of 1 to 63 letters"],
    },
    "a topic name that can't be one": {
      lines: ["topics: { jobs: ['a/b'] }"],
      problems: ["7:18 topics.jobs[0]: expected a topic name of 1 to 240"],
    },
    "two ways of pricing at once": {
      lines: [
        "providers: { l: { kind: openai-compatible, baseUrl: 'http://h', prices: { zero: true, factor: '0.5' } } }",
      ],
      problems: ["6:73 providers.l.prices: expected exactly one of zero, factor, perMillion"],
    },
    "a key given twice": {
      lines: ["http: { port: 1, port: 2 }"],
      problems: ["7:18 : not valid YAML: Map keys must be unique"],
    },
    "a key of the contract that is not built": {
      lines: ["telemetry: {}"],
      problems: ["7:1 telemetry: not built yet; leave it out"],
    },
    "a nested key that is not built": {
      lines: [
        "models: { m: { candidates: [{ provider: o, model: x, weight: 2 }] } }",
        "providers: { o: { kind: openai, apiKey: '${K}' } }",
      ],
      env: { K: "k" },
      problems: ["6:54 models.m.candidates[0].weight: not built yet; leave it out"],
    },
    "a word that is not built": {
      lines: ["auth: { tenantFrom: signature }"],
      problems: ["6:9 auth.tenantFrom: signature is not built yet; leave it out"],
    },
    "a provider kind that is not built": {
      lines: ["providers: { g: { kind: vertex } }"],
      problems: ["6:19 providers.g.kind: vertex is not built yet; leave it out"],
    },
    "a topic name with a place for the tenant": {
      lines: ["topics: { results: 'r.{tenant}' }"],
      problems: ["7:11 topics.results: {tenant} in topic names is not built yet; name each topic"],
    },
  };
  test.each(Object.entries(cases))("%s", (_name, wrong) => {
    check(wrong);
  });

  test("all of its problems at once, in the order of the file, rules between keys included", () => {
    check({
      lines: [
        "environment: Prod",
        "telemetry: {}",
        "http: { port: -1 }",
        "retention: { jobIdDays: 3 }",
        "models: { m: { candidates: [{ provider: nobody, model: x }] } }",
        "shutdwn: {}",
      ],
      problems: [
        '6:14 environment: expected 1 to 32 lower-case letters, digits and hyphens, got "Prod"',
        "7:1 telemetry: not built yet",
        "8:15 http.port: expected a whole number",
        "9:25 retention.jobIdDays: expected at least 14",
        "10:41 models.m.candidates[0].provider: nobody is not an account of providers: none",
        "11:1 shutdwn: unknown key; did you mean shutdown?",
      ],
    });
  });

  test("each top-level key of the contract that is not built, by name", () => {
    const names = ["compression", "rollout", "events", "telemetry"];
    check({
      lines: names.map((name) => `${name}: {}`),
      problems: names.map((name, index) => `${String(index + 7)}:1 ${name}: not built yet; leave it out`),
    });
  });

  test.each([
    ["nothing", "", "1:1 expected a YAML map"],
    ["a list", "- a", "1:1 expected a YAML map"],
    ["broken YAML", "a: [1\nb: 2", "2:1 not valid YAML"],
    ["two documents", "a: 1\n---\nb: 1", "2:1 not valid YAML"],
    ["more than a megabyte", `a: ${"x".repeat(1_048_577)}`, "1:1 expected at most 1048576 characters"],
  ])("a file that holds %s", (_name, text, expected) => {
    const outcome = parse(text);
    expect(outcome.ok).toBe(false);
    const first = outcome.ok ? undefined : outcome.problems[0];
    expect(`${String(first?.line)}:${String(first?.column)} ${first?.message ?? ""}`).toContain(expected);
  });

  test("two hundred of its problems when it is no YAML at all: the list ends", () => {
    const reading = parse("[".repeat(1_000));
    if (reading.ok) throw new Error("expected problems");
    expect(reading.problems).toHaveLength(200);
    expect(reading.problems[0]?.message).toContain("not valid YAML");
  });

  test("aliases that would blow up to gigabytes", () => {
    const levels = Array.from(
      { length: 12 },
      (_, level) => `l${String(level + 1)}: &l${String(level + 1)} [${`*l${String(level)},`.repeat(10)}]`,
    );
    const outcome = parse([`l0: &l0 [x]`, ...levels].join("\n"));
    expect(outcome.ok ? [] : outcome.problems.map(({ message }) => message)).toEqual([
      expect.stringContaining("aliases repeat too much of the file"),
    ]);
  });

  test.each(["c: &a [b, *a]", "c: &a { b: { d: *a } }"])("an alias within its own anchor: %s", (text) => {
    const outcome = parse([text, ...LEAST].join("\n"));
    expect(outcome.ok ? [] : outcome.problems.map(({ message }) => message)).toEqual([
      expect.stringContaining("an alias stands within what it names"),
    ]);
  });

  test("through an alias, where the alias leads", () => {
    const outcome = parse(
      [...LEAST.slice(0, 4), "tenants:", "  a: &common { tier: gold }", "  b: *common", "providers: {}"].join("\n"),
    );
    const found = outcome.ok
      ? []
      : outcome.problems.map((problem) => `${String(problem.line)}:${String(problem.column)} ${problem.path}`);
    expect(found).toEqual(["6:22 tenants.a.tier", "6:22 tenants.b.tier"]);
  });
});

describe("values from outside", () => {
  test("come from the environment, else from the file that NAME_FILE names", () => {
    const lines = ["providers: { o: { kind: openai, apiKey: '${K}' }, p: { kind: openai, apiKey: '${L}' } }"];
    const config = configOf(
      lines,
      { K: "from-environment", K_FILE: "/run/secrets/other", L_FILE: "/run/secrets/l" },
      { "/run/secrets/l": "from-file\n" },
    );
    expect([config.providers["o"]?.apiKey, config.providers["p"]?.apiKey]).toEqual(["from-environment", "from-file"]);
  });

  test("come from a mounted file", () => {
    const config = configOf(
      ["providers: { o: { kind: openai, apiKey: '${file:/run/secrets/o}' } }"],
      {},
      { "/run/secrets/o": "key" },
    );
    expect(config.providers["o"]?.apiKey).toBe("key");
  });

  test("are not looked into for further references", () => {
    const config = configOf(["providers: { o: { kind: openai, apiKey: '${K}' } }"], { K: "${L}", L: "no" });
    expect(config.providers["o"]?.apiKey).toBe("${L}");
  });

  const key = (reference: string): readonly string[] => [`providers: { o: { kind: openai, apiKey: '${reference}' } }`];
  const cases: Readonly<Record<string, Case>> = {
    "a variable that is not set": {
      lines: key("${K}"),
      problems: ["6:41 providers.o.apiKey: the environment variable K is not set; set it, or K_FILE"],
    },
    "a variable that is empty": {
      lines: key("${K}"),
      env: { K: "" },
      problems: ["6:41 providers.o.apiKey: the environment variable K is empty"],
    },
    "a file that is not there": {
      lines: key("${file:/run/secrets/k}"),
      problems: ["6:41 providers.o.apiKey: can't read /run/secrets/k (ENOENT)"],
    },
    "a file that is empty": {
      lines: key("${file:/s/k}"),
      files: { "/s/k": "\n" },
      problems: ["6:41 providers.o.apiKey: expected /s/k to hold 1 to"],
    },
    "a path that is not absolute": {
      lines: key("${file:k}"),
      problems: ["6:41 providers.o.apiKey: expected an absolute path"],
    },
    "a path that climbs": {
      lines: key("${file:/run/../etc/k}"),
      problems: ["6:41 providers.o.apiKey: expected an absolute path"],
    },
    "a reference that can't be one": {
      lines: key("${a b}"),
      problems: ["6:41 providers.o.apiKey: expected ${NAME} or"],
    },
  };
  test.each(Object.entries(cases))("%s is a problem with its place", (_name, wrong) => {
    check(wrong);
  });

  test("don't appear in problems", () => {
    const outcome = parse(textOf(["kafka: { brokers: ['${B}'] }", "environment: '${E}'"]), {
      B: "secret-broker",
      E: "Secret Environment",
    });
    const messages = outcome.ok ? [] : outcome.problems.map(({ message }) => message);
    expect(messages).toHaveLength(2);
    expect(messages.join("\n")).not.toMatch(/secret/i);
  });
});
