/** Rows C1 to C4 and C9 to C18 of the fault catalogue: one router takes all of these records from one partition, each beside a good job. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import {
  answerDigests,
  chatJob,
  digestOf,
  headerText,
  rawJob,
  resultIn,
  sentBody,
  type FoundRecord,
  type RecordToSend,
} from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

const MESSAGES = '"messages":[{"role":"user","content":"Which numbers are these?"}],"max_completion_tokens":64';
/** Members of a body with a tool whose parameters have this JSON text as default: the one place where a provider takes any JSON. */
const withParameters = (json: string): string =>
  `${MESSAGES},"tools":[{"type":"function","function":{"name":"f","parameters":{"default":${json}}}}]`;
const nested = (depth: number): string => '{"a":'.repeat(depth) + "0" + "}".repeat(depth);
const prompted = (jobId: string, promptJson: string): string =>
  rawJob(jobId, `"messages":[{"role":"user","content":"${promptJson}"}],"max_completion_tokens":64`);
const NUMBERS = withParameters('{"above":9007199254740993,"huge":1e999,"minusZero":-0,"one":1.0,"exponent":1E+2}');
const PROTOTYPES = withParameters(
  '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":1}',
);
const DEEPEST_PARAMETERS = nested(64 - 6);
const STRANGE_ID = 'a "quoted"\nid\r\n, <b>emoji</b> \u{1f9ff} ../%00 \u202e';
const LONGEST_ID = "é".repeat(128);
const manyHeaders = Object.fromEntries(Array.from({ length: 10_000 }, (_unused, index) => [`h-${String(index)}`, "v"]));
const fortyHeaders = Object.fromEntries(
  Array.from({ length: 40 }, (_unused, index) => [`h-${String(index)}`, `v${String(index)}`]),
);

