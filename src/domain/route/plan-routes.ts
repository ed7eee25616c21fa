import { maxCostNanoUsd } from "../cost/charge.js";
import type { ModelPrice } from "../cost/price.js";
import type { RequestFormat, RoutePolicy } from "../job/job.js";
import { modelFacts } from "./catalog.js";
import type { Account, AliasCandidate, Catalog, ModelFacts } from "./catalog.js";
import { familyOf, spokenFormat } from "./format-family.js";
import type { KindFacts } from "./kind-facts.js";
import { reasonOfBody, type AskedModel } from "./reason-of-body.js";
import { outputTokensBound } from "./request-facts.js";
import type { RequestFacts } from "./request-facts.js";
import { namesRoute, reasonOfRules } from "./route-rules.js";
import type { RejectedRoute, Route, RoutePlan } from "./route.js";
import { reasonOfTranslation, type DryRuns } from "./translated-route.js";

/**
 * Which routes a request may take, in the order they are tried, and why the others may not. Two steps: what follows from the policy
 * and the format alone (`staticPlan`, kept by the planner, since most jobs share it), then what depends on the single request: what its
 * content needs of a model, whether it can be told in a provider's format, its length, output cap and cost limit.
 */

/** No tokenizer in use averages more bytes a token over real text; a body longer than this many bytes per token of the window can't fit. */
const BYTES_PER_TOKEN_MAX = 16;
/** Nor fewer over real text: dense Chinese has more than two. Encoded data and odd symbols may, and are found out by the provider. */
const BYTES_PER_TOKEN_MIN = 2;

/** Distinct policies kept by a planner, a format. Model names come from callers, so there must be a bound; aliases are far fewer. */
const STATIC_PLANS_MAX = 1_000;

export type PlanRoutes = (policy: RoutePolicy, facts: RequestFacts) => RoutePlan;

/**
 * A planner with its catalog; plans of the usual policies are worked out once. Deterministic: same arguments, same plan.
 * @param atLeast null: a request is held against context windows by its bytes alone.
 */
export function createRoutePlanner(catalog: Catalog, atLeast: AtLeastTokens | null = null): PlanRoutes {
  // By format, then by the rest: a key made of both would be a new text, hashed anew, for every job.
  const byFormat = new Map<RequestFormat, Map<string, StaticPlan>>();
  return (policy, facts) => {
    const { format } = facts;
    let plans = byFormat.get(format);
    if (plans === undefined) {
      plans = new Map<string, StaticPlan>();
      byFormat.set(format, plans);
    }
    const key = planKey(policy);
    let plan = plans.get(key);
    if (plan === undefined) {
      if (plans.size >= STATIC_PLANS_MAX) plans.clear();
      plan = staticPlan(policy, format, catalog);
      plans.set(key, plan);
    }
    return planForRequest(plan, facts, atLeast);
  };
}

/** The same without keeping anything. */
export function planRoutes(policy: RoutePolicy, facts: RequestFacts, catalog: Catalog): RoutePlan {
  return planForRequest(staticPlan(policy, facts.format, catalog), facts, null);
}

interface StaticPlan {
  readonly plan: RoutePlan;
  /** Behind `plan.routes`, in the same order. */
  readonly candidates: readonly Candidate[];
  /** Whether one of them is told the request in another format. */
  readonly translates: boolean;
}

/** A route and what is known of its model, for the reasons that depend on the request. */
interface Candidate {
  readonly route: Route;
  readonly facts: ModelFacts;
  readonly kind: KindFacts;
  /** The job's own format, or the one that it is told in there. */
  readonly spoken: RequestFormat;
}

interface Candidates {
  readonly candidates: readonly AliasCandidate[];
  readonly maxOutputTokensDefault: number | null;
}

type Judged =
  | { readonly kind: "route"; readonly candidate: Candidate }
  | { readonly kind: "rejected"; readonly rejected: RejectedRoute; readonly onlyPriceMissing: boolean };

