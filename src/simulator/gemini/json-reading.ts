/** Reading fields of JSON that has passed its check: a field of another kind counts as left out. */
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";

export function textAt(object: JsonObject, field: string): string | null {
  const value = object[field];
  return typeof value === "string" ? value : null;
}

export function numberAt(object: JsonObject, field: string): number | null {
  const value = object[field];
  return typeof value === "number" ? value : null;
}

export function objectAt(object: JsonObject, field: string): JsonObject | null {
  const value = object[field];
  return isObject(value) ? value : null;
}

export function listAt(object: JsonObject, field: string): readonly unknown[] {
  const value = object[field];
  return Array.isArray(value) ? value : [];
}

export function objectsAt(object: JsonObject, field: string): readonly JsonObject[] {
  return listAt(object, field).filter(isObject);
}
