import { buildConfig } from "./build-config.js";
import type { Config } from "./config.js";
import type { ConfigProblem } from "./config-error.js";
import { isWithin, pathText, valueAt, type ConfigPath } from "./config-path.js";
import { brokenRules } from "./cross-rules.js";
import { readDocument, type ConfigDocument, type Place } from "./document.js";
import { explainIssue, type PlacelessProblem } from "./explain-issue.js";
import { interpolate, type Environment, type ReadFile } from "./interpolate.js";
import { notBuilt } from "./not-built.js";
import { configJsonSchema, configSchema, type KnownKind } from "./schema.js";
import { isSecretPath, secretProblem } from "./secrets.js";

export type ParseOutcome =
  { readonly ok: true; readonly config: Config } | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** More than this nobody reads at once, and the list must end. */
const PROBLEMS_MAX = 200;

/**
 * Reads a config file: YAML, `${…}` replaced, checked against the schema and the rules between keys. Every problem is reported at once,
 * in the order of the file; problems that only follow from another are left out. Pure apart from `readFile`.
 * @param text the file's content, at most 1 Mi characters
 * @param readFile reads a mounted secret by absolute path; throws when it can't
 * @param kinds every kind of provider that there is
 */
export function parseConfig(
  text: string,
  env: Environment,
  readFile: ReadFile,
  kinds: readonly KnownKind[],
): ParseOutcome {
  const reading = readDocument(text);
  if (!reading.ok) {
    const problems = reading.problems.slice(0, PROBLEMS_MAX);
    return { ok: false, problems: problems.map((problem) => ({ path: "", ...problem })) };
  }
  const { document } = reading;
  const data = plainData(document);
  if ("problem" in data) return { ok: false, problems: [data.problem] };
  const written = data.value;
  const problems = new Problems(document);

  walk(written, [], (path, value) => {
    const why = notBuilt(path, value, kinds) ?? (typeof value === "string" ? secretProblem(path, value) : null);
    if (why !== null) problems.add({ path, at: "key", message: why });
    return why === null;
  });
  for (const { message, ...place } of interpolate(document, env, readFile))
    problems.addAt(place, pathAt(document, written, place), message);

  const filled = document.toData();
  const mayShow = (path: ConfigPath): boolean =>
    !isSecretPath(path) && valueAt(written, path) === valueAt(filled, path);
  const config = check(filled, problems, mayShow, kinds);
  const list = problems.inOrder();
  return config !== null && list.length === 0 ? { ok: true, config } : { ok: false, problems: list };
}

function check(
  data: unknown,
  problems: Problems,
  mayShow: (path: ConfigPath) => boolean,
  kinds: readonly KnownKind[],
): Config | null {
  const refused = problems.paths;
  const schema = configSchema(kinds);
  const jsonSchema = configJsonSchema(kinds);
  const first = schema.safeParse(data, { reportInput: true });
  if (first.success) return checkRules(buildConfig(first.data), problems, kinds);
  for (const problem of first.error.issues.flatMap((issue) => explainIssue(issue, [], jsonSchema, mayShow))) {
    // What was refused before is not a second problem.
    if (!refused.some((path) => isWithin(problem.path, path))) problems.add(problem);
  }
  // So that the rules between keys are reported in the same run: what is wrong is left out, and a default stands in.
  const second = schema.safeParse(withStandIns(withoutPaths(data, problems.paths.map(entryOf))));
  if (second.success) checkRules(buildConfig(second.data), problems, kinds);
  return null;
}

function checkRules(config: Config, problems: Problems, kinds: readonly KnownKind[]): Config {
  const wrong = problems.paths;
  for (const rule of brokenRules(config, kinds)) {
    const unsure = [rule.path, ...rule.reads].some((read) =>
      wrong.some((path) => isWithin(path, read) || isWithin(read, path)),
    );
    if (!unsure) problems.add({ path: rule.path, at: "value", message: rule.message });
  }
  return config;
}