/** Admission lets no model's name through with the character that stands between: else one could be made that passes for another policy. */
function planKey(policy: RoutePolicy): string {
  const plain =
    policy.providers === null &&
    policy.capabilities.length === 0 &&
    !policy.selfHostedOnly &&
    policy.regions === null &&
    policy.allowed === undefined &&
    policy.rules === undefined;
  if (plain) return policy.model;
  const { providers, capabilities, selfHostedOnly, regions, allowed, rules } = policy;
  return `${policy.model}\u0000${JSON.stringify([providers, capabilities, selfHostedOnly, regions, allowed, rules])}`;
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
    const candidates = accepted.map((one) => one.candidate);
    const translates = candidates.some(({ spoken }) => spoken !== format);
    return { plan: planOf(routesOf(candidates), rejected), candidates, translates };
  }
  const priceMissing = rejections.some((one) => one.onlyPriceMissing);
  return noRoute(priceMissing ? "NO_PRICE" : "NO_ROUTE", noRouteMessage(policy.model, rejected), rejected);
}

function noRoute(
  code: "UNKNOWN_MODEL" | "NO_ROUTE" | "NO_PRICE",
  message: string,
  rejected: readonly RejectedRoute[],
): StaticPlan {
  return { plan: { ...planOf([], rejected), failure: { code, message } }, candidates: [], translates: false };
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
  return account === undefined ? catalog.accounts.filter((one) => one.facts.kind === provider) : [account];
}

/** A bare name is only believed when the account has a price for it: anything else is most likely a typing error. */
function accountsKnowing(model: string, format: RequestFormat, catalog: Catalog): readonly Account[] {
  const [kind] = format.split(".");
  return catalog.accounts.filter(
    (one) => one.facts.kind === kind && modelFacts(one, model, catalog.prices).price !== null,
  );
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
  const spoken = spokenFormat(format, account.facts.formats);
  if (spoken === null) return rejection(candidate, foreignFormat(account, format), false);
  const because = reasonAgainst(account, candidate.model, facts, policy, format);
  if (because !== null) return rejection(candidate, because, false);
  if (facts.price === null)
    return rejection(candidate, `no price is known for ${candidate.model} at ${account.name}`, true);
  const byDefault = aliasDefault ?? account.maxOutputTokensDefault;
  const route: Route = {
    account: account.name,
    kind: account.facts.kind,
    model: candidate.model,
    price: facts.price,
    batchPrice: facts.batchPrice,
    maxOutputTokens: Math.min(byDefault, facts.maxOutputTokens ?? byDefault),
    contextTokens: facts.contextTokens,
    unseen: account.facts.unseen,
  };
  return { kind: "route", candidate: { route, facts, kind: account.facts, spoken } };
}

