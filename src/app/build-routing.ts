import type { Config } from "../config/config.js";
import type { RoutingTerms } from "../domain/job/admission-settings.js";
import { isByTier } from "../domain/limit/limits.js";
import { BUILT_IN_CHAINS, ChainWeights } from "../domain/route/score-weights.js";
import type { RoutingSettings } from "../pipeline/dispatch/route-chooser.js";

/** What decides between the routes of a job. */
export function buildRouting(config: Config): RoutingSettings {
  const { chains, routing } = config;
  return {
    scored: scoredAliases(config),
    weights: new ChainWeights(chains, routing.factors),
    latencyBudgetMs: routing.latencyBudgetMs,
  };
}

/** What of it is settled when a job is accepted. */
export function buildRoutingTerms(config: Config): RoutingTerms {
  return {
    ...{ chains: new Set(chainNames(config)), rules: config.rules, scored: scoredAliases(config) },
    limitsByTier: Object.values(config.providers).some(({ limits }) => isByTier(limits)),
  };
}

/** Names that a job's `chain` may have. */
export function chainNames({ chains }: Config): readonly string[] {
  return [...new Set([...Object.keys(BUILT_IN_CHAINS), ...Object.keys(chains)])];
}

function scoredAliases({ models }: Config): ReadonlySet<string> {
  return new Set(Object.entries(models).flatMap(([name, { order }]) => (order === "score" ? [name] : [])));
}
