import type { ModelPrice } from "./price.js";

/** What a cached token of a batch costs where the list states no price for it. */
type CachedInBatch =
  /** As in a call of its own: the batch's discount is not for it. */
  | "as_direct"
  /** Both discounts: its price in a call, less what the batch takes off other input. */
  | "discounted"
  /** As the batch's other input. */
  | "as_input";

/**
 * By provider. Source: Anthropic, batch processing and prompt caching guides ("discounts stack"); Gemini, batch API guide (a cache hit in a
 * batch is priced as outside of it); for all others the note `batchCached` of the price list. Read 2026-11-26.
 */
const BY_PROVIDER: Readonly<Record<string, CachedInBatch>> = { anthropic: "discounted", gemini: "as_direct" };

/** The two input prices of a batch and of a call, nano-dollars per million tokens: their ratio is the batch's discount. */
interface InputPrices {
  readonly batch: bigint;
  readonly direct: bigint;
}

/** @param cached its price in a call; null, and so the result: none is known. @param listed that of a batch, which wins. */
export function cachedInBatch(
  provider: string,
  listed: bigint | null,
  cached: bigint | null,
  input: InputPrices,
): bigint | null {
  return listed ?? priceBy(BY_PROVIDER[provider] ?? "as_input", cached, input);
}

/**
 * The same beyond a long-context step. Lists leave it out there; a model that has a price for cached tokens in batches at all keeps its ratio
 * to that of a call: none, or the batch's discount (which is what others' lists copied from OpenAI's page show; its short prices are rounded to cents).
 * @param short the model's prices up to the step.
 */
export function cachedInBatchBeyond(
  provider: string,
  listed: bigint | null,
  cached: bigint | null,
  input: InputPrices,
  short: { readonly batch: bigint | null; readonly direct: ModelPrice },
): bigint | null {
  if (short.batch === null) return cachedInBatch(provider, listed, cached, input);
  const rule = short.batch === short.direct.cachedInputNanoPerMillion ? "as_direct" : "discounted";
  return listed ?? priceBy(rule, cached, input);
}

function priceBy(rule: CachedInBatch, cached: bigint | null, input: InputPrices): bigint | null {
  if (rule === "as_input" || cached === null) return null;
  if (rule === "as_direct") return cached;
  return input.direct === 0n ? 0n : (cached * input.batch) / input.direct;
}
