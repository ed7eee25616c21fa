import { describe, expect, test } from "@jest/globals";
import avro from "avsc";
import type { Schema } from "avsc";
import { createAvroDecoder } from "../../src/adapters/registry/avro-decoder.js";
import { messageOf, statusOf } from "../../src/adapters/registry/registry-client.js";
import type { FindSchema, SchemaAnswer } from "../../src/adapters/registry/registry-client.js";
import { schemaSubjects } from "../../src/adapters/registry/register-schemas.js";
import { createAdmission } from "../../src/domain/job/admit.js";
import type { Clock } from "../../src/ports/system.js";
import { isRegistryFramed } from "../../src/ports/value-decoder.js";
import { NOW_MS, jobIn, record, refusalIn, settings } from "./job-admission-fixture.js";

const BODY_JSON = '{"model":"m"}';
const NULLABLE = (type: unknown): readonly unknown[] => ["null", type];
const recordOf = (fields: Readonly<Record<string, unknown>>, name = "com.acme.Question"): Schema =>
  ({ type: "record", name, fields: Object.entries(fields).map(([field, type]) => ({ name: field, type })) }) as Schema;

function framed(id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(id, 1);
  return Buffer.concat([head, payload]);
}

class ManualClock implements Clock {
  now = 0;
  slept: number[] = [];
  nowMs(): number {
    return this.now;
  }
  monotonicMs(): number {
    return this.now;
  }
  sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    return Promise.resolve();
  }
}

function decoderWith(answer: (id: number, call: number) => SchemaAnswer): {
  decoder: ReturnType<typeof createAvroDecoder>;
  calls: number[];
  clock: ManualClock;
} {
  const calls: number[] = [];
  const clock = new ManualClock();
  const find: FindSchema = (id) => {
    calls.push(id);
    return Promise.resolve(answer(id, calls.length));
  };
  return { decoder: createAvroDecoder({ valueBytesMax: 10_000, negativeCacheMs: 1_000 }, find, clock), calls, clock };
}

async function decoded(schema: Schema, value: unknown): Promise<unknown> {
  const type = avro.Type.forSchema(schema);
  return decoderWith(() => ({ kind: "schema", type })).decoder.decode(framed(7, type.toBuffer(value)));
}

describe("a job in Avro", () => {
  test("may hold text whose length takes more than one byte to say", async () => {
    const long = JSON.stringify({ model: "cheap", messages: [{ role: "user", content: "x".repeat(300) }] });
    const found = await decoded(recordOf({ bodyJson: "string" }), { bodyJson: long });
    expect(found).toMatchObject({ kind: "decoded", document: { fields: { bodyJson: long } } });
  });
  test("is decoded from a producer's own record with fewer fields and other names", async () => {
    const schema = recordOf({ bodyJson: "string", priority: "int", labels: { type: "map", values: "string" } });
    const found = await decoded(schema, { bodyJson: BODY_JSON, priority: 9, labels: { department: "risk" } });
    expect(found).toMatchObject({
      kind: "decoded",
      document: {
        fields: { bodyJson: BODY_JSON, priority: 9, labels: { department: "risk" }, jobId: null },
        unknownFields: [],
      },
    });
  });
  test("is decoded where a tool made every field nullable, nested records too", async () => {
    const nested = recordOf({ providers: NULLABLE({ type: "array", items: "string" }) }, "Requirements");
    const schema = recordOf({ bodyJson: NULLABLE("string"), require: NULLABLE(nested) });
    const found = await decoded(schema, { bodyJson: BODY_JSON, require: { providers: ["openai"] } });
    expect(found).toMatchObject({
      kind: "decoded",
      document: { fields: { bodyJson: BODY_JSON, require: { providers: ["openai"] } } },
    });
  });
  test("names the fields that only the producer has, at any depth", async () => {
    const schema = recordOf({
      bodyJson: "string",
      tenant_id: "string",
      require: recordOf({ region: "string" }, "Requirements"),
    });
    const found = await decoded(schema, { bodyJson: BODY_JSON, tenant_id: "x", require: { region: "eu" } });
    expect(found).toMatchObject({
      document: {
        unknownFields: [
          { path: "", name: "tenant_id", known: expect.arrayContaining(["tenant", "bodyJson"]) },
          { path: "require", name: "region", known: expect.arrayContaining(["regions"]) },
        ],
      },
    });
  });
  test("becomes the job that its twin in JSON is", async () => {
    const type = avro.Type.forSchema(recordOf({ jobId: "string", bodyJson: "string" }));
    const value = framed(7, type.toBuffer({ jobId: "order-17", bodyJson: BODY_JSON }));
    const { decoder } = decoderWith(() => ({ kind: "schema", type }));
    const found = await decoder.decode(value);
    if (found.kind !== "decoded") throw new Error(found.kind);
    const admission = createAdmission(settings());
    const twin = jobIn(admission.admit(record(`{"jobId":"order-17","body":${BODY_JSON}}`), NOW_MS));
    expect(jobIn(admission.admitAvro(record(value), found.document, NOW_MS))).toEqual(twin);
    const withUnknown = { ...found.document, unknownFields: [{ path: "", name: "tenat", known: ["tenant"] }] };
    expect(refusalIn(admission.admitAvro(record(value), withUnknown, NOW_MS))).toMatchObject({
      code: "BAD_JOB",
      jobId: "order-17",
    });
  });
});

