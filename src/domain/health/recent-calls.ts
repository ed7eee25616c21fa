import type { Usage } from "../cost/usage.js";
import type { EpochMs } from "../ids.js";
import type { RouteStatistics } from "../route/route-condition.js";

/** One call of a route that says something of its provider. */
export interface RecentCall {
  readonly endedAtMs: EpochMs;
  /** How long it was out. */
  readonly ms: number;
  readonly failed: boolean;
  /** What the provider counted; all null without an answer. */
  readonly usage: Pick<Usage, "inputTokens" | "cachedInputTokens">;
}

/** Fewer calls say nothing. */
const CALLS_MIN = 10;

/** Calls that ended since then, and how many of them failed. */
export function failuresSince(
  calls: readonly RecentCall[],
  sinceMs: EpochMs,
): { readonly calls: number; readonly failed: number } {
  let [count, failed] = [0, 0];
  for (const call of calls) {
    if (call.endedAtMs < sinceMs) continue;
    count += 1;
    if (call.failed) failed += 1;
  }
  return { calls: count, failed };
}

/** @returns null: too few ended since then, or none was answered. */
export function statisticsSince(calls: readonly RecentCall[], sinceMs: EpochMs): RouteStatistics | null {
  const recent = calls.filter(({ endedAtMs }) => endedAtMs >= sinceMs);
  const answered = recent.filter(({ failed }) => !failed).map(({ ms }) => ms);
  if (recent.length < CALLS_MIN || answered.length === 0) return null;
  answered.sort((one, other) => one - other);
  const cachedInputShare = cachedShareOf(recent);
  return {
    ...(cachedInputShare === null ? {} : { cachedInputShare }),
    failureRate: 1 - answered.length / recent.length,
    p50Ms: quantile(answered, 0.5),
    p95Ms: quantile(answered, 0.95),
    calls: recent.length,
  };
}

/** Null: no provider's count is known. */
function cachedShareOf(calls: readonly RecentCall[]): number | null {
  let [input, cached] = [0, 0];
  for (const { usage } of calls) {
    if (usage.inputTokens === null || usage.cachedInputTokens === null) continue;
    input += usage.inputTokens;
    cached += usage.cachedInputTokens;
  }
  return input === 0 ? null : cached / input;
}

/** The smallest value that so large a share is not above. @param sorted at least one value, rising. */
function quantile(sorted: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(sorted.length * share));
  return sorted[rank - 1] ?? 0;
}
