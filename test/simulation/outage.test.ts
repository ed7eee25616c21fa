import { describe, expect, test } from "@jest/globals";
import { providerDay } from "../support/simulation/provider-day.js";

const MINUTE_MS = 60_000;

describe("three routers and a provider that is down for ten minutes", () => {
  test("serve every job by the others, with a few trials of all routers together, and take it up again", async () => {
    const outage = { account: "alpha", fromMs: 5 * MINUTE_MS, toMs: 15 * MINUTE_MS, kind: "down" } as const;
    const day = await providerDay({
      seed: 7,
      lengthMs: 30 * MINUTE_MS,
      routers: 3,
      perHour: { alpha: 3600, beta: 0, gamma: 0 },
      troubles: [outage],
      ttlMs: { min: 60_000, max: 600_000 },
    });
    expect(day.missed).toEqual([]);
    expect([day.drained, day.succeeded]).toEqual([true, day.jobs]);
    // Each router may fail a few times before it opens or hears of it; then 5 s, 10, 20 … up to 5 min.
    expect(day.callsInTrouble[0]).toBeLessThanOrEqual(3 * 5 + 8);
    expect(day.callsAfterTrouble[0]).toBeGreaterThan(200);
    expect([...day.attempts.keys()].every((attempts) => attempts <= 2)).toBe(true);
    expect(day.breakers).toEqual(["breaker.opened alpha/at-alpha", "breaker.closed alpha/at-alpha"]);
  });

  test("count every job that ends, however it does, once, and the money of all calls", async () => {
    const trouble = { fromMs: MINUTE_MS, toMs: 4 * MINUTE_MS } as const;
    const day = await providerDay({
      seed: 11,
      lengthMs: 5 * MINUTE_MS,
      routers: 2,
      perHour: { alpha: 1800, beta: 0, gamma: 0 },
      troubles: [
        { ...trouble, account: "alpha", kind: "hangs" },
        { ...trouble, account: "beta", kind: "down" },
        { ...trouble, account: "gamma", kind: "hangs" },
      ],
      ttlMs: { min: 10_000, max: 120_000 },
    });
    const { succeeded = 0, failed = 0, expired = 0 } = day.published;
    expect([day.drained, succeeded + failed + expired]).toEqual([true, day.jobs]);
    expect(Math.min(succeeded, failed, expired)).toBeGreaterThan(0);
    const counted = (name: string) => day.counted.get(name) ?? 0;
    expect(["succeeded", "failed", "expired"].map((status) => counted(`sluice_jobs_ended_total ${status}`))).toEqual([
      succeeded,
      failed,
      expired,
    ]);
    expect(counted("sluice_cost_nano_usd_total catalogue")).toBe(day.costNanoUsd);
    expect(counted("sluice_jobs_accepted_total catalogue")).toBe(day.jobs);
  });

  test("are called for every job when breakers never open, as a planted mistake would have it", async () => {
    const outage = { account: "alpha", fromMs: MINUTE_MS, toMs: 4 * MINUTE_MS, kind: "down" } as const;
    const day = await providerDay({
      seed: 7,
      lengthMs: 5 * MINUTE_MS,
      routers: 2,
      perHour: { alpha: 3600, beta: 0, gamma: 0 },
      troubles: [outage],
      ttlMs: { min: 60_000, max: 600_000 },
      health: { degradedAfter: 1_000_000, openAfter: 1_000_000, rateCallsMin: 1_000_000 },
    });
    expect(day.callsInTrouble[0]).toBeGreaterThan(100);
    expect(day.breakers).toEqual([]);
  });
});
