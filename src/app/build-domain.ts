import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AccountPrices, CommittedConfig, Config } from "../config/config.js";
import type { Budget, BudgetLevel } from "../domain/budget/budget.js";
import type { ReuseSettings } from "../domain/job/admission-settings.js";
import { createAdmission, type JobAdmission } from "../domain/job/admit.js";
import type { OwnPrices } from "../domain/cost/account-price.js";
import { parsePriceTable, type PriceTable } from "../domain/cost/price-table.js";
import { scopesOf } from "../domain/limit/limits.js";
import type { Catalog } from "../domain/route/catalog.js";
import { createRoutePlanner, type PlanRoutes } from "../domain/route/plan-routes.js";
import type { RenderSettings, ValueEncoders } from "../domain/result/rendering.js";
import type { LedgerSettings } from "../adapters/postgres/ledger-context.js";
import { buildRoutingTerms } from "./build-routing.js";
import { kindFacts, PROVIDER_KINDS } from "../adapters/providers/registry.js";
import { lazyTokenizer } from "../adapters/tokenizer/lazy-tokenizer.js";
import { LearnedTokenEstimates } from "../adapters/tokenizer/token-estimates.js";
import { compileJobShapeCheck, SCHEMAS_DIRECTORY } from "../adapters/registry/job-schema.js";

/** Accounts, aliases and prices as routing needs them. @throws PriceTableError when the price file can't be used. */
export function buildCatalog(config: Config): Catalog {
  return {
    prices: readPriceTable(config.prices.file ?? new URL("pricing.json", SCHEMAS_DIRECTORY)),
    accounts: Object.entries(config.providers).map(([name, account]) => ({
      name,
      facts: kindFacts(account.kind),
      regions: account.regions,
      prices: ownPrices(account.prices),
      maxOutputTokensDefault: account.maxOutputTokensDefault,
      capabilities: account.capabilities,
    })),
    aliases: Object.entries(config.models).map(([name, model]) => ({
      name,
      maxOutputTokensDefault: model.maxOutputTokensDefault,
      candidates: model.candidates.map(({ provider, model: candidate }) => ({ account: provider, model: candidate })),
    })),
  };
}

const OUTPUT_TOKENS_DEFAULT = 4_096;

/** Every kind of provider that has listed prices as an account at those prices, named after it: for when there is no config. */
export function listCatalog(): Catalog {
  const accounts = PROVIDER_KINDS.filter(({ selfHosted }) => !selfHosted).map((facts) => ({
    name: facts.kind,
    facts,
    regions: null,
    prices: null,
    maxOutputTokensDefault: OUTPUT_TOKENS_DEFAULT,
    capabilities: null,
  }));
  return { prices: readPriceTable(new URL("pricing.json", SCHEMAS_DIRECTORY)), accounts, aliases: [] };
}

/** As routers plan: what they store names routes by their place in such a plan. */
export function buildRoutePlanner(config: Config): PlanRoutes {
  return createRoutePlanner(buildCatalog(config), new LearnedTokenEstimates(lazyTokenizer()).atLeast);
}

function ownPrices(prices: AccountPrices | null): OwnPrices | null {
  return prices !== null && "file" in prices ? { table: readPriceTable(prices.file) } : prices;
}

function readPriceTable(file: string | URL): PriceTable {
  return parsePriceTable(readFileSync(file, "utf8"));
}

export function buildAdmission(config: Config, cluster: string): JobAdmission {
  const { intake } = config.limits;
  return createAdmission({
    cluster,
    tenantFrom: config.auth.tenantFrom,
    topicTenants: new Map(Object.entries(config.auth.topicTenants)),
    tenants: new Map(Object.entries(config.tenants)),
    limits: intake,
    copiedHeaders: { countMax: config.headers.copiedMax, bytesMax: config.headers.copiedBytesMax },
    lifetime: config.delivery,
    reuse: buildReuse(config),
    resultsTopic: config.topics.results.name,
    configRevision: routesRevision(config),
    routing: buildRoutingTerms(config),
    checkShape: compileJobShapeCheck(),
  });
}

export function buildReuse({ dedupe, cache }: Config): ReuseSettings {
  return { dedupe: dedupe.enabled, cache: cache.enabled, cacheMaxAgeMs: cache.maxAgeMs };
}

/**
 * Changes with whatever decides about routes, so that jobs of two revisions never share a call. Secrets are no part of it, nor are
 * batches and rescues: they decide when a request is sent and at which price, never what is sent to whom, so an answer fits jobs from before and
 * after they were switched on.
 */
function routesRevision(config: Config): string {
  const accounts = Object.entries(config.providers).map(([name, account]) => {
    const { kind, baseUrl, maxOutputTokensDefault } = account;
    return { name, kind, baseUrl, maxOutputTokensDefault };
  });
  const models = Object.entries(config.models).map(([name, { maxOutputTokensDefault, candidates, order }]) => {
    // A written order is what all aliases had before there was another: their jobs keep their keys.
    return { name, maxOutputTokensDefault, candidates, ...(order === "score" ? { order } : {}) };
  });
  return createHash("sha256").update(JSON.stringify({ accounts, models })).digest("hex").slice(0, 12);
}

export function buildLedgerSettings(config: Config): LedgerSettings {
  const { limits, storage, tenants, providers } = config;
  const { compressAboveBytes } = storage;
  const scopes = Object.entries(providers).flatMap(([name, account]) => scopesOf(name, account.limits));
  return {
    ...{ waitersMax: limits.groups.waitersMax, compressAboveBytes, budgets: allBudgets(config) },
    weights: new Map(Object.entries(tenants).map(([name, { weight }]) => [name, weight])),
    limits: scopes.map(({ name }) => name),
  };
}

/** An account takes no more once it has spent this part of its day. */
const SPENT_AT_PERCENT = 95n;

/** Those of tenants in the config's order, then of each account what it may spend a day, and what it has paid for a month. */
export function allBudgets({ budgets, providers }: Pick<Config, "budgets" | "providers">): readonly Budget[] {
  const ofAccounts = Object.entries(providers).flatMap(([account, { dailySpendNanoUsd, committed }]): Budget[] => {
    const level = { of: "account", account } as const;
    return [
      ...(dailySpendNanoUsd === null ? [] : [dayBudget(level, dailySpendNanoUsd)]),
      ...(committed === null ? [] : [commitment(level, committed)]),
    ];
  });
  return [...budgets, ...ofAccounts];
}

function dayBudget(level: BudgetLevel, limitNanoUsd: bigint): Budget {
  const stopsAtNanoUsd = (limitNanoUsd * SPENT_AT_PERCENT) / 100n;
  return { level, limitNanoUsd, stopsAtNanoUsd, window: "day", timeZone: "UTC", kind: "hard" };
}

function commitment(level: BudgetLevel, { nanoUsdPerMonth, timeZone }: CommittedConfig): Budget {
  return { level, limitNanoUsd: nanoUsdPerMonth, window: "month", timeZone, kind: "soft", commitment: true };
}

export function buildRenderSettings(config: Config, cluster: string, encoders?: ValueEncoders): RenderSettings {
  return {
    ...(encoders === undefined ? {} : { encoders }),
    environment: config.environment,
    cluster,
    group: config.kafka.groupId,
    costsTopic: config.topics.costs.name,
    eventsTopic: config.topics.events.name,
  };
}
