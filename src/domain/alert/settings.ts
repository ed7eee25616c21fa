import type { AlertTimes } from "./standing.js";

/** When alerts are raised; what the keys mean is said in the config's schema. Null: that rule is off. */
export interface AlertSettings extends AlertTimes {
  /** One look for all routers in this time. */
  readonly everyMs: number;
  /** Rates are taken over so long. */
  readonly windowMs: number;
  readonly errorRate: number;
  /** Calls of an account in the window without which its error rate says nothing. */
  readonly errorCallsMin: number;
  /** As many failed calls, and no other, mean that an account is down. */
  readonly downCallsMin: number;
  readonly latencyP95Ms: number | null;
  readonly standstillMs: number;
  readonly deadlinesMax: number;
  readonly inDoubtMax: number;
  readonly deadLettersPerMinute: number;
  readonly batchMedians: number;
  readonly spendFactor: number;
  readonly spendMinNanoUsd: bigint;
  /** Of a limit, 0 to 1. */
  readonly rateLimitUse: number;
}
