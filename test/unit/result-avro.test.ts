/** Results and cost records in Avro: read back by the published schema with a reader of the test's own, and compared with the same records in JSON. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import avro from "avsc";
import type { Schema } from "avsc";
import {
  createAvroEncoder,
  openAvroEncoder,
  RegistryUnavailableError,
} from "../../src/adapters/registry/avro-encoder.js";
import { messageOf } from "../../src/adapters/registry/registry-client.js";
import type { FindSchema } from "../../src/adapters/registry/registry-client.js";
import { createValueText } from "../../src/adapters/registry/value-text.js";
import type { Outgoing } from "../../src/domain/result/outgoing.js";
import {
  ACCEPTED_MS,
  ANSWER_TEXT,
  COSTS_TOPIC,
  OWN_TOPIC,
  RESULTS_TOPIC,
  renderedCases,
} from "./rendered-records-fixture.js";

const schemaOf = (name: string): Schema =>
  JSON.parse(readFileSync(new URL(`../../schemas/${name}.avsc`, import.meta.url), "utf8")) as Schema; // the published file
const SCHEMAS = { result: schemaOf("result"), cost: schemaOf("cost") };
const IDS = { result: 7, own: 300, cost: 66_000 };
const ENCODERS = {
  result: createAvroEncoder(
    SCHEMAS.result,
    RESULTS_TOPIC,
    new Map([
      [RESULTS_TOPIC, IDS.result],
      [OWN_TOPIC, IDS.own],
    ]),
  ),
  cost: createAvroEncoder(SCHEMAS.cost, COSTS_TOPIC, new Map([[COSTS_TOPIC, IDS.cost]])),
  event: null, // event-render.test.ts
};

type Fields = Readonly<Record<string, unknown>>;

/** The plain reader that any consumer has. */
function read(kind: "result" | "cost", value: Buffer | null): Fields {
  const decoded: unknown = avro.Type.forSchema(SCHEMAS[kind]).fromBuffer(value?.subarray(5) ?? Buffer.alloc(0));
  return { ...(decoded as Fields) };
}

const header = (record: Outgoing, name: string): string | undefined =>
  record.headers.find(([each]) => each === name)?.[1].toString();
const kindOf = ({ topic }: Outgoing): "result" | "cost" => (topic === COSTS_TOPIC ? "cost" : "result");

/** contract.md's rule of the flat form, in the test's own words. Whole numbers here are below 2^53. */
function flattened(document: Record<string, any>, bodyText: string | null): Fields {
  const { error, usage, cost, times, labels, attempts, decision, body: _body, ...rest } = document;
  const ms = (time: string | null | undefined): number | null =>
    time === null || time === undefined ? null : new Date(time).getTime();
  const whole = (amount: string | null): number | null => (amount === null ? null : Number(amount));
  return {
    provider: null,
    model: null,
    modelVersion: null,
    mode: null,
    batchId: null,
    served: null,
    requestHash: null,
    executionId: null,
    tier: null,
    ...rest,
    bodyJson: bodyText,
    errorCode: error?.code ?? null,
    errorClass: error?.class ?? null,
    errorMessage: error?.message ?? null,
    errorReplayable: error?.replayable ?? null,
    errorRetryAt: ms(error?.retryAt),
    errorProviderStatus: error?.provider?.status ?? null,
    errorProviderCode: error?.provider?.code ?? null,
    errorProviderRequestId: error?.provider?.requestId ?? null,
    attemptsJson: JSON.stringify(attempts),
    decisionJson: decision === null || decision === undefined ? null : JSON.stringify(decision),
    ...Object.fromEntries(
      [
        "inputTokens",
        "cachedInputTokens",
        "cacheWriteTokens",
        "cacheWrite1hTokens",
        "outputTokens",
        "reasoningTokens",
      ].map((name) => [name, usage?.[name] ?? null]),
    ),
    ...cost,
    nanoUsd: whole(cost.nanoUsd),
    maxNanoUsd: whole(cost.maxNanoUsd),
    listNanoUsd: whole(cost.listNanoUsd),
    submittedAt: ms(times.submittedAt),
    acceptedAt: ms(times.acceptedAt),
    startedAt: ms(times.startedAt),
    finishedAt: ms(times.finishedAt),
    deadline: ms(times.deadline),
    department: labels.department ?? null,
    application: labels.application ?? null,
    labelsJson: Object.keys(labels).length === 0 ? null : JSON.stringify(labels),
  };
}

