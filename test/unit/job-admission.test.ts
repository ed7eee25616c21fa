import { describe, expect, test } from "@jest/globals";
import { createAdmission } from "../../src/domain/job/admit.js";
import { derivedJobId } from "../../src/domain/job/ids.js";
import {
  BODY,
  DAY_MS,
  HOUR_MS,
  NOW_MS,
  SENT_AT_MS,
  header,
  jobIn,
  record,
  refusalIn,
  settings,
} from "./job-admission-fixture.js";

const admission = createAdmission(settings());
const job = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  jobId: "order-17",
  body: BODY,
  ...changes,
});
const admitted = (changes: Record<string, unknown> = {}): ReturnType<typeof jobIn> =>
  jobIn(admission.admit(record(job(changes)), NOW_MS));
const refused = (changes: Record<string, unknown> = {}): ReturnType<typeof refusalIn> =>
  refusalIn(admission.admit(record(job(changes)), NOW_MS));

describe("a job", () => {
  test("has every default filled in", () => {
    expect(admitted()).toMatchObject({
      record: { topic: "llm.jobs.v1", partition: 3, offset: 17 },
      tenant: "acme",
      jobId: "order-17",
      format: "openai.chat",
      bodyText: JSON.stringify(BODY),
      mode: "auto",
      submittedAtMs: SENT_AT_MS,
      deadlineMs: SENT_AT_MS + DAY_MS,
      priority: 5,
      tier: "standard",
      labels: {},
      requirements: {
        capabilities: [],
        providers: null,
        selfHostedOnly: false,
        regions: null,
        maxCostNanoUsd: null,
        maxLatencyMs: null,
      },
      policy: {
        model: "cheap",
        chain: "standard",
        providers: null,
        capabilities: [],
        selfHostedOnly: false,
        regions: null,
        expect: { jsonSchema: false, notEmpty: true, complete: false },
        onDoubt: null,
      },
      dedupe: true,
      cacheRead: true,
      cacheWrite: true,
      cacheMaxAgeMs: null,
      explain: false,
      reply: { topic: "llm.results.v1", partition: null, key: "aw==", headers: [] },
    });
  });
  test("keeps what it says itself", () => {
    const full = admitted({
      tenant: "acme",
      format: "anthropic.messages",
      mode: "batch",
      priority: 9,
      tier: "free",
      replyTo: "etl.answers",
      labels: { department: "risk" },
      require: {
        capabilities: ["vision", "tools", "vision"],
        providers: ["b", "a"],
        selfHostedOnly: true,
        regions: ["eu"],
        maxCostUsd: "0.02",
        maxLatencyMs: 2000,
      },
      chain: "fast",
      sample: "3",
      cache: { read: false, write: true, maxAgeMs: 5, semantic: false },
      expect: { jsonSchema: true, notEmpty: false, complete: true },
      onDoubt: "fail",
      explain: true,
    });
    expect(full).toMatchObject({
      format: "anthropic.messages",
      mode: "batch",
      deadlineMs: SENT_AT_MS + 2 * DAY_MS,
      priority: 9,
      tier: "free",
      labels: { department: "risk" },
      requirements: {
        capabilities: ["tools", "vision"],
        providers: ["a", "b"],
        selfHostedOnly: true,
        regions: ["eu"],
        maxCostNanoUsd: 20_000_000n,
        maxLatencyMs: 2000,
      },
      policy: { chain: "fast", expect: { jsonSchema: true, notEmpty: false, complete: true }, onDoubt: "fail" },
      cacheRead: false,
      cacheWrite: true,
      cacheMaxAgeMs: 5,
      explain: true,
      reply: { topic: "etl.answers" },
    });
  });
  test("takes null for absent", () => {
    const nulls = Object.fromEntries(
      [
        "tenant",
        "format",
        "bodyRef",
        "mode",
        "deadline",
        "ttlMs",
        "priority",
        "tier",
        "replyTo",
        "labels",
        "require",
        "chain",
        "dedupe",
        "sample",
        "cache",
        "expect",
        "onDoubt",
        "explain",
      ].map((name) => [name, null]),
    );
    expect(admitted(nulls)).toEqual(admitted());
  });
  test("without an id gets one from its place, the same at each delivery", () => {
    const sent = record({ body: BODY });
    const expected = derivedJobId({ cluster: "main", topic: "llm.jobs.v1", partition: 3, offset: 17 }, SENT_AT_MS);
    expect(jobIn(admission.admit(sent, NOW_MS)).jobId).toBe(expected);
    expect(jobIn(admission.admit(sent, NOW_MS + HOUR_MS)).jobId).toBe(expected);
  });
  test.each(['with "quotes"', "line\nbreak", "\u{1f600}", "x".repeat(256), "é".repeat(128), " "])(
    "may have the id %j [C16]",
    (jobId) => {
      expect(admitted({ jobId }).jobId).toBe(jobId);
    },
  );
  test("never gets a higher tier than its tenant has", () => {
    expect(admitted({ tier: "premium" }).tier).toBe("standard");
  });
  test("that is lent to nobody neither reads nor writes the cache", () => {
    expect(admitted({ dedupe: false, cache: { read: true, write: true } })).toMatchObject({
      dedupe: false,
      cacheRead: false,
      cacheWrite: false,
    });
  });
  test("takes no answer older than the config says, unless it names an age itself", () => {
    const reuse = { dedupe: true, cache: true, cacheMaxAgeMs: 60_000 };
    const aging = createAdmission(settings({ reuse }));
    const ageOf = (changes: Record<string, unknown>): number | null =>
      jobIn(aging.admit(record(job(changes)), NOW_MS)).cacheMaxAgeMs;
    expect([ageOf({}), ageOf({ cache: { maxAgeMs: null } }), ageOf({ cache: { maxAgeMs: 120_000 } })]).toEqual([
      60_000, 60_000, 120_000,
    ]);
  });
  test.each([
    [{ cache: false }, { dedupe: true, cacheRead: false, cacheWrite: false }],
    [{ dedupe: false }, { dedupe: false, cacheRead: false, cacheWrite: false }],
  ])("shares nothing that the config forbids with %j, whatever it says itself", (off, expected) => {
    const reuse = { dedupe: true, cache: true, cacheMaxAgeMs: null, ...off };
    const wish = job({ dedupe: true, cache: { read: true, write: true } });
    expect(jobIn(createAdmission(settings({ reuse })).admit(record(wish), NOW_MS))).toMatchObject(expected);
  });
  test("has the labels of its tenant below its own", () => {
    const terms = new Map([
      ["acme", { tier: "standard" as const, replyTopics: [], labels: { department: "all", site: "x" } }],
    ]);
    const withLabels = createAdmission(settings({ tenants: terms }));
    expect(jobIn(withLabels.admit(record(job({ labels: { department: "risk" } })), NOW_MS)).labels).toEqual({
      department: "risk",
      site: "x",
    });
  });
  test("goes on with its own text, the wish for a stream left out and not hashed", () => {
    const text = '{"jobId":"a","body":{ "stream":true, "model":"m", "n":1.0, "x":12345678901234567890 }}';
    const streaming = jobIn(admission.admit(record(text), NOW_MS));
    const plain = jobIn(
      admission.admit(record('{"jobId":"b","body":{"x":12345678901234567890,"n":1.0,"model":"m"}}'), NOW_MS),
    );
    expect(streaming.bodyText).toBe('{"model":"m","n":1.0,"x":12345678901234567890}');
    expect(streaming.bodyHash).toEqual(plain.bodyHash);
    expect(streaming.executionKey).toEqual(plain.executionKey);
  });
  test("keeps NUL and line separators of a prompt as they came [C10] [C15]", () => {
    const prompt = "a\u0000b\r\n\u2028\u0085c";
    const body = { model: "m", messages: [{ role: "user", content: prompt }] };
    expect(JSON.parse(admitted({ body }).bodyText)).toEqual(body);
  });
  test("shares its key with another that differs only in what belongs to the job", () => {
    const other = admitted({
      jobId: "x",
      deadline: "2026-12-01T13:00:00Z",
      priority: 1,
      labels: { a: "b" },
      replyTo: "etl.answers",
      require: { maxCostUsd: "1" },
    });
    expect(other.executionKey).toEqual(admitted().executionKey);
  });
  test.each([
    { sample: "1" },
    { chain: "fast" },
    { onDoubt: "fail" },
    { format: "anthropic.messages" },
    { require: { providers: ["openai"] } },
  ])("does not share its key when %j", (changes) => {
    expect(admitted(changes).executionKey).not.toEqual(admitted().executionKey);
  });
});

