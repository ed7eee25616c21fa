/** What an account may do, as its config states it. Null: not limited. Tokens are the prompt's and the longest answer's, as providers count them. */
export interface StatedLimits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly requestsPerDay: number | null;
  readonly tokensPerDay: number | null;
}

/** Those of all its models together, and those of single models besides. */
export interface AccountLimits extends StatedLimits {
  readonly models: Readonly<Record<string, StatedLimits>>;
}

export type LimitUnit = "requests" | "tokens";
export type LimitWindow = "minute" | "day";

/** One limit: so many of a unit in any window of that length. */
export interface LimitRule {
  /** Unique: `acme`, or `acme/gpt-5`, then the unit and the window. */
  readonly key: string;
  readonly unit: LimitUnit;
  readonly window: LimitWindow;
  readonly limit: number;
}

/** Calls that pass the same limits. A call passes all of them or none. */
export interface LimitScope {
  /** The account, or `account/model` where the model has limits of its own; never empty. */
  readonly name: string;
  readonly account: string;
  readonly rules: readonly LimitRule[];
  /** Those of them that are the most particular: what a provider's own word, or its 429, is taken to be about. */
  readonly own: readonly LimitRule[];
  readonly countsTokens: boolean;
}

/** Null: nothing limits its calls but its places. */
export function scopeOf(account: string, limits: AccountLimits, model: string): LimitScope | null {
  const particular = ownLimits(limits, model);
  const common = rulesOf(account, limits);
  const own = particular === undefined ? [] : rulesOf(`${account}/${model}`, particular);
  const rules = [...own, ...common];
  if (rules.length === 0) return null;
  const name = own.length === 0 ? account : `${account}/${model}`;
  return {
    ...{ name, account, rules },
    own: own.length === 0 ? common : own,
    countsTokens: rules.some(({ unit }) => unit === "tokens"),
  };
}

/** Every scope of an account that the config can name: one for all its models, one for each with limits of its own. */
export function scopesOf(account: string, limits: AccountLimits): readonly LimitScope[] {
  const found = [scopeOf(account, { ...limits, models: {} }, "")];
  for (const model of Object.keys(limits.models)) found.push(scopeOf(account, limits, model));
  return found.filter((scope) => scope !== null);
}

/** Those of the model alone; undefined: it has none. */
export function ownLimits({ models }: AccountLimits, model: string): StatedLimits | undefined {
  return Object.hasOwn(models, model) ? models[model] : undefined;
}

function rulesOf(name: string, stated: StatedLimits): readonly LimitRule[] {
  const rule = (unit: LimitUnit, window: LimitWindow, limit: number | null): readonly LimitRule[] =>
    limit === null ? [] : [{ key: `${name} ${unit}/${window}`, unit, window, limit }];
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
