import { isObject, listedBatchPrice, listedPrice, wholeNumber, type Json, type PriceEntry } from "./listed-price.js";
import type { ModelPrice } from "./price.js";

/** The price table: what each model costs by its provider's list. A price that is not listed is null and never taken as free. */

/** One entry of the table, with what routing needs to know about the model. */
export interface ListedModel {
  /** `<provider>/<model>`, the entry's own name in the table. */
  readonly key: string;
  /** Null when the entry lists no input or no output price. */
  readonly price: ModelPrice | null;
  /** The same for a line of a batch; null also when the provider has no batch for it. */
  readonly batchPrice: ModelPrice | null;
  /** Most input tokens; null when not listed. */
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number | null;
  readonly capabilities: readonly string[];
  /** False: it rejects temperature, top_p and top_k. */
  readonly samplingParams: boolean;
}

export interface PriceTable {
  /** Date of the list, `YYYY-MM-DD`. */
  readonly asOf: string;
  /** By `<provider>/<model>`; aliases have entries of their own that share the model. */
  readonly models: ReadonlyMap<string, ListedModel>;
}

/** The table can't be used; every problem is listed. The app reports it as a config error. */
export class PriceTableError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The price table has ${String(problems.length)} problem(s): ${problems.slice(0, 5).join("; ")}`);
    this.name = "PriceTableError";
    this.problems = problems;
  }
}

/**
 * Reads a price table (JSON text, or the same already parsed). Amounts are US dollars per million tokens; JavaScript prints a number
 * read from JSON as the shortest decimal that means it, which is what the file says up to 15 digits, so that text is what is converted.
 * @throws PriceTableError naming every entry that is wrong: an amount that is negative, no number, or finer than a nano-dollar.
 */
export function parsePriceTable(content: unknown): PriceTable {
  const problems: string[] = [];
  const root = readRoot(content);
  const asOf = root?.["asOf"];
  const entries = root?.["models"];
  if (typeof asOf !== "string" || !isObject(entries))
    throw new PriceTableError(['expected an object with "asOf" and "models"']);
  const models = new Map<string, ListedModel>();
  for (const [key, entry] of Object.entries(entries)) {
    if (isObject(entry) && key.includes("/")) models.set(key, listedModelOf(key, entry, asOf, problems));
    else problems.push(`${key}: expected <provider>/<model> with an object`);
  }
  for (const [key, entry] of Object.entries(entries)) addAliases(key, entry, models, problems);
  if (problems.length > 0) throw new PriceTableError(problems);
  return { asOf, models };
}

/**
 * The entry for a model, by its own name, an alias, or the name without a version at its end (`-2025-04-14`, `-20251001`, Gemini's
 * `-001`): a version without an entry is billed like its family. Null when the table does not know it.
 */
export function listedModel(table: PriceTable, provider: string, model: string): ListedModel | null {
  const exact = table.models.get(`${provider}/${model}`);
  if (exact !== undefined) return exact;
  const family = withoutDate(model);
  return family === model ? null : (table.models.get(`${provider}/${family}`) ?? null);
}

/** A model's name without the date or the number of its version at the end. */
export function withoutDate(model: string): string {
  return model.replace(/-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{3})$/, "");
}

function readRoot(content: unknown): Json | null {
  if (typeof content !== "string") return isObject(content) ? content : null;
  try {
    const parsed: unknown = JSON.parse(content);
    return isObject(parsed) ? parsed : null;
  } catch {
    throw new PriceTableError(["expected JSON"]);
  }
}

function listedModelOf(key: string, json: Json, asOf: string, problems: string[]): ListedModel {
  const capabilities = json["capabilities"];
  const entry: PriceEntry = { key, json, asOf, problems };
  const price = listedPrice(entry);
  return {
    key,
    price,
    batchPrice: listedBatchPrice(entry, price),
    contextTokens: wholeNumber(json["contextWindow"]),
    maxOutputTokens: wholeNumber(json["maxOutputTokens"]),
    capabilities: Array.isArray(capabilities) ? capabilities.filter((word) => typeof word === "string") : [],
    samplingParams: json["samplingParams"] !== false,
  };
}

function addAliases(key: string, entry: unknown, models: Map<string, ListedModel>, problems: string[]): void {
  const aliases = isObject(entry) ? entry["aliases"] : undefined;
  const model = models.get(key);
  if (!Array.isArray(aliases) || model === undefined) return;
  const provider = key.slice(0, key.indexOf("/"));
  for (const alias of aliases) {
    const name = `${provider}/${String(alias)}`;
    if (models.has(name)) problems.push(`${name}: named twice`);
    else models.set(name, model);
  }
}
