/**
 * Small checks for the fields of a request, combined into tables by the API files. A check returns null or the first
 * problem it meets; the path is put together only while a problem unwinds, so an accepted request pays nothing for it.
 */

/** A problem with one field. `path` runs from the top of the body to the field. */
export type Problem = {
  readonly kind: "missing" | "unknown" | "type" | "value" | "empty" | "too_small" | "too_large";
  /** What was measured, for the kinds that measure. */
  readonly subject?: "string" | "array" | "object" | "integer" | "decimal";
  readonly path: readonly (string | number)[];
  /** What would have been right, in words. */
  readonly expected: string;
};

export type FieldCheck = (value: unknown) => Problem | null;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object that this JSON text holds; the text is our own, so anything else is a mistake of ours. */
export function parsedObject(json: string): JsonObject {
  const value: unknown = JSON.parse(json);
  if (!isObject(value)) throw new Error("expected the JSON text of an object");
  return value;
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The field's text, or null when it holds none. */
export function wordOf(object: JsonObject, field: string): string | null {
  const value = object[field];
  return typeof value === "string" ? value : null;
}

/** The field's number, or null when it holds none. */
export function numberOf(object: JsonObject, field: string): number | null {
  const value = object[field];
  return typeof value === "number" ? value : null;
}

export function isSet(object: JsonObject, field: string): boolean {
  return object[field] !== undefined && object[field] !== null;
}

function problem(kind: "type" | "value", expected: string): Problem {
  return { kind, path: [], expected };
}

function mismeasured(
  kind: "empty" | "too_small" | "too_large",
  subject: NonNullable<Problem["subject"]>,
  expected: string,
): Problem {
  return { kind, subject, path: [], expected };
}

function below(segment: string | number, inner: Problem): Problem {
  return { ...inner, path: [segment, ...inner.path] };
}

export function text(lengthMin = 0, lengthMax = Infinity): FieldCheck {
  return (value) => {
    if (typeof value !== "string") return problem("type", "a string");
    if (value.length < lengthMin)
      return mismeasured("empty", "string", `a string of at least ${String(lengthMin)} character`);
    if (value.length > lengthMax)
      return mismeasured("too_large", "string", `a string of at most ${String(lengthMax)} characters`);
    return null;
  };
}

export const flag: FieldCheck = (value) => (typeof value === "boolean" ? null : problem("type", "a boolean"));

export const anything: FieldCheck = () => null;

export function decimal(min: number, max: number): FieldCheck {
  return (value) => {
    if (typeof value !== "number") return problem("type", "a number");
    if (value < min) return mismeasured("too_small", "decimal", `a number of at least ${String(min)}`);
    if (value > max) return mismeasured("too_large", "decimal", `a number of at most ${String(max)}`);
    return null;
  };
}

export function integer(min: number, max = Number.MAX_SAFE_INTEGER): FieldCheck {
  return (value) => {
    if (typeof value !== "number" || !Number.isInteger(value)) return problem("type", "an integer");
    if (value < min) return mismeasured("too_small", "integer", `an integer of at least ${String(min)}`);
    if (value > max) return mismeasured("too_large", "integer", `an integer of at most ${String(max)}`);
    return null;
  };
}

export function oneOf(...words: readonly string[]): FieldCheck {
  const expected = words.map((word) => `'${word}'`).join(" or ");
  return (value) => {
    if (typeof value !== "string") return problem("type", expected);
    return words.includes(value) ? null : problem("value", expected);
  };
}

export function matching(pattern: RegExp): FieldCheck {
  return (value) => {
    if (typeof value !== "string") return problem("type", "a string");
    return pattern.test(value) ? null : problem("value", `a string that matches ${String(pattern)}`);
  };
}

export function listOf(item: FieldCheck, countMin = 0, countMax = Infinity): FieldCheck {
  return (value) => {
    if (!Array.isArray(value)) return problem("type", "an array");
    if (value.length < countMin)
      return mismeasured("empty", "array", `an array with at least ${String(countMin)} item`);
    if (value.length > countMax)
      return mismeasured("too_large", "array", `an array with at most ${String(countMax)} items`);
    for (let index = 0; index < value.length; index += 1) {
      const found = item(value[index]);
      if (found !== null) return below(index, found);
    }
    return null;
  };
}

/** null counts as left out, as both providers' own clients send it. */
export function orNull(check: FieldCheck): FieldCheck {
  return (value) => (value === null ? null : check(value));
}

/** The first check whose JavaScript type fits decides; with none, `expected` is reported. */
export function stringOr(other: FieldCheck, whenString: FieldCheck = text()): FieldCheck {
  return (value) => (typeof value === "string" ? whenString(value) : other(value));
}

/** An object with just these fields. */
export function shape(
  required: Readonly<Record<string, FieldCheck>>,
  optional: Readonly<Record<string, FieldCheck>> = {},
): FieldCheck {
  const known = new Map<string, FieldCheck>([...Object.entries(required), ...Object.entries(optional)]);
  const names = Object.keys(required);
  return (value) => {
    if (!isObject(value)) return problem("type", "an object");
    for (const name of names) {
      if (!Object.hasOwn(value, name)) return { kind: "missing", path: [name], expected: "a value" };
    }
    for (const name of Object.keys(value)) {
      const check = known.get(name);
      if (check === undefined) return { kind: "unknown", path: [name], expected: "no such field" };
      const found = check(value[name]);
      if (found !== null) return below(name, found);
    }
    return null;
  };
}

/** An object whose field `tag` says which of the shapes it must have. */
export function tagged(tag: string, shapes: Readonly<Record<string, FieldCheck>>): FieldCheck {
  const byTag = new Map(Object.entries(shapes));
  const tagCheck = oneOf(...byTag.keys());
  return (value) => {
    if (!isObject(value)) return problem("type", "an object");
    if (!Object.hasOwn(value, tag)) return { kind: "missing", path: [tag], expected: "a value" };
    const word = value[tag];
    const check = typeof word === "string" ? byTag.get(word) : undefined;
    if (check !== undefined) return check(value);
    const found = tagCheck(word);
    return found === null ? null : below(tag, found);
  };
}

/** An object of any names whose values all pass, with at most `countMax` of them and names of at most `nameMax`. */
export function mapOf(item: FieldCheck, countMax: number, nameMax = Infinity): FieldCheck {
  return (value) => {
    if (!isObject(value)) return problem("type", "an object");
    const names = Object.keys(value);
    if (names.length > countMax)
      return mismeasured("too_large", "object", `an object with at most ${String(countMax)} entries`);
    for (const name of names) {
      if (name.length > nameMax)
        return {
          kind: "too_large",
          subject: "string",
          path: [name],
          expected: `a name of at most ${String(nameMax)} characters`,
        };
      const found = item(value[name]);
      if (found !== null) return below(name, found);
    }
    return null;
  };
}

/** Any object: for fields whose inside is free, such as a JSON schema. */
export const freeObject: FieldCheck = (value) => (isObject(value) ? null : problem("type", "an object"));
