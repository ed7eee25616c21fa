import { Redis } from "ioredis";
import { bucketRules, recoveredFactor } from "../../domain/limit/bucket.js";
import type { Lease } from "../../domain/limit/lease.js";
import type { LimitReading } from "../../domain/limit/limit-standing.js";
import type { LimitRule, LimitScope } from "../../domain/limit/limits.js";
import type { LimitStore, StoreAsk } from "../../ports/limit-store.js";
import { LEASE_SCRIPT } from "./lease-script.js";

export interface RedisLimitSettings {
  readonly url: string;
  /** Routers of one environment share their limits. */
  readonly environment: string;
  /** Longest wait for an answer: a later one says nothing. */
  readonly timeoutMs: number;
  /** Told of each connection that breaks. */
  readonly onTrouble: (message: string) => void;
}

interface WithLease extends Redis {
  /** Defined below, from the script. */
  lease(keysCount: number, ...rest: (string | number)[]): Promise<[number, string, string, number, number, number]>;
}

/** Limits that all routers of an environment share, kept in Redis: a script a lease, all limits of a scope or none, on the server's clock. */
export class RedisLimitStore implements LimitStore {
  readonly #redis: WithLease;
  readonly #environment: string;

  constructor({ url, environment, timeoutMs, onTrouble }: RedisLimitSettings) {
    this.#environment = environment;
    const redis = new Redis(url, {
      lazyConnect: true,
      // Nobody waits for a server that is away: the router grants itself its share meanwhile.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      commandTimeout: timeoutMs,
      connectTimeout: 2000,
      retryStrategy: (times) => Math.min(100 * times, 1000),
    });
    redis.on("error", (error: Error) => {
      onTrouble(error.message);
    });
    redis.defineCommand("lease", { lua: LEASE_SCRIPT });
    this.#redis = redis as WithLease; // defineCommand has just added it
  }

  /** @returns once it is connected, or has failed to: it goes on trying then. */
  async connect(): Promise<void> {
    await this.#redis.connect().catch(() => undefined);
  }

  async lease(ask: StoreAsk): Promise<Lease> {
    const { rules } = ask.scope;
    const [calls, tokens, atMs, waitMs, by, unseeded] = await this.#redis.lease(
      rules.length,
      ...rules.map((rule) => this.#keyOf(rule)),
      ...[ask.asker, ask.calls, ask.tokens, ask.needTokens, ask.anew ? 1 : 0, ask.returned.length],
      ...ask.returned.flatMap((grant) => [grant.calls, grant.tokens, grant.atMs]),
      ...rules.flatMap((rule) => ruleArguments(rule, ask)),
    );
    const key = rules[by - 1]?.key;
    return {
      ...{ calls, tokens: Number(tokens), atMs: Number(atMs) },
      refused: key === undefined ? null : { waitMs, key },
      ...(unseeded === 1 ? { unseeded: true } : {}),
    };
  }

  /** By the rule's key; a limit that nobody has used of late is not there. Takes and changes nothing. @throws when the server can't be reached. */
  async read(scopes: readonly LimitScope[]): Promise<ReadonlyMap<string, LimitReading>> {
    const rules = new Map(scopes.flatMap((scope) => scope.rules.map((rule) => [rule.key, rule] as const)));
    const [seconds, microseconds] = await this.#redis.time();
    const nowMs = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
    const found = await Promise.all(
      [...rules.values()].map(async (rule) => {
        const kept = await this.#redis.hgetall(this.#keyOf(rule));
        return kept["born"] === undefined ? [] : [[rule.key, limitReading(rule, kept, nowMs)] as const];
      }),
    );
    return new Map(found.flat());
  }

  async close(): Promise<void> {
    await this.#redis.quit().catch(() => undefined);
    this.#redis.disconnect();
  }

  /** One slot for all of them in a cluster. */
  #keyOf({ key }: LimitRule): string {
    return `sluice:{${this.#environment}}:limit:${key}`;
  }
}

function ruleArguments(rule: LimitRule, { notes, share, seeds }: StoreAsk): readonly (string | number)[] {
  const { windowMs, slotMs, paced } = bucketRules(rule);
  const note = notes.get(rule.key);
  const learned = (note?.learned ?? null) === null ? -1 : (note?.learned ?? 0) * share;
  const unit = rule.unit === "requests" ? "r" : "t";
  const seed = seeds?.get(rule.key);
  return [
    ...[unit, rule.limit * share, learned, note?.tighten === true ? 1 : 0, windowMs, slotMs, paced ? 1 : 0],
    ...[seed?.length ?? -1, ...(seed ?? []).flatMap(({ agoMs, amount }) => [agoMs, amount])],
  ];
}

/**
 * What a bucket says at a moment, without moving it on: slots that have left the window since the last lease are not counted.
 * @param kept the fields of its hash, see `LEASE_SCRIPT`.
 */
export function limitReading(rule: LimitRule, kept: Readonly<Record<string, string>>, nowMs: number): LimitReading {
  const { windowMs, slotMs } = bucketRules(rule);
  const oldestSlot = Math.floor((nowMs - windowMs) / slotMs);
  const learned = Number(kept["learned"] ?? -1);
  const passedMs = Math.max(0, nowMs - Number(kept["at"] ?? nowMs));
  let used = 0;
  for (const [field, amount] of Object.entries(kept)) {
    const slot = /^s(\d+)$/.exec(field)?.[1];
    if (slot !== undefined && Number(slot) > oldestSlot) used += Number(amount);
  }
  return {
    learned: learned < 0 || learned >= rule.limit ? null : learned,
    factor: recoveredFactor(Number(kept["factor"] ?? 1), passedMs),
    used,
  };
}
