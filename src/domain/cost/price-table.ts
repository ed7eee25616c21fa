import { nanoUsdFromText, readDecimal } from "./decimal-money.js";
import type { Decimal } from "./decimal-money.js";
import type { LongContextPrice, ModelPrice } from "./price.js";

/**
 * The price table: what each model costs by its provider's list, and what an account pays that has its own prices.
 * A price that is not listed is null and never taken as free.
 */

/** One entry of the table, with what routing needs to know about the model. */
export interface ListedModel {
  /** `<provider>/<model>`, the entry's own name in the table. */
  readonly key: string;
  /** Null when the entry lists no input or no output price. */
  readonly price: ModelPrice | null;
  /** Most input tokens; null when not listed. */
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number | null;
  readonly capabilities: readonly string[];
}

export interface PriceTable {
  /** Date of the list, `YYYY-MM-DD`. */
  readonly asOf: string;
  /** By `<provider>/<model>`; aliases have entries of their own that share the model. */
  readonly models: ReadonlyMap<string, ListedModel>;
}

/** Prices of one model as the config states them: US dollars per million tokens, decimal text. */
export interface StatedPrice {
  readonly input: string;
  readonly output: string;
  readonly cachedInput?: string | undefined;
  readonly cacheWrite?: string | undefined;
  readonly cacheWrite1h?: string | undefined;
}

/** How an account's prices differ from the table. `factor` is decimal text: `"0.8"` is 20 % off the list. */
export type OwnPrices =
  | { readonly zero: true }
  | { readonly perMillion: Readonly<Record<string, StatedPrice>> }
  | { readonly factor: string };

