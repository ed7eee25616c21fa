import type { LimitQueue } from "../../ports/ledger.js";
import { textArray } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/** `names`: the limits that rows wait by; one probe of the index each. */
export const LIMIT_NAMES = `WITH RECURSIVE names AS (
   (SELECT limit_name FROM ready WHERE limit_name > '' ORDER BY limit_name LIMIT 1)
   UNION ALL
   SELECT n.limit_name FROM names p, LATERAL (
  SELECT r.limit_name FROM ready r WHERE r.limit_name > p.limit_name ORDER BY r.limit_name LIMIT 1) n)`;

/** One probe of the index a limit, and its rows up to a bound. */
export async function limitQueues(context: LedgerContext, rowsMax: number): Promise<readonly LimitQueue[]> {
  const rows = await run(
    context.pools.durable,
    "limit-queues",
    `${LIMIT_NAMES}
     SELECT p.limit_name, (SELECT count(*) FROM (SELECT 1 FROM ready r WHERE r.limit_name = p.limit_name LIMIT $1) c) FROM names p`,
    [rowsMax],
  );
  return rows.map(([limit, count]) => ({ limit: limit ?? "", rows: Number(count) }));
}

/** Rows that wait for a limit which the config has no more would wait for ever: nobody asks for grants of it. */
export async function forgetLimits(context: LedgerContext): Promise<void> {
  await run(
    context.pools.durable,
    "limits-forget",
    "UPDATE ready SET limit_name = '', waits_for = 'concurrency' WHERE limit_name > '' AND limit_name <> ALL ($1::text[])",
    [textArray(context.settings.limits ?? [])],
  );
}
