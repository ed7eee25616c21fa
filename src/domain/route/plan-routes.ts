import { maxCostNanoUsd } from "../cost/charge.js";
import type { RequestFormat, RoutePolicy } from "../job/job.js";
import { modelFacts } from "./catalog.js";
import type { Account, AliasCandidate, Catalog, ModelFacts } from "./catalog.js";
import { OVERHEAD_TOKENS, outputTokensBound } from "./request-facts.js";
import type { RequestFacts } from "./request-facts.js";
import type { ProviderKind, RejectedRoute, Route, RoutePlan } from "./route.js";

/**
 * Which routes a request may take, in the order they are tried, and why the others may not. Two steps: what follows from the policy
 * and the format alone (`staticPlan`, kept by the planner, since most jobs share it), then what depends on the single request: its
 * length, output cap and cost limit.
 */

/** Provider kinds that speak a format natively. Translation between formats is not built yet. */
const NATIVE_KINDS: Readonly<Partial<Record<RequestFormat, readonly ProviderKind[]>>> = {
  "openai.chat": ["openai", "openai-compatible"],
  "anthropic.messages": ["anthropic"],
};

/** Whose models a bare model name means. */
const KIND_OF_BARE_NAME: Readonly<Partial<Record<RequestFormat, ProviderKind>>> = {
  "openai.chat": "openai",
  "anthropic.messages": "anthropic",
};

/** No tokenizer in use averages more bytes a token over real text; a body longer than this many bytes per token of the window can't fit. */
const BYTES_PER_TOKEN_MAX = 16;

/** Distinct policies kept by a planner. Model names come from callers, so there must be a bound; aliases are far fewer. */
const STATIC_PLANS_MAX = 1_000;

export type PlanRoutes = (policy: RoutePolicy, facts: RequestFacts) => RoutePlan;

/** A planner with its catalog; plans of the usual policies are worked out once. Deterministic: same arguments, same plan. */
export function createRoutePlanner(catalog: Catalog): PlanRoutes {
  const plans = new Map<string, StaticPlan>();
  return (policy, facts) => {
    const key = planKey(policy, facts.format);
    let plan = plans.get(key);
    if (plan === undefined) {
      if (plans.size >= STATIC_PLANS_MAX) plans.clear();
      plan = staticPlan(policy, facts.format, catalog);
      plans.set(key, plan);
    }
    return planForRequest(plan, facts);
  };
}

/** The same without keeping anything. */
export function planRoutes(policy: RoutePolicy, facts: RequestFacts, catalog: Catalog): RoutePlan {
  return planForRequest(staticPlan(policy, facts.format, catalog), facts);
}

/** A chain that is not built yet is refused when the config or the job is checked; this is the list. */
export const CHAINS = ["standard"] as const;

interface StaticPlan {
  readonly plan: RoutePlan;
  /** Most output tokens of each route's model, beside `plan.routes`. */
  readonly outputMax: readonly (number | null)[];
}

interface Candidates {
  readonly candidates: readonly AliasCandidate[];
  readonly maxOutputTokensDefault: number | null;
}

type Judged =
  | { readonly kind: "route"; readonly route: Route; readonly outputMax: number | null }
  | { readonly kind: "rejected"; readonly rejected: RejectedRoute; readonly onlyPriceMissing: boolean };

function planKey(policy: RoutePolicy, format: RequestFormat): string {
  const name = `${format}\n${policy.model}`;
  const plain =
    policy.providers === null && policy.capabilities.length === 0 && !policy.selfHostedOnly && policy.regions === null;
  if (plain) return name;
  return `${name}\n${JSON.stringify([policy.providers, policy.capabilities, policy.selfHostedOnly, policy.regions])}`;
}