/** The table can't be used; every problem is listed. The app reports it as a config error. */
export class PriceTableError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The price table has ${String(problems.length)} problem(s): ${problems.slice(0, 5).join("; ")}`);
    this.name = "PriceTableError";
    this.problems = problems;
  }
}

type Json = Readonly<Record<string, unknown>>;

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
 * The entry for a model, by its own name, an alias, or the name without a date at its end (`-2025-04-14`, `-20251001`): a dated
 * version without an entry is billed like its family. Null when the table does not know it.
 */
export function listedModel(table: PriceTable, provider: string, model: string): ListedModel | null {
  const exact = table.models.get(`${provider}/${model}`);
  if (exact !== undefined) return exact;
  const family = withoutDate(model);
  return family === model ? null : (table.models.get(`${provider}/${family}`) ?? null);
}

function withoutDate(model: string): string {
  return model.replace(/-(?:\d{4}-\d{2}-\d{2}|\d{8})$/, "");
}

/** The list price of a model; null when none is listed. */
export function priceOf(table: PriceTable, provider: string, model: string): ModelPrice | null {
  return listedModel(table, provider, model)?.price ?? null;
}

/** What an account pays for a model: its own prices where it has some, else the list. Null: unknown, so no call may be made. */
export function accountPriceOf(
  table: PriceTable,
  provider: string,
  model: string,
  own: OwnPrices | null,
): ModelPrice | null {
  if (own === null) return priceOf(table, provider, model);
  if ("zero" in own) return ZERO_PRICE;
  if ("factor" in own) return scaledPrice(priceOf(table, provider, model), own.factor);
  const name = Object.hasOwn(own.perMillion, model) ? model : withoutDate(model);
  const stated = Object.hasOwn(own.perMillion, name) ? own.perMillion[name] : undefined;
  return stated === undefined ? null : statedPriceOf(name, stated);
}

/** A server of one's own: every kind of token is known to cost nothing. */
export const ZERO_PRICE: ModelPrice = {
  version: "own/zero",
  inputNanoPerMillion: 0n,
  outputNanoPerMillion: 0n,
  cachedInputNanoPerMillion: 0n,
  cacheWriteNanoPerMillion: 0n,
  cacheWrite1hNanoPerMillion: 0n,
  longContext: null,
};

function readRoot(content: unknown): Json | null {
  if (typeof content !== "string") return isObject(content) ? content : null;
  try {
    const parsed: unknown = JSON.parse(content);
    return isObject(parsed) ? parsed : null;
  } catch {
    throw new PriceTableError(["expected JSON"]);
  }
}

function listedModelOf(key: string, entry: Json, asOf: string, problems: string[]): ListedModel {
  const capabilities = entry["capabilities"];
  return {
    key,
    price: listedPriceOf(key, entry, asOf, problems),
    contextTokens: wholeNumber(entry["contextWindow"]),
    maxOutputTokens: wholeNumber(entry["maxOutputTokens"]),
    capabilities: Array.isArray(capabilities) ? capabilities.filter((word) => typeof word === "string") : [],
  };
}

function listedPriceOf(key: string, entry: Json, asOf: string, problems: string[]): ModelPrice | null {
  const amount = (field: string): bigint | null => nanoPerMillion(entry[field], `${key}.${field}`, problems);
  const input = amount("inputPerMTok");
  const output = amount("outputPerMTok");
  const price = {
    cachedInputNanoPerMillion: amount("cachedInputPerMTok"),
    cacheWriteNanoPerMillion: amount("cacheWritePerMTok"),
    cacheWrite1hNanoPerMillion: amount("cacheWrite1hPerMTok"),
    longContext: longContextOf(key, entry["longContext"], problems),
  };
  if (input === null || output === null) return null;
  return { version: `${asOf}/${key}`, inputNanoPerMillion: input, outputNanoPerMillion: output, ...price };
}

function longContextOf(key: string, value: unknown, problems: string[]): LongContextPrice | null {
  if (value === undefined || value === null) return null;
  const entry = isObject(value) ? value : {};
  const amount = (field: string): bigint | null =>
    nanoPerMillion(entry[field], `${key}.longContext.${field}`, problems);
  const aboveTokens = wholeNumber(entry["aboveTokens"]);
  const input = amount("inputPerMTok");
  const output = amount("outputPerMTok");
  if (aboveTokens === null || input === null || output === null) {
    problems.push(`${key}.longContext: expected aboveTokens, inputPerMTok and outputPerMTok`);
    return null;
  }
  return {
    aboveTokens,
    inputNanoPerMillion: input,
    outputNanoPerMillion: output,
    cachedInputNanoPerMillion: amount("cachedInputPerMTok"),
  };
}

function nanoPerMillion(value: unknown, where: string, problems: string[]): bigint | null {
  if (value === undefined || value === null) return null;
  const nano = typeof value === "number" || typeof value === "string" ? nanoUsdFromText(String(value)) : null;
  if (nano === null) problems.push(`${where}: expected dollars, not negative, with at most nine decimals`);
  return nano;
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

function scaledPrice(price: ModelPrice | null, factorText: string): ModelPrice | null {
  const factor = readDecimal(factorText);
  if (price === null || factor === null) return null;
  const scaled = (nano: bigint | null): bigint | null => (nano === null ? null : scale(nano, factor));
  const longContext = price.longContext;
  return {
    version: `${price.version}*${factorText}`,
    inputNanoPerMillion: scale(price.inputNanoPerMillion, factor),
    outputNanoPerMillion: scale(price.outputNanoPerMillion, factor),
    cachedInputNanoPerMillion: scaled(price.cachedInputNanoPerMillion),
    cacheWriteNanoPerMillion: scaled(price.cacheWriteNanoPerMillion),
    cacheWrite1hNanoPerMillion: scaled(price.cacheWrite1hNanoPerMillion),
    longContext: longContext && {
      aboveTokens: longContext.aboveTokens,
      inputNanoPerMillion: scale(longContext.inputNanoPerMillion, factor),
      outputNanoPerMillion: scale(longContext.outputNanoPerMillion, factor),
      cachedInputNanoPerMillion: scaled(longContext.cachedInputNanoPerMillion),
    },
  };
}

/** Half up to a whole nano-dollar per million tokens: a millionth of a nano-dollar a token, far below what a bill shows. */
function scale(nano: bigint, factor: Decimal): bigint {
  const divisor = 10n ** BigInt(factor.places);
  return (nano * factor.digits * 2n + divisor) / (divisor * 2n);
}

function statedPriceOf(model: string, stated: StatedPrice): ModelPrice | null {
  const optional = (text: string | undefined): bigint | null => (text === undefined ? null : nanoUsdFromText(text));
  const input = nanoUsdFromText(stated.input);
  const output = nanoUsdFromText(stated.output);
  if (input === null || output === null) return null;
  return {
    version: `own/${model}/${stated.input}/${stated.output}/${stated.cachedInput ?? "-"}`,
    inputNanoPerMillion: input,
    outputNanoPerMillion: output,
    cachedInputNanoPerMillion: optional(stated.cachedInput),
    cacheWriteNanoPerMillion: optional(stated.cacheWrite),
    cacheWrite1hNanoPerMillion: optional(stated.cacheWrite1h),
    longContext: null,
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wholeNumber(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
