import { TIERS, type Tier } from "../job/job.js";
import { FORMAT_FAMILIES, type FormatFamily } from "../route/format-family.js";

/** What an account may do, as its config states it. Null: not limited. Tokens are the prompt's and the longest answer's, as providers count them. */
export interface StatedLimits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly requestsPerDay: number | null;
  readonly tokensPerDay: number | null;
}

/** Those of all its calls together, and besides those of single models, endpoints and tiers of jobs. */
export interface AccountLimits extends StatedLimits {
  readonly models: Readonly<Record<string, StatedLimits>>;
  /** Of all requests of a format's family, whatever the model; left out: none. */
  readonly endpoints?: Readonly<Partial<Record<FormatFamily, StatedLimits>>>;
  /** Of all jobs of a tier; left out: none. */
  readonly tiers?: Readonly<Partial<Record<Tier, StatedLimits>>>;
}

export type LimitUnit = "requests" | "tokens";
export type LimitWindow = "minute" | "day";

/** What of a call, besides its model, says which of its account's limits hold it. */
export interface CallKind {
  readonly endpoint: FormatFamily;
  readonly tier: Tier;
}

export interface LimitedCall extends CallKind {
  readonly model: string;
}

/** Whose calls limits are about. All null: the account's, whatever they are. */
export interface LimitSubject {
  readonly model: string | null;
  readonly endpoint: FormatFamily | null;
  readonly tier: Tier | null;
}

/** One limit: so many of a unit in any window of that length. */
export interface LimitRule {
  /** Unique: the name of its subject, then the unit and the window. */
  readonly key: string;
  /** At most one of it is not null. */
  readonly subject: LimitSubject;
  readonly unit: LimitUnit;
  readonly window: LimitWindow;
  readonly limit: number;
}

/** Calls that pass the same limits. A call passes all of them or none. */
export interface LimitScope {
  /**
   * The account, with all that has limits of its own: `acme`, `acme/gpt-5`, `acme embeddings`, `acme/gpt-5 chat premium`. Never empty, and rows
   * are stored with it. Names of accounts and models have no spaces, and only the former no slash.
   */
  readonly name: string;
  readonly account: string;
  readonly subject: LimitSubject;
  readonly rules: readonly LimitRule[];
  /** Those of the model, or of the account where that has none: what a provider's own word, or its 429, is taken to be about. May be none. */
  readonly own: readonly LimitRule[];
  readonly countsTokens: boolean;
}

const WHOLE: LimitSubject = { model: null, endpoint: null, tier: null };

/** Null: nothing limits its calls but its places. */
export function scopeOf(account: string, limits: AccountLimits, call: LimitedCall): LimitScope | null {
  return scopeFor(account, limits, {
    model: ofModel(limits, call.model) === undefined ? null : call.model,
    endpoint: ofEndpoint(limits, call.endpoint) === undefined ? null : call.endpoint,
    tier: ofTier(limits, call.tier) === undefined ? null : call.tier,
  });
}

/** Every scope of an account that its calls can have: that without a model of its own first, then by model in the config's order. */
export function scopesOf(account: string, limits: AccountLimits): readonly LimitScope[] {
  const models = Object.keys(limits.models).filter((model) => ofModel(limits, model) !== undefined);
  const endpoints = FORMAT_FAMILIES.map((endpoint) => (ofEndpoint(limits, endpoint) === undefined ? null : endpoint));
  const tiers = TIERS.map((tier) => (ofTier(limits, tier) === undefined ? null : tier));
  const found: (LimitScope | null)[] = [];
  for (const model of [null, ...models])
    for (const endpoint of new Set(endpoints))
      for (const tier of new Set(tiers)) found.push(scopeFor(account, limits, { model, endpoint, tier }));
  return found.filter((scope) => scope !== null);
}

/** The limits of one subject. */
export interface LimitGroup {
  readonly name: string;
  readonly subject: LimitSubject;
  readonly rules: readonly LimitRule[];
}

/** All limits of an account, each once: its own, then those of models, endpoints and tiers. Subjects without any are not there. */
export function limitGroups(account: string, limits: AccountLimits): readonly LimitGroup[] {
  const subjects: readonly LimitSubject[] = [
    WHOLE,
    ...Object.keys(limits.models).map((model) => ({ ...WHOLE, model })),
    ...FORMAT_FAMILIES.map((endpoint) => ({ ...WHOLE, endpoint })),
    ...TIERS.map((tier) => ({ ...WHOLE, tier })),
  ];
  return subjects.flatMap((subject) => {
    const name = nameOf(account, subject);
    const rules = rulesOf(name, subject, statedFor(limits, subject));
    return rules.length === 0 ? [] : [{ name, subject, rules }];
  });
}

