import type { PricedModel } from "./price-table.js";

/** What one call used. `inputTokens` is the whole prompt, with the cached and cache-write tokens in it. */
export type Usage = {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  readonly outputTokens: number;
};

const HALF = 500_000n;
const PER_MILLION = 1_000_000n;

/**
 * What a direct call costs in integer nano-dollars: tokens times price summed over the kinds, plus half a million,
 * divided once by a million (half up).
 */
export function billedNanoUsd(model: PricedModel, usage: Usage): bigint {
  const long = model.longContext;
  const prices = long !== null && usage.inputTokens > long.aboveTokens ? long.prices : model.prices;
  const plainTokens = usage.inputTokens - usage.cachedInputTokens - usage.cacheWriteTokens;
  const sum =
    BigInt(plainTokens) * prices.input +
    BigInt(usage.cachedInputTokens) * (prices.cachedInput ?? prices.input) +
    BigInt(usage.cacheWriteTokens) * (prices.cacheWrite ?? prices.input) +
    BigInt(usage.outputTokens) * prices.output;
  return (sum + HALF) / PER_MILLION;
}
