import type { LongContextPrice, ModelPrice } from "./price.js";
import type { Usage } from "./usage.js";

/**
 * What one billed attempt costs, and the most it can cost. Nano-dollars; prices are per million tokens, so the one division is by a
 * million and rounds half up.
 */

export type Charge =
  | { readonly kind: "charged"; readonly nanoUsd: bigint }
  /** The usage can't be true or can't be priced: nothing is booked, the bound of the attempt stands until reconciled. */
  | { readonly kind: "suspect"; readonly because: string };

/** More tokens than any answer can have: a broken count, not a large one. */
const TOKENS_MAX = 1e12;
const PER_MILLION = 1_000_000n;
const HALF = 500_000n;

/**
 * Prices one answer: (sum over token kinds of tokens x price + 500,000) div 1,000,000. Cached and cache-write tokens are parts of
 * `inputTokens`, and apart from each other (`cacheWriteTokens` are the short-lived writes); unreported parts count as plain input.
 * Without a listed price cached tokens and short-lived cache writes cost what input costs; one-hour writes, and any write
 * beyond a long-context step, have no such rule and make the charge suspect.
 */
export function chargeNanoUsd(usage: Usage, price: ModelPrice): Charge {
  const { inputTokens, outputTokens } = usage;
  if (inputTokens === null || outputTokens === null) return suspect("the provider reported no token counts");
  const cached = usage.cachedInputTokens ?? 0;
  const write = usage.cacheWriteTokens ?? 0;
  const write1h = usage.cacheWrite1hTokens ?? 0;
  if (!(isCount(inputTokens) && isCount(outputTokens) && isCount(cached) && isCount(write) && isCount(write1h))) {
    return suspect("a token count is negative, not whole or beyond a million million");
  }
  const plain = inputTokens - cached - write - write1h;
  if (plain < 0) return suspect("more cached tokens than input tokens are reported");
  const rates = ratesFor(inputTokens, price);
  if ("unpriced" in rates) return suspect("no price is listed for prompts of this length");
  let sum = BigInt(plain) * rates.inputNanoPerMillion + BigInt(outputTokens) * rates.outputNanoPerMillion + HALF;
  if (cached > 0) sum += BigInt(cached) * (rates.cachedInputNanoPerMillion ?? rates.inputNanoPerMillion);
  if (write > 0 || write1h > 0) {
    const writes = cacheWriteSum(write, write1h, price, rates !== price);
    if (writes === null) return suspect("no price is listed for cache writes of this kind");
    sum += writes;
  }
  return { kind: "charged", nanoUsd: sum / PER_MILLION };
}

/** The most tokens a call can use. `bodyBytes` is the request body's UTF-8 length; `overheadTokens` what the provider adds unseen. */
export interface CallBound {
  readonly bodyBytes: number;
  readonly maxOutputTokens: number;
  readonly overheadTokens: number;
}

/**
 * Upper bound of one call's cost: at most one token per byte of the request, each at the dearest input rate that could apply (the
 * provider may decide to write its cache), all allowed output at the dearest output rate.
 */
export function maxCostNanoUsd(bound: CallBound, price: ModelPrice): bigint {
  const inputTokens = bound.bodyBytes + bound.overheadTokens;
  const long = price.longContext !== null && inputTokens > price.longContext.aboveTokens ? price.longContext : null;
  const output =
    long === null ? price.outputNanoPerMillion : larger(price.outputNanoPerMillion, long.outputNanoPerMillion);
  const sum =
    BigInt(Math.ceil(inputTokens)) * dearestInput(price, long) + BigInt(Math.ceil(bound.maxOutputTokens)) * output;
  return (sum + HALF) / PER_MILLION;
}

function ratesFor(inputTokens: number, price: ModelPrice): ModelPrice | LongContextPrice {
  const step = price.longContext;
  return step !== null && inputTokens > step.aboveTokens ? step : price;
}

function cacheWriteSum(write: number, write1h: number, price: ModelPrice, beyondStep: boolean): bigint | null {
  const free = price.inputNanoPerMillion === 0n && price.cacheWriteNanoPerMillion === 0n;
  if (beyondStep && !free) return null;
  if (write1h > 0 && price.cacheWrite1hNanoPerMillion === null) return null;
  const writeRate = price.cacheWriteNanoPerMillion ?? price.inputNanoPerMillion;
  return BigInt(write) * writeRate + BigInt(write1h) * (price.cacheWrite1hNanoPerMillion ?? 0n);
}

/** Beyond a long-context step no cache-write price is listed; its share over the plain input price is assumed to stay. */
function dearestInput(price: ModelPrice, long: LongContextPrice | null): bigint {
  const plain = price.inputNanoPerMillion;
  const dearest = larger(plain, larger(price.cacheWriteNanoPerMillion ?? 0n, price.cacheWrite1hNanoPerMillion ?? 0n));
  const withCached = larger(dearest, price.cachedInputNanoPerMillion ?? 0n);
  if (long === null) return withCached;
  const longDearest =
    plain === 0n ? long.inputNanoPerMillion : (dearest * long.inputNanoPerMillion + plain - 1n) / plain;
  return larger(withCached, larger(longDearest, long.cachedInputNanoPerMillion ?? 0n));
}

function larger(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX;
}

function suspect(because: string): Charge {
  return { kind: "suspect", because };
}
