import type { BreakerSettings } from "../../src/domain/health/breaker.js";

/** Breakers of tests: three failures in a row open a route for a second; a refused key closes its account for twenty. */
export const HEALTH_SETTINGS = {
  degradedAfter: 2,
  openAfter: 3,
  failureRate: 0.9,
  rateCallsMin: 50,
  rateWindowMs: 60_000,
  cooldownMs: 1000,
  accountCooldownMs: 20_000,
  cooldownMaxMs: 60_000,
  rampMs: 5000,
} as const satisfies BreakerSettings;
