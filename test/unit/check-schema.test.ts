import { describe, expect, test } from "@jest/globals";
import { createSchemaCheck, type SchemaLimits } from "../../src/adapters/json-schema/check-schema.js";

const LIMITS: SchemaLimits = { bytesMax: 20_000, rememberedMax: 3, checkMs: 1_000 };

function bench(limits: Partial<SchemaLimits> = {}) {
  const unusable: string[] = [];
  const check = createSchemaCheck({ ...LIMITS, ...limits }, (because) => unusable.push(because));
  return { check, unusable };
}

/** `defs/0` is twice `defs/1`, which is twice `defs/2`, …: a few lines that mean 2^depth steps. */
function doubling(depth: number): object {
  const defs = Array.from({ length: depth }, (_, index) => {
    const next = { $ref: `#/$defs/d${String(index + 1)}` };
    return [`d${String(index)}`, index === depth - 1 ? { type: "object" } : { allOf: [next, next] }] as const;
  });
  return { $ref: "#/$defs/d0", $defs: Object.fromEntries(defs) };
}

describe("a value", () => {
  test.each<[string, unknown, unknown, string]>([
    ["that fits", { type: "object", required: ["a"] }, { a: 1 }, "fits"],
    ["without what is required", { type: "object", required: ["a"] }, {}, "it must have required property 'a'"],
    [
      "of another type, deep down",
      { properties: { a: { items: { type: "string" } } } },
      { a: ["x", 1] },
      "its /a/1 must be string",
    ],
    [
      "that repeats a definition",
      { $defs: { n: { type: "number" } }, items: { $ref: "#/$defs/n" } },
      [1, "x"],
      "its /1 must be number",
    ],
    [
      "in a tree that names itself",
      { $defs: { t: { required: ["v"], properties: { next: { $ref: "#/$defs/t" } } } }, $ref: "#/$defs/t" },
      { v: 1, next: {} },
      "its /next must have required property 'v'",
    ],
    [
      "of the first items of a list",
      { prefixItems: [{ type: "string" }], items: false },
      ["a", 2],
      "it must NOT have more than 1 items",
    ],
    ["by a pattern", { pattern: "^[a-z]+$" }, "ABC", 'it must match pattern "^[a-z]+$"'],
    [
      "with a member that every object has",
      { required: ["constructor"] },
      {},
      "it must have required property 'constructor'",
    ],
    [
      "of an older dialect's schema",
      { $schema: "http://json-schema.org/draft-07/schema#", type: "string" },
      "x",
      "fits",
    ],
    ["with a format, which is not looked at", { type: "string", format: "date-time" }, "soon", "fits"],
    ["with words that no standard knows", { type: "string", "x-hint": { a: 1 } }, "x", "fits"],
  ])("%s", (_what, schema, value, expected) => {
    const { check, unusable } = bench();
    const verdict = check(schema, value);
    expect(verdict.kind === "misses" ? verdict.where : verdict.kind).toBe(expected);
    expect(unusable).toEqual([]);
  });
});

describe("a schema that can't be used", () => {
  test.each<[string, unknown, unknown, string]>([
    ["is no object", [], {}, "no_schema"],
    ["is longer than allowed", { description: "x".repeat(20_000) }, {}, "too_long"],
    ["points outside, and nothing is fetched", { $ref: "https://example.com/schema.json" }, {}, "not_compiled"],
    ["has a type that there is not", { type: "text" }, {}, "not_compiled"],
    ["has a pattern that is none", { pattern: "(" }, "x", "not_compiled"],
    ["only ever points at itself", { $ref: "#" }, {}, "not_compiled"],
    ["calls itself asynchronous", { $async: true, type: "object" }, {}, "not_compiled"],
    ["means a thousand million steps", doubling(30), {}, "too_slow"],
    ["backtracks for hours", { pattern: "^(a+)+$" }, `${"a".repeat(40)}b`, "too_slow"],
    [
      "compares each item with each",
      { uniqueItems: true },
      Array.from({ length: 40_000 }, (_, index) => ({ index })),
      "too_slow",
    ],
  ])("one that %s", (_what, schema, value, because) => {
    const { check, unusable } = bench();
    expect(check(schema, value)).toEqual({ kind: "unusable", because });
    expect(check(structuredClone(schema), value)).toEqual({ kind: "unusable", because });
    // Told once: the second time it was remembered.
    expect(unusable).toEqual([because]);
  });
});

test("the schema that was not used for longest is forgotten, and told again when it still can't be used", () => {
  const { check, unusable } = bench({ rememberedMax: 2 });
  const bad = { type: "text" };
  check(bad, 1);
  check({ type: "number" }, 1);
  check(bad, 1);
  check({ type: "string" }, 1);
  check(bad, 1);
  expect(unusable).toEqual(["not_compiled"]);
  check({ minimum: 1 }, 1);
  check({ maximum: 1 }, 1);
  check(bad, 1);
  expect(unusable).toEqual(["not_compiled", "not_compiled"]);
});

test("an id in one caller's schema is not seen by another's", () => {
  const { check } = bench();
  expect(check({ $id: "https://a/x", type: "string" }, "x")).toEqual({ kind: "fits" });
  expect(check({ $id: "https://a/x", type: "number" }, 1)).toEqual({ kind: "fits" });
  expect(check({ $ref: "https://a/x" }, 1)).toMatchObject({ kind: "unusable" });
});
