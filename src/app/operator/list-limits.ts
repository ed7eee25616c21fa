import { limitWaiters, type LimitWaiters } from "../../adapters/postgres/operator/limit-rows.js";
import { RedisLimitStore } from "../../adapters/redis/redis-limit-store.js";
import type { Config } from "../../config/config.js";
import { limitStanding, type LimitReading, type LimitStanding } from "../../domain/limit/limit-standing.js";
import {
  limitGroups,
  scopesOf,
  type AccountLimits,
  type LimitGroup,
  type LimitSubject,
} from "../../domain/limit/limits.js";
import type { Operator } from "./open-operator.js";

/** Where routers keep what they share of the limits. */
export type SharedLimits =
  | { readonly kind: "read"; readonly readings: ReadonlyMap<string, LimitReading> }
  /** Each router keeps its share in its own memory. */
  | { readonly kind: "not_configured" }
  | { readonly kind: "not_reached"; readonly because: string };

/** The limits of an account, or of a model, an endpoint or a tier that has its own there. More than one of the three: calls wait for all of them. */
export interface LimitLine extends LimitSubject {
  /** By which calls wait. */
  readonly name: string;
  readonly account: string;
  /** Calls at once that each router makes; null: only accounts have such. */
  readonly concurrency: number | null;
  readonly waiting: LimitWaiters;
  readonly limits: readonly LimitStanding[];
}

export interface LimitList {
  readonly shared: SharedLimits["kind"];
  /** Why Redis can't be reached. */
  readonly because: string | null;
  readonly lines: readonly LimitLine[];
}

/** A command has no router's haste. */
const REDIS_TIMEOUT_MS = 2000;
const NOBODY: LimitWaiters = { rows: 0, sinceMs: null };
const WHOLE: LimitSubject = { model: null, endpoint: null, tier: null };

/** The limits of the config, in its order, as Redis and the ledger know them; nothing is taken of any. */
export async function listLimits({ config, pools }: Operator): Promise<LimitList> {
  const [waiting, shared] = await Promise.all([limitWaiters(pools.durable), readShared(config)]);
  return {
    shared: shared.kind,
    because: shared.kind === "not_reached" ? shared.because : null,
    lines: limitLines(config.providers, shared, waiting),
  };
}

export function limitLines(
  accounts: Readonly<Record<string, { readonly limits: AccountLimits & { readonly concurrency: number } }>>,
  shared: SharedLimits,
  waiting: ReadonlyMap<string, LimitWaiters>,
): readonly LimitLine[] {
  const line = (account: string, { name, subject, rules }: LimitGroup, concurrency: number | null): LimitLine => ({
    ...{ name, account, ...subject, concurrency },
    waiting: waiting.get(name) ?? NOBODY,
    limits: rules.map((rule) => limitStanding(rule, shared.kind === "read" ? shared.readings.get(rule.key) : null)),
  });
  return Object.entries(accounts).flatMap(([account, { limits }]) => {
    const groups = limitGroups(account, limits);
    const names = new Set([account, ...groups.map(({ name }) => name)]);
    const whole = groups.find(({ name }) => name === account) ?? { name: account, subject: WHOLE, rules: [] };
    const parts = groups.filter(({ name }) => name !== account);
    const together = scopesOf(account, limits).filter(({ name }) => !names.has(name) && waiting.has(name));
    return [
      line(account, whole, limits.concurrency),
      ...[...parts, ...together.map((scope) => ({ ...scope, rules: [] }))].map((group) => line(account, group, null)),
    ];
  });
}

/** What Redis keeps of the config's limits; takes nothing. */
export async function readShared({
  redis,
  environment,
  providers,
}: Pick<Config, "redis" | "environment" | "providers">): Promise<SharedLimits> {
  const scopes = Object.entries(providers).flatMap(([account, { limits }]) => scopesOf(account, limits));
  if (redis.url === null) return { kind: "not_configured" };
  if (scopes.length === 0) return { kind: "read", readings: new Map() };
  let because = "";
  const store = new RedisLimitStore({
    ...{ url: redis.url, environment, timeoutMs: REDIS_TIMEOUT_MS },
    onTrouble: (message) => {
      because = message;
    },
  });
  try {
    await store.connect();
    return { kind: "read", readings: await store.read(scopes) };
  } catch (error) {
    if (because === "") because = error instanceof Error ? error.message : String(error);
    return { kind: "not_reached", because };
  } finally {
    await store.close();
  }
}
