/** One limit's bucket: what it lets through, and what no window ever holds. */
import { describe, expect, test } from "@jest/globals";
import { bucketRules, LimitBucket } from "../../src/domain/limit/bucket.js";
import { lease, type KeptLimit } from "../../src/domain/limit/lease.js";
import { scopeOf, type AccountLimits, type LimitedCall } from "../../src/domain/limit/limits.js";

const CALL: LimitedCall = { model: "m", endpoint: "chat", tier: "standard" };
const REQUESTS = bucketRules({ unit: "requests", window: "minute" });
const TOKENS = bucketRules({ unit: "tokens", window: "minute" });
const NONE = { requestsPerMinute: null, tokensPerMinute: null, requestsPerDay: null, tokensPerDay: null };

/** Takes one whenever it may, every 10 ms. @returns the times. */
function drain(bucket: LimitBucket, fromMs: number, toMs: number): readonly number[] {
  const times: number[] = [];
  for (let nowMs = fromMs; nowMs < toMs; nowMs += 10) {
    bucket.advance(nowMs);
    while (bucket.allows(1, "a")) {
      bucket.take(1);
      times.push(nowMs);
    }
  }
  return times;
}

/** Most of the times in any window of so long. */
function mostWithin(times: readonly number[], windowMs: number): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + windowMs).length));
}

describe("a bucket of requests", () => {
  test("begins as if the limit had been used evenly until then: there is no first rush", () => {
    const times = drain(new LimitBucket(REQUESTS, 600, 0), 0, 10_000);
    expect(times.length).toBeGreaterThanOrEqual(87);
    expect(times.length).toBeLessThanOrEqual(90); // of the first second nothing, since as much may have been granted right before it
    expect(mostWithin(times, 1000)).toBeLessThanOrEqual(11);
  });

  test("gives at least 98.8 % of the limit over minutes of steady demand, and never more than it in 60.4 s", () => {
    const times = drain(new LimitBucket(REQUESTS, 600, 0), 0, 300_000);
    expect(times.length).toBeGreaterThanOrEqual(0.988 * 5 * 600);
    expect(mostWithin(times, 60_400)).toBeLessThanOrEqual(600);
  });

  test("that takes the place of one that was lost grants no more than it in 60.4 s, even after a quiet time", () => {
    const lostMs = 130_000;
    const before = drain(new LimitBucket(REQUESTS, 600, 0), 100_000, lostMs);
    const after = drain(new LimitBucket(REQUESTS, 600, lostMs), lostMs, 200_000);
    expect(mostWithin([...before, ...after], 60_400)).toBeLessThanOrEqual(600);
  });

  test("saves at most a second of its rate while nobody asks", () => {
    const bucket = new LimitBucket(REQUESTS, 600, 0);
    expect(drain(bucket, 200_000, 200_010)).toHaveLength(9); // 600 / 60.5 s
  });

  test("lets one call through even where a second is worth less than one", () => {
    const times = drain(new LimitBucket(REQUESTS, 6, 0), 0, 180_000);
    expect(times.length).toBeGreaterThanOrEqual(16);
    expect(mostWithin(times, 60_400)).toBe(6);
  });

  test("is cut to half by a refusal, once for several that come together, and grows back by a hundredth of the limit a second", () => {
    const bucket = new LimitBucket(REQUESTS, 600, 0);
    bucket.tighten(1000);
    bucket.tighten(1500);
    expect(bucket.limit).toBeCloseTo(600 * 0.505);
    bucket.advance(11_000);
    expect(bucket.limit).toBeCloseTo(600 * 0.6);
    bucket.advance(900_000);
    expect(bucket.limit).toBe(600);
  });

  test("holds what the provider says where that is less than what is stated, never more", () => {
    const bucket = new LimitBucket(REQUESTS, 600, 0);
    bucket.learn(600, 100);
    expect(bucket.limit).toBe(100);
    bucket.learn(600, 9000);
    expect(bucket.limit).toBe(600);
  });

  test("takes back what was not used, as if it had never been granted", () => {
    const bucket = new LimitBucket(REQUESTS, 600, 0);
    bucket.advance(100_000);
    const before = bucket.used;
    bucket.take(5);
    expect(bucket.allows(6, "a")).toBe(false);
    bucket.giveBack(5, 100_000);
    expect(bucket.used).toBeCloseTo(before);
    expect(bucket.allows(6, "a")).toBe(true);
  });

  test("takes nothing back of the time before it was there", () => {
    const bucket = new LimitBucket(REQUESTS, 600, 50_000);
    bucket.giveBack(500, 49_000);
    expect(bucket.used).toBeCloseTo(600);
  });
});

