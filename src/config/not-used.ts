import type { ConfigProblem } from "./config-error.js";
import { pathText, valueAt } from "./config-path.js";
import { readDocument } from "./document.js";

/** Keys that are checked and kept free, and that no part of the gateway reads yet: a file that holds one is told so. */
export const NOT_USED: readonly { readonly path: readonly string[]; readonly why: string }[] = [
  { path: ["retention", "jobIdDays"], why: "the ledger removes nothing; every id is remembered" },
  { path: ["retention", "bodyDays"], why: "the ledger removes nothing; every body is kept" },
];

/** What the file says that has no effect, each with its place. Only for a text that parses. */
export function unusedKeys(text: string): readonly ConfigProblem[] {
  const reading = readDocument(text);
  if (!reading.ok) return [];
  const { document } = reading;
  const written = document.toData();
  return NOT_USED.filter(({ path }) => valueAt(written, path) !== undefined).map(({ path, why }) => {
    const { line, column } = document.keyPlace(path);
    return { path: pathText(path), line, column, message: `not used yet: ${why}` };
  });
}