/** Whether any of its limits goes by the tier of jobs. */
export function isByTier(limits: AccountLimits): boolean {
  return TIERS.some((tier) => ofTier(limits, tier) !== undefined);
}

/** Whether any of its limits goes by endpoint or tier. @param window of those by the day or the minute only. */
export function isByKind(limits: AccountLimits, window: LimitWindow | null = null): boolean {
  return limitGroups("", limits).some(
    ({ subject, rules }) =>
      (subject.endpoint !== null || subject.tier !== null) &&
      rules.some((rule) => window === null || rule.window === window),
  );
}

/** Whether a subject's limits count such a call. What is not known of it counts. */
export function isAbout(
  { model, endpoint, tier }: LimitSubject,
  call: { readonly [Name in keyof LimitedCall]?: LimitedCall[Name] | null },
): boolean {
  return speaksOf(model, call.model) && speaksOf(endpoint, call.endpoint) && speaksOf(tier, call.tier);
}

function speaksOf<Value>(named: Value | null, is: Value | null | undefined): boolean {
  return named === null || is === null || is === undefined || named === is;
}

function scopeFor(account: string, limits: AccountLimits, subject: LimitSubject): LimitScope | null {
  const { model, endpoint, tier } = subject;
  const groupOf = (one: LimitSubject): readonly LimitRule[] =>
    rulesOf(nameOf(account, one), one, statedFor(limits, one));
  const common = groupOf(WHOLE);
  const own = model === null ? common : groupOf({ ...WHOLE, model });
  const rules = [
    ...(model === null ? [] : own),
    ...(endpoint === null ? [] : groupOf({ ...WHOLE, endpoint })),
    ...(tier === null ? [] : groupOf({ ...WHOLE, tier })),
    ...common,
  ];
  if (rules.length === 0) return null;
  return {
    ...{ name: nameOf(account, subject), account, subject, rules, own },
    countsTokens: rules.some(({ unit }) => unit === "tokens"),
  };
}

function nameOf(account: string, { model, endpoint, tier }: LimitSubject): string {
  return [model === null ? account : `${account}/${model}`, endpoint, tier].filter((part) => part !== null).join(" ");
}

function statedFor(limits: AccountLimits, { model, endpoint, tier }: LimitSubject): StatedLimits | undefined {
  if (model !== null) return ofModel(limits, model);
  if (endpoint !== null) return ofEndpoint(limits, endpoint);
  return tier === null ? limits : ofTier(limits, tier);
}

/** Undefined: it has none of its own. A model may have any name. */
function ofModel({ models }: AccountLimits, model: string): StatedLimits | undefined {
  return Object.hasOwn(models, model) ? ifAny(models[model]) : undefined;
}

function ofEndpoint({ endpoints }: AccountLimits, endpoint: FormatFamily): StatedLimits | undefined {
  return ifAny(endpoints?.[endpoint]);
}

function ofTier({ tiers }: AccountLimits, tier: Tier): StatedLimits | undefined {
  return ifAny(tiers?.[tier]);
}

/** A section that states nothing is none. */
function ifAny(stated: StatedLimits | undefined): StatedLimits | undefined {
  if (stated === undefined) return undefined;
  const { requestsPerMinute, tokensPerMinute, requestsPerDay, tokensPerDay } = stated;
  return (requestsPerMinute ?? tokensPerMinute ?? requestsPerDay ?? tokensPerDay) === null ? undefined : stated;
}

function rulesOf(name: string, subject: LimitSubject, stated: StatedLimits | undefined): readonly LimitRule[] {
  if (stated === undefined) return [];
  const rule = (unit: LimitUnit, window: LimitWindow, limit: number | null): readonly LimitRule[] =>
    limit === null ? [] : [{ key: `${name} ${unit}/${window}`, subject, unit, window, limit }];
  return [
    ...rule("requests", "minute", stated.requestsPerMinute),
    ...rule("tokens", "minute", stated.tokensPerMinute),
    ...rule("requests", "day", stated.requestsPerDay),
    ...rule("tokens", "day", stated.tokensPerDay),
  ];
}

/** The limit that no call of so many tokens ever passes, in words; null: all let it through. @param known what was learned of limits, by their keys. */
export function neverFits(
  rules: readonly LimitRule[],
  tokens: number,
  known: ReadonlyMap<string, { readonly learned: number | null }>,
): string | null {
  for (const { unit, limit, key } of rules) {
    if (unit !== "tokens") continue;
    const most = Math.min(limit, known.get(key)?.learned ?? limit);
    if (tokens > most) return `the call counts ${String(tokens)} tokens, ${key} allows ${String(most)} in all`;
  }
  return null;
}
