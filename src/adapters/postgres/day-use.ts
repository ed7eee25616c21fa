import type { DayUse } from "../../domain/limit/day-use.js";
import { textArray } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/**
 * By the summaries of `started_ms`, for attempts keep the day of their execution, which may have waited for a week. Lines of batches count
 * where they are calls of their own: a pool's name begins with its account and way, see `poolOf`.
 */
export async function dayUse(context: LedgerContext, accounts: readonly string[]): Promise<readonly DayUse[]> {
  const rows = await run(
    context.pools.durable,
    "day-use",
    `SELECT a.account, a.model, greatest(0, (n.now_ms - a.started_ms) / $3::int8), count(*),
       coalesce(sum(coalesce(a.input_tokens, 0) + coalesce(a.output_tokens, 0)), 0),
       count(*) FILTER (WHERE a.state IN ('sending', 'in_doubt'))
     FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 AS now_ms) n, attempts a
     WHERE a.started_ms > floor(extract(epoch FROM now()) * 1000)::int8 - $2::int8 AND a.account = ANY ($1::text[])
       AND a.state NOT IN ('not_sent', 'batched')
       AND (a.batch_no IS NULL OR EXISTS (SELECT 1 FROM batches b WHERE b.no = a.batch_no
         AND split_part(substr(b.pool, length(b.account) + 2), '|', 1) = 'calls'))
     GROUP BY 1, 2, 3`,
    [textArray(accounts), DAY_MS, HOUR_MS],
  );
  return rows.map(([account, model, hoursAgo, calls, tokens, unknown]) => ({
    account: account ?? "",
    model: model ?? "",
    hoursAgo: Number(hoursAgo),
    calls: Number(calls),
    tokens: Number(tokens),
    unknown: Number(unknown),
  }));
}
