import { isAbout, type CallKind, type LimitRule, type LimitScope } from "./limits.js";

/** Calls of a model at an account within one hour before now. */
export interface DayUse extends DayUseKind {
  readonly account: string;
  readonly model: string;
  /** 0: the last hour. */
  readonly hoursAgo: number;
  readonly calls: number;
  /** What those of them counted whose tokens are known. */
  readonly tokens: number;
  /** Calls that may have counted tokens, and nobody knows how many yet. */
  readonly unknown: number;
}

/** Only there where calls were asked for by endpoint and tier; null: their execution is not kept any more. */
export type DayUseKind = { readonly [Name in keyof CallKind]?: CallKind[Name] | null };

/** What a limit was used before its bucket began. */
export interface Seed {
  readonly agoMs: number;
  readonly amount: number;
}

const HOUR_MS = 3_600_000;

/**
 * What the limits by the day have been used, by the rule's key. Each hour counts as its newest moment, so that nothing leaves the window too
 * early; a call whose tokens nobody knows counts as the mean of the others, and one whose endpoint or tier nobody knows for all of them.
 */
export function daySeeds(scope: LimitScope, uses: readonly DayUse[]): ReadonlyMap<string, readonly Seed[]> {
  const days = scope.rules.filter(({ window }) => window === "day");
  return new Map(days.map((rule) => [rule.key, seedsOf(rule, usesOf(scope, rule, uses))]));
}

function usesOf({ account }: LimitScope, { subject }: LimitRule, uses: readonly DayUse[]): readonly DayUse[] {
  return uses.filter((use) => use.account === account && isAbout(subject, use));
}

function seedsOf({ unit }: LimitRule, uses: readonly DayUse[]): readonly Seed[] {
  const known = uses.reduce((sum, { calls, unknown }) => sum + calls - unknown, 0);
  const mean = known === 0 ? 0 : uses.reduce((sum, { tokens }) => sum + tokens, 0) / known;
  const hours = new Map<number, number>();
  for (const { hoursAgo, calls, tokens, unknown } of uses) {
    const amount = unit === "requests" ? calls : tokens + Math.ceil(unknown * mean);
    hours.set(hoursAgo, (hours.get(hoursAgo) ?? 0) + amount);
  }
  return [...hours].map(([hoursAgo, amount]) => ({ agoMs: hoursAgo * HOUR_MS, amount }));
}
