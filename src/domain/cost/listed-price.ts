import { cachedInBatch, cachedInBatchBeyond } from "./cached-in-batch.js";
import { nanoUsdFromText } from "./decimal-money.js";
import type { LongContextPrice, ModelPrice } from "./price.js";

export type Json = Readonly<Record<string, unknown>>;

/** One entry of the price table as it is read. */
export interface PriceEntry {
  /** `<provider>/<model>`. */
  readonly key: string;
  readonly json: Json;
  readonly asOf: string;
  /** What is wrong with it is added here. */
  readonly problems: string[];
}

/** What a direct call costs; null when the entry lists no input or no output price. */
export function listedPrice(entry: PriceEntry): ModelPrice | null {
  const input = amount(entry, "inputPerMTok");
  const output = amount(entry, "outputPerMTok");
  const price = {
    cachedInputNanoPerMillion: amount(entry, "cachedInputPerMTok"),
    cacheWriteNanoPerMillion: amount(entry, "cacheWritePerMTok"),
    cacheWrite1hNanoPerMillion: amount(entry, "cacheWrite1hPerMTok"),
    longContext: longContextOf(entry),
  };
  if (input === null || output === null) return null;
  return { version: versionOf(entry), inputNanoPerMillion: input, outputNanoPerMillion: output, ...price };
}

/** A batch without a price: none is listed, or there is no batch for the model. */
const NO_BATCH: ReadonlySet<unknown> = new Set(["unknown", "none"]);

/**
 * What a line of a batch costs, beside what a `direct` call does; null when no batch price is known. Cached tokens without a listed
 * price of their own cost what `cached-in-batch.ts` says for their provider. One-hour cache writes are never listed for batches: where the list prices the
 * short ones at the batch discount, the provider stacks both discounts, and so they are reckoned.
 */
export function listedBatchPrice(entry: PriceEntry, direct: ModelPrice | null): ModelPrice | null {
  const input = amount(entry, "batchInputPerMTok");
  const output = amount(entry, "batchOutputPerMTok");
  const listedCached = amount(entry, "batchCachedInputPerMTok");
  const cacheWrite = amount(entry, "batchCacheWritePerMTok");
  if (input === null || output === null || direct === null || NO_BATCH.has(entry.json["batchBasis"])) return null;
  const cachedInput = cachedInBatch(providerOf(entry), listedCached, direct.cachedInputNanoPerMillion, {
    batch: input,
    direct: direct.inputNanoPerMillion,
  });
  const longContext = direct.longContext === null ? null : batchStepOf(entry, direct, direct.longContext, cachedInput);
  return {
    version: `${versionOf(entry)}/batch`,
    inputNanoPerMillion: input,
    outputNanoPerMillion: output,
    cachedInputNanoPerMillion: cachedInput,
    cacheWriteNanoPerMillion: cacheWrite,
    cacheWrite1hNanoPerMillion: stacked(direct, input, cacheWrite),
    longContext,
  };
}

function stacked(direct: ModelPrice, batchInput: bigint, batchWrite: bigint | null): bigint | null {
  const hour = direct.cacheWrite1hNanoPerMillion;
  const write = direct.cacheWriteNanoPerMillion;
  if (hour === null || write === null || batchWrite === null) return null;
  const sameDiscount = batchWrite * direct.inputNanoPerMillion === write * batchInput;
  return sameDiscount && write > 0n ? (hour * batchWrite) / write : null;
}

/** Beyond a long-context step: as listed; half of the direct rates where the provider's discount is a flat half. */
function batchStepOf(
  entry: PriceEntry,
  short: ModelPrice,
  direct: LongContextPrice,
  shortCached: bigint | null,
): LongContextPrice {
  const step = within(entry, "longContext");
  const listedInput = amount(step, "batchInputPerMTok");
  const listedOutput = amount(step, "batchOutputPerMTok");
  const listedCached = amount(step, "batchCachedInputPerMTok");
  const isListed = listedInput !== null && listedOutput !== null;
  if (!isListed && entry.json["batchBasis"] !== "half") return { ...direct, unpriced: true };
  const input = isListed ? listedInput : direct.inputNanoPerMillion / 2n;
  const output = isListed ? listedOutput : direct.outputNanoPerMillion / 2n;
  const cached = cachedInBatchBeyond(
    providerOf(entry),
    listedCached,
    direct.cachedInputNanoPerMillion,
    { batch: input, direct: direct.inputNanoPerMillion },
    { batch: shortCached, direct: short },
  );
  return {
    aboveTokens: direct.aboveTokens,
    inputNanoPerMillion: input,
    outputNanoPerMillion: output,
    cachedInputNanoPerMillion: cached,
  };
}

function providerOf({ key }: PriceEntry): string {
  return key.slice(0, key.indexOf("/"));
}

function longContextOf(entry: PriceEntry): LongContextPrice | null {
  const value = entry.json["longContext"];
  if (value === undefined || value === null) return null;
  const step = within(entry, "longContext");
  const aboveTokens = wholeNumber(step.json["aboveTokens"]);
  const input = amount(step, "inputPerMTok");
  const output = amount(step, "outputPerMTok");
  if (aboveTokens === null || input === null || output === null) {
    entry.problems.push(`${entry.key}.longContext: expected aboveTokens, inputPerMTok and outputPerMTok`);
    return null;
  }
  return {
    aboveTokens,
    inputNanoPerMillion: input,
    outputNanoPerMillion: output,
    cachedInputNanoPerMillion: amount(step, "cachedInputPerMTok"),
  };
}

function within(entry: PriceEntry, member: string): PriceEntry {
  const value = entry.json[member];
  return { ...entry, key: `${entry.key}.${member}`, json: isObject(value) ? value : {} };
}

function amount({ key, json, problems }: PriceEntry, field: string): bigint | null {
  const value = json[field];
  if (value === undefined || value === null) return null;
  const nano = typeof value === "number" || typeof value === "string" ? nanoUsdFromText(String(value)) : null;
  if (nano === null) problems.push(`${key}.${field}: expected dollars, not negative, with at most nine decimals`);
  return nano;
}

function versionOf({ asOf, key }: PriceEntry): string {
  return `${asOf}/${key}`;
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function wholeNumber(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
