/** Limits by the day that were forgotten begin with what the ledger knows of the day. */
import { describe, expect, test } from "@jest/globals";
import { bucketRules, LimitBucket } from "../../src/domain/limit/bucket.js";
import { daySeeds, type DayUse } from "../../src/domain/limit/day-use.js";
import { scopeOf, type AccountLimits, type LimitedCall } from "../../src/domain/limit/limits.js";

const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };
const CALL: LimitedCall = { model: "m", endpoint: "chat", tier: "standard" };
const LIMITS: AccountLimits = {
  ...{ ...NONE, requestsPerMinute: 10, requestsPerDay: 100, tokensPerDay: 10_000 },
  models: { big: { ...NONE, requestsPerDay: 50 } },
};
const use = (more: Partial<DayUse>): DayUse => ({
  ...{ account: "acme", model: "small", hoursAgo: 0, calls: 1, tokens: 10, unknown: 0 },
  ...more,
});
const HOUR_MS = 3_600_000;
const DAY = bucketRules({ unit: "requests", window: "day" });

describe("what a day has seen", () => {
  const uses = [
    use({ calls: 3, tokens: 300 }),
    use({ model: "big", calls: 5, tokens: 2000, unknown: 1 }),
    use({ model: "big", hoursAgo: 7, calls: 2, tokens: 700 }),
    use({ account: "other", calls: 1000 }),
  ];

  test("counts for the account, and its model's part for the limit of the model", () => {
    const scope = scopeOf("acme", LIMITS, { ...CALL, model: "big" });
    if (scope === null) throw new Error("expected limits");
    const seeds = daySeeds(scope, uses);
    expect([...seeds.keys()]).toEqual(["acme/big requests/day", "acme requests/day", "acme tokens/day"]);
    const [hourAgo, sevenAgo] = [0, 7 * HOUR_MS];
    expect(seeds.get("acme/big requests/day")).toEqual([
      { agoMs: hourAgo, amount: 5 },
      { agoMs: sevenAgo, amount: 2 },
    ]);
    expect(seeds.get("acme requests/day")).toEqual([
      { agoMs: hourAgo, amount: 8 },
      { agoMs: sevenAgo, amount: 2 },
    ]);
    // The one that nobody knows counts as the mean of nine others: 3000 / 9.
    expect(seeds.get("acme tokens/day")).toEqual([
      { agoMs: hourAgo, amount: 2634 },
      { agoMs: sevenAgo, amount: 700 },
    ]);
  });

  test("counts for the limits of its endpoint and its tier; what nobody knows of a call counts for each", () => {
    const limits: AccountLimits = {
      ...{ ...NONE, models: {} },
      endpoints: { embeddings: { ...NONE, requestsPerDay: 70 } },
      tiers: { free: { ...NONE, tokensPerDay: 800 }, premium: { ...NONE, requestsPerDay: 9 } },
    };
    const apart = [
      use({ endpoint: "embeddings", tier: "free", calls: 3, tokens: 30 }),
      use({ endpoint: "embeddings", tier: "standard", calls: 4, tokens: 40 }),
      use({ endpoint: "chat", tier: "free", calls: 5, tokens: 500, hoursAgo: 2 }),
      use({ endpoint: null, tier: null, calls: 7, tokens: 9, hoursAgo: 3 }),
    ];
    const seedsOf = (call: Partial<LimitedCall>) => {
      const scope = scopeOf("acme", limits, { ...CALL, ...call });
      return scope === null ? null : Object.fromEntries(daySeeds(scope, apart));
    };
    const hour = (hoursAgo: number, amount: number) => ({ agoMs: hoursAgo * HOUR_MS, amount });
    expect(seedsOf({})).toBeNull();
    expect(seedsOf({ endpoint: "embeddings", tier: "free" })).toEqual({
      "acme embeddings requests/day": [hour(0, 7), hour(3, 7)],
      "acme free tokens/day": [hour(0, 30), hour(2, 500), hour(3, 9)],
    });
    expect(seedsOf({ tier: "premium" })).toEqual({ "acme premium requests/day": [hour(3, 7)] });
  });

  test("of an account without any call is nothing, and that is known", () => {
    const scope = scopeOf("acme", LIMITS, { ...CALL, model: "small" });
    if (scope === null) throw new Error("expected limits");
    expect(daySeeds(scope, [])).toEqual(
      new Map([
        ["acme requests/day", []],
        ["acme tokens/day", []],
      ]),
    );
  });
});

describe("a bucket that is told of it", () => {
  test("grants what is left of the day at once, and the rest as the day goes by", () => {
    const bucket = new LimitBucket(DAY, 100, 1_000_000_000);
    expect(bucket.isUnseeded).toBe(true);
    bucket.advance(1_000_000_100);
    expect(bucket.allows(1, "a")).toBe(false);
    bucket.seed(
      [
        { agoMs: 0, amount: 20 },
        { agoMs: 23 * HOUR_MS, amount: 50 },
      ],
      1_000_000_100,
    );
    expect(bucket.isUnseeded).toBe(false);
    expect([bucket.used, bucket.allows(30, "a"), bucket.allows(31, "a")]).toEqual([70, true, false]);
    bucket.advance(1_000_000_100 + 2 * HOUR_MS);
    expect(bucket.used).toBe(20);
    bucket.advance(1_000_000_100 + 25 * HOUR_MS);
    expect(bucket.used).toBe(0);
  });

  test("keeps what was granted since it began, and is told once", () => {
    const bucket = new LimitBucket(DAY, 100, 0, 1);
    bucket.advance(2 * HOUR_MS);
    bucket.take(3);
    bucket.seed([{ agoMs: 5 * HOUR_MS, amount: 10 }], 2 * HOUR_MS + 50);
    bucket.seed([{ agoMs: 5 * HOUR_MS, amount: 10 }], 2 * HOUR_MS + 60);
    expect(bucket.used).toBe(13);
  });

  test("takes nothing back of what was used before it", () => {
    const bucket = new LimitBucket(DAY, 100, 10 * HOUR_MS);
    bucket.seed([{ agoMs: 2 * HOUR_MS, amount: 10 }], 10 * HOUR_MS);
    bucket.giveBack(10, 8 * HOUR_MS);
    expect(bucket.used).toBe(10);
  });

  test("is no bucket of a minute", () => {
    const bucket = new LimitBucket(bucketRules({ unit: "requests", window: "minute" }), 60, 0);
    expect(bucket.isUnseeded).toBe(false);
  });
});
