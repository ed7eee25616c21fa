/**
 * Makes a JSON value that satisfies a JSON schema, fixed by the schema and the prompt's digest.
 *
 * Subset: `type` (also a list), `properties`, `required`, `additionalProperties`, `items`, `prefixItems`, `enum`, `const`, `anyOf`,
 * `oneOf` (the first that can be made), `allOf` (its members laid over each other), `$ref` within the schema, `minimum`, `maximum`,
 * `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `minLength`, `maxLength`, `minItems`, `maxItems`, `format` and `pattern`
 * (when one of a few common texts matches). Anything else is either a remark without force (`title`, `description`, `default`,
 * `examples`, …) or refused by `schemaProblem`.
 *
 * Rules: a string without another rule is `digest=<prompt digest>` where that fits, else words; an optional property is made but for
 * those that would make the value endless (a schema that refers to itself stops at depth 5); an array has `minItems`, at least 1 items.
 */
import { isObject } from "./field-checks.js";
import type { JsonObject } from "./field-checks.js";

const DEPTH_MAX = 5;
/** Beyond this, even required properties can't end. */
const DEPTH_HOPELESS = 24;

const KNOWN: ReadonlySet<string> = new Set(
  [
    "type properties required additionalProperties items prefixItems enum const anyOf oneOf allOf $ref $defs definitions minimum maximum",
    "exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems format pattern title description default examples",
    "example deprecated readOnly writeOnly $schema $id $comment nullable propertyOrdering minProperties maxProperties uniqueItems",
  ].flatMap((line) => line.split(" ")),
);

const FORMATS: Readonly<Record<string, string>> = {
  "date-time": "2026-01-02T03:04:05Z",
  date: "2026-01-02",
  time: "03:04:05Z",
  duration: "PT5M",
  email: "someone@example.com",
  hostname: "example.com",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uri: "https://example.com/a",
  url: "https://example.com/a",
  uuid: "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
};

/** Tried one after the other for a pattern. */
const COMMON_TEXTS: readonly string[] = [
  ...Object.values(FORMATS),
  ..."a ab abc abcd abcde abcdef A AB ABC ABCD word Word WORD two-words two_words".split(" "),
  ..."0 1 12 123 1234 12345 123456 1.5 1.50 A1 a1 AB12 abc123 ABC-123 #a1b2c3 a1b2c3d4 +4912345678 12:30 2026-01 EUR en de-DE v1.2.3 1.2.3".split(
    " ",
  ),
  "two words",
  "",
];

/** What can't be made of the schema, in words; null when nothing stands in the way. */
export function schemaProblem(schema: JsonObject): string | null {
  return (
    unknownKeyword(schema, new Set()) ??
    (valueFor(schema, "0".repeat(32)) === undefined ? "no value can be made for it" : null)
  );
}

function unknownKeyword(node: unknown, path: Set<unknown>): string | null {
  if (!isObject(node) || path.has(node)) return null;
  path.add(node);
  for (const [keyword, inner] of Object.entries(node)) {
    if (!KNOWN.has(keyword)) return `the keyword '${keyword}' is not simulated`;
    const found = unknownBelow(keyword, inner, path);
    if (found !== null) return found;
  }
  path.delete(node);
  return null;
}

function unknownBelow(keyword: string, inner: unknown, path: Set<unknown>): string | null {
  const isMap = ["properties", "$defs", "definitions"].includes(keyword);
  const isList = ["anyOf", "oneOf", "allOf", "prefixItems"].includes(keyword);
  const below =
    isMap && isObject(inner) ? Object.values(inner) : isList && Array.isArray(inner) ? (inner as unknown[]) : [];
  const single = ["items", "additionalProperties"].includes(keyword) ? [inner] : [];
  for (const node of [...below, ...single]) {
    const found = unknownKeyword(node, path);
    if (found !== null) return found;
  }
  return null;
}

/** The value, or undefined when the schema has none that can be made. */
export function valueFor(schema: JsonObject, digest: string): unknown {
  return new Maker(schema, digest).make(schema, 0);
}