describe("a bucket of tokens", () => {
  test("lets a call through that is larger than a second's worth when the level is full and the window has room", () => {
    const bucket = new LimitBucket(TOKENS, 60_000, 0);
    bucket.advance(30_000); // half of what counts as used is still in the window
    expect(bucket.allows(40_000, "a")).toBe(false);
    expect(bucket.allows(25_000, "a")).toBe(true);
    bucket.take(25_000);
    expect(bucket.allows(1, "a")).toBe(false);
  });

  test("keeps what a refused one asked for from all others, for a while", () => {
    const bucket = new LimitBucket(TOKENS, 60_000, 0);
    bucket.advance(1500);
    expect(bucket.allows(900, "large")).toBe(false);
    bucket.save(900, "large");
    expect(bucket.allows(100, "small")).toBe(false);
    expect(bucket.allows(100, "large")).toBe(true);
    bucket.advance(1901);
    expect(bucket.allows(100, "small")).toBe(true);
  });
});

describe("a limit by the day", () => {
  test("may be used at once, and then not before its hours have passed", () => {
    const bucket = new LimitBucket(bucketRules({ unit: "requests", window: "day" }), 100, 0, 0);
    expect(drain(bucket, 0, 20)).toHaveLength(100);
    bucket.advance(86_400_000);
    expect(bucket.allows(1, "a")).toBe(false);
    bucket.advance(87_300_000);
    expect(bucket.allows(100, "a")).toBe(true);
  });
});

describe("those who save", () => {
  const rules = scopeOf("acme", { ...NONE, tokensPerMinute: 60_500, models: {} }, CALL)?.rules ?? [];
  const rule = rules[0]!;
  const bucketOf = (): KeptLimit => ({ rule, bucket: new LimitBucket(bucketRules(rule), rule.limit, 0) });
  const asks = (asker: string, needTokens: number) => ({
    asker,
    calls: 1,
    tokens: needTokens,
    needTokens,
    returned: [],
  });

  test("do not keep each other out where they meet in two buckets", () => {
    const [one, two] = [bucketOf(), bucketOf()];
    // Each is refused by a bucket of its own first, and would then want both.
    lease([one], asks("a", 2000), 1100);
    lease([two], asks("b", 2000), 1100);
    const granted: string[] = [];
    for (let nowMs = 1140; nowMs < 8000 && granted.length < 2; nowMs += 20) {
      for (const asker of ["a", "b"].filter((name) => !granted.includes(name)))
        if (lease([one, two], asks(asker, 2000), nowMs).calls > 0) granted.push(asker);
    }
    expect(granted.sort()).toEqual(["a", "b"]);
  });

  test("keep nothing of a bucket that would let them through", () => {
    const [full, free] = [bucketOf(), { rule, bucket: new LimitBucket(bucketRules(rule), rule.limit, 0, 0) }];
    expect(lease([full, free], asks("a", 900), 1500).refused).not.toBeNull();
    expect(lease([free], asks("b", 900), 1500).calls).toBe(1);
  });
});

describe("a lease", () => {
  const limits: AccountLimits = { ...NONE, requestsPerMinute: 605, tokensPerMinute: 60_500, models: {} };
  const ask = { asker: "a", calls: 20, tokens: 2000, needTokens: 100, returned: [] };

  function kept(): readonly KeptLimit[] {
    const scope = scopeOf("acme", limits, CALL);
    return (scope?.rules ?? []).map((rule) => ({ rule, bucket: new LimitBucket(bucketRules(rule), rule.limit, 0) }));
  }

  test("grants no more than every limit lets through, calls and tokens alike", () => {
    expect(lease(kept(), ask, 1500)).toEqual({ calls: 5, tokens: 500, atMs: 1500, refused: null });
  });

  test("is all or nothing: what one limit refuses takes nothing of another", () => {
    const both = kept();
    const refused = lease(both, { ...ask, calls: 1, tokens: 5000, needTokens: 5000 }, 1500);
    expect(refused).toMatchObject({ calls: 0, tokens: 0, refused: { key: "acme tokens/minute" } });
    expect(both.map(({ bucket }) => Math.round(bucket.used))).toEqual([600, 60_000]);
  });

  test("counts what comes back before it grants", () => {
    const both = kept();
    const first = lease(both, ask, 1500);
    expect(lease(both, ask, 1500).calls).toBe(0);
    expect(lease(both, { ...ask, returned: [first] }, 1500)).toMatchObject({ calls: 5, tokens: 500 });
  });
});
