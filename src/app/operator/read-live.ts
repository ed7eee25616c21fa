import { breakers } from "../../adapters/postgres/health/breaker-rows.js";
import { limitWaiters } from "../../adapters/postgres/operator/limit-rows.js";
import { readShared } from "./list-limits.js";
import type { LiveReadings, Read } from "./live-conditions.js";
import type { Operator } from "./open-operator.js";

/** Changes nothing. @throws when the ledger can't be reached; Redis may be away. */
export async function readLive({ config, pools, context, nowMs }: Operator): Promise<LiveReadings> {
  const pool = pools.durable;
  const dated = async <Value>(reading: Promise<Value>): Promise<Read<Value>> => {
    const value = await reading;
    return { atMs: nowMs(), value };
  };
  const [known, budgets, waiting, limits] = await Promise.all([
    dated(breakers(pool)),
    dated(context.budgets.standings(pool)),
    dated(limitWaiters(pool)),
    dated(readShared(config)),
  ]);
  return { breakers: known, budgets, waiting, limits };
}
