import type pg from "pg";
import { payerOf, type Payer } from "../../../domain/budget/budget-levels.js";
import type { LedgerKey } from "../../../domain/ids.js";
import { int8Array } from "../binary-array.js";
import { run } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";
import { waiterDays } from "../waiters.js";

interface Paid {
  readonly key: LedgerKey;
  readonly tenant: string;
}

/**
 * Who pays for the next call of each execution, by the execution's number: the job that opened it, or when that has left the first that still
 * waits. Only where labels decide about money anything is asked.
 */
export async function payersOf(
  client: pg.PoolClient,
  context: LedgerContext,
  executions: readonly Paid[],
): Promise<ReadonlyMap<number, Payer>> {
  const payers = new Map(executions.map(({ key, tenant }) => [key.no, payerOf(tenant, {})]));
  const labelled = executions.filter(({ tenant }) => context.budgets.asksForLabels(tenant));
  if (labelled.length === 0) return payers;
  const keys = labelled.map(({ key }) => key);
  const rows = await run(
    client,
    "jobs-payers",
    `SELECT DISTINCT ON (j.execution_no) j.execution_no, j.envelope::json->>'labels'
     FROM jobs j WHERE j.execution_no = ANY($1::int8[]) AND j.day BETWEEN $2 AND $3 AND j.state = 'active'
     ORDER BY j.execution_no, j.no <> j.execution_no, j.no`,
    [int8Array(keys.map(({ no }) => no)), ...waiterDays(context, keys)],
  );
  const labels = new Map(rows.map(([no, text]) => [Number(no), text]));
  for (const { key, tenant } of labelled)
    payers.set(key.no, payerOf(tenant, JSON.parse(labels.get(key.no) ?? "{}") as Record<string, string>)); // written from an AdmittedJob
  return payers;
}
