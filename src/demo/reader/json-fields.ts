/** A JSON object, its values not looked at yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The object in `text`, or null when it is not JSON or not an object. */
export function parseObject(text: string): JsonObject | null {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return null;
  }
}

export function asObject(value: unknown): JsonObject | null {
  // Parsing edge: the check before it makes the assertion true.
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
}

export function textField(object: JsonObject, name: string): string | null {
  const value = object[name];
  return typeof value === "string" ? value : null;
}

export function numberField(object: JsonObject, name: string): number | null {
  const value = object[name];
  return typeof value === "number" ? value : null;
}

/** Money travels as decimal text; a number is taken only when it is a safe whole one. Null otherwise. */
export function moneyField(object: JsonObject, name: string): bigint | null {
  const value = object[name];
  if (typeof value === "string" && /^-?\d+$/.test(value)) return BigInt(value);
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : null;
}

/** A time in ISO 8601, as milliseconds since 1970-01-01 UTC. Null otherwise. */
export function timeField(object: JsonObject, name: string): number | null {
  const text = textField(object, name);
  const atMs = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(atMs) ? null : atMs;
}
