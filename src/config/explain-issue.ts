import type { z } from "zod";
import type { ConfigPath } from "./config-path.js";
import { knownKeys } from "./known-keys.js";
import { nearestWord } from "./nearest.js";

type Issue = z.core.$ZodIssue;

/** A problem before it has a place. `at` says whether the key or the value is to be pointed at. */
export interface PlacelessProblem {
  readonly path: ConfigPath;
  readonly at: "key" | "value";
  readonly message: string;
}

/**
 * Turns what the schema found into sentences that say what was expected, what came, what to do.
 * @param mayShow whether the value at a path may be shown: neither a secret nor taken from the environment.
 */
export function explainIssue(
  issue: Issue,
  parent: ConfigPath,
  schema: Readonly<Record<string, unknown>>,
  mayShow: (path: ConfigPath) => boolean,
): readonly PlacelessProblem[] {
  const path = [...parent, ...issue.path.map((part) => (typeof part === "symbol" ? String(part) : part))];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: [...path, key],
      at: "key",
      message: unknownKey(key, knownKeys(schema, path)),
    }));
  }
  if (issue.code === "invalid_union") {
    const branch = nearestBranch(issue.errors);
    if (branch !== null) return branch.flatMap((inner) => explainIssue(inner, path, schema, mayShow));
    const expected = issue.errors.flatMap((errors) => errors.map((error) => error.message.replace(/^expected /, "")));
    return [{ path, at: "value", message: `expected ${expected.join(", or ")}${got(issue.input, mayShow(path))}` }];
  }
  if (issue.code === "invalid_key") {
    const inner = issue.issues[0]?.message ?? "expected another name";
    return [{ path, at: "key", message: `${inner}, got ${JSON.stringify(path.at(-1))}` }];
  }
  if (issue.code === "invalid_type" && issue.input === undefined) {
    return [{ path, at: "key", message: `missing; ${issue.message}` }];
  }
  const words =
    issue.code === "invalid_value" && typeof issue.input === "string"
      ? nearestWord(issue.input, issue.values.map(String))
      : null;
  const meant = words === null ? "" : `; did you mean ${words}?`;
  return [{ path, at: "value", message: `${issue.message}${got(issue.input, mayShow(path))}${meant}` }];
}

function unknownKey(key: string, known: readonly string[]): string {
  const nearest = nearestWord(key, known);
  if (nearest !== null) return `unknown key; did you mean ${nearest}?`;
  return known.length === 0 ? "unknown key" : `unknown key; known here: ${known.join(", ")}`;
}

/** The form of a union that the writer meant: the one that did not already fail on the kind of value (text, list, section). */
function nearestBranch(errors: readonly (readonly Issue[])[]): readonly Issue[] | null {
  return (
    errors.find((issues) => !issues.some((issue) => issue.path.length === 0 && issue.code === "invalid_type")) ?? null
  );
}

function got(input: unknown, show: boolean): string {
  if (input === null) return ", got nothing";
  if (Array.isArray(input)) return ", got a list";
  if (typeof input === "object") return ", got a section";
  if (!show) return ", got something else";
  if (typeof input === "string")
    return input.length <= 60 ? `, got ${JSON.stringify(input)}` : `, got a text of ${String(input.length)} characters`;
  if (typeof input === "number" || typeof input === "boolean") return `, got ${String(input)}`;
  return "";
}
