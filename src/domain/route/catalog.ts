import { accountPriceOf, type OwnPrices, type PriceMode } from "../cost/account-price.js";
import { listedModel, withoutDate, type ListedModel, type PriceTable } from "../cost/price-table.js";
import type { ModelPrice } from "../cost/price.js";
import type { KindFacts } from "./kind-facts.js";
import { ruleOf, type ModelRule } from "./model-rule.js";

/** An entry of `providers` in the config, as far as choosing a route needs it. */
export interface Account {
  readonly name: string;
  readonly facts: KindFacts;
  /** Where it computes, in the operator's words; null: unknown, so a job that asks for a region can't use it. */
  readonly regions: readonly string[] | null;
  /** Null: it pays the list price. */
  readonly prices: OwnPrices | null;
  /** Sent to it when neither the job nor an alias caps the output. */
  readonly maxOutputTokensDefault: number;
  /** For models the price table does not list; null: unknown, so a job that asks for one can't use them. */
  readonly capabilities: readonly string[] | null;
}

export interface AliasCandidate {
  readonly account: string;
  readonly model: string;
}

/** A name that jobs use for a choice of models. Candidates are tried in this order. */
export interface ModelAlias {
  readonly name: string;
  readonly maxOutputTokensDefault: number;
  readonly candidates: readonly AliasCandidate[];
}

/** All that routing knows; built once from the config. */
export interface Catalog {
  readonly accounts: readonly Account[];
  readonly aliases: readonly ModelAlias[];
  readonly prices: PriceTable;
}

/** What is known of a model at an account. Null: unknown. */
export interface ModelFacts {
  readonly price: ModelPrice | null;
  /** Of a line in a batch. */
  readonly batchPrice: ModelPrice | null;
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number | null;
  readonly capabilities: readonly string[] | null;
  /** False: it rejects temperature and the like. */
  readonly samplingParams: boolean;
  /** In what it differs from others of its kind; null: nothing is known. */
  readonly rule: ModelRule | null;
}

export function modelFacts(account: Account, model: string, prices: PriceTable): ModelFacts {
  const { facts } = account;
  const listed = listedAt(account, model, prices);
  return {
    price: accountPriceOf(prices, facts.kind, model, account.prices),
    batchPrice: linePriceOf(account, model, prices),
    contextTokens: listed?.contextTokens ?? null,
    maxOutputTokens: listed?.maxOutputTokens ?? null,
    capabilities: listed?.capabilities ?? account.capabilities,
    samplingParams: listed?.samplingParams !== false,
    rule: ruleOf(facts.models, model),
  };
}

/**
 * Of a line in a batch. Where the kind has no batch API a line is a call like any other and costs the same, unless the account states a
 * price of its own for lines; what the price table knows of the provider's batches is not for it.
 */
function linePriceOf(account: Account, model: string, prices: PriceTable): ModelPrice | null {
  const { facts, prices: own } = account;
  const ofLine = (): ModelPrice | null => accountPriceOf(prices, facts.kind, model, own, "batch");
  if (facts.batch !== undefined) return ofLine();
  const stated = own !== null && "perMillion" in own ? ofLine() : null;
  return stated ?? accountPriceOf(prices, facts.kind, model, own);
}

/** By whom an answer was given, in the terms of the bill. */
export interface AnsweredBy {
  /** Null: a model that no price is known of; its charge is then suspect. */
  readonly price: ModelPrice | null;
  /** Another model than the one that was asked, not only a version of it. */
  readonly otherModel: boolean;
}

/**
 * Whom an answer is priced by: the model that gave it, as it names itself. A server of one's own names its models as it likes (a path, a
 * tag), so a name without a price there is taken for the one that was asked.
 * @param asked with the price of `mode`.
 */
export function answeredBy(
  account: Account,
  asked: { readonly model: string; readonly price: ModelPrice },
  modelVersion: string | null,
  prices: PriceTable,
  mode: PriceMode = "direct",
): AnsweredBy {
  if (modelVersion === null || modelVersion === asked.model) return { price: asked.price, otherModel: false };
  const otherModel = !isSameModel(account, asked.model, modelVersion, prices);
  const price =
    mode === "batch"
      ? linePriceOf(account, modelVersion, prices)
      : accountPriceOf(prices, account.facts.kind, modelVersion, account.prices);
  if (account.facts.selfHosted && (price === null || price.version === asked.price.version))
    return { price: asked.price, otherModel: false };
  return { price, otherModel };
}

function isSameModel(account: Account, one: string, other: string, prices: PriceTable): boolean {
  const listed = listedAt(account, one, prices);
  if (listed !== null) return listed.key === listedAt(account, other, prices)?.key;
  return withoutDate(one) === withoutDate(other);
}

/** A price list of the account's own describes its models first. */
function listedAt(account: Account, model: string, prices: PriceTable): ListedModel | null {
  const { facts, prices: own } = account;
  const ofOwn = own !== null && "table" in own ? listedModel(own.table, facts.kind, model) : null;
  return ofOwn ?? (facts.selfHosted ? null : listedModel(prices, facts.kind, model));
}
