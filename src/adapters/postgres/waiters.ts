import type pg from "pg";
import type { LedgerKey } from "../../domain/ids.js";
import { int4Array, int8Array } from "./binary-array.js";
import { run } from "./connection.js";
import type { LedgerContext } from "./ledger-context.js";

/** Days on which jobs that wait for these executions were accepted: none before the execution's own, none after today. */
export function waiterDays(context: LedgerContext, executions: readonly LedgerKey[]): readonly [number, number] {
  return [executions.reduce((first, { day }) => Math.min(first, day), Number.MAX_SAFE_INTEGER), context.today() + 1];
}

/** Locks the executions until the transaction ends. What a later statement reads of their jobs, nobody joins or ends meanwhile. */
export async function lockExecutions(client: pg.PoolClient, executions: readonly LedgerKey[]): Promise<void> {
  await run(
    client,
    "executions-lock",
    "SELECT 1 FROM unnest($1::int8[], $2::int4[]) AS k(no, day) JOIN executions e ON e.no = k.no AND e.day = k.day ORDER BY e.no + 0 FOR UPDATE OF e",
    [int8Array(executions.map(({ no }) => no)), int4Array(executions.map(({ day }) => day))],
  );
}

/** Of the jobs that still wait for one execution. */
export interface Waiters {
  readonly nearestDeadlineMs: number;
  readonly latestDeadlineMs: number;
  readonly priority: number;
}

/** Deadlines and highest priority of the jobs that still wait for each execution; none for one that nobody waits for. */
export async function waitersOf(
  client: pg.PoolClient,
  context: LedgerContext,
  executions: readonly LedgerKey[],
): Promise<Map<number, Waiters>> {
  if (executions.length === 0) return new Map();
  const rows = await run(
    client,
    "jobs-waiters",
    "SELECT execution_no, min(deadline_ms), max(deadline_ms), max(priority) FROM jobs WHERE execution_no = ANY($1::int8[]) AND day BETWEEN $2 AND $3 AND state = 'active' GROUP BY execution_no",
    [int8Array(executions.map(({ no }) => no)), ...waiterDays(context, executions)],
  );
  return new Map(
    rows.map(([no, nearest, latest, priority]) => [
      Number(no),
      { nearestDeadlineMs: Number(nearest), latestDeadlineMs: Number(latest), priority: Number(priority) },
    ]),
  );
}
