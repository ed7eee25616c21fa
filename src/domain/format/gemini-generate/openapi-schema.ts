import { isJsonList, isJsonObject } from "../json.js";
import type { Json, JsonObject } from "../json.js";
import { camelCase } from "../snake-case.js";

/**
 * The API's own schema form, a part of OpenAPI 3.0, as a JSON schema of equal meaning: types in lower case, `nullable` as a type, counts as
 * numbers instead of text, properties in the order that `propertyOrdering` asks for. Other keywords are the same in both.
 * Source: types of @google/genai 2.32.0, Schema.
 */
export function jsonSchemaOf(schema: JsonObject): JsonObject {
  const named = Object.fromEntries(Object.entries(schema).map(([name, value]) => [camelCase(name), value]));
  const { nullable, propertyOrdering, example, type, format, ...rest } = named;
  const entries = Object.entries(rest).map(([keyword, value]) => [keyword, keywordValue(keyword, value)] as const);
  return nullableSchema(nullable === true, {
    ...(typeof type === "string" && type !== "TYPE_UNSPECIFIED" ? { type: type.toLowerCase() } : {}),
    ...(format === undefined || format === "enum" ? {} : { format }),
    ...ordered(Object.fromEntries(entries), propertyOrdering),
    ...(example === undefined ? {} : { examples: [example] }),
  });
}

const COUNTS: ReadonlySet<string> = new Set([
  "maxItems",
  "minItems",
  "maxLength",
  "minLength",
  "maxProperties",
  "minProperties",
]);

function keywordValue(keyword: string, value: Json | undefined): Json | undefined {
  if (COUNTS.has(keyword) && typeof value === "string" && /^\d{1,15}$/.test(value)) return Number(value);
  if (keyword === "items" && isJsonObject(value)) return jsonSchemaOf(value);
  if (keyword === "anyOf" && isJsonList(value))
    return value.map((one) => (isJsonObject(one) ? jsonSchemaOf(one) : one));
  if (keyword === "properties" && isJsonObject(value)) return byName(value);
  return value;
}

function byName(schemas: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, one]) => [name, isJsonObject(one) ? jsonSchemaOf(one) : one]),
  );
}

function ordered(schema: JsonObject, ordering: Json | undefined): JsonObject {
  const { properties } = schema;
  if (!isJsonList(ordering) || !isJsonObject(properties)) return schema;
  const place = (name: string) => (ordering.includes(name) ? ordering.indexOf(name) : ordering.length);
  const entries = Object.entries(properties).sort(([left], [right]) => place(left) - place(right));
  return { ...schema, properties: Object.fromEntries(entries) };
}

function nullableSchema(nullable: boolean, schema: JsonObject): JsonObject {
  if (!nullable) return schema;
  const { type, anyOf } = schema;
  const choices = schema["enum"];
  return {
    ...schema,
    ...(type === undefined ? {} : { type: [type, "null"] }),
    ...(isJsonList(choices) ? { enum: [...choices, null] } : {}),
    ...(isJsonList(anyOf) ? { anyOf: [...anyOf, { type: "null" }] } : {}),
  };
}