describe("bytes that are no job", () => {
  test.each([
    ["BAD_JSON", "  "],
    ["BAD_JSON", "\ufeff{}"],
    ["BAD_JSON", '{"body":{"model":"m"'],
    ["BAD_JSON", '{"body":{"model":"m"}} x'],
    ["BAD_JSON", '{"body":{"model":"a","model":"b"}}'],
    ["BAD_UTF8", Buffer.from([0x22, 0xff, 0x22])],
    ["BAD_UTF8", Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ["BAD_UNICODE", '{"body":{"model":"m","x":"\\ud83d"}}'],
    ["TOO_DEEP", `{"body":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
    ["TOO_LARGE", Buffer.alloc(1_048_577, 0x20)],
    ["BAD_AVRO", Buffer.from([0, 0, 0, 0, 1, 2])],
    ["BAD_AVRO", Buffer.from([1, 0, 0, 0, 1, 2])],
    ["NULL_VALUE", null],
    ["NULL_VALUE", Buffer.alloc(0)],
  ] as const)("are %s, without a result", (code, value) => {
    expect(refusalIn(admission.admit(record(value), NOW_MS))).toMatchObject({ code, identity: null });
  });
  test("are named by the byte where they go wrong", () => {
    expect(refusalIn(admission.admit(record('{"é":1,}'), NOW_MS)).message).toBe(
      "value: expected a key in double quotes, got something else at byte 8",
    );
  });
  test("are refused with the limit that they break", () => {
    expect(refusalIn(admission.admit(record(Buffer.alloc(1_048_577)), NOW_MS)).message).toContain(
      "at most 1048576 bytes",
    );
    const many = Array.from({ length: 257 }, () => header("x", ""));
    expect(refusalIn(admission.admit(record(job(), many), NOW_MS))).toMatchObject({
      code: "TOO_LARGE",
      message: expect.stringContaining("256"),
    });
    const big = [header("x", Buffer.alloc(65_536))];
    expect(refusalIn(admission.admit(record(job(), big), NOW_MS))).toMatchObject({
      code: "TOO_LARGE",
      message: expect.stringContaining("65536"),
    });
  });
  test("are still known by their header to whoever reads the dead letter", () => {
    expect(refusalIn(admission.admit(record("{", [header("llm-job-id", "order-17")]), NOW_MS))).toMatchObject({
      tenant: "acme",
      jobId: "order-17",
    });
  });
});

/** The code and the words of a job's refusal, which goes back to whoever sent it. */
function answersWith(code: string, changes: Parameters<typeof refused>[0], message: string): void {
  const refusal = refused(changes);
  expect(refusal).toMatchObject({ code, tenant: "acme", jobId: "order-17" });
  expect(refusal.message).toContain(message);
  expect(refusal.identity).toMatchObject({
    tenant: "acme",
    jobId: "order-17",
    submittedAtMs: SENT_AT_MS,
    reply: { topic: "llm.results.v1" },
  });
}

describe("a refusal", () => {
  test.each([
    ["BAD_JOB", { tenat: "acme" }, 'unknown field "tenat"; did you mean "tenant"?'],
    ["BAD_JOB", { api_base: "http://x" }, 'unknown field "api_base"; known are'],
    ["BAD_JOB", { require: { provider: ["x"] } }, 'require: unknown field "provider"; did you mean "providers"?'],
    ["BAD_JOB", { priority: 10 }, "priority: expected at most 9, got 10"],
    ["BAD_JOB", { priority: "9" }, "priority: expected an integer, got a string of 1 characters"],
    ["BAD_JOB", { mode: "bach" }, 'mode: expected one of auto, direct, batch, got "bach"'],
    ["BAD_JOB", { format: "openai.chta" }, 'got "openai.chta"'],
    ["BAD_JOB", { format: "openai.responses" }, "not served yet"],
    ["BAD_JOB", { bodyRef: { uri: "s3://x" } }, "not served yet"],
    ["BAD_JOB", { cache: { semantic: true } }, "not served yet"],
    ["BAD_JOB", { body: null }, "body: expected the request, got nothing"],
    ["BAD_JOB", { body: "text" }, "body: expected an object, got a string of 4 characters"],
    ["BAD_JOB", { body: { messages: [] } }, "body.model: expected"],
    ["BAD_JOB", { body: { model: "a\u0000" } }, "body.model: expected"],
    ["BAD_JOB", { labels: { a: 1 } }, "labels.a: expected a string, got 1"],
    [
      "BAD_JOB",
      { labels: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${String(index)}`, "v"])) },
      "at most 16",
    ],
    ["BAD_JOB", { require: { maxCostUsd: "1e3" } }, "require.maxCostUsd: expected"],
  ])("%s answers a job with %j", answersWith);
  test.each([
    ["BAD_DEADLINE", { deadline: 5 }, "deadline: expected a string"],
    ["BAD_DEADLINE", { deadline: "2026-12-01T12:00:00" }, "with a zone"],
    ["BAD_DEADLINE", { deadline: "tomorrow" }, "RFC 3339"],
    ["BAD_DEADLINE", { deadline: "2026-02-30T12:00:00Z" }, "RFC 3339"],
    ["BAD_DEADLINE", { deadline: "9999-12-31T23:59:59Z" }, "maxTtlMs"],
    ["BAD_DEADLINE", { ttlMs: 7 * DAY_MS + 1 }, "ttlMs: expected at most"],
    ["BAD_DEADLINE", { ttlMs: -1 }, "ttlMs: expected at least 0"],
    ["BAD_DEADLINE", { ttlMs: 1.5 }, "ttlMs: expected an integer"],
  ])("[D2] %s answers a job with %j", answersWith);
  test("of a job that is no object has an identity of its place", () => {
    expect(refusalIn(admission.admit(record("[1]"), NOW_MS))).toMatchObject({
      code: "BAD_JOB",
      message: "value: expected a JSON object, got a list of 1",
    });
  });
  test.each([
    ["", "1 to 256 bytes"],
    ["é".repeat(129), "got 258"],
    ["a\u0000b", "NUL"],
    [17, "expected a string, got 17"],
  ])("of the id %j is BAD_JOB without a result, since the id names nothing", (jobId, message) => {
    const refusal = refused({ jobId });
    expect(refusal).toMatchObject({ code: "BAD_JOB", tenant: "acme", jobId: null, identity: null });
    expect(refusal.message).toContain(message);
  });
  test("goes where the job may be answered, even when another member is wrong", () => {
    expect(refused({ replyTo: "etl.answers", priority: 77 }).identity?.reply.topic).toBe("etl.answers");
    expect(refused({ replyTo: "their.topic", priority: 77 }).identity?.reply.topic).toBe("llm.results.v1");
  });
  test("never quotes a prompt", () => {
    const secret = "s3cret-prompt";
    const values = [
      `{"body":{"model":"m","messages":["${secret}"]`,
      `{"body":{"model":"m","messages":["${secret}\\ud800"]}}`,
      JSON.stringify({ body: secret }),
      JSON.stringify({ body: { model: [secret] } }),
      JSON.stringify({ body: BODY, chain: [secret], labels: secret }),
      JSON.stringify({ body: BODY, sample: secret.repeat(20) }),
      `"${secret}"`,
    ];
    for (const value of values) expect(refusalIn(admission.admit(record(value), NOW_MS)).message).not.toContain(secret);
  });
});