describe("a schema that does not fit [C5]", () => {
  test.each([
    ["a lost field", recordOf({ jobId: "string" }), "field bodyJson: expected it in the writer's schema"],
    [
      "an enum",
      recordOf({ bodyJson: "string", mode: { type: "enum", name: "Mode", symbols: ["auto"] } }),
      "field mode: expected null or string, got enum",
    ],
    [
      "another type",
      recordOf({ bodyJson: "string", priority: "string" }),
      "field priority: expected null or long, got string",
    ],
    ["no record", "string", "expected a record"],
  ])("is BAD_AVRO and says why: %s", async (_, schema, message) => {
    const type = avro.Type.forSchema(schema);
    const { decoder } = decoderWith(() => ({ kind: "schema", type }));
    expect(await decoder.decode(framed(7, Buffer.alloc(3)))).toMatchObject({
      kind: "refused",
      code: "BAD_AVRO",
      message: expect.stringContaining(message),
    });
  });
  test("is BAD_AVRO when it is not Avro's", async () => {
    const { decoder } = decoderWith(() => ({ kind: "not_avro" }));
    expect(await decoder.decode(framed(7, Buffer.alloc(3)))).toMatchObject({
      code: "BAD_AVRO",
      message: expect.stringContaining("another type"),
    });
  });
});

describe("bytes that do not fit their schema", () => {
  const type = avro.Type.forSchema(
    recordOf({
      jobId: "string",
      bodyJson: "string",
      labels: { type: "map", values: "string" },
      tags: { type: "array", items: "null" },
      ttlMs: "long",
    }),
  );
  const good = type.toBuffer({ jobId: "j", bodyJson: BODY_JSON, labels: { a: "b" }, tags: [], ttlMs: 5 });
  const { decoder } = decoderWith(() => ({ kind: "schema", type }));
  const cut = (length: number): Buffer => good.subarray(0, length);
  const jobIdBytes = Buffer.from([2, 0x6a, 0]);
  test.each([
    ["cut short", "BAD_AVRO", cut(good.length - 1)],
    ["nothing", "BAD_AVRO", cut(0)],
    ["one byte more", "BAD_AVRO", Buffer.concat([good, Buffer.from([0])])],
    ["a negative length", "BAD_AVRO", Buffer.from([1])],
    ["a length beyond the end", "BAD_AVRO", Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f])],
    ["an endless number", "BAD_AVRO", Buffer.alloc(20, 0xff)],
    [
      "a map of 2^40 entries",
      "BAD_AVRO",
      Buffer.concat([jobIdBytes, Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x40])]),
    ],
    [
      "a list of 2^40 nulls",
      "BAD_AVRO",
      Buffer.concat([jobIdBytes, Buffer.from([0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40])]),
    ],
    [
      "a block of a size that is not its own",
      "BAD_AVRO",
      Buffer.concat([jobIdBytes, Buffer.from([1, 9, 2, 0x61, 2, 0x62, 0])]),
    ],
    ["a string that is not UTF-8", "BAD_UTF8", Buffer.from([2, 0xff, 0])],
    [
      "a number beyond 2^53",
      "BAD_AVRO",
      Buffer.concat([
        jobIdBytes,
        Buffer.from([0, 0]),
        Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
      ]),
    ],
  ])("are refused: %s", async (_, code, payload) => {
    expect(await decoder.decode(framed(7, payload))).toMatchObject({ kind: "refused", code });
  });
  test("are taken when they do, U+FFFD as sent included", async () => {
    expect(await decoder.decode(framed(7, good))).toMatchObject({ kind: "decoded" });
    const replaced = type.toBuffer({ jobId: "\ufffd", bodyJson: BODY_JSON, labels: {}, tags: [null, null], ttlMs: 5 });
    expect(await decoder.decode(framed(7, replaced))).toMatchObject({
      kind: "decoded",
      document: { fields: { jobId: "\ufffd" } },
    });
  });
  test.each([
    ["BAD_AVRO", Buffer.from([0])],
    ["BAD_AVRO", Buffer.from([1, 0, 0, 0, 7, 2])],
    ["TOO_LARGE", Buffer.alloc(10_001)],
  ])("are %s without asking the registry when their frame is wrong", async (code, value) => {
    const { decoder: own, calls } = decoderWith(() => ({ kind: "unknown" }));
    expect(await own.decode(value)).toMatchObject({ kind: "refused", code });
    expect(calls).toEqual([]);
  });
});

