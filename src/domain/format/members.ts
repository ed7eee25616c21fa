import { isJsonList, isJsonObject } from "./json.js";
import type { Json, JsonObject } from "./json.js";
import type { Reasons } from "./reasons.js";

/** Stands for a word that is absent, in reasons too. */
export const UNSET = "(unset)";

/**
 * Reads an object member by member and remembers which were asked for. What was not is a reason, so nothing that a caller wrote
 * can be overlooked: a converter either takes a member, says that it means nothing to others, or the request is not carried.
 *
 * A member that is null counts as absent, as all three providers take it.
 */
export class Members {
  readonly reasons: Reasons;
  private readonly path: string;
  private readonly values: Map<string, Json>;

  constructor(object: JsonObject, path: string, reasons: Reasons, rename: Rename) {
    this.reasons = reasons;
    this.path = path;
    this.values = new Map();
    for (const [name, value] of Object.entries(object)) if (value !== undefined) this.add(rename(name), value);
  }

  /** Any value; the caller judges it. */
  take(name: string): Json | undefined {
    const value = this.values.get(name);
    this.values.delete(name);
    return value;
  }

  text(name: string): string | null {
    const value = this.take(name);
    if (value === undefined || typeof value === "string") return value ?? null;
    return this.illTyped(name, "text");
  }

  /** A word out of a list, such as a type; absent ones have a word of their own. */
  word(name: string): string {
    return this.text(name) ?? UNSET;
  }

  /** A number that a double holds exactly; another is a reason, since it can't be compared with a limit. */
  number(name: string): number | null {
    const value = this.take(name);
    if (value === undefined || typeof value === "number") return value ?? null;
    return this.illTyped(name, "a number that can be held exactly");
  }

  flag(name: string): boolean | null {
    const value = this.take(name);
    if (value === undefined || typeof value === "boolean") return value ?? null;
    return this.illTyped(name, "true or false");
  }

  /** Empty when absent. */
  list(name: string): readonly Json[] {
    const value = this.take(name);
    if (value === undefined || isJsonList(value)) return value ?? [];
    this.illTyped(name, "a list");
    return [];
  }

  texts(name: string): readonly string[] {
    const values = this.list(name);
    const texts = values.filter((value) => typeof value === "string");
    if (texts.length < values.length) this.illTyped(name, "a list of texts");
    return texts;
  }

  /** An object taken whole, such as a JSON schema or a tool's arguments. */
  object(name: string): JsonObject | null {
    const value = this.take(name);
    if (value === undefined || isJsonObject(value)) return value ?? null;
    return this.illTyped(name, "an object");
  }

  /** Where a member of this object stands, as reasons name it. Positions in lists are left out: one reason for all alike. */
  where(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  /** Members that change no answer. */
  ignore(names: readonly string[]): void {
    for (const name of names) this.values.delete(name);
  }

  /** A member that changes no answer as long as it has one of these values. */
  ignoreWhen(name: string, values: readonly Json[]): void {
    const value = this.values.get(name);
    if (value !== undefined && values.includes(value)) this.values.delete(name);
  }

  /** Nobody asked for these. */
  finish(): void {
    for (const name of this.values.keys()) this.reasons.missing(this.where(name));
  }

  /** Two spellings of one name may both be there. */
  private add(name: string, value: Json): void {
    if (value === null) return;
    if (this.values.has(name)) this.reasons.add(`${this.where(name)} is set twice`);
    this.values.set(name, value);
  }

  private illTyped(name: string, expected: string): null {
    this.reasons.add(`${this.where(name)} is not ${expected}`);
    return null;
  }
}

export type Rename = (name: string) => string;

const asWritten: Rename = (name) => name;

/** Reads an object with `read`, then turns what it left over into reasons. Null (and a reason) when the value is no object. */
export function readMembers<T>(
  value: Json | undefined,
  path: string,
  reasons: Reasons,
  read: (members: Members) => T,
  rename: Rename = asWritten,
): T | null {
  if (!isJsonObject(value)) {
    reasons.add(`${path === "" ? "the body" : path} is not an object`);
    return null;
  }
  const members = new Members(value, path, reasons, rename);
  const result = read(members);
  members.finish();
  return result;
}

/** The same for each object of a list; what is none is left out (and a reason). */
export function readEach<T>(
  values: readonly Json[],
  path: string,
  reasons: Reasons,
  read: (members: Members) => T | null,
  rename: Rename = asWritten,
): readonly T[] {
  return values.map((value) => readMembers(value, path, reasons, read, rename)).filter((one) => one !== null);
}
