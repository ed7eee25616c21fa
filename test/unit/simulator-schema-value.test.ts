/** Values by a JSON schema, judged by a validator that knows nothing of how they were made. */
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { schemaProblem, valueFor } from "../../src/simulator/engine/schema-value.js";

const DIGEST = "3639efcd08abb273b1619e82e78c29a7";

// Formats are ours to fill in; the validator has none built in and would refuse their names.
const validator = new Ajv2020({ strict: false, validateFormats: false });

function isValid(schema: object, value: unknown): boolean {
  return validator.validate(schema, value);
}

const CASES: [string, object, unknown][] = [
  ["a string", { type: "string" }, `digest=${DIGEST}`],
  ["a short string", { type: "string", maxLength: 4 }, "word"],
  ["a long string", { type: "string", minLength: 60 }, expect.stringMatching(/^digest=.{53}$/)],
  ["a number above", { type: "number", exclusiveMinimum: 100 }, 100.5],
  ["an integer below", { type: "integer", exclusiveMaximum: 3 }, 2],
  ["a multiple", { type: "integer", multipleOf: 5, minimum: 11 }, 15],
  ["a multiple that fits from below only", { type: "integer", multipleOf: 4, maximum: 7 }, 4],
  ["a list", { type: "array", items: { type: "boolean" }, minItems: 3 }, [true, true, true]],
  ["a tuple", { type: "array", prefixItems: [{ const: 1 }, { type: "null" }], maxItems: 2 }, [1, null]],
  ["the first of several types", { type: ["null", "boolean"] }, true],
  ["the first option", { anyOf: [{ enum: ["x", "y"] }, { type: "null" }] }, "x"],
  [
    "all of several",
    { allOf: [{ properties: { a: { const: 1 } }, required: ["a"] }, { properties: { b: { const: 2 } } }] },
    { a: 1, b: 2 },
  ],
  [
    "what it refers to",
    { $ref: "#/$defs/t", $defs: { t: { type: "object", properties: { n: { const: 5 } } } } },
    { n: 5 },
  ],
  ["a date", { type: "string", format: "date" }, "2026-01-02"],
  ["a pattern", { type: "string", pattern: "^[A-Z]{2}\\d{2}$" }, "AB12"],
  ["a required name without a shape", { type: "object", required: ["x"] }, { x: `digest=${DIGEST}` }],
  ["Gemini's words", { type: "OBJECT", properties: { n: { type: "INTEGER" } } }, { n: 7 }],
];

describe("a value by a schema", () => {
  test.each(CASES)("is %s", (_name, schema, wanted) => {
    expect(schemaProblem(schema as Record<string, unknown>)).toBeNull();
    expect(valueFor(schema as Record<string, unknown>, DIGEST)).toEqual(wanted);
  });

  test("ends where a schema refers to itself", () => {
    const tree = {
      type: "object",
      properties: {
        name: { type: "string" },
        children: { type: "array", items: { $ref: "#" } },
        next: { anyOf: [{ $ref: "#" }, { type: "null" }] },
      },
      required: ["name", "children", "next"],
      additionalProperties: false,
    };
    expect(schemaProblem(tree)).toBeNull();
    expect(isValid(tree, valueFor(tree, DIGEST))).toBe(true);
  });

  const leaf = fc.oneof(
    fc.record({ type: fc.constant("string"), minLength: fc.nat(10), maxLength: fc.integer({ min: 10, max: 60 }) }),
    fc.record({
      type: fc.constant("integer"),
      minimum: fc.integer({ min: -50, max: 5 }),
      maximum: fc.integer({ min: 5, max: 60 }),
    }),
    fc.record({ type: fc.constant("number"), exclusiveMinimum: fc.integer({ min: -5, max: 50 }) }),
    fc.record({ enum: fc.array(fc.oneof(fc.string(), fc.integer()), { minLength: 1, maxLength: 3 }) }),
    fc.constant({ type: "boolean" }),
    fc.constant({ type: ["string", "null"] }),
  );
  const { schema } = fc.letrec<{ schema: object }>((tie) => ({
    schema: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      leaf,
      fc.record({
        type: fc.constant("array"),
        items: tie("schema"),
        minItems: fc.nat(2),
        maxItems: fc.integer({ min: 2, max: 4 }),
      }),
      fc.dictionary(fc.constantFrom("a", "b", "c", "d"), tie("schema"), { maxKeys: 3 }).map((properties) => ({
        type: "object",
        properties,
        required: Object.keys(properties).slice(0, 2),
        additionalProperties: false,
      })),
      fc.array(tie("schema"), { minLength: 1, maxLength: 2 }).map((anyOf) => ({ anyOf })),
    ),
  }));

  test("satisfies its schema, whatever the schema of the subset", () => {
    fc.assert(
      fc.property(schema, (one) => {
        expect(schemaProblem(one as Record<string, unknown>)).toBeNull();
        expect(isValid(one, valueFor(one as Record<string, unknown>, DIGEST))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["a keyword beyond the subset", { not: {} }, /'not'/],
    ["one deep inside", { properties: { a: { items: { if: {} } } } }, /'if'/],
    ["a pattern that none of the common texts matches", { type: "string", pattern: "^zebra$" }, /no value/],
    ["a pattern that is none", { type: "string", pattern: "(" }, /no value/],
    ["bounds that cross", { type: "integer", minimum: 5, maximum: 4 }, /no value/],
    ["a reference to nowhere", { $ref: "#/$defs/none" }, /no value/],
    ["a shape that never ends", { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, /no value/],
  ])("is refused for %s", (_name, schema, says) => {
    expect(schemaProblem(schema as Record<string, unknown>)).toMatch(says);
  });
});