class Maker {
  readonly #root: JsonObject;
  readonly #digest: string;
  #strings = 0;

  constructor(root: JsonObject, digest: string) {
    this.#root = root;
    this.#digest = digest;
  }

  make(node: unknown, depth: number): unknown {
    if (node === true) return this.#string({});
    if (!isObject(node) || depth > DEPTH_HOPELESS) return undefined;
    const schema = this.#flat(node, depth);
    if (schema === null) return undefined;
    if (Object.hasOwn(schema, "const")) return schema["const"];
    if (Array.isArray(schema["enum"])) return (schema["enum"] as unknown[])[0];
    const options = schema["anyOf"] ?? schema["oneOf"];
    if (Array.isArray(options)) return this.#firstOf(schema, options as unknown[], depth);
    return this.#ofType(schema, depth);
  }

  /** Follows `$ref` and lays `allOf` over the rest. */
  #flat(node: JsonObject, depth: number): JsonObject | null {
    let schema = node;
    for (let hops = 0; typeof schema["$ref"] === "string"; hops += 1) {
      const target = this.#target(schema["$ref"]);
      if (target === null || hops > DEPTH_HOPELESS) return null;
      const { $ref: _followed, ...beside } = schema;
      schema = { ...target, ...beside };
    }
    if (!Array.isArray(schema["allOf"])) return schema;
    const { allOf, ...rest } = schema;
    let joined: JsonObject = rest;
    for (const member of allOf as unknown[]) {
      const flat = isObject(member) && depth <= DEPTH_HOPELESS ? this.#flat(member, depth + 1) : null;
      if (flat === null) return null;
      joined = merged(joined, flat);
    }
    return joined;
  }

  #target(reference: string): JsonObject | null {
    if (reference === "#") return this.#root;
    if (!reference.startsWith("#/")) return null;
    let node: unknown = this.#root;
    for (const part of reference.slice(2).split("/")) {
      const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      node = isObject(node) && Object.hasOwn(node, name) ? node[name] : undefined;
    }
    return isObject(node) ? node : null;
  }

  /** Deep down, null is taken where it is offered, so that a schema that refers to itself ends. */
  #firstOf(schema: JsonObject, options: readonly unknown[], depth: number): unknown {
    const { anyOf: _any, oneOf: _one, ...beside } = schema;
    const inOrder =
      depth < DEPTH_MAX ? options : [...options].sort((a, b) => Number(isNullSchema(b)) - Number(isNullSchema(a)));
    for (const option of inOrder) {
      const value = isObject(option) ? this.make(merged(beside, option), depth + 1) : undefined;
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #ofType(schema: JsonObject, depth: number): unknown {
    switch (typeOf(schema, depth)) {
      case "object":
        return this.#object(schema, depth);
      case "array":
        return this.#array(schema, depth);
      case "string":
        return this.#string(schema);
      case "integer":
        return numberIn(schema, 1);
      case "number":
        return numberIn(schema, null);
      case "boolean":
        return true;
      case "null":
        return null;
      case null:
      default:
        return undefined;
    }
  }

  #object(schema: JsonObject, depth: number): unknown {
    const properties = isObject(schema["properties"]) ? schema["properties"] : {};
    const required = Array.isArray(schema["required"]) ? (schema["required"] as unknown[]) : [];
    const entries: [string, unknown][] = [];
    for (const [name, inner] of Object.entries(properties)) {
      const isRequired = required.includes(name);
      if (!isRequired && depth >= DEPTH_MAX) continue;
      const value = this.make(inner, depth + 1);
      if (value !== undefined) entries.push([name, value]);
      else if (isRequired) return undefined;
    }
    for (const name of required) {
      if (typeof name !== "string" || Object.hasOwn(properties, name)) continue;
      if (schema["additionalProperties"] === false) return undefined;
      entries.push([
        name,
        this.make(isObject(schema["additionalProperties"]) ? schema["additionalProperties"] : true, depth + 1),
      ]);
    }
    return Object.fromEntries(entries);
  }

  #array(schema: JsonObject, depth: number): unknown {
    const first = Array.isArray(schema["prefixItems"]) ? (schema["prefixItems"] as unknown[]) : [];
    const min = numberOf(schema["minItems"]) ?? 0;
    const max = numberOf(schema["maxItems"]) ?? Infinity;
    const wanted = Math.min(max, Math.max(min, depth >= DEPTH_MAX ? 0 : 1, first.length));
    const values: unknown[] = [];
    for (let index = 0; index < wanted; index += 1) {
      const value = this.make(first[index] ?? schema["items"] ?? true, depth + 1);
      if (value === undefined) return values.length >= min ? values : undefined;
      values.push(value);
    }
    return values;
  }

  #string(schema: JsonObject): unknown {
    const min = numberOf(schema["minLength"]) ?? 0;
    const max = numberOf(schema["maxLength"]) ?? Infinity;
    const fits = (text: string): boolean => text.length >= min && text.length <= max;
    const pattern = schema["pattern"];
    if (typeof pattern === "string") return matchingText(pattern, fits);
    const format = schema["format"];
    const known = typeof format === "string" ? FORMATS[format] : undefined;
    if (known !== undefined) return fits(known) ? known : undefined;
    this.#strings += 1;
    const digest = `digest=${this.#digest}`;
    const text = digest.length <= max ? digest : `word${String(this.#strings)}`.slice(0, max);
    return text.padEnd(min, " word");
  }
}