function staticPlan(policy: RoutePolicy, format: RequestFormat, catalog: Catalog): StaticPlan {
  const found = candidatesOf(policy.model, format, catalog);
  if (found === null) return noRoute("UNKNOWN_MODEL", unknownModelMessage(policy.model, catalog), []);
  const judged = found.candidates.map((candidate) =>
    judge(candidate, found.maxOutputTokensDefault, policy, format, catalog),
  );
  const accepted = judged.filter((one) => one.kind === "route");
  const rejections = judged.filter((one) => one.kind === "rejected");
  const rejected = rejections.map((one) => one.rejected);
  if (accepted.length > 0) {
    const plan = { routes: accepted.map((one) => one.route), rejected, failure: null };
    return { plan, outputMax: accepted.map((one) => one.outputMax) };
  }
  const priceMissing = rejections.some((one) => one.onlyPriceMissing);
  return noRoute(priceMissing ? "NO_PRICE" : "NO_ROUTE", noRouteMessage(policy.model, rejected), rejected);
}

function noRoute(
  code: "UNKNOWN_MODEL" | "NO_ROUTE" | "NO_PRICE",
  message: string,
  rejected: readonly RejectedRoute[],
): StaticPlan {
  return { plan: { routes: [], rejected, failure: { code, message } }, outputMax: [] };
}

/** An alias, else `provider/model` split at the first slash, else a model's own name at the provider of the format. */
function candidatesOf(model: string, format: RequestFormat, catalog: Catalog): Candidates | null {
  const alias = catalog.aliases.find((one) => one.name === model);
  if (alias !== undefined)
    return { candidates: alias.candidates, maxOutputTokensDefault: alias.maxOutputTokensDefault };
  const slash = model.indexOf("/");
  const accounts = slash > 0 ? accountsNamed(model.slice(0, slash), catalog) : accountsKnowing(model, format, catalog);
  const name = slash > 0 ? model.slice(slash + 1) : model;
  if (accounts.length === 0 || name === "") return null;
  return {
    candidates: accounts.map((account) => ({ account: account.name, model: name })),
    maxOutputTokensDefault: null,
  };
}

/** The account of that name, else all of that kind. */
function accountsNamed(provider: string, catalog: Catalog): readonly Account[] {
  const account = catalog.accounts.find((one) => one.name === provider);
  return account === undefined ? catalog.accounts.filter((one) => one.kind === provider) : [account];
}

/** A bare name is only believed when the account has a price for it: anything else is most likely a typing error. */
function accountsKnowing(model: string, format: RequestFormat, catalog: Catalog): readonly Account[] {
  const kind = KIND_OF_BARE_NAME[format];
  return catalog.accounts.filter((one) => one.kind === kind && modelFacts(one, model, catalog.prices).price !== null);
}

function judge(
  candidate: AliasCandidate,
  aliasDefault: number | null,
  policy: RoutePolicy,
  format: RequestFormat,
  catalog: Catalog,
): Judged {
  const account = catalog.accounts.find((one) => one.name === candidate.account);
  if (account === undefined) return rejection(candidate, "the config has no account of this name", false);
  const facts = modelFacts(account, candidate.model, catalog.prices);
  const because = reasonAgainst(account, candidate.model, facts, policy, format);
  if (because !== null) return rejection(candidate, because, false);
  if (facts.price === null)
    return rejection(candidate, `no price is known for ${candidate.model} at ${account.name}`, true);
  const byDefault = aliasDefault ?? account.maxOutputTokensDefault;
  const route: Route = {
    account: account.name,
    kind: account.kind,
    model: candidate.model,
    mode: "direct",
    price: facts.price,
    maxOutputTokens: Math.min(byDefault, facts.maxOutputTokens ?? byDefault),
    contextTokens: facts.contextTokens,
  };
  return { kind: "route", route, outputMax: facts.maxOutputTokens };
}

function rejection(candidate: AliasCandidate, because: string, onlyPriceMissing: boolean): Judged {
  return {
    kind: "rejected",
    rejected: { account: candidate.account, model: candidate.model, because },
    onlyPriceMissing,
  };
}

function reasonAgainst(
  account: Account,
  model: string,
  facts: ModelFacts,
  policy: RoutePolicy,
  format: RequestFormat,
): string | null {
  if (!(NATIVE_KINDS[format] ?? []).includes(account.kind))
    return `${account.name} is of kind ${account.kind}, the job is ${format}`;
  const { providers } = policy;
  if (providers !== null && !providers.includes(account.name) && !providers.includes(account.kind)) {
    return `the job allows only the providers ${providers.join(", ")}`;
  }
  if (policy.selfHostedOnly && account.kind !== "openai-compatible") return "the job allows only self-hosted models";
  return reasonOfRegion(account, policy) ?? reasonOfCapabilities(account, model, facts, policy);
}

