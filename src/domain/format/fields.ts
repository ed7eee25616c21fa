import { isJsonList, isJsonObject } from "./json.js";
import type { Json, JsonObject } from "./json.js";
import { UNSET } from "./members.js";

/** Looking into answers: what is absent or of another type is not there. Requests are read with `Members`, which overlooks nothing. */

export function textIn(parent: JsonObject, name: string): string | null {
  const value = parent[name];
  return typeof value === "string" ? value : null;
}

/** A word out of a list, such as how an answer ended; absent ones have a word of their own. */
export function wordIn(parent: JsonObject, name: string): string {
  return textIn(parent, name) ?? UNSET;
}

/** Counts of tokens and times; a negative or broken one is unknown. */
export function countIn(parent: JsonObject, name: string): number | null {
  const value = parent[name];
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** Empty when there is none. */
export function objectIn(parent: JsonObject, name: string): JsonObject {
  const value = parent[name];
  return isJsonObject(value) ? value : {};
}

export function listIn(parent: JsonObject, name: string): readonly Json[] {
  const value = parent[name];
  return isJsonList(value) ? value : [];
}

/** The objects of a list. */
export function objectsIn(parent: JsonObject, name: string): readonly JsonObject[] {
  return listIn(parent, name).filter(isJsonObject);
}

/** The sum, as far as the parts are known; null when the first is not. */
export function sumOf(whole: number | null, ...more: readonly (number | null)[]): number | null {
  return whole === null ? null : more.reduce<number>((sum, one) => sum + (one ?? 0), whole);
}

/** What is left of the whole, never below 0; null when it is not known. */
export function restOf(whole: number | null, ...parts: readonly (number | null)[]): number | null {
  return whole === null
    ? null
    : Math.max(
        0,
        parts.reduce<number>((rest, one) => rest - (one ?? 0), whole),
      );
}

/** An id as one format shows it, without the prefix that tells where it comes from. */
export function withoutPrefix(id: string | null, prefix: string): string | null {
  return id?.startsWith(prefix) === true ? id.slice(prefix.length) : id;
}