function matchingText(pattern: string, fits: (text: string) => boolean): string | undefined {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern, "u");
  } catch {
    return undefined;
  }
  return COMMON_TEXTS.find((text) => fits(text) && expression.test(text));
}

function merged(under: JsonObject, over: JsonObject): JsonObject {
  const required = [under["required"], over["required"]].flatMap((list) =>
    Array.isArray(list) ? (list as unknown[]) : [],
  );
  const properties = {
    ...(isObject(under["properties"]) ? under["properties"] : {}),
    ...(isObject(over["properties"]) ? over["properties"] : {}),
  };
  return {
    ...under,
    ...over,
    ...(required.length > 0 ? { required } : {}),
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
  };
}

function isNullSchema(node: unknown): boolean {
  return isObject(node) && node["type"] === "null";
}

/** Of several types the first that is not null; deep down null, where it is allowed. Gemini's types are upper case. */
function typeOf(schema: JsonObject, depth: number): string | null {
  const stated = schema["type"];
  const types = (Array.isArray(stated) ? (stated as unknown[]) : [stated]).map((type) =>
    typeof type === "string" ? type.toLowerCase() : null,
  );
  if (depth >= DEPTH_MAX && (types.includes("null") || schema["nullable"] === true)) return "null";
  const first = types.find((type) => type !== null && type !== "null") ?? (types.includes("null") ? "null" : null);
  if (first !== null) return first;
  if (isObject(schema["properties"])) return "object";
  return schema["items"] === undefined && schema["prefixItems"] === undefined ? "string" : "array";
}

function numberOf(value: unknown): number | null {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}

/** The smallest allowed number from 7 on, else the largest below. */
function numberIn(schema: JsonObject, step: number | null): number | undefined {
  const multiple = numberOf(schema["multipleOf"]);
  const grid = multiple ?? step;
  const above = numberOf(schema["exclusiveMinimum"]);
  const below = numberOf(schema["exclusiveMaximum"]);
  const nudge = grid ?? 0.5;
  const min = Math.max(numberOf(schema["minimum"]) ?? -Infinity, above === null ? -Infinity : above + nudge);
  const max = Math.min(numberOf(schema["maximum"]) ?? Infinity, below === null ? Infinity : below - nudge);
  const wanted = Math.min(Math.max(7, min), max);
  if (grid === null) return wanted >= min && wanted <= max ? wanted : undefined;
  const up = Math.ceil(wanted / grid) * grid;
  if (up >= min && up <= max && isAllowed(up, step)) return up;
  const down = Math.floor(wanted / grid) * grid;
  return down >= min && down <= max && isAllowed(down, step) ? down : undefined;
}

function isAllowed(value: number, step: number | null): boolean {
  return step === null || Number.isInteger(value);
}
