/** The bill's rows that a checker asks for, as a stream of JSONL. */
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { isObject } from "./field-checks.js";

/** Fields of a row that can be asked for; a row must have each value stated. */
const FIELDS = ["key", "provider", "mode", "model", "batch", "attempt"] as const;

type Wanted = readonly (readonly [field: string, value: string])[];

/**
 * What a query asks for; an empty list is every row.
 * @throws Error naming a parameter that is no field.
 */
export function wantedRows(query: URLSearchParams): Wanted {
  const unknown = [...query.keys()].find((name) => !FIELDS.some((field) => field === name));
  if (unknown !== undefined) throw new Error(`bill: expected one of ${FIELDS.join(", ")}, got "${unknown}"`);
  return [...query.entries()];
}

/** The lines of `rows` that have all that is wanted, each with its line end. */
export async function* rowsWith(rows: Readable, wanted: Wanted): AsyncGenerator<string> {
  for await (const line of createInterface({ input: rows, crlfDelay: Infinity })) {
    const row: unknown = line === "" ? null : JSON.parse(line);
    if (isObject(row) && wanted.every(([field, value]) => row[field] === value)) yield `${line}\n`;
  }
}
