import { accountPriceOf, listedModel } from "../cost/price-table.js";
import type { OwnPrices, PriceTable } from "../cost/price-table.js";
import type { ModelPrice } from "../cost/price.js";
import type { ProviderKind } from "./route.js";

/** An entry of `providers` in the config, as far as choosing a route needs it. */
export interface Account {
  readonly name: string;
  readonly kind: ProviderKind;
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
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number | null;
  readonly capabilities: readonly string[] | null;
}

export function modelFacts(account: Account, model: string, prices: PriceTable): ModelFacts {
  const listed = account.kind === "openai-compatible" ? null : listedModel(prices, account.kind, model);
  return {
    price: accountPriceOf(prices, account.kind, model, account.prices),
    contextTokens: listed?.contextTokens ?? null,
    maxOutputTokens: listed?.maxOutputTokens ?? null,
    capabilities: listed?.capabilities ?? account.capabilities,
  };
}

/**
 * The price of the model that answered, which may differ from the one that was asked. The route's own price when it is
 * the same entry or the provider named none; null when another, unlisted model answered: then the charge is suspect.
 */
export function answeredPrice(
  account: Account,
  asked: { readonly model: string; readonly price: ModelPrice },
  modelVersion: string | null,
  prices: PriceTable,
): ModelPrice | null {
  if (modelVersion === null || modelVersion === asked.model || account.kind === "openai-compatible") return asked.price;
  return accountPriceOf(prices, account.kind, modelVersion, account.prices);
}
