import type { ProviderBatchState } from "../../domain/batch/provider-batch.js";
import type { JsonObject } from "./json-object.js";

/** Small readings that the batch answers of all providers need. */

/** An id as it may be put into a path and stored; null for anything else: an answer must not choose where we call next. */
export function idIn(parent: JsonObject, name: string): string | null {
  const value = parent[name];
  return typeof value === "string" && /^[\w-]{1,200}$/.test(value) ? value : null;
}

/** A count, as a number or in text; null when it is none. */
export function countIn(parent: JsonObject, name: string): number | null {
  const value = parent[name];
  const count = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  return typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? count : null;
}

/** Unix seconds as milliseconds. */
export function secondsIn(parent: JsonObject, name: string): number | null {
  const value = parent[name];
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? Math.round(value * 1000) : null;
}

/** An RFC 3339 time as milliseconds; more than three digits of a second are cut off. */
export function timeIn(parent: JsonObject, name: string): number | null {
  const value = parent[name];
  if (typeof value !== "string" || !/^\d{4}-\d{2}-\d{2}[Tt]/.test(value)) return null;
  const ms = Date.parse(value.replace(/(\.\d{3})\d+/, "$1"));
  return Number.isNaN(ms) ? null : ms;
}

/** A status word by its provider's table; one that is not in it means "still going", and is kept to be counted. */
export function stateOf(
  word: string | null,
  states: Readonly<Record<string, ProviderBatchState>>,
): { readonly state: ProviderBatchState; readonly unknownWord: string | null } {
  const state = word !== null && Object.hasOwn(states, word) ? states[word] : undefined;
  if (state !== undefined) return { state, unknownWord: null };
  return { state: "running", unknownWord: word === null || word === "" ? "(none)" : word.slice(0, 64) };
}

/** Whether no further page can hold what is asked for: all of this one is older. */
export function isOlderThan(sinceMs: number, batches: readonly { readonly createdAtMs: number | null }[]): boolean {
  return batches.length > 0 && batches.every(({ createdAtMs }) => createdAtMs !== null && createdAtMs < sinceMs);
}
