import { isJsonList, isJsonObject } from "./json.js";
import type { JsonObject } from "./json.js";

/** Looking into JSON schemas, as far as providers differ in what they take. */

const OF_SCHEMAS_BY_NAME = ["properties", "$defs", "definitions"] as const;
const OF_ONE_SCHEMA = ["items", "additionalProperties", "not"] as const;
const OF_SCHEMAS = ["anyOf", "allOf", "oneOf", "prefixItems"] as const;

/** The schema itself and every schema inside it. */
export function subschemas(schema: JsonObject): readonly JsonObject[] {
  return [schema, ...innerSchemas(schema).flatMap(subschemas)];
}

function innerSchemas(schema: JsonObject): readonly JsonObject[] {
  const named = OF_SCHEMAS_BY_NAME.flatMap((name) => {
    const schemas = schema[name];
    return isJsonObject(schemas) ? Object.values(schemas) : [];
  });
  const listed = OF_SCHEMAS.flatMap((name) => {
    const schemas = schema[name];
    return isJsonList(schemas) ? schemas : [];
  });
  return [...named, ...listed, ...OF_ONE_SCHEMA.map((name) => schema[name])].filter(isJsonObject);
}

/** Tools take their arguments as an object in every format; some callers leave that unsaid. */
export function argumentsSchema(schema: JsonObject | null): JsonObject {
  return schema === null ? { type: "object", properties: {} } : { type: "object", ...schema };
}

export function describesObjects(schema: JsonObject): boolean {
  const { type } = schema;
  return type === "object" || (isJsonList(type) && type.includes("object")) || isJsonObject(schema["properties"]);
}
