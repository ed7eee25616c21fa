import { nanoUsdFromText, readDecimal, type Decimal } from "./decimal-money.js";
import { listedModel, withoutDate, type PriceTable } from "./price-table.js";
import type { ModelPrice } from "./price.js";

/** What an account pays for a model: by the common list, or by prices of its own. */

/** Prices of one model as the config states them: US dollars per million tokens, decimal text. */
export interface StatedPrice {
  readonly input: string;
  readonly output: string;
  readonly cachedInput?: string | undefined;
  readonly cacheWrite?: string | undefined;
  readonly cacheWrite1h?: string | undefined;
  /** The same for a line of a batch; unknown when left out. */
  readonly batch?: Omit<StatedPrice, "batch"> | undefined;
}

/** How an account's prices differ from the table. `factor` is decimal text: `"0.8"` is 20 % off the list. */
export type OwnPrices =
  | { readonly zero: true }
  | { readonly perMillion: Readonly<Record<string, StatedPrice>> }
  | { readonly factor: string }
  /** A list of the account's own in the place of the common one; what it doesn't list has no price. */
  | { readonly table: PriceTable };

/** Which of a model's prices: the one of a call of its own, or of a line of a batch. */
export type PriceMode = "direct" | "batch";

/** What an account pays for a model: its own prices where it has some, else the list. Null: unknown, so no call may be made. */
export function accountPriceOf(
  table: PriceTable,
  provider: string,
  model: string,
  own: OwnPrices | null,
  mode: PriceMode = "direct",
): ModelPrice | null {
  if (own === null) return priceOf(table, provider, model, mode);
  if ("zero" in own) return ZERO_PRICE;
  if ("table" in own) return priceOf(own.table, provider, model, mode);
  if ("factor" in own) return scaledPrice(priceOf(table, provider, model, mode), own.factor);
  const name = Object.hasOwn(own.perMillion, model) ? model : withoutDate(model);
  const stated = Object.hasOwn(own.perMillion, name) ? own.perMillion[name] : undefined;
  const ofMode = mode === "batch" ? stated?.batch : stated;
  return ofMode === undefined ? null : statedPriceOf(mode === "batch" ? `${name}/batch` : name, ofMode);
}

/** The list price of a model; null when none is listed. */
export function priceOf(
  table: PriceTable,
  provider: string,
  model: string,
  mode: PriceMode = "direct",
): ModelPrice | null {
  const listed = listedModel(table, provider, model);
  if (listed === null) return null;
  return mode === "batch" ? listed.batchPrice : listed.price;
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
      ...longContext,
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

function statedPriceOf(name: string, stated: Omit<StatedPrice, "batch">): ModelPrice | null {
  const optional = (text: string | undefined): bigint | null => (text === undefined ? null : nanoUsdFromText(text));
  const input = nanoUsdFromText(stated.input);
  const output = nanoUsdFromText(stated.output);
  if (input === null || output === null) return null;
  return {
    version: `own/${name}/${stated.input}/${stated.output}/${stated.cachedInput ?? "-"}`,
    inputNanoPerMillion: input,
    outputNanoPerMillion: output,
    cachedInputNanoPerMillion: optional(stated.cachedInput),
    cacheWriteNanoPerMillion: optional(stated.cacheWrite),
    cacheWrite1hNanoPerMillion: optional(stated.cacheWrite1h),
    longContext: null,
  };
}
