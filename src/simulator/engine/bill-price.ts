import type { PricedModel } from "./price-table.js";

/** What one call used. `inputTokens` is the whole prompt, with the cached and cache-write tokens in it. */
export type Usage = {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  /** Those of the cache writes that are kept for an hour; default none. */
  readonly cacheWrite1hTokens?: number;
  readonly outputTokens: number;
};

const HALF = 500_000n;
const PER_MILLION = 1_000_000n;

/**
 * What a call or a batch's line costs in integer nano-dollars: tokens times price summed over the kinds, plus half a million,
 * divided once by a million (half up).
 */
export function billedNanoUsd(model: PricedModel, usage: Usage, mode: "direct" | "batch"): bigint {
  const listed = mode === "batch" ? model.batch : model;
  if (listed === null) throw new Error(`expected ${model.name} to have a batch price, since it was run in a batch`);
  const long = listed.longContext;
  const prices = long !== null && usage.inputTokens > long.aboveTokens ? long.prices : listed.prices;
  const plainTokens = usage.inputTokens - usage.cachedInputTokens - usage.cacheWriteTokens;
  const write1hTokens = usage.cacheWrite1hTokens ?? 0;
  const sum =
    BigInt(plainTokens) * prices.input +
    BigInt(usage.cachedInputTokens) * (prices.cachedInput ?? prices.input) +
    BigInt(usage.cacheWriteTokens - write1hTokens) * (prices.cacheWrite ?? prices.input) +
    BigInt(write1hTokens) * (prices.cacheWrite1h ?? prices.cacheWrite ?? prices.input) +
    BigInt(usage.outputTokens) * prices.output;
  return (sum + HALF) / PER_MILLION;
}
