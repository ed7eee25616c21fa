import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { formatProblem } from "../../src/config/config-error.js";
import { parseConfig } from "../../src/config/parse.js";
import { configJsonSchema } from "../../src/config/schema.js";
import { masked } from "../../src/config/secrets.js";

const PUBLISHED = "schemas/config.schema.json";
const EXAMPLE = "src/config/example.yaml";
const EXAMPLE_ENV = {
  KAFKA_BROKERS: "127.0.0.1:9092",
  SCHEMA_REGISTRY_URL: "http://127.0.0.1:8081",
  DATABASE_URL: "postgres://sluice:secret@127.0.0.1:5432/sluice",
  OPENAI_BASE_URL: "http://127.0.0.1:9001/v1",
  OPENAI_API_KEY: "key-one",
  ANTHROPIC_BASE_URL: "http://127.0.0.1:9001/v1",
  ANTHROPIC_API_KEY: "key-two",
};
const noFiles = (): string => {
  throw Object.assign(new Error("no files here"), { code: "ENOENT" });
};

/** Compares with a file that a person reads; `UPDATE_GOLDEN=1` writes it anew. */
function expectGolden(file: string, text: string): void {
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, "utf8"));
}

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** Every node of the schema with its path. */
function nodes(node: Node, path = ""): readonly (readonly [string, Node])[] {
  const additional = typeof node.additionalProperties === "object" ? [["*", node.additionalProperties] as const] : [];
  const children = [
    ...Object.entries(node.properties ?? {}),
    ...additional,
    ...(node.items === undefined ? [] : [["[]", node.items] as const]),
    ...(node.anyOf ?? []).map((option) => ["", option] as const),
  ];
  return [[path, node], ...children.flatMap(([key, child]) => nodes(child, key === "" ? path : `${path}.${key}`))];
}

/** Numbers without a default here: brokers, the provider or another key set them, or there is none. */
const SET_ELSEWHERE =
  /\.(?:replication|latencyP95Ms|batch\.(?:concurrency|linesMax|bytesMax|enqueuedTokensMax|flushAfterMs))$/;

describe("the published schema", () => {
  test("is the one that the gateway checks with", () => {
    expectGolden(PUBLISHED, `${JSON.stringify(configJsonSchema(PROVIDER_KINDS), null, 2)}\n`);
  });

  test("gives each number bounds, a default and a sentence", () => {
    const numbers = nodes(configJsonSchema(PROVIDER_KINDS)).filter(
      ([, node]) => node.type === "integer" || node.type === "number",
    );
    expect(numbers.length).toBeGreaterThan(60);
    const lacking = numbers.filter(([path, node]) => {
      const complete = node.minimum !== undefined && node.maximum !== undefined && (node.description ?? "").length > 20;
      return !complete || (node.default === undefined && !SET_ELSEWHERE.test(path));
    });
    expect(lacking.map(([path]) => path)).toEqual([]);
  });

  test("closes each section to unknown keys", () => {
    const open = nodes(configJsonSchema(PROVIDER_KINDS)).filter(
      ([, node]) => node.properties !== undefined && node.additionalProperties !== false,
    );
    expect(open.map(([path]) => path)).toEqual([]);
  });

  test("accepts the example as it is written, references included", () => {
    const validate = new Ajv2020({ strict: false }).compile(configJsonSchema(PROVIDER_KINDS));
    expect([validate(parse(readFileSync(EXAMPLE, "utf8"))), validate.errors]).toEqual([true, null]);
  });

  test("refuses the example with a key too many", () => {
    const validate = new Ajv2020({ strict: false }).compile(configJsonSchema(PROVIDER_KINDS));
    expect(validate({ ...(parse(readFileSync(EXAMPLE, "utf8")) as object), extra: 1 })).toBe(false); // a YAML map, as the test above shows
  });
});

describe("the example", () => {
  test("is a right config", () => {
    const outcome = parseConfig(readFileSync(EXAMPLE, "utf8"), EXAMPLE_ENV, noFiles, PROVIDER_KINDS);
    expect(outcome.ok ? [] : outcome.problems).toEqual([]);
  });

  test("comes out with these defaults", () => {
    const outcome = parseConfig(readFileSync(EXAMPLE, "utf8"), EXAMPLE_ENV, noFiles, PROVIDER_KINDS);
    const shown = outcome.ok ? masked(outcome.config) : null;
    expectGolden("test/golden/config/example.shown.json", `${JSON.stringify(shown, null, 2)}\n`);
  });

  test("lists each variable that is missing when there is no environment", () => {
    const outcome = parseConfig(readFileSync(EXAMPLE, "utf8"), {}, noFiles, PROVIDER_KINDS);
    const named = outcome.ok
      ? []
      : outcome.problems.map(({ message }) => /environment variable (\w+) is not set/.exec(message)?.[1]);
    expect(named).toEqual(Object.keys(EXAMPLE_ENV));
  });
});

test("a file full of mistakes is explained like this", () => {
  const outcome = parseConfig(readFileSync("test/golden/config/mistakes.yaml", "utf8"), {}, noFiles, PROVIDER_KINDS);
  const lines = outcome.ok ? [] : outcome.problems.map((problem) => formatProblem("mistakes.yaml", problem));
  expectGolden("test/golden/config/mistakes.problems.txt", `${lines.join("\n")}\n`);
});
