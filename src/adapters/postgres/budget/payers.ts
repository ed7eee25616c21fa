import type pg from "pg";
import { payerOf, type Payer } from "../../../domain/budget/budget-levels.js";
import type { Failure } from "../../../domain/failure.js";
import type { LedgerKey } from "../../../domain/ids.js";
import { int8Array } from "../binary-array.js";
import { run } from "../connection.js";
import { ENDING_COLUMNS, readEndingJob } from "../ending.js";
import type { EndingJob } from "../../../domain/result/outgoing.js";
import type { LedgerContext } from "../ledger-context.js";
import { waiterDays } from "../waiters.js";

interface Paid {
  readonly key: LedgerKey;
  readonly tenant: string;
}

/** Jobs that wait for the same execution and stand for each other when it comes to money. */
export interface PayingJobs {
  readonly payer: Payer;
  /** How many they are; 0 where nothing had to be asked, since nobody else could pay. */
  readonly jobs: number;
}

/** Who may pay for the next call of executions, by their numbers: the first of each pays, the others in turn once that has left. */
export type Payers = ReadonlyMap<number, readonly [PayingJobs, ...PayingJobs[]]>;

/**
 * The job that opened an execution pays, or when it has left the first that still waits: those with the same labels stand for each other. Only
 * where labels decide about money anything is asked.
 */
export async function payersOf(
  client: pg.PoolClient,
  context: LedgerContext,
  executions: readonly Paid[],
): Promise<Payers> {
  const payers = new Map(
    executions.map(({ key, tenant }): [number, [PayingJobs, ...PayingJobs[]]] => [
      key.no,
      [{ payer: payerOf(tenant, {}), jobs: 0 }],
    ]),
  );
  const labelled = new Map(
    executions.flatMap(({ key, tenant }) => (context.budgets.asksForLabels(tenant) ? [[key.no, tenant] as const] : [])),
  );
  if (labelled.size === 0) return payers;
  const keys = executions.flatMap(({ key }) => (labelled.has(key.no) ? [key] : []));
  const rows = await run(
    client,
    "jobs-payers",
    `SELECT j.execution_no, count(*), ${DEPARTMENT}, ${APPLICATION}
     FROM jobs j WHERE j.execution_no = ANY($1::int8[]) AND j.day BETWEEN $2 AND $3 AND j.state = 'active'
     GROUP BY 1, 3, 4 ORDER BY 1, bool_or(j.no = j.execution_no) DESC, min(j.no)`,
    [int8Array(keys.map(({ no }) => no)), ...waiterDays(context, keys)],
  );
  const found = new Map<number, PayingJobs[]>();
  for (const [no, jobs, department = null, application = null] of rows) {
    const own = found.get(Number(no)) ?? [];
    const payer = { tenant: labelled.get(Number(no)) ?? "", department, application };
    own.push({ payer, jobs: Number(jobs) });
    found.set(Number(no), own);
  }
  for (const [no, [first, ...others]] of found) if (first !== undefined) payers.set(no, [first, ...others]);
  return payers;
}

const DEPARTMENT = "j.envelope::json->'labels'->>'department'";
const APPLICATION = "j.envelope::json->'labels'->>'application'";

/** A payer who can't pay any more, while others wait for the same execution. */
export interface LeftPayer {
  readonly execution: LedgerKey;
  readonly payer: Payer;
  readonly failure: Failure;
  /** Of the payer's jobs so many end now. */
  readonly limit: number;
}

/** Ends jobs of these payers alone; the executions go on for the others, or wait until none of the payer's is left. */
export async function failPayers(
  client: pg.PoolClient,
  context: LedgerContext,
  left: readonly LeftPayer[],
  nowMs: number,
): Promise<readonly { readonly job: EndingJob; readonly failure: Failure }[]> {
  const ended: { readonly job: EndingJob; readonly failure: Failure }[] = [];
  for (const { execution, payer, failure, limit } of left) {
    // Serial: rare, and each in its own order of rows.
    const rows = await run(
      client,
      "jobs-fail-payer",
      `WITH own AS MATERIALIZED (
         SELECT j.no, j.day FROM jobs j WHERE j.execution_no = $3 AND j.day BETWEEN $4 AND $5 AND j.state = 'active'
           AND ${DEPARTMENT} IS NOT DISTINCT FROM $6::text AND ${APPLICATION} IS NOT DISTINCT FROM $7::text LIMIT $8)
       UPDATE jobs j SET state = 'failed', ended_ms = $1, failure_code = $2
       FROM own o WHERE j.no = o.no AND j.day + 0 = o.day AND j.day BETWEEN $4 AND $5 AND j.state = 'active'
       RETURNING ${ENDING_COLUMNS}`,
      [
        ...[nowMs, failure.code, execution.no, ...waiterDays(context, [execution])],
        ...[payer.department, payer.application, limit],
      ],
    );
    ended.push(...rows.map((row) => ({ job: readEndingJob(context, row), failure })));
  }
  return ended;
}
