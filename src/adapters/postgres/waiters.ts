import type pg from "pg";
import type { LedgerKey } from "../../domain/ids.js";
import { int8Array } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/** Days on which jobs that wait for these executions were accepted: none before the execution's own, none after today. */
export function waiterDays(context: LedgerContext, executions: readonly LedgerKey[]): readonly [number, number] {
  return [executions.reduce((first, { day }) => Math.min(first, day), Number.MAX_SAFE_INTEGER), context.today() + 1];
}

/** The nearest deadline of the jobs that still wait for each execution. */
export async function nearestDeadlines(
  client: pg.PoolClient,
  context: LedgerContext,
  executions: readonly LedgerKey[],
): Promise<Map<number, { readonly deadlineMs: number; readonly priority: number }>> {
  if (executions.length === 0) return new Map();
  const rows = await run(
    client,
    "jobs-nearest-deadline",
    "SELECT execution_no, min(deadline_ms), max(priority) FROM jobs WHERE execution_no = ANY($1::int8[]) AND day BETWEEN $2 AND $3 AND state = 'active' GROUP BY execution_no",
    [int8Array(executions.map(({ no }) => no)), ...waiterDays(context, executions)],
  );
  return new Map(
    rows.map(([no, deadline, priority]) => [Number(no), { deadlineMs: Number(deadline), priority: Number(priority) }]),
  );
}
