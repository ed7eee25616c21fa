/** Rows C5 and C6 of the fault catalogue, and C4 in Avro: values in the registry's encoding that are no jobs. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";
import {
  avroJob,
  avroValue,
  framed,
  JOB_SCHEMA,
  RegistryDoor,
  registerSchema,
  type JobSchema,
} from "../support/gateway-registry.js";
import { servers } from "../support/servers.js";

const NEGATIVE_CACHE_MS = 2000;

/** The published schema with one field as another producer might have it; null leaves it out. */
function changed(name: string, type: unknown): JobSchema {
  const fields = JOB_SCHEMA.fields.flatMap((field) =>
    field.name !== name ? [field] : type === null ? [] : [{ name, type }],
  );
  return { ...JOB_SCHEMA, fields };
}

let gateway: Gateway;
let door: RegistryDoor;
let goodId: number;
beforeAll(async () => {
  door = await RegistryDoor.open(servers().registryUrl);
  gateway = await Gateway.open({
    name: "avro",
    registryUrl: door.url,
    config: { registry: { negativeCacheMs: NEGATIVE_CACHE_MS } },
  });
  goodId = await register("good", JOB_SCHEMA);
  await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
  await door.close();
});

const register = (subject: string, schema: unknown, type: "AVRO" | "JSON" = "AVRO"): Promise<number> =>
  registerSchema(servers().registryUrl, `${gateway.topics.names.jobs}-${subject}`, schema, type);

const bodyJson = (prompt: string): string =>
  JSON.stringify({ model: "cheap", messages: [{ role: "user", content: prompt }], max_tokens: 64 });

async function isServed(jobId: string): Promise<void> {
  const result = resultIn(await gateway.result(jobId));
  expect(result.status).toBe("succeeded");
  expect(answerDigests(result).prompt).toBe(digestOf(jobId));
}

/** Publishes the value between a JSON job and an Avro job; both are served. @returns the dead letter's message. */
async function refusedBetweenGoodJobs(value: Buffer, code: string, name: string): Promise<string> {
  const [before, behind] = [`before ${name}`, `behind ${name}`];
  const offsets = await gateway.topics.publish([
    { value: chatJob(before, before) },
    { key: "k", value },
    { value: framed(goodId, avroJob(behind)) },
  ]);
  const letter = await gateway.deadLetterOf(offsets[1] ?? -1);
  expect({ name, code: headerText(letter, "llm-error-code") }).toEqual({ name, code });
  expect(letter.value).toEqual(value);
  expect(letter.key?.toString()).toBe("k");
  await isServed(before);
  await isServed(behind);
  return headerText(letter, "__dlq.errors.message") ?? "";
}

test("[C5] refuses a wrong magic byte", async () => {
  expect(
    await refusedBetweenGoodJobs(Buffer.concat([Buffer.from([1, 0, 0, 0, 7]), avroJob("x")]), "BAD_AVRO", "magic 1"),
  ).toContain("first byte 1");
});

test("[C5] refuses the magic byte without a whole schema id", async () => {
  await refusedBetweenGoodJobs(Buffer.from([0, 0, 1]), "BAD_AVRO", "three bytes");
});

test.each([
  { name: "cut off", damage: (payload: Buffer) => payload.subarray(0, payload.length - 9) },
  { name: "with bytes behind it", damage: (payload: Buffer) => Buffer.concat([payload, Buffer.from("more")]) },
  { name: "with a length beyond its end", damage: () => Buffer.from([2, 0xfe, 0xff, 0xff, 0xff, 0x0f]) },
])("[C5] refuses Avro $name and keeps its bytes", async ({ name, damage }) => {
  await refusedBetweenGoodJobs(framed(goodId, damage(avroJob("x"))), "BAD_AVRO", name);
});

test.each([
  { name: "a lost field", field: "bodyJson", type: null, fields: { jobId: "x", tenant: "acme" } },
  {
    name: "a field of another type",
    field: "priority",
    type: "string",
    fields: { jobId: "x", tenant: "acme", bodyJson: bodyJson("x"), priority: "5" },
  },
  {
    name: "an enum in the place of text",
    field: "mode",
    type: { type: "enum", name: "Mode", symbols: ["direct", "batch"] },
    fields: { jobId: "x", tenant: "acme", bodyJson: bodyJson("x"), mode: "direct" },
  },
])("[C5] refuses a schema with $name, naming the field", async ({ name, field, type, fields }) => {
  const schema = changed(field, type);
  const id = await register(field, schema);
  expect(await refusedBetweenGoodJobs(framed(id, avroValue(schema, fields)), "BAD_AVRO", name)).toContain(
    `field ${field}`,
  );
});

test("[C5] refuses a field that a job does not have, as in JSON", async () => {
  const schema = { ...JOB_SCHEMA, fields: [...JOB_SCHEMA.fields, { name: "apiBase", type: ["null", "string"] }] };
  const id = await register("api-base", schema);
  const value = framed(
    id,
    avroValue(schema, {
      jobId: "unknown field",
      tenant: "acme",
      bodyJson: bodyJson("x"),
      apiBase: "http://127.0.0.1:9",
    }),
  );
  expect(await refusedBetweenGoodJobs(value, "BAD_JOB", "apiBase")).toContain("apiBase");
});

