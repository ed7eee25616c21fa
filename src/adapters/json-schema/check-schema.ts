import { createHash } from "node:crypto";
import { createContext, Script } from "node:vm";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { CheckSchema, SchemaVerdict } from "../../ports/schema-check.js";

/**
 * Checks answers by the schemas that callers wrote. Such a schema is hostile until proven otherwise: a few lines of it can mean 2^30 steps,
 * and a pattern can backtrack for hours. So it is compiled and run under a time limit that ends even a regular expression (`vm` interrupts
 * whatever runs; tried on Node 20), and what can't be used once is not tried again as long as it is remembered. No reference leads
 * outside: without a loader ajv refuses it. Formats are not looked at, as in the standard's default.
 */
export interface SchemaLimits {
  /** A longer schema is not used. */
  readonly bytesMax: number;
  /** How many compiled schemas are kept; beyond it the one that was not used for longest goes. */
  readonly rememberedMax: number;
  /** Longest time for compiling one, and for checking one answer. */
  readonly checkMs: number;
}

type Unusable = Extract<SchemaVerdict, { readonly kind: "unusable" }>;

/** @param onUnusable told once for each schema that can't be used, as long as it is remembered. */
export function createSchemaCheck(limits: SchemaLimits, onUnusable: (because: string) => void): CheckSchema {
  const known = new Map<string, ValidateFunction | Unusable>();
  const remember = (key: string, entry: ValidateFunction | Unusable): void => {
    known.delete(key);
    known.set(key, entry);
    const [oldest] = known.keys();
    if (known.size > limits.rememberedMax && oldest !== undefined) known.delete(oldest);
  };
  const unusable = (key: string, because: string): Unusable => {
    const verdict: Unusable = { kind: "unusable", because };
    remember(key, verdict);
    onUnusable(because);
    return verdict;
  };
  return (schema, value) => {
    const text = JSON.stringify(schema);
    const key = createHash("sha256").update(text).digest("base64");
    const entry = known.get(key) ?? compiled(schema, text, limits);
    if (typeof entry === "string") return unusable(key, entry);
    remember(key, entry);
    if (typeof entry !== "function") return entry;
    const verdict = within(limits.checkMs, () => judge(entry, value));
    return typeof verdict === "string" ? unusable(key, verdict) : verdict;
  };
}

/** @returns why it can't be used, when it can't. */
function compiled(schema: unknown, text: string, limits: SchemaLimits): ValidateFunction | string {
  if (Buffer.byteLength(text) > limits.bytesMax) return "too_long";
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return "no_schema";
  return within(limits.checkMs, () => {
    // One instance a schema: no id of one caller is seen by another, and a compilation that was cut off leaves nothing behind.
    const ajv = new Ajv2020({
      meta: false,
      validateSchema: false,
      strict: false,
      validateFormats: false,
      inlineRefs: false,
      ownProperties: true,
      addUsedSchema: false,
      logger: false,
    });
    return ajv.compile(withoutDialect(schema));
  });
}

/** The schema without the name of its dialect: ajv would look for that, and 2020-12 is what is read here. */
function withoutDialect(schema: object): object {
  const copy: Record<string, unknown> = { ...schema };
  delete copy["$schema"];
  return copy;
}

function judge(validate: ValidateFunction, value: unknown): SchemaVerdict {
  const fits: unknown = validate(value); // a schema that calls itself asynchronous gives a promise
  if (fits === true) return { kind: "fits" };
  if (fits !== false) throw new Error("an asynchronous schema");
  const [first] = validate.errors ?? [];
  const path = (first?.instancePath ?? "").slice(0, PLACE_CHARACTERS_MAX);
  const what = (first?.message ?? "must fit").slice(0, PLACE_CHARACTERS_MAX);
  return { kind: "misses", where: `${path === "" ? "it" : `its ${path}`} ${what}` };
}

/** Names of members may be long, and both texts go into results. */
const PLACE_CHARACTERS_MAX = 200;
const CONTEXT = createContext(Object.create(null) as Record<string, unknown>); // Object.create returns any
const RUN = new Script("run()");

/** Runs the function under a time limit. @returns what it does, or why it did not end well. */
function within<Result>(limitMs: number, run: () => Result): Result | string {
  try {
    CONTEXT["run"] = run;
    return RUN.runInContext(CONTEXT, { timeout: limitMs }) as Result; // what `run` returns
  } catch (error) {
    // Not `instanceof Error`: it may be another context's.
    const code = typeof error === "object" && error !== null && "code" in error ? error.code : null;
    return code === "ERR_SCRIPT_EXECUTION_TIMEOUT" ? "too_slow" : "not_compiled";
  } finally {
    delete CONTEXT["run"];
  }
}