/** In the maps that the operator names, the whole entry: what is left of it may lack what it needs. */
function entryOf(path: ConfigPath): ConfigPath {
  return path[0] === "providers" || path[0] === "models" || path[0] === "tenants" ? path.slice(0, 2) : path;
}

/** Values for the keys that have no default; nothing is ever opened with them. */
function withStandIns(data: unknown): unknown {
  if (typeof data !== "object" || data === null) return data;
  const section = (key: string): object => {
    const value = valueAt(data, [key]);
    return typeof value === "object" && value !== null ? value : {};
  };
  return {
    environment: "unknown",
    tenants: {},
    providers: {},
    ...data,
    kafka: { brokers: ["unknown:1"], ...section("kafka") },
    postgres: { url: "postgres://unknown", ...section("postgres") },
  };
}

/** Collects problems with their places. */
class Problems {
  readonly #document: ConfigDocument;
  readonly #found: ConfigProblem[] = [];
  readonly #paths: ConfigPath[] = [];

  constructor(document: ConfigDocument) {
    this.#document = document;
  }

  get paths(): readonly ConfigPath[] {
    return [...this.#paths];
  }

  add({ path, at, message }: PlacelessProblem): void {
    this.addAt(at === "key" ? this.#document.keyPlace(path) : this.#document.valuePlace(path), path, message);
  }

  addAt(place: Place, path: ConfigPath, message: string): void {
    this.#found.push({ path: pathText(path), line: place.line, column: place.column, message });
    this.#paths.push(path);
  }

  inOrder(): readonly ConfigProblem[] {
    return [...this.#found]
      .sort((one, other) => one.line - other.line || one.column - other.column)
      .slice(0, PROBLEMS_MAX);
  }
}

function plainData(document: ConfigDocument): { readonly value: unknown } | { readonly problem: ConfigProblem } {
  try {
    const value = document.toData();
    if (!holdsItself(value)) return { value };
    const message = "an alias stands within what it names, which has no end: write it out";
    return { problem: { path: "", line: 1, column: 1, message } };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { problem: { path: "", line: 1, column: 1, message: `aliases repeat too much of the file: ${message}` } };
  }
}

/** @param above what the value is within. */
function holdsItself(value: unknown, above: readonly object[] = []): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (above.includes(value)) return true;
  return Object.values(value).some((item) => holdsItself(item, [...above, value]));
}

/** Visits every key and item; goes below one only when `enter` returns true. */
function walk(value: unknown, path: ConfigPath, enter: (path: ConfigPath, value: unknown) => boolean): void {
  if (typeof value !== "object" || value === null) return;
  const entries: readonly (readonly [string | number, unknown])[] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value);
  for (const [part, item] of entries) {
    const at = [...path, part];
    if (enter(at, item)) walk(item, at, enter);
  }
}

/** A copy without what stands at `paths`; of an item the whole list goes, since the positions of the rest must not move. */
function withoutPaths(data: unknown, paths: readonly ConfigPath[], at: ConfigPath = []): unknown {
  if (Array.isArray(data)) return data.map((item: unknown, index) => withoutPaths(item, paths, [...at, index]));
  if (typeof data !== "object" || data === null) return data;
  const kept = Object.entries(data).filter(([key]) => !isDropped([...at, key], paths));
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutPaths(item, paths, [...at, key])]));
}

function isDropped(path: ConfigPath, paths: readonly ConfigPath[]): boolean {
  return paths.some((dropped) => {
    const whole = typeof dropped.at(-1) === "number" ? dropped.slice(0, -1) : dropped;
    return whole.length === path.length && isWithin(path, whole);
  });
}

/** The path of the text that stands at a place; the interpolation knows places only. */
function pathAt(document: ConfigDocument, data: unknown, place: Place): ConfigPath {
  let found: ConfigPath = [];
  walk(data, [], (path, value) => {
    if (typeof value === "string" && found.length === 0) {
      const at = document.valuePlace(path);
      if (at.line === place.line && at.column === place.column) found = path;
    }
    return true;
  });
  return found;
}
