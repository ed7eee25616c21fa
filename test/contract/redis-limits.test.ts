/** The script in Redis does what the domain says, on the server's clock, and keeps nothing that a restart of Redis could double. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { Redis } from "ioredis";
import { RedisLimitStore } from "../../src/adapters/redis/redis-limit-store.js";
import { bucketRules, LimitBucket } from "../../src/domain/limit/bucket.js";
import { lease, type Grant, type Lease, type LeaseAsk } from "../../src/domain/limit/lease.js";
import type { Tier } from "../../src/domain/job/job.js";
import { scopeOf, type AccountLimits, type LimitedCall, type LimitScope } from "../../src/domain/limit/limits.js";
import type { LimitNote, StoreAsk } from "../../src/ports/limit-store.js";
import { servers } from "../support/servers.js";

const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
const NO_WISH = { back: false, tighten: false, learned: null, model: "m", tier: "standard" } as const;
let store: RedisLimitStore;
let redis: Redis;
const environment = `test-${randomUUID()}`;

beforeAll(async () => {
  const { redisUrl } = servers();
  store = new RedisLimitStore({ url: redisUrl, environment, timeoutMs: 2000, onTrouble: () => undefined });
  await store.connect();
  redis = new Redis(redisUrl);
});

afterAll(async () => {
  await store.close();
  await redis.quit();
});

const CALL: LimitedCall = { model: "m", endpoint: "chat", tier: "standard" };

function scopeWith(limits: Partial<AccountLimits>): LimitScope {
  const scope = scopeOf(`acme-${randomUUID()}`, { ...NONE, models: {}, ...limits }, CALL);
  if (scope === null) throw new Error("expected limits");
  return scope;
}

function ask(scope: LimitScope, more: Partial<StoreAsk> = {}): StoreAsk {
  const common = { asker: "a", calls: 1, tokens: 0, needTokens: 0, returned: [], notes: new Map<string, LimitNote>() };
  return { ...common, scope, anew: false, share: 1, ...more };
}

const keyOf = (key: string): string => `sluice:{${environment}}:limit:${key}`;

describe("limits in Redis", () => {
  test("begin without any to give, and then come at the limit's rate", async () => {
    const scope = scopeWith({ requestsPerMinute: 6050 });
    const first = await store.lease(ask(scope, { calls: 50 }));
    expect(first).toMatchObject({ calls: 0, refused: { key: scope.rules[0]?.key } });
    await sleep(1120); // of the first second nothing, since as much may have been granted right before it
    const second = await store.lease(ask(scope, { calls: 500 }));
    const passedMs = second.atMs - first.atMs;
    expect(second.calls).toBe(Math.floor((passedMs - 1000) / 10 + 1e-6));
  });

  test("say the same as the domain, ask by ask", async () => {
    const wishes = fc.record({
      pauseMs: fc.constantFrom(0, 0, 3, 15, 40),
      asker: fc.constantFrom("a", "b"),
      calls: fc.integer({ min: 1, max: 30 }),
      perCall: fc.integer({ min: 1, max: 900 }),
      back: fc.boolean(),
      tighten: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
      learned: fc.option(fc.integer({ min: 500, max: 9000 }), { freq: 8 }),
      model: fc.constantFrom("m", "other"),
      tier: fc.constantFrom<Tier>("free", "standard"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(wishes, { minLength: 5, maxLength: 25 }), async (all) => {
        const account = `acme-${randomUUID()}`;
        const limits = { ...NONE, requestsPerMinute: 6000, tokensPerMinute: 600_000, requestsPerDay: 100_000 };
        const parts = {
          models: { m: { ...NONE, requestsPerMinute: 4000, tokensPerMinute: 200_000 } },
          endpoints: { chat: { ...NONE, tokensPerMinute: 250_000 } },
          tiers: { free: { ...NONE, requestsPerMinute: 3000 } },
        };
        const buckets = new Map<string, LimitBucket>();
        let last: Grant | null = null;
        const first = { ...NO_WISH, asker: "a", calls: 1, perCall: 1, pauseMs: 0 };
        const second = { ...first, pauseMs: 1050 }; // from then on there is something to give
        for (const { pauseMs, asker, calls, perCall, back, tighten, learned, model, tier } of [first, second, ...all]) {
          const scope = scopeOf(account, { ...limits, ...parts }, { ...CALL, model, tier });
          if (scope === null) throw new Error("expected limits");
          await sleep(pauseMs);
          const own: LeaseAsk = {
            ...{ asker, calls, tokens: calls * perCall, needTokens: perCall },
            returned: back && last !== null ? [last] : [],
          };
          const key = `${account} requests/minute`;
          const notes = new Map([[key, { learned, tighten }]]);
          const found: Lease = await store.lease(ask(scope, { ...own, notes }));
          const kept = scope.rules.map((rule) => {
            const bucket = buckets.get(rule.key) ?? new LimitBucket(bucketRules(rule), rule.limit, found.atMs);
            buckets.set(rule.key, bucket);
            return { rule, bucket };
          });
          for (const { rule, bucket } of kept)
            if (rule.key === key) {
              bucket.learn(rule.limit, learned);
              if (tighten) bucket.tighten(found.atMs);
            }
          const expected = lease(kept, own, found.atMs);
          expect(found).toEqual(expected);
          last = { calls: found.calls, tokens: found.tokens, atMs: found.atMs };
        }
      }),
      { numRuns: 12 },
    );
  });

  test("forget what has left the window, and keep few slots", async () => {
    const scope = scopeWith({ requestsPerMinute: 600 });
    const key = keyOf(scope.rules[0]?.key ?? "");
    await store.lease(ask(scope));
    const oldMs = Date.now() - 61_000;
    const slots = Object.fromEntries(
      Array.from({ length: 9 }, (_, slot) => [`s${String(Math.floor(oldMs / 100) - slot)}`, 5]),
    );
    await redis.hset(key, { ...slots, sum: 45, first: Math.floor(oldMs / 100) - 8, at: oldMs, born: oldMs - 600_000 });
    expect((await store.lease(ask(scope, { calls: 5 }))).calls).toBe(5);
    const fields = await redis.hkeys(key);
    expect(fields.filter((field) => /^s\d+$/.test(field))).toHaveLength(1);
    expect(Number(await redis.hget(key, "sum"))).toBe(5);
  });

  test("[F2] begin anew when they were lost: what was granted before counts as used", async () => {
    const scope = scopeWith({ requestsPerMinute: 6050 });
    await store.lease(ask(scope));
    await sleep(100);
    await redis.del(keyOf(scope.rules[0]?.key ?? ""));
    expect((await store.lease(ask(scope, { calls: 50 }))).calls).toBe(0);
  });

  test("begin anew for a router that was away, and take nothing back of before", async () => {
    const scope = scopeWith({ requestsPerMinute: 6050 });
    await store.lease(ask(scope));
    await sleep(1100);
    const before = await store.lease(ask(scope, { calls: 5 }));
    const returned = [{ calls: before.calls, tokens: 0, atMs: before.atMs }];
    expect((await store.lease(ask(scope, { calls: 50, anew: true, returned }))).calls).toBe(0);
  });

  test("by the day begin with what they are told of the time before, as the domain has it, once", async () => {
    const scope = scopeWith({ requestsPerDay: 1000 });
    const [rule] = scope.rules;
    if (rule === undefined) throw new Error("expected a limit");
    const first = await store.lease(ask(scope, { calls: 5 }));
    expect(first).toMatchObject({ calls: 0, unseeded: true });
    const bucket = new LimitBucket(bucketRules(rule), rule.limit, first.atMs);
    lease([{ rule, bucket }], ask(scope, { calls: 5 }), first.atMs);
    const hours = (count: number) => count * 3_600_000;
    const seed = [0, 3, 3.2, 23, 30].map((ago) => ({ agoMs: hours(ago), amount: 100 + ago }));
    const seeds = new Map([[rule.key, seed]]);
    const told = ask(scope, { calls: 700, seeds });
    for (let turn = 0; turn < 3; turn += 1) {
      const found = await store.lease(told); // serial: each counts what the last one took
      bucket.seed(seed, found.atMs);
      const expected = lease([{ rule, bucket }], told, found.atMs);
      expect(found).toEqual(expected);
      expect([turn, found.calls, found.unseeded]).toEqual([turn, turn === 0 ? 570 : 0, undefined]);
    }
    expect((await store.lease(ask(scope, { anew: true }))).unseeded).toBe(true);
  });

  test("are read for people", async () => {
    const scope = scopeWith({ requestsPerMinute: 6050 });
    expect(await store.read([scope])).toEqual(new Map());
    await store.lease(ask(scope));
    await sleep(1100);
    const key = scope.rules[0]?.key ?? "";
    await store.lease(ask(scope, { calls: 3, notes: new Map([[key, { learned: 5000, tighten: false }]]) }));
    expect((await store.read([scope])).get(key)).toMatchObject({ learned: 5000, used: 3 });
  });
});

test("a server that is away is said at once", async () => {
  const away = new RedisLimitStore({
    ...{ url: "redis://127.0.0.1:1", environment, timeoutMs: 200 },
    onTrouble: () => undefined,
  });
  await away.connect();
  const scope = scopeWith({ requestsPerMinute: 60 });
  const startedMs = performance.now();
  await expect(away.lease(ask(scope))).rejects.toThrow();
  expect(performance.now() - startedMs).toBeLessThan(5000); // a bound for a wait that would have no end
  await away.close();
});
