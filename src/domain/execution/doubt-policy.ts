/** What an account does about its calls in doubt. */
export interface DoubtPolicy {
  readonly policy: "retry" | "fail";
  readonly retryMaxNanoUsd: bigint;
}

/**
 * Most that an identical call in doubt may have cost for a job in a hurry to get a call of its own beside it, nano-dollars; null: none
 * may. The strictest of the accounts that can serve it, since the call in doubt may be at any of them.
 */
export function riskBesideDoubt(onDoubt: "retry" | "fail" | null, accounts: readonly DoubtPolicy[]): bigint | null {
  let least: bigint | null = null;
  for (const { policy, retryMaxNanoUsd } of accounts) {
    if (policy === "fail") return null;
    if (least === null || retryMaxNanoUsd < least) least = retryMaxNanoUsd;
  }
  return onDoubt === "fail" ? null : least;
}