function foreignFormat({ name, facts }: Account, format: RequestFormat): string {
  return `${name} speaks ${facts.formats.join(", ")}, the job is ${format}`;
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
  const { providers } = policy;
  const { kind, selfHosted } = account.facts;
  if (providers !== null && !providers.includes(account.name) && !providers.includes(kind)) {
    return `the job allows only the providers ${providers.join(", ")}`;
  }
  if (policy.selfHostedOnly && !selfHosted) return "the job allows only self-hosted models";
  const { allowed, rules } = policy;
  if (allowed !== undefined && !allowed.some((name) => namesRoute(name, account.name, model)))
    return `its tenant may only use ${allowed.join(", ")}`;
  const byRules = rules === undefined ? null : reasonOfRules(rules, account.name, model);
  if (byRules !== null) return byRules;
  return (
    reasonOfRegion(account, policy) ??
    reasonOfFamily(model, facts, format) ??
    reasonOfCapabilities(account, model, facts, policy)
  );
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

/** The price table says of each model which of the two it does; a list that names neither does not speak of it. */
function reasonOfFamily(model: string, { capabilities }: ModelFacts, format: RequestFormat): string | null {
  const own = familyOf(format);
  const other = own === "chat" ? "embeddings" : "chat";
  const onlyOther = capabilities?.includes(other) === true && !capabilities.includes(own);
  return onlyOther ? `${model} does ${other}, the job is ${format}` : null;
}

function reasonOfCapabilities(account: Account, model: string, facts: ModelFacts, policy: RoutePolicy): string | null {
  if (policy.capabilities.length === 0) return null;
  const { capabilities } = facts;
  if (capabilities === null)
    return `what ${model} at ${account.name} can do is unknown, the job needs ${policy.capabilities.join(", ")}`;
  const missing = policy.capabilities.filter((word) => !capabilities.includes(word));
  return missing.length === 0 ? null : `${model} lacks ${missing.join(", ")}`;
}

function planForRequest(fixed: StaticPlan, facts: RequestFacts, atLeast: AtLeastTokens | null): RoutePlan {
  const { plan } = fixed;
  if (plan.failure !== null) return plan;
  let rejected: RejectedRoute[] | null = null;
  const open: Candidate[] = [];
  for (const candidate of fixed.candidates) {
    const because = reasonOfRequest(candidate, facts, atLeast);
    if (because === null) open.push(candidate);
    else (rejected ??= [...plan.rejected]).push(rejectedRoute(candidate.route, because));
  }
  const all = rejected === null ? plan : planOf(routesOf(open), rejected);
  if (!fixed.translates || all.first === null || !open.some((candidate) => isForeign(candidate, facts))) return all;
  const [first] = open;
  return first === undefined || isForeign(first, facts)
    ? translatedPlan(open, facts, all.rejected)
    : new LazyPlan(all.first, all.accounts, open, facts, all.rejected);
}

/** Nearly every job is served by its first route: what the others would make of it is worked out when somebody asks. */
class LazyPlan implements RoutePlan {
  readonly first: Route;
  readonly accounts: readonly string[];
  readonly failure = null;
  readonly #open: readonly Candidate[];
  readonly #facts: RequestFacts;
  readonly #rejected: readonly RejectedRoute[];
  #whole: RoutePlan | null = null;

  constructor(
    first: Route,
    accounts: readonly string[],
    open: readonly Candidate[],
    facts: RequestFacts,
    rejected: readonly RejectedRoute[],
  ) {
    this.first = first;
    this.accounts = accounts;
    this.#open = open;
    this.#facts = facts;
    this.#rejected = rejected;
  }

  get routes(): readonly Route[] {
    return this.#known().routes;
  }

  get rejected(): readonly RejectedRoute[] {
    return this.#known().rejected;
  }

  get ruledOut(): number {
    return this.#rejected.length;
  }

  #known(): RoutePlan {
    return (this.#whole ??= translatedPlan(this.#open, this.#facts, this.#rejected));
  }
}

function translatedPlan(open: readonly Candidate[], facts: RequestFacts, before: readonly RejectedRoute[]): RoutePlan {
  const rejected = [...before];
  const dryRuns: DryRuns = new Map();
  const carried = open.filter((candidate) => {
    const because = reasonOfFormat(candidate, facts, dryRuns);
    if (because !== null) rejected.push(rejectedRoute(candidate.route, because));
    return because === null;
  });
  return planOf(routesOf(carried), rejected);
}

function planOf(routes: readonly Route[], rejected: readonly RejectedRoute[]): RoutePlan {
  const failure =
    routes.length > 0
      ? null
      : { code: "NO_ROUTE" as const, message: `no route can serve this request: ${words(rejected)}` };
  const accounts = routes.map(({ account }) => account);
  return { first: routes[0] ?? null, routes, rejected, accounts, ruledOut: rejected.length, failure };
}

function routesOf(candidates: readonly Candidate[]): readonly Route[] {
  return candidates.map(({ route }) => route);
}

function rejectedRoute({ account, model }: Route, because: string): RejectedRoute {
  return { account, model, because };
}

function isForeign({ spoken }: Candidate, facts: RequestFacts): boolean {
  return spoken !== facts.format;
}

/** What can be told without a translation. */
function reasonOfRequest(candidate: Candidate, facts: RequestFacts, atLeast: AtLeastTokens | null): string | null {
  const { route, facts: model } = candidate;
  return (
    reasonOfNeeds(route, model, facts) ??
    (isForeign(candidate, facts) ? null : reasonOfBody(askedModel(candidate), facts.bodyText, facts.asks)) ??
    reasonOfLength(route, model.maxOutputTokens, facts, atLeast) ??
    reasonOfCost(route, facts)
  );
}

/** What the content implies only counts against a model that is known to lack it. */
function reasonOfNeeds(route: Route, { capabilities, rule }: ModelFacts, facts: RequestFacts): string | null {
  const keepsNoSchema = rule?.schema === false;
  let missing = "";
  for (const word of facts.capabilities) {
    if (capabilities?.includes(word) !== false && !(keepsNoSchema && word === "json_schema")) continue;
    missing = missing === "" ? word : `${missing}, ${word}`;
  }
  return missing === "" ? null : `the request needs ${missing}, which ${route.model} lacks`;
}

/** A request that fits by its bytes alone, and one that can't, is not estimated: that is nearly every one. */
function reasonOfLength(
  route: Route,
  outputMax: number | null,
  facts: RequestFacts,
  atLeast: AtLeastTokens | null,
): string | null {
  const asked = facts.requestedMaxOutputTokens;
  if (asked !== null && outputMax !== null && asked > outputMax) {
    return `the job asks for ${String(asked)} output tokens, ${route.model} gives at most ${String(outputMax)}`;
  }
  // A window is one input's, and a request for embeddings may hold thousands.
  if (route.contextTokens === null || facts.holdsMedia || familyOf(facts.format) === "embeddings") return null;
  if (facts.bodyBytes > route.contextTokens * BYTES_PER_TOKEN_MAX)
    return `${String(facts.bodyBytes)} bytes can't fit the ${String(route.contextTokens)} tokens of ${route.model}`;
  const answer = asked ?? route.maxOutputTokens;
  if (atLeast === null || facts.bodyBytes / BYTES_PER_TOKEN_MIN + answer <= route.contextTokens) return null;
  const tokens = atLeast(facts);
  return tokens + answer > route.contextTokens
    ? `at least ${String(tokens)} tokens of prompt and up to ${String(answer)} of answer can't fit the ${String(route.contextTokens)} tokens of ${route.model}`
    : null;
}

/** What any model counts for a prompt at least, as good as surely. Deterministic: stored attempts name routes by their place in the plan. */
type AtLeastTokens = (facts: RequestFacts) => number;

function reasonOfCost(route: Route, facts: RequestFacts): string | null {
  if (facts.maxCostNanoUsd === null) return null;
  const bound = routeMaxCostNanoUsd(route, facts);
  if (bound <= facts.maxCostNanoUsd) return null;
  return `it may cost ${String(bound)} nano-dollars, the job allows ${String(facts.maxCostNanoUsd)}`;
}

/** Only providers of another format are asked about it: what they can't be told is never dropped. */
function reasonOfFormat(candidate: Candidate, facts: RequestFacts, dryRuns: DryRuns): string | null {
  if (!isForeign(candidate, facts)) return null;
  return reasonOfTranslation({ spoken: candidate.spoken, model: askedModel(candidate) }, facts, dryRuns);
}

function askedModel({ route, facts, kind }: Candidate): AskedModel {
  return { name: route.model, facts, kind };
}

/**
 * Upper bound of what this request can cost on this route: what is reserved before the call, and what a doubtful call is bounded by.
 * @param price left out: of a call of its own.
 */
export function routeMaxCostNanoUsd(route: Route, facts: RequestFacts, price: ModelPrice = route.price): bigint {
  return maxCostNanoUsd(
    {
      bodyBytes: facts.bodyBytes,
      maxOutputTokens: outputTokensBound(facts, route.maxOutputTokens),
      overheadTokens: route.unseen.overheadTokens + facts.images * route.unseen.imageTokensMax,
    },
    price,
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
