/**
 * The simulator's own reading of the price list. It shares no code with the gateway, so that an error in the gateway's
 * reading or formula shows up as a difference between ledger and bill.
 *
 * Prices are kept as integer nano-dollars per million tokens, made from the decimal text of the file: no price ever
 * passes through a floating-point number.
 */
import { isObject } from "./field-checks.js";
import type { JsonObject } from "./field-checks.js";

/** `compatible` stands for every OpenAI-compatible server; its models are stated by whoever starts the simulator. */
export type ProviderName = "openai" | "anthropic" | "gemini" | "compatible";

/** What a model is asked for. */
export type Capability = "chat" | "embeddings";

/** Integer nano-dollars per 1,000,000 tokens. */
export type TokenPrices = {
  readonly input: bigint;
  readonly output: bigint;
  /** null = this model is never billed for cached input, so the simulator reports none for it. */
  readonly cachedInput: bigint | null;
  readonly cacheWrite: bigint | null;
  /** For what is kept for an hour. */
  readonly cacheWrite1h: bigint | null;
};

type LongContext = { readonly aboveTokens: number; readonly prices: TokenPrices };

export type PricedModel = {
  /** The name in the price list. */
  readonly name: string;
  /** The dated name that answers carry. */
  readonly version: string;
  readonly prices: TokenPrices;
  /** Rates for the whole call once its input is longer than `aboveTokens`. */
  readonly longContext: LongContext | null;
  /** The same for a line of a batch; null = the model can't be used in batches. */
  readonly batch: { readonly prices: TokenPrices; readonly longContext: LongContext | null } | null;
  readonly contextTokensMax: number | null;
  readonly outputTokensMax: number | null;
  readonly reasoning: boolean;
  /** false = the model refuses temperature, top_p and top_k. */
  readonly samplingParams: boolean;
  /** The list's words: chat, embeddings, vision, tools, json_schema and more. */
  readonly capabilities: ReadonlySet<string>;
  /** Of an embedding model's whole vector; null when not listed. */
  readonly dimensions: number | null;
};

/** A model of a self-hosted server: prices in US dollars per million tokens as decimal text, "0" for a free one. */
export type SelfHostedModel = {
  readonly inputPerMTok: string;
  readonly outputPerMTok: string;
  readonly cachedInputPerMTok?: string;
  readonly contextWindow?: number;
  /** Given: an embedding model with vectors of this length; not given: a chat model. */
  readonly dimensions?: number;
};

export type PriceTable = {
  /** The model a request names, by its list name or one of its dated names; null when this provider has no such model for that. */
  find(provider: ProviderName, model: string, capability: Capability): PricedModel | null;
  /** The list names of a provider's models. */
  names(provider: ProviderName): readonly string[];
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

/** A model's prices, direct or in batches. `base` gives what a long-context entry leaves out. */
function tokenPrices(entry: JsonObject, base: TokenPrices | null): TokenPrices | null {
  const input = price(entry, "inputPerMTok") ?? base?.input ?? null;
  const output = price(entry, "outputPerMTok") ?? base?.output ?? null;
  if (input === null || output === null) return null;
  return {
    input,
    output,
    cachedInput: price(entry, "cachedInputPerMTok") ?? base?.cachedInput ?? null,
    cacheWrite: price(entry, "cacheWritePerMTok") ?? base?.cacheWrite ?? null,
    cacheWrite1h: price(entry, "cacheWrite1hPerMTok") ?? base?.cacheWrite1h ?? null,
  };
}

/** What a cached token costs in a batch where the list states no batch price for it. */
type CacheInBatch = {
  /** From its direct price. */
  readonly upToStep: (direct: bigint | null) => bigint | null;
  /** The same beyond a long-context step. */
  readonly beyondStep: (direct: bigint | null) => bigint | null;
};

function half(direct: bigint | null): bigint | null {
  return direct === null ? null : direct / 2n;
}

function same(direct: bigint | null): bigint | null {
  return direct;
}

function unstated(): bigint | null {
  return null;
}

/**
 * Anthropic stacks both discounts and Gemini gives none on cached tokens; for others the list's notes hold: null, and cached
 * tokens cost what a batch's other input costs. Beyond a step OpenAI halves them too: its models with a step list a batch price for
 * cached tokens up to it, and by others' lists of its prices the long one is halved as well. Source: providers.md 1.6, the providers' price pages and
 * Gemini's batch guide, read 2026-11-26.
 */
const CACHE_IN_BATCH: Readonly<Partial<Record<string, CacheInBatch>>> = {
  anthropic: { upToStep: half, beyondStep: half },
  gemini: { upToStep: same, beyondStep: same },
  openai: { upToStep: unstated, beyondStep: half },
};

/** @param direct the prices of the same tokens in a direct call. */
function batchPrices(
  entry: JsonObject,
  direct: TokenPrices,
  cacheInBatch: (direct: bigint | null) => bigint | null,
  base: TokenPrices | null,
): TokenPrices | null {
  const input = price(entry, "batchInputPerMTok") ?? base?.input ?? null;
  const output = price(entry, "batchOutputPerMTok") ?? base?.output ?? null;
  if (input === null || output === null) return null;
  return {
    input,
    output,
    cachedInput: price(entry, "batchCachedInputPerMTok") ?? cacheInBatch(direct.cachedInput),
    cacheWrite: price(entry, "batchCacheWritePerMTok") ?? cacheInBatch(direct.cacheWrite),
    cacheWrite1h: cacheInBatch(direct.cacheWrite1h),
  };
}

function words(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((word): word is string => typeof word === "string") : [];
}

function longContext(entry: JsonObject, read: (long: JsonObject) => TokenPrices | null): LongContext | null {
  const long = entry["longContext"];
  if (!isObject(long)) return null;
  const aboveTokens = count(long, "aboveTokens");
  const prices = read(long);
  return aboveTokens === null || prices === null ? null : { aboveTokens, prices };
}

function inBatches(provider: string, entry: JsonObject, direct: TokenPrices): PricedModel["batch"] {
  const { upToStep, beyondStep } = CACHE_IN_BATCH[provider] ?? { upToStep: unstated, beyondStep: unstated };
  const prices = batchPrices(entry, direct, upToStep, null);
  if (prices === null) return null;
  const long = longContext(entry, (step) => batchPrices(step, tokenPrices(step, direct) ?? direct, beyondStep, prices));
  return { prices, longContext: long };
}

function pricedModel(provider: string, name: string, entry: JsonObject): PricedModel | null {
  const prices = tokenPrices(entry, null);
  const capabilities = new Set(words(entry["capabilities"]));
  const isUsed = capabilities.has("chat") || capabilities.has("embeddings");
  if (prices === null || !isUsed || entry["status"] === "retired") return null;
  return {
    name,
    version: words(entry["aliases"])[0] ?? name,
    prices,
    longContext: longContext(entry, (step) => tokenPrices(step, prices)),
    batch: inBatches(provider, entry, prices),
    contextTokensMax: count(entry, "contextWindow"),
    outputTokensMax: count(entry, "maxOutputTokens"),
    reasoning: capabilities.has("reasoning"),
    samplingParams: entry["samplingParams"] !== false,
    capabilities,
    dimensions: count(entry, "dimensions"),
  };
}

const SELF_HOSTED_CAPABILITIES: ReadonlySet<string> = new Set(["chat", "vision", "tools", "json_schema"]);
const SELF_HOSTED_EMBEDDINGS: ReadonlySet<string> = new Set(["embeddings"]);

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
      cacheWrite1h: null,
    },
    longContext: null,
    batch: null,
    contextTokensMax: model.contextWindow ?? null,
    outputTokensMax: null,
    reasoning: false,
    samplingParams: true,
    capabilities: model.dimensions === undefined ? SELF_HOSTED_CAPABILITIES : SELF_HOSTED_EMBEDDINGS,
    dimensions: model.dimensions ?? null,
  };
}