describe("the tenant", () => {
  test.each([
    ["a claim that the topic does not prove", record(job({ tenant: "other" }))],
    ["a topic of nobody", record(job(), [], { topic: "unknown" })],
    ["a topic named like a built-in", record(job(), [], { topic: "constructor" })],
    ["a claim in the header", record(job(), [header("llm-tenant", "other")])],
    ["a wrong claim of a job with other faults", record(job({ tenant: "other", priority: 99, deadline: "x" }))],
  ])("is not proven by %s", (_, sent) => {
    expect(refusalIn(admission.admit(sent, NOW_MS))).toMatchObject({
      code: "TENANT_MISMATCH",
      tenant: null,
      identity: null,
    });
  });
  const trusting = createAdmission(settings({ tenantFrom: "body" }));
  test("is the job's word where the config says so", () => {
    expect(jobIn(trusting.admit(record(job({ tenant: "other" })), NOW_MS))).toMatchObject({
      tenant: "other",
      tier: "free",
    });
    const bare = [header("llm-format", "openai.chat"), header("llm-tenant", "other")];
    expect(jobIn(trusting.admit(record(BODY, bare), NOW_MS)).tenant).toBe("other");
  });
  test.each([
    ["none", {}],
    ["an unknown one", { tenant: "nobody" }],
    ["a number", { tenant: 5 }],
    ["a built-in's name", { tenant: "__proto__" }],
  ])("must be said then, and known: %s", (_, changes) => {
    expect(refusalIn(trusting.admit(record(job(changes)), NOW_MS)).code).toBe("TENANT_MISMATCH");
  });
  test("makes two jobs of one id, and two calls of one request [C21]", () => {
    const one = jobIn(trusting.admit(record(job({ tenant: "acme" })), NOW_MS));
    const two = jobIn(trusting.admit(record(job({ tenant: "other" })), NOW_MS));
    expect(one.executionKey).not.toEqual(two.executionKey);
    expect(one.bodyHash).toEqual(two.bodyHash);
  });
});