test("[C5] names the nearest field to one that a job does not have, as in JSON", async () => {
  const schema = { ...JOB_SCHEMA, fields: [...JOB_SCHEMA.fields, { name: "prioritty", type: ["null", "long"] }] };
  const id = await register("mistyped", schema);
  const fields = { jobId: "mistyped field", tenant: "acme", bodyJson: bodyJson("x"), prioritty: 9 };
  const value = framed(id, avroValue(schema, fields));
  const hint = 'did you mean "priority"?';
  expect(await refusedBetweenGoodJobs(value, "BAD_JOB", "prioritty")).toContain(hint);
  const { status, error } = resultIn(await gateway.result("mistyped field"));
  expect({ status, error }).toMatchObject({ status: "failed", error: { code: "BAD_JOB", replayable: false } });
  expect(error?.message).toContain(hint);
});

test.each([
  { name: "a tenant of the config", headers: { "llm-tenant": "acme" }, tenant: "acme" },
  { name: "no tenant", headers: {}, tenant: null },
  { name: "a tenant that is not there", headers: { "llm-tenant": "nobody" }, tenant: null },
])("[C5] keeps Avro that is cut off under $name of its headers, and publishes no result", async (given) => {
  const jobId = `cut off with ${given.name}`;
  const payload = avroJob("x");
  const value = framed(goodId, payload.subarray(0, payload.length - 9));
  const offset = await gateway.publish({ value, headers: { "llm-job-id": jobId, ...given.headers } });
  expect(headerText(await gateway.deadLetterOf(offset), "llm-error-code")).toBe("BAD_AVRO");
  const rows = await gateway.query(
    `SELECT d.code, convert_from(d.job_id, 'UTF8') AS "jobId", (SELECT t.name FROM tenants t WHERE t.no = d.tenant_no) AS tenant
     FROM dead_letters d WHERE d.source_offset = $1`,
    [offset],
  );
  expect(rows).toEqual([{ code: "BAD_AVRO", jobId, tenant: given.tenant }]);
  expect(gateway.resultsOf(jobId)).toEqual([]);
});

test("[C5] refuses a schema that is not Avro", async () => {
  const id = await register("json", { $schema: "http://json-schema.org/draft-07/schema#", type: "object" }, "JSON");
  await refusedBetweenGoodJobs(framed(id, Buffer.from("{}")), "BAD_AVRO", "JSON schema");
});

test("[C4] refuses text in Avro that is not UTF-8, naming the field", async () => {
  const payload = avroJob("aaaa");
  const at = payload.indexOf("aaaa");
  payload[at + 1] = 0xff;
  expect(await refusedBetweenGoodJobs(framed(goodId, payload), "BAD_UTF8", "Avro text")).toContain("jobId");
});

test("[C6] asks a bounded number of times for an unknown schema id, remembers the answer, and asks again after a while", async () => {
  const schema = { ...JOB_SCHEMA, doc: "registered, but not heard of yet" };
  const id = await register("late", schema);
  door.hidden.add(id);
  const payload = (jobId: string): Buffer =>
    framed(id, avroValue(JOB_SCHEMA, { jobId, tenant: "acme", bodyJson: bodyJson(jobId) }));
  expect(await refusedBetweenGoodJobs(payload("early 0"), "UNKNOWN_SCHEMA", "unknown id")).toContain(String(id));
  const asked = door.asked(id);
  expect(asked).toBeGreaterThanOrEqual(1);
  expect(asked).toBeLessThanOrEqual(3);
  const offsets = await gateway.topics.publish(
    Array.from({ length: 20 }, (_unused, index) => ({ value: payload(`early ${String(index + 1)}`) })),
  );
  for (const offset of offsets)
    expect(headerText(await gateway.deadLetterOf(offset), "llm-error-code")).toBe("UNKNOWN_SCHEMA");
  expect(door.asked(id)).toBe(asked);
  door.hidden.delete(id);
  let tries = 0;
  await gateway.until(
    "the schema to be learned",
    async () => {
      tries += 1;
      const jobId = `learned ${String(tries)}`;
      const offset = await gateway.publish({ value: payload(jobId) });
      await gateway.until(
        "its end",
        () =>
          gateway.resultsOf(jobId).length > 0 ||
          gateway.topics.deadLetters.some((letter) => headerText(letter, "__dlq.errors.offset") === String(offset)),
      );
      return gateway.resultsOf(jobId).length > 0;
    },
    NEGATIVE_CACHE_MS + 10_000,
  );
  await isServed(`learned ${String(tries)}`);
});

test("[C7] while the registry fails, known schemas are read on; a record of an unknown one waits and is no dead letter", async () => {
  const id = await register("unasked", { ...JOB_SCHEMA, doc: "nobody asked for it before the registry failed" });
  await gateway.publish({ value: framed(goodId, avroJob("known before")) });
  await isServed("known before");
  door.isDown = true;
  await gateway.publish({ value: framed(goodId, avroJob("known while down")) });
  await isServed("known while down");
  const lettersBefore = gateway.topics.deadLetters.length;
  await gateway.publish({
    value: framed(id, avroValue(JOB_SCHEMA, { jobId: "waits", tenant: "acme", bodyJson: bodyJson("waits") })),
  });
  await gateway.until("a question for it", () => door.asked(id) > 0);
  await gateway.until("the next question", () => door.asked(id) > 3); // it is asked again and again
  expect(gateway.resultsOf("waits")).toEqual([]);
  expect(gateway.topics.deadLetters).toHaveLength(lettersBefore);
  door.isDown = false;
  await isServed("waits");
  expect(gateway.topics.deadLetters).toHaveLength(lettersBefore);
});