/**
 * Builds the table from the text of pricing.json (keys `provider/model`; retired models and models that neither chat nor embed
 * are left out, as the provider answers 404 for them) and the models of self-hosted servers, which answer at the paths of the
 * compatible servers and at OpenAI's, where they win over a listed name.
 * @throws Error naming the model whose price can't be read.
 */
export function priceTable(
  pricingJson: string,
  selfHosted: Readonly<Record<string, SelfHostedModel>> = {},
): PriceTable {
  const list: unknown = JSON.parse(quoteNumbers(pricingJson));
  if (!isObject(list) || !isObject(list["models"])) throw new Error("expected a price list with an object `models`");
  const byProvider = new Map<string, Map<string, PricedModel>>(PROVIDERS.map((name) => [name, new Map()]));
  for (const [key, entry] of Object.entries(list["models"])) {
    const [provider, name] = [key.slice(0, key.indexOf("/")), key.slice(key.indexOf("/") + 1)];
    const models = byProvider.get(provider);
    if (models === undefined || !isObject(entry)) continue;
    const model = listedModel(key, provider, name, entry);
    if (model === null) continue;
    models.set(name, model);
    for (const alias of words(entry["aliases"])) models.set(alias, { ...model, version: alias });
  }
  for (const [name, stated] of Object.entries(selfHosted))
    byProvider.get("openai")?.set(name, selfHostedModel(name, stated));
  const served = Object.keys(selfHosted).length > 0 ? selfHosted : SERVED_UNTOLD;
  for (const [name, stated] of Object.entries(served))
    byProvider.get("compatible")?.set(name, selfHostedModel(name, stated));
  return {
    find: (provider, name, capability) => {
      const model = byProvider.get(provider)?.get(name);
      return model?.capabilities.has(capability) === true ? model : null;
    },
    names: (provider) => [...new Set([...(byProvider.get(provider)?.values() ?? [])].map((model) => model.name))],
  };
}

/** What compatible servers serve when nobody says. */
const SERVED_UNTOLD: Readonly<Record<string, SelfHostedModel>> = {
  "llama-3.1-8b": { inputPerMTok: "0", outputPerMTok: "0", contextWindow: 8192 },
  "nomic-embed-text": { inputPerMTok: "0", outputPerMTok: "0", contextWindow: 8192, dimensions: 768 },
};

const PROVIDERS: readonly ProviderName[] = ["openai", "anthropic", "gemini", "compatible"];

function listedModel(key: string, provider: string, name: string, entry: JsonObject): PricedModel | null {
  try {
    return pricedModel(provider, name, entry);
  } catch (error) {
    throw new Error(`the price list's entry ${key} can't be read`, { cause: error });
  }
}
