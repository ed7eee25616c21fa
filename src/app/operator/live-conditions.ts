import type { LimitWaiters } from "../../adapters/postgres/operator/limit-rows.js";
import type { Config } from "../../config/config.js";
import { budgetKey, type LevelStanding } from "../../domain/budget/budget.js";
import { BudgetLevels, type Payer } from "../../domain/budget/budget-levels.js";
import type { EpochMs } from "../../domain/ids.js";
import { headroomBy, limitStanding, type LimitReading, type LimitStanding } from "../../domain/limit/limit-standing.js";
import { scopeOf, type LimitedCall } from "../../domain/limit/limits.js";
import { UNKNOWN_CONDITIONS, type RouteConditions } from "../../domain/route/route-condition.js";
import type { Route } from "../../domain/route/route.js";
import { SpentAccounts } from "../../pipeline/budget/spent-accounts.js";
import { sharedOf } from "../../pipeline/dispatch/health-watch.js";
import { RouteHealth } from "../../pipeline/dispatch/route-health.js";
import type { StoredBreaker } from "../../ports/health-store.js";
import type { SharedLimits } from "./list-limits.js";

/** What routers share, as it was found. `atMs`: when each was read, by the database's clock. */
export interface LiveReadings {
  readonly breakers: Read<readonly StoredBreaker[]>;
  readonly budgets: Read<readonly LevelStanding[]>;
  /** Rows that wait for limits, by the limit's name. */
  readonly waiting: Read<ReadonlyMap<string, LimitWaiters>>;
  readonly limits: Read<SharedLimits>;
}

export interface Read<Value> {
  readonly atMs: EpochMs;
  readonly value: Value;
}

const NOBODY: LimitWaiters = { rows: 0, sinceMs: null };

/**
 * What a router that has just begun would know of routes: all that routers share. How fast and how reliable routes were each keeps to
 * itself, so that stays unknown.
 */
export function liveConditions(
  { health: settings, providers }: Pick<Config, "health" | "providers">,
  { breakers: known, budgets, waiting, limits }: LiveReadings,
): RouteConditions {
  const health = new RouteHealth({
    ...{ settings, random: { next: () => 0 }, clock: { nowMs: () => known.atMs } },
    changed: () => undefined,
    wanted: () => undefined,
  });
  for (const row of known.value)
    health.step(health.tell(row.account, row.model), { kind: "told", shared: sharedOf(row, known.atMs) });
  const spending = new SpentAccounts();
  for (const standing of budgets.value) spending.seen(standing, standing);
  const readings = readingsOf(limits.value);
  return {
    ...UNKNOWN_CONDITIONS,
    health: (account, model, nowMs) => health.health(account, model, nowMs),
    spent: (account, nowMs) => spending.spent(account, nowMs),
    committedLeft: (account, nowMs) => spending.committedLeft(account, nowMs),
    headroom: ({ account, model }, tokens, nowMs, endpoint, tier) => {
      const own = providers[account]?.limits;
      const scope = own === undefined ? null : scopeOf(account, own, { model, endpoint, tier });
      if (scope === null) return { kind: "go" };
      return headroomBy(scope, tokens, readings, waiting.value.get(scope.name)?.rows ?? 0, nowMs);
    },
  };
}

function readingsOf(limits: SharedLimits): ReadonlyMap<string, LimitReading> | null {
  return limits.kind === "read" ? limits.readings : null;
}

/** What of it speaks of one job: the breakers, budgets and limits of its candidates, and its tenant's budgets. */
export interface SeenOfJob {
  readonly breakers: Read<readonly StoredBreaker[]>;
  readonly budgets: Read<readonly LevelStanding[]>;
  readonly limits: Read<readonly SeenLimit[]>;
  readonly shared: SharedLimits["kind"];
  /** Why Redis can't be reached. */
  readonly because: string | null;
}

/** The limits that calls of a candidate pass. */
export interface SeenLimit {
  readonly name: string;
  readonly waiting: LimitWaiters;
  readonly limits: readonly LimitStanding[];
}

/** @param calls what the job would be on each of its routes. */
export function seenOf(
  { providers }: Pick<Config, "providers">,
  readings: LiveReadings,
  payer: Payer,
  calls: readonly (LimitedCall & Pick<Route, "account">)[],
): SeenOfJob {
  const { breakers: known, budgets, waiting, limits } = readings;
  const accounts = new Set(calls.map(({ account }) => account));
  const speaks = ({ account, model, state }: StoredBreaker): boolean =>
    state !== "closed" && calls.some((call) => call.account === account && (model === null || call.model === model));
  const levels = new BudgetLevels(budgets.value.map(({ budget }) => budget));
  const held = new Set(
    [...accounts].flatMap((account) =>
      levels.placesOf({ ...payer, account }, budgets.atMs).map(({ budget }) => budgetKey(budget)),
    ),
  );
  const scopes = new Map(
    calls.flatMap((call) => {
      const own = providers[call.account]?.limits;
      const scope = own === undefined ? null : scopeOf(call.account, own, call);
      return scope === null ? [] : [[scope.name, scope] as const];
    }),
  );
  const kept = readingsOf(limits.value);
  const standings = [...scopes.values()].map(({ name, rules }) => ({
    name,
    waiting: waiting.value.get(name) ?? NOBODY,
    limits: rules.map((rule) => limitStanding(rule, kept === null ? null : kept.get(rule.key))),
  }));
  return {
    breakers: { ...known, value: known.value.filter(speaks) },
    budgets: { ...budgets, value: budgets.value.filter(({ key }) => held.has(key)) },
    limits: { ...limits, value: standings },
    shared: limits.value.kind,
    because: limits.value.kind === "not_reached" ? limits.value.because : null,
  };
}