describe("deadlines", () => {
  test.each([
    [{ deadline: "2026-12-01T13:00:00Z" }, HOUR_MS],
    [{ deadline: "2026-12-01T15:00:00.5+02:00" }, HOUR_MS + 500],
    [{ deadline: "2026-12-01t08:30:00-04:30" }, HOUR_MS],
    [{ ttlMs: 1000 }, 1000],
    [{ ttlMs: 0 }, 0],
    [{ ttlMs: 1000, deadline: "2026-12-01T13:00:00Z" }, 1000],
    [{ ttlMs: 2 * HOUR_MS, deadline: "2026-12-01T13:00:00Z" }, HOUR_MS],
    [{ deadline: "2020-01-01T00:00:00Z" }, Date.parse("2020-01-01T00:00:00Z") - SENT_AT_MS],
    [{ deadline: "2026-12-08T12:00:00Z" }, 7 * DAY_MS],
    [{ mode: "batch" }, 2 * DAY_MS],
  ])("of %j lies %d ms after the record", (changes, afterMs) => {
    expect(admitted(changes).deadlineMs - SENT_AT_MS).toBe(afterMs);
  });
  test("are not stretched by a producer whose clock runs ahead", () => {
    const ahead = record(job(), [], { timestampMs: NOW_MS + 2 * HOUR_MS });
    expect(jobIn(admission.admit(ahead, NOW_MS))).toMatchObject({ submittedAtMs: NOW_MS, deadlineMs: NOW_MS + DAY_MS });
  });
  test("count from arrival when the record has no timestamp", () => {
    expect(jobIn(admission.admit(record(job(), [], { timestampMs: -1 }), NOW_MS)).submittedAtMs).toBe(NOW_MS);
  });
});

describe("what a record can't reach", () => {
  test("the prototype of anything [C13]", () => {
    const text =
      '{"jobId":"a","body":{"model":"m","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}},"labels":{"__proto__":"x"}}';
    const found = jobIn(admission.admit(record(text), NOW_MS));
    expect(found.bodyText).toContain('"__proto__":{"polluted":1}');
    expect(Object.getPrototypeOf(found.labels)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(
      refusalIn(admission.admit(record('{"__proto__":{"tenant":"other"},"body":{"model":"m"}}'), NOW_MS)).message,
    ).toContain('unknown field "__proto__"');
  });
  test("privileges by fields of the body [C18]", () => {
    const sneaky = admitted({ body: { ...BODY, tenant_id: "other", api_base: "http://x", priority: 9, price: 0 } });
    expect(sneaky).toMatchObject({ tenant: "acme", priority: 5, reply: { topic: "llm.results.v1" } });
  });
});
