import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { Ajv2020 } from "ajv/dist/2020.js";
import avro from "avsc";
import type { Schema } from "avsc";
import { parse as parseYaml } from "yaml";
import { EVENT_KINDS } from "../../src/domain/event/event.js";
import { REQUEST_FORMATS } from "../../src/domain/job/job.js";

const directory = new URL("../../schemas/", import.meta.url);
const file = (name: string): string => readFileSync(new URL(name, directory), "utf8");

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly enum?: readonly unknown[];
  readonly examples?: readonly unknown[];
}
interface AvroSchema {
  readonly fields: readonly { readonly name: string; readonly type: unknown; readonly default?: unknown }[];
}
interface Field {
  readonly name: string;
  readonly nullable: boolean;
}

const jsonSchema = (name: string): JsonSchema => JSON.parse(file(`${name}.schema.json`)) as JsonSchema;
const avroSchema = (name: string): AvroSchema => JSON.parse(file(`${name}.avsc`)) as AvroSchema;

function isNullable(root: JsonSchema, owner: JsonSchema, name: string): boolean {
  const own = owner.properties?.[name];
  const schema = own?.$ref === undefined ? own : root.$defs?.[own.$ref.replace("#/$defs/", "")];
  return [schema?.type].flat().includes("null") || !(owner.required ?? []).includes(name);
}

function avroFields(schema: AvroSchema): Field[] {
  return schema.fields.map(({ name, type }) => ({ name, nullable: Array.isArray(type) && type[0] === "null" }));
}

/** The contract's rule for Avro, in the test's own words. */
function flattened(root: JsonSchema, owner: JsonSchema = root, prefix = "", parentNullable = false): Field[] {
  return Object.entries(owner.properties ?? {}).flatMap(([name, schema]): Field[] => {
    const nullable = parentNullable || isNullable(root, owner, name);
    if (prefix === "" && ["body", "attempts", "decision"].includes(name)) return [{ name: `${name}Json`, nullable }];
    if (name === "labels")
      return [
        { name: "department", nullable: true },
        { name: "application", nullable: true },
        { name: "labelsJson", nullable },
      ];
    if (schema.properties === undefined)
      return [{ name: prefix === "" ? name : `${prefix}${name.charAt(0).toUpperCase()}${name.slice(1)}`, nullable }];
    const inner = name === "error" ? "error" : prefix === "error" ? "errorProvider" : "";
    return flattened(root, schema, inner, nullable);
  });
}

const byName = (fields: readonly Field[]): Field[] =>
  [...fields].sort((left, right) => (left.name < right.name ? -1 : 1));

describe("JSON Schema and Avro agree", () => {
  test("on every field of a result and whether it may be null", () => {
    expect(byName(avroFields(avroSchema("result")))).toEqual(byName(flattened(jsonSchema("result"))));
  });
  test.each(["cost", "event"])("on every field of a %s and whether it may be null", (name) => {
    const schema = jsonSchema(name);
    const fields = Object.keys(schema.properties ?? {}).map((field) => ({
      name: field,
      nullable: isNullable(schema, schema, field),
    }));
    expect(avroFields(avroSchema(name))).toEqual(fields);
  });
  test("on every field of a job, the body being JSON text in Avro and bodyRef coming with the code that reads it", () => {
    const schema = jsonSchema("job");
    const names = Object.keys(schema.properties ?? {})
      .filter((name) => name !== "bodyRef")
      .map((name) => (name === "body" ? "bodyJson" : name));
    expect(avroFields(avroSchema("job"))).toEqual(names.map((name) => ({ name, nullable: true })));
  });
  test.each(["require", "cache", "expect"])("on the members of a job's %s", (name) => {
    const field = avroSchema("job").fields.find((candidate) => candidate.name === name);
    const [, nested] = field?.type as [string, AvroSchema];
    expect(avroFields(nested).map((inner) => inner.name)).toEqual(
      Object.keys(jsonSchema("job").properties?.[name]?.properties ?? {}),
    );
  });
});

describe("Avro schemas", () => {
  test.each(["result", "cost", "event"])(
    "of a %s are flat: strings, longs, one flag, each nullable field null by default",
    (name) => {
      for (const field of avroSchema(name).fields) {
        const types = [field.type]
          .flat()
          .filter((type) => type !== "null")
          .map((type) => (typeof type === "object" ? (type as { type: string }).type : type));
        expect(["string", "long", "boolean"]).toContain(types[0]);
        expect(types).toHaveLength(1);
        if (Array.isArray(field.type)) expect(field.default).toBeNull();
      }
    },
  );
  test.each(["job", "result", "cost", "event"])("of a %s are valid", (name) => {
    expect(avro.Type.forSchema(JSON.parse(file(`${name}.avsc`)) as Schema).typeName).toBe("record");
  });
});

