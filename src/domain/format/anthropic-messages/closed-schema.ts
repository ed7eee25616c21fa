import { isJsonList, isJsonObject } from "../json.js";
import type { Json, JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { describesObjects } from "../schema.js";

/**
 * A schema that answers are held to. Anthropic wants every object closed, so `additionalProperties: false` is written where nothing was said: what
 * fits the closed schema fits the open one too. Keywords that it would refuse are reasons.
 * Source: lib/transform-json-schema of @anthropic-ai/sdk 1.13.0 and the guide on structured outputs, 2026-09.
 */
export function closedSchema(schema: JsonObject, reasons: Reasons): JsonObject {
  const entries = Object.entries(schema).map(
    ([keyword, value]) => [keyword, closedValue(keyword, value, reasons)] as const,
  );
  const closed = Object.fromEntries(entries);
  return describesObjects(schema) ? closedObject(schema, closed, reasons) : closed;
}

const PLAIN: ReadonlySet<string> = new Set([
  "type",
  "enum",
  "const",
  "default",
  "description",
  "title",
  "format",
  "pattern",
  "required",
  "$ref",
  "$schema",
  "$id",
]);
const SCHEMAS_BY_NAME: ReadonlySet<string> = new Set(["properties", "$defs", "definitions"]);
const SCHEMAS: ReadonlySet<string> = new Set(["anyOf", "allOf"]);

function closedValue(keyword: string, value: Json | undefined, reasons: Reasons): Json | undefined {
  if (PLAIN.has(keyword)) return value;
  if (SCHEMAS_BY_NAME.has(keyword) && isJsonObject(value)) return closedByName(value, reasons);
  if (SCHEMAS.has(keyword) && isJsonList(value)) return value.map((one) => closedAny(one, reasons));
  if (keyword === "items") return closedAny(value, reasons);
  if (keyword === "additionalProperties" && value === false) return value;
  if (keyword === "minItems" && (value === 0 || value === 1)) return value;
  reasons.missing(`${keyword} in a schema that answers are held to`);
  return value;
}

function closedByName(schemas: JsonObject, reasons: Reasons): JsonObject {
  return Object.fromEntries(Object.entries(schemas).map(([name, one]) => [name, closedAny(one, reasons)]));
}

function closedAny(schema: Json | undefined, reasons: Reasons): Json {
  if (isJsonObject(schema)) return closedSchema(schema, reasons);
  reasons.add("anthropic takes only objects as schemas");
  return schema ?? null;
}

/** An object without properties means any object, which closing it would forbid. */
function closedObject(schema: JsonObject, closed: JsonObject, reasons: Reasons): JsonObject {
  if ("additionalProperties" in schema) return closed;
  if (!isJsonObject(schema["properties"])) reasons.missing("objects of any shape in a schema that answers are held to");
  return { ...closed, additionalProperties: false };
}
