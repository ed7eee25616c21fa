import { asObject, numberField, parseObject } from "./json-fields.js";
import type { JsonObject } from "./json-fields.js";

/** What a model's tokens cost, direct and uncached, in nano-dollars per million. */
interface Rates {
  readonly input: bigint;
  readonly output: bigint;
}

/** Of one model of the price list. Prompts of more than `aboveTokens` pay `long` for all of their tokens; null: there is no such step. */
interface ListedModel extends Rates {
  readonly long: (Rates & { readonly aboveTokens: number }) | null;
}

/** By `provider/model`. */
export type PriceList = ReadonlyMap<string, ListedModel>;

const NANO_PER_DOLLAR = 1e9;
const PER_MILLION = 1_000_000n;

/**
 * Reads the published price list anew: the gateway's own reading of it is what is judged here. Models without a price of input and output
 * are left out.
 * @throws Error when the text is no price list, or a step to long prompts lacks one of its prices.
 */
export function parsePriceList(text: string): PriceList {
  const models = asObject(parseObject(text)?.["models"]);
  if (models === null) throw new Error("expected a price list: a JSON object with models");
  const list = new Map<string, ListedModel>();
  for (const [name, value] of Object.entries(models)) {
    const entry = asObject(value) ?? {};
    const rates = ratesOf(entry);
    if (rates !== null) list.set(name, { ...rates, long: longOf(name, entry) });
  }
  return list;
}

/** What these tokens cost at the list price, direct, alone and uncached; null for a model that the list has no price of. */
export function listPriceOf(list: PriceList, model: string, inputTokens: number, outputTokens: number): bigint | null {
  const listed = list.get(model);
  if (listed === undefined) return null;
  const { long } = listed;
  const rates = long !== null && inputTokens > long.aboveTokens ? long : listed;
  const millionths = BigInt(inputTokens) * rates.input + BigInt(outputTokens) * rates.output;
  const [whole, rest] = [millionths / PER_MILLION, millionths % PER_MILLION];
  return rest * 2n >= PER_MILLION ? whole + 1n : whole; // half up
}

function longOf(name: string, entry: JsonObject): ListedModel["long"] {
  const step = asObject(entry["longContext"]);
  if (step === null) return null;
  const [rates, aboveTokens] = [ratesOf(step), numberField(step, "aboveTokens")];
  if (rates === null || aboveTokens === null) throw new Error(`expected all prices of long prompts of ${name}`);
  return { ...rates, aboveTokens };
}

function ratesOf(entry: JsonObject): Rates | null {
  const [input, output] = [rateOf(entry, "inputPerMTok"), rateOf(entry, "outputPerMTok")];
  return input === null || output === null ? null : { input, output };
}

/** Prices have few digits, so that the nearest whole number of nano-dollars is the exact one. */
function rateOf(entry: JsonObject, name: string): bigint | null {
  const dollars = numberField(entry, name);
  return dollars === null ? null : BigInt(Math.round(dollars * NANO_PER_DOLLAR));
}
