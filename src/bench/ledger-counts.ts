import pg from "pg";

/** What lies in a ledger. */
export interface LedgerCounts {
  readonly jobs: number;
  readonly executions: number;
  /** Different requests among the executions. */
  readonly requestKeys: number;
}

/** Counts all of a database, which a benchmark has to itself. Reads whole tables: never while something is measured. */
export async function ledgerCounts(databaseUrl: string): Promise<LedgerCounts> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<Record<keyof LedgerCounts, string>>(
      `SELECT (SELECT count(*) FROM jobs) AS jobs, count(*) AS executions, count(DISTINCT (tenant_no, key)) FILTER (WHERE key IS NOT NULL) AS "requestKeys"
        FROM executions`,
    );
    const [row] = rows;
    return {
      jobs: Number(row?.jobs ?? 0),
      executions: Number(row?.executions ?? 0),
      requestKeys: Number(row?.requestKeys ?? 0),
    };
  } finally {
    await client.end();
  }
}

/** @throws Error unless each of `jobs` jobs has an execution and a request of its own. */
export function requireAllDistinct(counts: LedgerCounts, jobs: number): void {
  const wrong = Object.entries(counts).filter(([, count]) => count !== jobs);
  if (wrong.length === 0) return;
  const told = wrong.map(([name, count]) => `${name} ${String(count)}`).join(", ");
  throw new Error(`expected ${String(jobs)} jobs that all differ in the ledger, found ${told}`);
}