describe("JSON Schemas", () => {
  test.each(["job", "result", "cost", "event"])("of a %s compile in strict mode", (name) => {
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, formats: { "date-time": true } });
    expect(typeof ajv.compile(jsonSchema(name))).toBe("function");
  });
  test("list the formats that the code knows", () => {
    expect(jsonSchema("job").properties?.["format"]?.enum).toEqual([...REQUEST_FORMATS, null]);
  });
  test("list the kinds of events that the code knows", () => {
    const kinds = jsonSchema("event").properties?.["kind"]?.examples;
    expect(kinds).toEqual(Object.keys(EVENT_KINDS));
  });
  test("take the contract's examples of a result and of a refusal", () => {
    const validate = new Ajv2020({ allowUnionTypes: true, formats: { "date-time": true } }).compile(
      jsonSchema("result"),
    );
    const times = { submittedAt: "2026-12-01T12:00:00Z", finishedAt: "2026-12-01T12:00:01Z" };
    const cost = {
      nanoUsd: "123450",
      maxNanoUsd: "123450",
      listNanoUsd: "246900",
      priceVersion: "p",
      billing: "charged",
      costId: "c",
    };
    const common = { v: 1, resultId: "r", jobId: "order-17", tenant: "acme", cost, times };
    expect(
      validate({
        ...common,
        generation: 0,
        status: "succeeded",
        format: "openai.chat",
        body: { a: 1 },
        usage: { inputTokens: 812, reasoningTokens: null },
        labels: { a: "b" },
      }),
    ).toBe(true);
    expect(
      validate({
        ...common,
        generation: -1,
        status: "failed",
        body: null,
        error: { code: "BAD_JOB", class: "caller", message: "m", replayable: false, retryAt: null, provider: null },
      }),
    ).toBe(true);
    expect(validate({ ...common, generation: 0, status: "done" })).toBe(false);
    expect(validate({ ...common, generation: 0, status: "failed", cost: { ...cost, nanoUsd: 123450 } })).toBe(false);
  });
});

interface AsyncApi {
  readonly channels: Readonly<
    Record<string, { readonly address: string; readonly messages: Readonly<Record<string, { readonly $ref: string }>> }>
  >;
  readonly operations: Readonly<
    Record<string, { readonly action: string; readonly channel: { readonly $ref: string } }>
  >;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

describe("the AsyncAPI document", () => {
  const document = parseYaml(file("asyncapi.yaml")) as AsyncApi;
  const at = (path: string): unknown =>
    path
      .slice(2)
      .split("/")
      .reduce<unknown>((node, part) => (node as Record<string, unknown>)[part], document);
  const references = [...file("asyncapi.yaml").matchAll(/\$ref: "?([^"\s}]+)"?/g)].map((found) => found[1] ?? "");
  test("names the contract's topics", () => {
    expect(Object.values(document.channels).map(({ address }) => address)).toEqual([
      "llm.jobs.v1",
      "llm.results.v1",
      "llm.costs.v1",
      "llm.jobs.v1.dlq",
      "llm.events.v1",
    ]);
  });
  test("refers only to what exists", () => {
    expect(references.length).toBeGreaterThan(40);
    for (const reference of references) {
      if (reference.startsWith("#")) expect(at(reference)).toBeDefined();
      else expect(file(reference).length).toBeGreaterThan(0);
    }
  });
  test("publishes every schema, in JSON and in Avro", () => {
    const names = ["job", "result", "cost", "event"];
    for (const name of names) {
      expect(references).toContain(`./${name}.schema.json`);
      expect(references).toContain(`./${name}.avsc`);
    }
  });
  test("says what the gateway does on each channel", () => {
    const operations = Object.entries(document.operations).map(([name, { action, channel }]) => [
      name,
      action,
      channel.$ref.replace("#/channels/", ""),
    ]);
    expect(operations).toEqual([
      ["receiveJob", "receive", "jobs"],
      ["sendResult", "send", "results"],
      ["sendCost", "send", "costs"],
      ["sendDeadLetter", "send", "deadLetters"],
      ["sendEvent", "send", "events"],
    ]);
  });
});
