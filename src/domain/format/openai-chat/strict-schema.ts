import { isJsonList, isJsonObject } from "../json.js";
import type { JsonObject } from "../json.js";
import { describesObjects, subschemas } from "../schema.js";

/** Keywords that strict mode surely takes; what it makes of others depends on the model. */
const STRICT_KEYWORDS: ReadonlySet<string> = new Set([
  "type",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "enum",
  "const",
  "anyOf",
  "$ref",
  "$defs",
  "title",
  "description",
]);

/**
 * Whether OpenAI's strict mode takes the schema: every object closed and all its properties required, the root an object. Others keep to a
 * schema always; strict mode is the nearest to that, and a schema outside it is still sent, as a request.
 * Source: OpenAI guide on structured outputs, supported schemas, 2026-08.
 */
export function isStrictSchema(schema: JsonObject): boolean {
  return schema["type"] === "object" && subschemas(schema).every(isClosed);
}

function isClosed(schema: JsonObject): boolean {
  if (!Object.keys(schema).every((keyword) => STRICT_KEYWORDS.has(keyword))) return false;
  if (!describesObjects(schema)) return true;
  const { properties, required, additionalProperties } = schema;
  if (additionalProperties !== false || !isJsonList(required)) return false;
  return isJsonObject(properties) && Object.keys(properties).every((name) => required.includes(name));
}