describe("the registry", () => {
  const type = avro.Type.forSchema(recordOf({ bodyJson: "string" }));
  const value = (id: number): Buffer => framed(id, type.toBuffer({ bodyJson: BODY_JSON }));
  test("is asked once for a schema, whoever waits for it", async () => {
    const { decoder, calls } = decoderWith(() => ({ kind: "schema", type }));
    const found = await Promise.all([decoder.decode(value(1)), decoder.decode(value(1)), decoder.decode(value(2))]);
    expect(found.map(({ kind }) => kind)).toEqual(["decoded", "decoded", "decoded"]);
    await decoder.decode(value(1));
    expect(calls).toEqual([1, 2]);
  });
  test("is asked three times for an unknown id, and again only after a while [C6]", async () => {
    const { decoder, calls, clock } = decoderWith(() => ({ kind: "unknown" }));
    expect(await decoder.decode(value(9))).toMatchObject({
      kind: "refused",
      code: "UNKNOWN_SCHEMA",
      message: expect.stringContaining("9"),
    });
    expect(calls).toHaveLength(3);
    expect(clock.slept).toEqual([100, 200]);
    clock.now = 999;
    expect(await decoder.decode(value(9))).toMatchObject({ code: "UNKNOWN_SCHEMA" });
    expect(calls).toHaveLength(3);
    clock.now = 1_000;
    await decoder.decode(value(9));
    expect(calls).toHaveLength(6);
  });
  test("may learn of an id between two questions", async () => {
    const { decoder } = decoderWith((_, call) => (call < 3 ? { kind: "unknown" } : { kind: "schema", type }));
    expect(await decoder.decode(value(9))).toMatchObject({ kind: "decoded" });
  });
  test("[C7] that can't be reached holds unknown ids up and leaves known ones alone", async () => {
    const { decoder, calls } = decoderWith((id) =>
      id === 1 ? { kind: "schema", type } : { kind: "unavailable", message: "no answer" },
    );
    await decoder.decode(value(1));
    expect(await decoder.decode(value(2))).toEqual({ kind: "unavailable", message: "schema 2: no answer" });
    expect(await decoder.decode(value(1))).toMatchObject({ kind: "decoded" });
    await decoder.decode(value(2));
    expect(calls).toEqual([1, 2, 2]);
  });
  test("keeps nobody waiting who was told to stop", async () => {
    const never: FindSchema = () => new Promise(() => undefined);
    const decoder = createAvroDecoder({ valueBytesMax: 100, negativeCacheMs: 1 }, never, new ManualClock());
    const stop = new AbortController();
    const waiting = decoder.decode(value(1), stop.signal);
    stop.abort();
    expect(await waiting).toMatchObject({ kind: "unavailable" });
  });
  test("is asked again for a schema that fell out of a full cache", async () => {
    const { decoder, calls } = decoderWith(() => ({ kind: "schema", type }));
    for (let id = 1; id <= 501; id += 1) await decoder.decode(value(id));
    await decoder.decode(value(501));
    expect(calls).toHaveLength(501);
    await decoder.decode(value(1));
    expect(calls).toHaveLength(502);
  });
});

test("a value is for the decoder when it begins with the magic byte", () => {
  expect(
    [null, Buffer.alloc(0), Buffer.from("{}"), Buffer.from([0]), Buffer.from([0, 0, 0, 0, 1])].map(isRegistryFramed),
  ).toEqual([false, false, false, true, true]);
});

test("subjects are named after their topics, with the compatibility that their readers need", () => {
  expect(schemaSubjects({ jobs: ["a", "b"], results: "r", replies: ["own"], costs: "c", events: "e" })).toEqual([
    { subject: "a-value", file: "job.avsc", compatibility: "BACKWARD_TRANSITIVE" },
    { subject: "b-value", file: "job.avsc", compatibility: "BACKWARD_TRANSITIVE" },
    { subject: "r-value", file: "result.avsc", compatibility: "FULL_TRANSITIVE" },
    { subject: "own-value", file: "result.avsc", compatibility: "FULL_TRANSITIVE" },
    { subject: "c-value", file: "cost.avsc", compatibility: "FULL_TRANSITIVE" },
    { subject: "e-value", file: "event.avsc", compatibility: "FULL_TRANSITIVE" },
  ]);
});

test.each([
  [{ status: 404 }, 404, "the registry answered 404"],
  [
    Object.assign(new Error("sluice - Error, status 400: connect ECONNREFUSED"), { status: 400 }),
    null,
    "connect ECONNREFUSED",
  ],
  [
    Object.assign(new Error("sluice - Error, status 500: [object Object]"), { status: 500 }),
    500,
    "the registry answered 500",
  ],
  [Object.assign(new Error("sluice - Schema is incompatible"), { status: 409 }), 409, "Schema is incompatible"],
  [new Error("no answer within 500 ms"), null, "no answer within 500 ms"],
])("an error of the registry's client is told as what it was", (error, status, message) => {
  expect(statusOf(error)).toBe(status);
  expect(messageOf(error)).toBe(message);
});