/** Every record of the file by name. Those that become jobs have their name as job id unless they say otherwise. */
const RECORDS = {
  "null value": { key: "k", value: null },
  "null value, unknown action": { value: null, headers: { "llm-action": "erase", "llm-job-id": "x" } },
  "cancel of nobody": {
    value: null,
    headers: { "llm-action": "cancel", "llm-job-id": "nobody", "llm-tenant": "acme" },
  },
  "empty value": { value: Buffer.alloc(0) },
  "no key": { key: null, value: chatJob("no key", "no key") },
  "empty key": { key: Buffer.alloc(0), value: chatJob("empty key", "empty key") },
  "binary key": { key: Buffer.from([0xff, 0xfe, 0x00, 0x80]), value: chatJob("binary key", "binary key") },
  "byte order mark": { value: `\ufeff${chatJob("byte order mark", "x")}` },
  "cut off": { value: '{"jobId":"cut off","tenant":"acme","body":{"model":"cheap","mess' },
  "trailing garbage": { value: `${chatJob("trailing garbage", "x")} }{` },
  words: { value: "please rate this film" },
  "a list": { value: "[]" },
  "bad utf-8": {
    value: Buffer.concat([
      Buffer.from('{"jobId":"bad utf-8","tenant":"acme","body":"'),
      Buffer.from([0xc3, 0x28, 0xff]),
      Buffer.from('"}'),
    ]),
  },
  "overlong utf-8": { value: Buffer.concat([Buffer.from('{"jobId":"'), Buffer.from([0xc0, 0x80]), Buffer.from('"}')]) },
  "bad utf-8 in a header": {
    value: chatJob("bad utf-8 in a header", "x"),
    headers: { "llm-job-id": Buffer.from([0xff]) },
  },
  "10,000 deep": { value: rawJob("10,000 deep", withParameters(nested(10_000))) },
  "65 deep": { value: rawJob("65 deep", withParameters(nested(65 - 6))) },
  "64 deep": { value: rawJob("64 deep", withParameters(DEEPEST_PARAMETERS)) },
  "lists 10,000 deep": { value: "[".repeat(10_000) },
  "NUL in the prompt": { value: prompted("NUL in the prompt", "a\\u0000b") },
  "NUL in a label": { value: chatJob("NUL in a label", "x", { labels: { application: "a\u0000b" } }) },
  "NUL in the id": { value: chatJob("NUL\u0000 in the id", "x") },
  "NUL in the tenant": { value: chatJob("NUL in the tenant", "x", { tenant: "ac\u0000me" }) },
  "raw NUL": { value: prompted("raw NUL", "a\u0000b") },
  "half a pair": { value: prompted("half a pair", "\\ud800") },
  "another half": { value: prompted("another half", "\\ud801") },
  "half a pair as a key": { value: rawJob("half a pair as a key", withParameters('{"\\udc00":1}')) },
  "half a pair in raw bytes": {
    value: Buffer.concat([Buffer.from('{"jobId":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
  },
  "replacement character": { value: prompted("replacement character", "\\ufffd") },
  "whole pair": { value: prompted("whole pair", "\\ud83e\\uddff") },
  numbers: { value: rawJob("numbers", NUMBERS) },
  "one as 1": { value: rawJob("one as 1", withParameters('{"const":1}')) },
  "one as 1.0": { value: rawJob("one as 1.0", withParameters('{"const":1.0}')) },
  "just above 2^53": { value: rawJob("just above 2^53", withParameters('{"const":9007199254740993}')) },
  zero: { value: rawJob("zero", withParameters('{"const":0}')) },
  "minus zero": { value: rawJob("minus zero", withParameters('{"const":-0}')) },
  null: { value: rawJob("null", withParameters('{"const":null}')) },
  "1e999": { value: rawJob("1e999", withParameters('{"const":1e999}')) },
  "2^53": { value: rawJob("2^53", withParameters('{"const":9007199254740992}')) },
  prototypes: { value: rawJob("prototypes", PROTOTYPES) },
  "prototype of the job": {
    value: `{"jobId":"prototype of the job","__proto__":{"tenant":"zenith"},"tenant":"acme","body":{"model":"cheap",${MESSAGES}}}`,
  },
  "model twice": { value: rawJob("model twice", `${MESSAGES},"model":"gpt-5"`) },
  "model twice, once escaped": { value: rawJob("model twice, once escaped", `${MESSAGES},"mod\\u0065l":"gpt-5"`) },
  "tenant twice": { value: `{"tenant":"zenith",${chatJob("tenant twice", "x").slice(1)}` },
  composed: { value: chatJob("composed", "caf\u00e9") },
  decomposed: { value: chatJob("decomposed", "cafe\u0301") },
  "homoglyph model": { value: chatJob("homoglyph model", "x").replace('"cheap"', '"\u0441heap"') },
  "line ends": { value: chatJob("line ends", "a\rb\nc\r\nd\u2028e\u2029f\u0085g\u000bh") },
  "strange id": { value: chatJob(STRANGE_ID, "strange id") },
  "longest id": { value: chatJob(LONGEST_ID, "longest id") },
  "500 characters": { value: chatJob("i".repeat(500), "x") },
  "10,000 headers": { value: chatJob("10,000 headers", "x"), headers: manyHeaders },
  "40 headers": { value: chatJob("40 headers", "40 headers"), headers: fortyHeaders },
  "large header": { value: chatJob("large header", "x"), headers: { large: Buffer.alloc(100_000) } },
  "CRLF in headers": {
    value: chatJob("CRLF in headers", "crlf"),
    headers: {
      trace: "a\r\nce_id: forged\r\n",
      again: ["1", "2", "1"],
      ce_id: "forged",
      kafka_correlationId: Buffer.from([0, 13, 10, 255]),
    },
  },
  "id header twice, equal": {
    value: chatJob("id header twice, equal", "twice"),
    headers: { "llm-job-id": ["id header twice, equal", "id header twice, equal"] },
  },
  "id header twice, different": {
    value: chatJob("id header twice, different", "x"),
    headers: { "llm-job-id": ["id header twice, different", "other"] },
  },
  "headers named like prototypes": {
    value: chatJob("headers named like prototypes", "inherited"),
    headers: Object.fromEntries([
      ["constructor", "c"],
      ["__proto__", "p"],
      ["toString", "t"],
    ]),
  },
  "refused, with such headers": {
    value: "no job",
    headers: Object.fromEntries([
      ["constructor", "c"],
      ["__proto__", "p"],
    ]),
  },
  tenant_id: { value: chatJob("tenant_id", "x", { tenant_id: "zenith" }) },
  api_base: { value: chatJob("api_base", "x", { api_base: "http://127.0.0.1:9/" }) },
  "a price": { value: chatJob("a price", "x", { price: "0" }) },
  "api_base in the body": { value: rawJob("api_base in the body", `${MESSAGES},"api_base":"http://127.0.0.1:9/"`) },
  "another tenant in a header": {
    value: chatJob("another tenant in a header", "x"),
    headers: { "llm-tenant": "zenith" },
  },
  "unknown tenant": { value: chatJob("unknown tenant", "x", { tenant: "nobody" }) },
  "premium tier": { value: chatJob("premium tier", "premium", { tier: "premium", priority: 9 }) },
  "priority 10": { value: chatJob("priority 10", "x", { priority: 10 }) },
} as const satisfies Readonly<Record<string, RecordToSend>>;
type Name = keyof typeof RECORDS;
const NAMES = Object.keys(RECORDS) as Name[];

let gateway: Gateway;
let router: GatewayRouter;
const offsets = new Map<Name, number>();
const neighbour = (name: Name): string => `beside ${name}`;

beforeAll(async () => {
  gateway = await Gateway.open({ name: "poison", config: { limits: { intake: { valueBytesMax: 1_048_576 } } } });
  router = await gateway.startRouter();
  const records = NAMES.flatMap((name): RecordToSend[] => [
    RECORDS[name],
    { value: chatJob(neighbour(name), neighbour(name)) },
  ]);
  const sent = await gateway.topics.publish(records);
  NAMES.forEach((name, index) => offsets.set(name, sent[2 * index] ?? -1));
});
afterAll(async () => {
  await gateway.close();
});

async function neighbourIsServed(name: Name): Promise<void> {
  const result = resultIn(await gateway.result(neighbour(name)));
  expect(result.status).toBe("succeeded");
  expect(answerDigests(result).prompt).toBe(digestOf(neighbour(name)));
}

/** The record is a dead letter with this code and its own bytes, and the partition went on. @returns the letter's message. */
async function isDeadLetter(name: Name, code: string): Promise<string> {
  const record: RecordToSend = RECORDS[name];
  const letter = await gateway.deadLetterOf(offsets.get(name) ?? -1);
  expect({ name, code: headerText(letter, "llm-error-code") }).toEqual({ name, code });
  expect(letter.value).toEqual(record.value === null ? null : Buffer.from(record.value));
  expect(letter.key?.toString("latin1") ?? null).toBe(record.key?.toString("latin1") ?? null);
  expect(headerText(letter, "__dlq.errors.topic")).toBe(gateway.topics.names.jobs);
  expect(headerText(letter, "__dlq.errors.partition")).toBe("0");
  await neighbourIsServed(name);
  return headerText(letter, "__dlq.errors.message") ?? "";
}

/** The job succeeded with an answer to its own request. @param prompt the prompt's text; @param body what the provider must have got. */
async function isServed(
  jobId: string,
  expected: { readonly prompt?: string; readonly body?: string },
): Promise<FoundRecord> {
  const record = await gateway.result(jobId);
  const result = resultIn(record);
  expect({ jobId, status: result.status, error: result.error }).toEqual({ jobId, status: "succeeded", error: null });
  const digests = answerDigests(result);
  if (expected.prompt !== undefined) expect(digests.prompt).toBe(digestOf(expected.prompt));
  if (expected.body !== undefined) expect(digests.body).toBe(digestOf(expected.body));
  return record;
}

const noResultOf = (jobId: string): void => {
  expect(gateway.resultsOf(jobId)).toEqual([]);
};

describe("values and keys", () => {
  test("[C1] makes a dead letter of a record without a value and goes on", async () => {
    await isDeadLetter("null value", "NULL_VALUE");
    expect(await isDeadLetter("null value, unknown action", "NULL_VALUE")).toContain("expected cancel");
  });

  test("[C1] takes a cancel record for a job that nobody knows, and it leaves nothing behind", async () => {
    await neighbourIsServed("cancel of nobody");
    expect(
      gateway.topics.deadLetters.filter(
        (letter) => headerText(letter, "__dlq.errors.offset") === String(offsets.get("cancel of nobody")),
      ),
    ).toEqual([]);
    noResultOf("nobody");
  });

  test.each(["no key", "empty key", "binary key"] as const)(
    "[C2] serves a record with %s and returns the key's bytes",
    async (name) => {
      const record = await isServed(name, { prompt: name });
      expect(record.key).toEqual(RECORDS[name].key);
    },
  );

  test.each([
    { name: "empty value", code: "NULL_VALUE", says: /expected a job/ },
    { name: "byte order mark", code: "BAD_JSON", says: /byte order mark at byte 0/ },
    { name: "cut off", code: "BAD_JSON", says: /at byte 64/ },
    { name: "trailing garbage", code: "BAD_JSON", says: /at byte \d+/ },
    { name: "words", code: "BAD_JSON", says: /at byte 0/ },
    { name: "a list", code: "BAD_JOB", says: /expected a JSON object/ },
  ] as const)("[C3] refuses $name as $code and says where it breaks", async ({ name, code, says }) => {
    expect(await isDeadLetter(name, code)).toMatch(says);
  });

  test.each(["bad utf-8", "overlong utf-8", "bad utf-8 in a header"] as const)(
    "[C4] refuses %s and replaces no byte of it",
    async (name) => {
      await isDeadLetter(name, "BAD_UTF8");
      noResultOf(name);
    },
  );
});

describe("shapes and texts", () => {
  test.each(["10,000 deep", "65 deep", "lists 10,000 deep"] as const)(
    "[C9] refuses what is %s and lives",
    async (name) => {
      expect(await isDeadLetter(name, "TOO_DEEP")).toContain("at most 64");
      expect(router.running).toBe(true);
    },
  );

  test("[C9] serves the deepest job that is allowed, its body byte for byte", async () => {
    await isServed("64 deep", { body: sentBody(withParameters(DEEPEST_PARAMETERS)) });
  });

  test("[C10] carries NUL in a prompt to the provider and keeps its neighbours", async () => {
    await isServed("NUL in the prompt", { prompt: "a\u0000b" });
    await neighbourIsServed("NUL in the prompt");
  });

  test.each([
    { name: "NUL in the id", code: "BAD_JOB" },
    { name: "NUL in the tenant", code: "TENANT_MISMATCH" },
    { name: "NUL in a label", code: "BAD_JOB" },
    { name: "raw NUL", code: "BAD_JSON" },
  ] as const)("[C10] refuses $name and keeps its neighbours", async ({ name, code }) => {
    await isDeadLetter(name, code);
  });

  test.each([
    { name: "half a pair", code: "BAD_UNICODE" },
    { name: "another half", code: "BAD_UNICODE" },
    { name: "half a pair as a key", code: "BAD_UNICODE" },
    { name: "half a pair in raw bytes", code: "BAD_UTF8" },
  ] as const)("[C11] refuses $name, so that no two ill-formed texts share a hash", async ({ name, code }) => {
    await isDeadLetter(name, code);
    noResultOf(name);
  });

  test("[C11] serves well-formed text beside it: the replacement character and a whole pair", async () => {
    await isServed("replacement character", { prompt: "\ufffd" });
    await isServed("whole pair", { prompt: "\u{1f9ff}" });
  });

  test("[C12] keeps every digit of a number up to the provider", async () => {
    await isServed("numbers", { body: sentBody(NUMBERS) });
  });

  const LEXEMES = {
    "one as 1": "1",
    "one as 1.0": "1.0",
    "just above 2^53": "9007199254740993",
    "2^53": "9007199254740992",
    zero: "0",
    "minus zero": "-0",
    null: "null",
    "1e999": "1e999",
  } as const satisfies Partial<Record<Name, string>>;

  test.each(Object.entries(LEXEMES))(
    "[C12] makes a call of its own for %s, as it was written (%s): equal as doubles is not equal",
    async (name, lexeme) => {
      const record = await isServed(name, { body: sentBody(withParameters(`{"const":${lexeme}}`)) });
      expect(headerText(record, "llm-served")).toBe("call");
    },
  );

  test("[C12] tells such numbers apart in the hash of the request", async () => {
    const records = await Promise.all(Object.keys(LEXEMES).map((name) => gateway.result(name)));
    const hashes = records.map(
      (record) => (JSON.parse(record.value?.toString() ?? "") as { requestHash: string }).requestHash,
    );
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test("[C13] passes keys named like prototypes on as they are, and no object of the router changes", async () => {
    await isServed("prototypes", { body: sentBody(PROTOTYPES) });
    await neighbourIsServed("prototypes");
  });

  test("[C13] refuses a job that brings members in through its prototype", async () => {
    expect(await isDeadLetter("prototype of the job", "BAD_JOB")).toContain("__proto__");
    expect(gateway.resultsOf("prototype of the job", "zenith")).toEqual([]);
  });

  test.each(["model twice", "model twice, once escaped", "tenant twice"] as const)(
    "[C13] refuses %s instead of believing the last",
    async (name) => {
      expect(await isDeadLetter(name, "BAD_JSON")).toContain("expected each key once");
    },
  );

  test("[C13] carries headers named like prototypes, to the result and to the dead letter", async () => {
    const record = await isServed("headers named like prototypes", { prompt: "inherited" });
    expect(["constructor", "toString"].map((name) => headerText(record, name))).toEqual(["c", "t"]);
    expect(headerText(record, "__proto__")).toBeNull(); // names that begin with __ are never copied to a result
    await isDeadLetter("refused, with such headers", "BAD_JSON");
    const letter = await gateway.deadLetterOf(offsets.get("refused, with such headers") ?? -1);
    expect(["constructor", "__proto__"].map((name) => headerText(letter, name))).toEqual(["c", "p"]);
  });

  test("[C14] serves composed and decomposed text apart, nothing normalised", async () => {
    const both = [
      await isServed("composed", { prompt: "caf\u00e9" }),
      await isServed("decomposed", { prompt: "cafe\u0301" }),
    ];
    expect(both.map((record) => headerText(record, "llm-served"))).toEqual(["call", "call"]);
  });

  test("[C14] [J4] refuses a model whose name only looks like ours, with a failed result and a dead letter", async () => {
    await isDeadLetter("homoglyph model", "UNKNOWN_MODEL");
    const result = resultIn(await gateway.result("homoglyph model"));
    expect(result).toMatchObject({ status: "failed", generation: -1, error: { code: "UNKNOWN_MODEL" } });
  });

  test("[C15] carries every kind of line end to the provider", async () => {
    await isServed("line ends", { prompt: "a\rb\nc\r\nd\u2028e\u2029f\u0085g\u000bh" });
  });
});

describe("ids, headers and privileges", () => {
  test.each([STRANGE_ID, LONGEST_ID])("[C16] returns the id %j unchanged", async (jobId) => {
    const record = await isServed(jobId, {});
    expect(headerText(record, "llm-job-id")).toBe(jobId);
    expect(headerText(record, "ce_subject")).toBe(jobId);
  });

  test("[C16] refuses an id of 500 characters", async () => {
    expect(await isDeadLetter("500 characters", "BAD_JOB")).toContain("256 bytes");
  });

  test("[C16] names its calls at the provider in ids of its own, never in the caller's", async () => {
    await Promise.all(NAMES.map((name) => gateway.result(neighbour(name))));
    const attempts = (await gateway.simulator.bill()).map(({ attempt }) => attempt ?? "");
    expect(attempts.length).toBeGreaterThanOrEqual(NAMES.length);
    expect(attempts.filter((attempt) => !/^[A-Za-z0-9_-]{1,64}$/.test(attempt))).toEqual([]);
    expect(new Set(attempts).size).toBe(attempts.length);
  });

  test.each([
    { name: "10,000 headers", code: "TOO_LARGE", says: "at most 256" },
    { name: "large header", code: "TOO_LARGE", says: "at most 65536 bytes" },
    { name: "id header twice, different", code: "BAD_JOB", says: "header llm-job-id: expected it once" },
  ] as const)("[C17] refuses $name", async ({ name, code, says }) => {
    expect(await isDeadLetter(name, code)).toContain(says);
  });

  test("[C17] copies the first 32 headers and drops the rest", async () => {
    const record = await isServed("40 headers", { prompt: "40 headers" });
    const copied = [...record.headers.keys()].filter((name) => name.startsWith("h-"));
    expect(copied).toEqual(Object.keys(fortyHeaders).slice(0, 32));
  });

  test("[C17] copies line ends in header values as bytes, keeps repeats in order, and lets no header of the caller pass for ours", async () => {
    const record = await isServed("CRLF in headers", { prompt: "crlf" });
    expect(headerText(record, "trace")).toBe("a\r\nce_id: forged\r\n");
    expect(record.headers.get("again")?.map(String)).toEqual(["1", "2", "1"]);
    expect(record.headers.get("ce_id")?.map(String)).toEqual([resultIn(record).resultId]);
    expect(record.headers.get("kafka_correlationId")).toEqual([Buffer.from([0, 13, 10, 255])]);
    await isServed("id header twice, equal", { prompt: "twice" });
  });

  test.each([
    { name: "tenant_id", code: "BAD_JOB", says: 'unknown field "tenant_id"; did you mean "tenant"?' },
    { name: "api_base", code: "BAD_JOB", says: 'unknown field "api_base"' },
    { name: "a price", code: "BAD_JOB", says: 'unknown field "price"' },
    { name: "priority 10", code: "BAD_JOB", says: "priority" },
    { name: "another tenant in a header", code: "TENANT_MISMATCH", says: "zenith" },
    { name: "unknown tenant", code: "TENANT_MISMATCH", says: "expected a tenant of the config" },
  ] as const)("[C18] refuses $name", async ({ name, code, says }) => {
    expect(await isDeadLetter(name, code)).toContain(says);
  });

  test("[C18] sends no call where a body points to: the configured provider gets it, and refuses the field", async () => {
    const result = resultIn(await gateway.result("api_base in the body"));
    expect(result).toMatchObject({ status: "failed", error: { code: "PROVIDER_REFUSED", provider: { status: 400 } } });
  });

  test("[C18] lowers a tier above the tenant's own", async () => {
    const record = await isServed("premium tier", { prompt: "premium" });
    expect(JSON.parse(record.value?.toString() ?? "")).toMatchObject({ tier: "standard" });
  });
});

test("[C1] takes each of these records exactly once and writes down where it is", async () => {
  await Promise.all(NAMES.map((name) => gateway.result(neighbour(name))));
  expect(await gateway.position()).toBe(2 * NAMES.length);
  const letterOffsets = gateway.topics.deadLetters.map((letter) => headerText(letter, "__dlq.errors.offset"));
  expect(new Set(letterOffsets).size).toBe(letterOffsets.length);
  const answered = gateway.topics.results.map((record) => headerText(record, "ce_id"));
  expect(new Set(answered).size).toBe(answered.length);
});