function flatCost(document: Record<string, any>): Fields {
  const { nanoUsd, maxNanoUsd, listNanoUsd, at, ...rest } = document;
  return {
    ...rest,
    nanoUsd: nanoUsd === null ? null : Number(nanoUsd),
    maxNanoUsd: Number(maxNanoUsd),
    listNanoUsd: Number(listNanoUsd),
    at: new Date(at).getTime(),
  };
}

const asJson = new Map(renderedCases().map(({ name, outgoing }) => [name, outgoing]));

describe.each(renderedCases(ENCODERS))("$name", ({ name, outgoing }) => {
  const values = outgoing.filter(({ kind }) => kind !== "dead_letter");
  const twins = (asJson.get(name) ?? []).filter(({ kind }) => kind !== "dead_letter");

  test("says in Avro what it says in JSON", () => {
    expect(values.length).toBeGreaterThan(0);
    values.forEach((record, index) => {
      const text = twins[index]?.value?.toString("utf8") ?? "";
      const document = JSON.parse(text) as Record<string, any>;
      const expected =
        kindOf(record) === "cost"
          ? flatCost(document)
          : flattened(document, document["body"] === null ? null : ANSWER_TEXT);
      expect(read(kindOf(record), record.value)).toEqual(expected);
    });
  });

  test("begins with the byte 0 and the id of its topic's schema", () => {
    for (const record of values) {
      const id = kindOf(record) === "cost" ? IDS.cost : record.topic === OWN_TOPIC ? IDS.own : IDS.result;
      expect([record.value?.readUInt8(0), record.value?.readUInt32BE(1)]).toEqual([0, id]);
    }
  });

  test("has its encoding in content-type, all other headers as in JSON, and dead letters as they were", () => {
    const all = asJson.get(name) ?? [];
    expect(outgoing.map(({ kind, topic, key }) => ({ kind, topic, key }))).toEqual(
      all.map(({ kind, topic, key }) => ({ kind, topic, key })),
    );
    outgoing.forEach((record, index) => {
      const twin = all[index];
      const others = (headers: Outgoing["headers"] = []): unknown =>
        headers.filter(([each]) => each !== "content-type");
      expect(others(record.headers)).toEqual(others(twin?.headers));
      if (record.kind === "dead_letter") expect(record).toEqual(twin);
      else
        expect([header(record, "content-type"), twin && header(twin, "content-type")]).toEqual([
          "application/vnd.apache.avro",
          "application/json",
        ]);
    });
  });
});

test("a result that was paid for comes out with these fields", () => {
  const [result] = renderedCases(ENCODERS)[0]?.outgoing ?? [];
  expect(read("result", result?.value ?? null)).toMatchObject({
    v: 1,
    jobId: "order-17",
    tenant: "acme",
    generation: 0,
    status: "succeeded",
    format: "openai.chat",
    bodyJson: '{"id":"chatcmpl-1","temperature":1.10,"seed":12345678901234567890,"note":"\\"body\\":null € 😀"}',
    finishReason: "stop",
    errorCode: null,
    errorReplayable: null,
    provider: "openai",
    served: "call",
    inputTokens: 812,
    cacheWriteTokens: 0,
    reasoningTokens: null,
    nanoUsd: 123_450,
    listNanoUsd: 246_900,
    billing: "charged",
    submittedAt: 1_796_126_398_500,
    acceptedAt: 1_796_126_400_000,
    finishedAt: 1_796_126_402_000,
    deadline: 1_796_212_800_000,
    department: "risk",
    application: "kyc",
    labelsJson: '{"department":"risk","application":"kyc","team":"blue"}',
  });
});

