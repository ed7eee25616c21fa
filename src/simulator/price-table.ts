/**
 * The simulator's own reading of the price list. It shares no code with the gateway, so that an error in the gateway's
 * reading or formula shows up as a difference between ledger and bill.
 *
 * Prices are kept as integer nano-dollars per million tokens, made from the decimal text of the file: no price ever
 * passes through a floating-point number.
 */
import { isObject } from "./field-checks.js";
import type { JsonObject } from "./field-checks.js";

export type ProviderName = "openai" | "anthropic";

/** Integer nano-dollars per 1,000,000 tokens. */
export type TokenPrices = {
  readonly input: bigint;
  readonly output: bigint;
  /** null = this model is never billed for cached input, so the simulator reports none for it. */
  readonly cachedInput: bigint | null;
  readonly cacheWrite: bigint | null;
};

export type PricedModel = {
  /** The name in the price list. */
  readonly name: string;
  /** The dated name that answers carry. */
  readonly version: string;
  readonly prices: TokenPrices;
  /** Rates for the whole call once its input is longer than `aboveTokens`. */
  readonly longContext: { readonly aboveTokens: number; readonly prices: TokenPrices } | null;
  readonly contextTokensMax: number | null;
  readonly outputTokensMax: number | null;
  readonly reasoning: boolean;
  /** false = the model refuses temperature, top_p and top_k. */
  readonly samplingParams: boolean;
};

/** A model of a self-hosted server: prices in US dollars per million tokens as decimal text, "0" for a free one. */
export type SelfHostedModel = {
  readonly inputPerMTok: string;
  readonly outputPerMTok: string;
  readonly cachedInputPerMTok?: string;
  readonly contextWindow?: number;
};

export type PriceTable = {
  /** The model a request names, by its list name or one of its dated names; null when this provider has no such chat model. */
  find(provider: ProviderName, model: string): PricedModel | null;
};

const NANO_DIGITS = 9;

/**
 * US dollars as decimal text to nano-dollars: "0.075" gives 75000000n.
 * @throws Error when the text is no plain decimal number, or has a digit below a nano-dollar.
 */
export function nanoFromDollars(dollars: string): bigint {
  const match = /^(\d+)(?:\.(\d+))?$/.exec(dollars);
  if (match === null) throw new Error(`expected a price as a plain decimal number, got "${dollars}"`);
  const fraction = (match[2] ?? "").replace(/0+$/, "");
  if (fraction.length > NANO_DIGITS) throw new Error(`the price ${dollars} has digits below one nano-dollar`);
  return BigInt((match[1] ?? "") + fraction.padEnd(NANO_DIGITS, "0"));
}

/** Puts quotes around every number outside of strings, so that JSON.parse keeps the digits as they were written. */
function quoteNumbers(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) => (token.startsWith('"') ? token : `"${token}"`));
}

function price(entry: JsonObject, field: string): bigint | null {
  const value = entry[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw new Error(`expected ${field} to be a number`);
  return nanoFromDollars(value);
}

function count(entry: JsonObject, field: string): number | null {
  const value = entry[field];
  return typeof value === "string" ? Number(value) : null;
}

function tokenPrices(entry: JsonObject, base: TokenPrices | null): TokenPrices | null {
  const input = price(entry, "inputPerMTok") ?? base?.input ?? null;
  const output = price(entry, "outputPerMTok") ?? base?.output ?? null;
  if (input === null || output === null) return null;
  return {
    input,
    output,
    cachedInput: price(entry, "cachedInputPerMTok") ?? base?.cachedInput ?? null,
    cacheWrite: price(entry, "cacheWritePerMTok") ?? base?.cacheWrite ?? null,
  };
}

function words(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((word): word is string => typeof word === "string") : [];
}

function longContext(entry: JsonObject, prices: TokenPrices): PricedModel["longContext"] {
  const long = entry["longContext"];
  if (!isObject(long)) return null;
  const aboveTokens = count(long, "aboveTokens");
  const longPrices = tokenPrices(long, prices);
  return aboveTokens === null || longPrices === null ? null : { aboveTokens, prices: longPrices };
}

function pricedModel(name: string, entry: JsonObject): PricedModel | null {
  const prices = tokenPrices(entry, null);
  const capabilities = words(entry["capabilities"]);
  if (prices === null || !capabilities.includes("chat") || entry["status"] === "retired") return null;
  return {
    name,
    version: words(entry["aliases"])[0] ?? name,
    prices,
    longContext: longContext(entry, prices),
    contextTokensMax: count(entry, "contextWindow"),
    outputTokensMax: count(entry, "maxOutputTokens"),
    reasoning: capabilities.includes("reasoning"),
    samplingParams: entry["samplingParams"] !== false,
  };
}

function selfHostedModel(name: string, model: SelfHostedModel): PricedModel {
  const cached = model.cachedInputPerMTok;
  return {
    name,
    version: name,
    prices: {
      input: nanoFromDollars(model.inputPerMTok),
      output: nanoFromDollars(model.outputPerMTok),
      cachedInput: cached === undefined ? null : nanoFromDollars(cached),
      cacheWrite: null,
    },
    longContext: null,
    contextTokensMax: model.contextWindow ?? null,
    outputTokensMax: null,
    reasoning: false,
    samplingParams: true,
  };
}

/**
 * Builds the table from the text of pricing.json (keys `provider/model`; retired models and models that do not chat
 * are left out, as the provider answers 404 for both) and the models of self-hosted servers, which answer at the
 * OpenAI paths and win over a listed name.
 * @throws Error naming the model whose price can't be read.
 */
export function priceTable(
  pricingJson: string,
  selfHosted: Readonly<Record<string, SelfHostedModel>> = {},
): PriceTable {
  const list: unknown = JSON.parse(quoteNumbers(pricingJson));
  if (!isObject(list) || !isObject(list["models"])) throw new Error("expected a price list with an object `models`");
  const byProvider = { openai: new Map<string, PricedModel>(), anthropic: new Map<string, PricedModel>() };
  for (const [key, entry] of Object.entries(list["models"])) {
    const [provider, name] = [key.slice(0, key.indexOf("/")), key.slice(key.indexOf("/") + 1)];
    if ((provider !== "openai" && provider !== "anthropic") || !isObject(entry)) continue;
    const model = listedModel(key, name, entry);
    if (model === null) continue;
    byProvider[provider].set(name, model);
    for (const alias of words(entry["aliases"])) byProvider[provider].set(alias, { ...model, version: alias });
  }
  for (const [name, model] of Object.entries(selfHosted)) byProvider.openai.set(name, selfHostedModel(name, model));
  return { find: (provider, model) => byProvider[provider].get(model) ?? null };
}

function listedModel(key: string, name: string, entry: JsonObject): PricedModel | null {
  try {
    return pricedModel(name, entry);
  } catch (error) {
    throw new Error(`the price list's entry ${key} can't be read`, { cause: error });
  }
}
