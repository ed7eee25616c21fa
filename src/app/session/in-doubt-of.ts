import type { InDoubtSettings } from "./session-parts.js";

/** Nobody can say what a retry at an account that left the config would risk. */
const OF_A_GONE_ACCOUNT: InDoubtSettings = { policy: "fail", retryMaxNanoUsd: 0n, graceMs: 30_000 };

/** What to do about calls in doubt at an account. It may have left the config while they were out. */
export function inDoubtOf(
  accounts: ReadonlyMap<string, { readonly inDoubt: InDoubtSettings }>,
  name: string,
): InDoubtSettings {
  return accounts.get(name)?.inDoubt ?? OF_A_GONE_ACCOUNT;
}