function reasonOfRegion(account: Account, policy: RoutePolicy): string | null {
  const { regions } = policy;
  if (regions === null) return null;
  if (account.regions === null)
    return `the region of ${account.name} is unknown, the job allows only ${regions.join(", ")}`;
  // An account that may compute in several regions is only allowed when the job allows each of them.
  const outside = account.regions.filter((region) => !regions.includes(region));
  return outside.length === 0
    ? null
    : `${account.name} computes in ${outside.join(", ")}, the job allows only ${regions.join(", ")}`;
}

function reasonOfCapabilities(account: Account, model: string, facts: ModelFacts, policy: RoutePolicy): string | null {
  if (policy.capabilities.length === 0) return null;
  const { capabilities } = facts;
  if (capabilities === null)
    return `what ${model} at ${account.name} can do is unknown, the job needs ${policy.capabilities.join(", ")}`;
  const missing = policy.capabilities.filter((word) => !capabilities.includes(word));
  return missing.length === 0 ? null : `${model} lacks ${missing.join(", ")}`;
}

function planForRequest(fixed: StaticPlan, facts: RequestFacts): RoutePlan {
  const { plan } = fixed;
  if (plan.failure !== null) return plan;
  const routes: Route[] = [];
  const rejected: RejectedRoute[] = [];
  plan.routes.forEach((route, index) => {
    const because = reasonOfRequest(route, fixed.outputMax[index] ?? null, facts);
    if (because === null) routes.push(route);
    else rejected.push({ account: route.account, model: route.model, because });
  });
  if (rejected.length === 0) return plan;
  const all = [...plan.rejected, ...rejected];
  const failure =
    routes.length > 0 ? null : { code: "NO_ROUTE" as const, message: `no route can serve this request: ${words(all)}` };
  return { routes, rejected: all, failure };
}

function reasonOfRequest(route: Route, outputMax: number | null, facts: RequestFacts): string | null {
  const asked = facts.requestedMaxOutputTokens;
  if (asked !== null && outputMax !== null && asked > outputMax) {
    return `the job asks for ${String(asked)} output tokens, ${route.model} gives at most ${String(outputMax)}`;
  }
  if (
    route.contextTokens !== null &&
    !facts.holdsMedia &&
    facts.bodyBytes > route.contextTokens * BYTES_PER_TOKEN_MAX
  ) {
    return `${String(facts.bodyBytes)} bytes can't fit the ${String(route.contextTokens)} tokens of ${route.model}`;
  }
  if (facts.maxCostNanoUsd === null) return null;
  const bound = routeMaxCostNanoUsd(route, facts);
  if (bound <= facts.maxCostNanoUsd) return null;
  return `it may cost ${String(bound)} nano-dollars, the job allows ${String(facts.maxCostNanoUsd)}`;
}

/** Upper bound of what this request can cost on this route: what is reserved before the call, and what a doubtful call is bounded by. */
export function routeMaxCostNanoUsd(route: Route, facts: RequestFacts): bigint {
  return maxCostNanoUsd(
    {
      bodyBytes: facts.bodyBytes,
      maxOutputTokens: outputTokensBound(facts, route.maxOutputTokens),
      overheadTokens: OVERHEAD_TOKENS[route.kind],
    },
    route.price,
  );
}

function unknownModelMessage(model: string, catalog: Catalog): string {
  const names = catalog.aliases.map((alias) => alias.name).slice(0, 10);
  const known = names.length === 0 ? "the config names no alias" : `the aliases are ${names.join(", ")}`;
  return `expected an alias, provider/model or a listed model, found ${JSON.stringify(model.slice(0, 100))}; ${known}`;
}

function noRouteMessage(model: string, rejected: readonly RejectedRoute[]): string {
  return `no route for ${JSON.stringify(model.slice(0, 100))}: ${words(rejected)}`;
}

function words(rejected: readonly RejectedRoute[]): string {
  return rejected
    .slice(0, 5)
    .map((one) => `${one.account}/${one.model}: ${one.because}`)
    .join("; ");
}
