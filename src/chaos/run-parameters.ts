import { budgetsUsd } from "./chaos-config.js";
import type { ChaosOptions } from "./chaos-options.js";
import { PROVIDER_KEYS } from "./chaos-place.js";
import type { RunParameters } from "./evidence/evidence.js";
import { markOf, POOR_TENANTS, RICH_TENANTS } from "./publishing/chaos-jobs.js";

/** The bar: from the last fault until nothing is left to do. */
const SETTLE_MS = 60_000;
/** The simulator's longest answer and a slow body. */
const CALL_MS_MAX = 15_000;
const REPLAYS_MAX = 20;
const CACHE_MAX_AGE_MS = 86_400_000;

/** What a run is judged by. */
export function runParameters(
  options: ChaosOptions,
  times: Pick<RunParameters, "startedAtMs" | "faultsEndedAtMs" | "settledAtMs" | "reconciled">,
): RunParameters {
  return {
    seed: options.seed,
    doubtPolicy: options.doubt,
    ...times,
    callMsMax: CALL_MS_MAX,
    limits: {
      settleMs: SETTLE_MS,
      frozenPartitionMs: 60_000,
      rssBytes: 512 * 2 ** 20,
      aboveBaseline: 0.1,
      replays: REPLAYS_MAX,
      suspects: Math.ceil(options.minutes),
      cacheMaxAgeMs: CACHE_MAX_AGE_MS,
      clockSkewMs: 1000,
    },
    budgets: Object.entries(budgetsUsd(options.jobs)).map(([tenant, usd]) => ({
      level: JSON.stringify(["tenant", tenant, null, null, "total"]),
      limitNanoUsd: BigInt(Math.round(Number(usd) * 1e9)),
    })),
    canaries: [
      ...[...RICH_TENANTS, ...POOR_TENANTS].map(
        (tenant) => ({ name: `mark of ${tenant}`, text: markOf(tenant), kind: "tenant", tenant }) as const,
      ),
      ...Object.entries(PROVIDER_KEYS).map(([name, text]) => ({ name, text, kind: "secret", tenant: null }) as const),
    ],
  };
}