test("a failure comes out with the provider's words and a whole number of milliseconds", () => {
  const failed = renderedCases(ENCODERS).find(({ name }) => name.startsWith("failed"))?.outgoing[0];
  expect(read("result", failed?.value ?? null)).toMatchObject({
    bodyJson: null,
    errorCode: "PROVIDER_UNAVAILABLE",
    errorClass: "capacity",
    errorReplayable: true,
    errorRetryAt: ACCEPTED_MS + 60_000,
    errorProviderStatus: 429,
    errorProviderRequestId: "req_9",
    nanoUsd: 0,
  });
});

test("amounts beyond 2^53 keep every digit", () => {
  const type = {
    type: "record",
    name: "Amounts",
    fields: [
      { name: "a", type: "long" },
      { name: "b", type: ["null", "long"] },
    ],
  } as Schema;
  const encoder = createAvroEncoder(type, "t", new Map([["t", 1]]));
  // 2^62 - 1 and -2^53 - 1 as zigzag varints, written down by hand from the specification.
  const a = Buffer.from("feffffffffffffff7f", "hex");
  const b = Buffer.from("8180808080808020", "hex");
  expect(encoder.encode("t", { a: 4_611_686_018_427_387_903n, b: -9_007_199_254_740_993n }).subarray(5)).toEqual(
    Buffer.concat([a, Buffer.from([2]), b]),
  );
  expect(encoder.encode("t", { a: -1, b: null }).subarray(5)).toEqual(Buffer.from([1, 0]));
});

test("a value for a topic that left the config gets the schema's id of the usual topic", () => {
  const type = { type: "record", name: "One", fields: [{ name: "a", type: "long" }] } as Schema;
  const ids = new Map([
    ["t", 9],
    ["u", 8],
  ]);
  const { encode } = createAvroEncoder(type, "t", ids);
  expect([encode("gone", { a: 1 }).readUInt32BE(1), encode("u", { a: 1 }).readUInt32BE(1)]).toEqual([9, 8]);
});

test("a registry that does not answer ends the start, naming the subject", async () => {
  const settings = { url: "http://127.0.0.1:1", username: null, password: null, timeoutMs: 300 };
  const error: unknown = await openAvroEncoder(settings, "result.avsc", ["llm.results.v1"]).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RegistryUnavailableError);
  expect(String(error)).toContain("llm.results.v1-value");
});

describe("values as commands print them", () => {
  const [result] = renderedCases(ENCODERS)[0]?.outgoing ?? [];
  const avroValue = result?.value ?? Buffer.alloc(0);
  const asked: number[] = [];
  const find: FindSchema = (id) => {
    asked.push(id);
    return Promise.resolve(
      id === IDS.result ? { kind: "schema", type: avro.Type.forSchema(SCHEMAS.result) } : { kind: "unknown" },
    );
  };

  test("Avro is JSON in the schema's fields, and the registry is asked once", async () => {
    const text = createValueText(find);
    const [first, second] = [await text(avroValue), await text(avroValue)];
    expect(JSON.parse(first)).toMatchObject({ jobId: "order-17", bodyJson: ANSWER_TEXT, nanoUsd: 123_450 });
    expect(second).toBe(first);
    expect(asked).toEqual([IDS.result]);
  });

  test("JSON is printed as it is, without a registry", async () => {
    expect(await createValueText(null)(Buffer.from('{"n":1.10}'))).toBe('{"n":1.10}');
  });

  test("what can't be read says why", async () => {
    const unknown = Buffer.from([0, 0, 0, 0, 1, 2]);
    await expect(createValueText(find)(unknown)).rejects.toThrow("schema 1, which the registry does not have");
    await expect(createValueText(null)(avroValue)).rejects.toThrow("registry.url");
    const away: FindSchema = () => Promise.resolve({ kind: "unavailable", message: messageOf(new Error("no answer")) });
    await expect(createValueText(away)(avroValue)).rejects.toThrow("can't be asked for schema 7: no answer");
  });
});
