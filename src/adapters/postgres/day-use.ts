import type { RequestFormat, Tier } from "../../domain/job/job.js";
import type { DayUse, DayUseKind } from "../../domain/limit/day-use.js";
import { familyOf } from "../../domain/route/format-family.js";
import { textArray } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Of an execution that is there. The policy names a tier only where it is not `standard`. */
const FORMAT_AND_TIER = "e.format, CASE WHEN e.no IS NOT NULL THEN coalesce(e.policy::json ->> 'tier', 'standard') END";

/**
 * By the summaries of `started_ms`, for attempts keep the day of their execution, which may have waited for a week. Lines of batches count
 * where they are calls of their own: a pool's name begins with its account and way, see `poolOf`.
 * @param apart by endpoint and tier: only then are executions read.
 */
export async function dayUse(
  context: LedgerContext,
  accounts: readonly string[],
  apart: boolean,
): Promise<readonly DayUse[]> {
  const [kinds, executions] = apart
    ? [FORMAT_AND_TIER, "LEFT JOIN executions e ON e.no = a.execution_no AND e.day = a.day"]
    : ["NULL, NULL", ""];
  const rows = await run(
    context.pools.durable,
    apart ? "day-use-apart" : "day-use",
    `SELECT a.account, a.model, greatest(0, (n.now_ms - a.started_ms) / $3::int8), ${kinds}, count(*),
       coalesce(sum(coalesce(a.input_tokens, 0) + coalesce(a.output_tokens, 0)), 0),
       count(*) FILTER (WHERE a.state IN ('sending', 'in_doubt'))
     FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 AS now_ms) n, attempts a ${executions}
     WHERE a.started_ms > floor(extract(epoch FROM now()) * 1000)::int8 - $2::int8 AND a.account = ANY ($1::text[])
       AND a.state NOT IN ('not_sent', 'batched')
       AND (a.batch_no IS NULL OR EXISTS (SELECT 1 FROM batches b WHERE b.no = a.batch_no
         AND split_part(substr(b.pool, length(b.account) + 2), '|', 1) = 'calls'))
     GROUP BY 1, 2, 3, 4, 5`,
    [textArray(accounts), DAY_MS, HOUR_MS],
  );
  return rows.map(([account, model, hoursAgo, format, tier, calls, tokens, unknown]) => ({
    account: account ?? "",
    model: model ?? "",
    ...(apart ? kindOf(format ?? null, tier ?? null) : {}),
    hoursAgo: Number(hoursAgo),
    calls: Number(calls),
    tokens: Number(tokens),
    unknown: Number(unknown),
  }));
}

function kindOf(format: string | null, tier: string | null): DayUseKind {
  // Both were written from these types.
  return { endpoint: format === null ? null : familyOf(format as RequestFormat), tier: tier as Tier | null };
}
