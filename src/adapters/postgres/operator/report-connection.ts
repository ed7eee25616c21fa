import pg from "pg";
import { run } from "../connection.js";

/** The longest that one statement of a report may take. */
const STATEMENT_TIMEOUT_MS = 1_800_000;
const ROWS_AT_ONCE = 2_000;

type Row = readonly (string | null)[];

/** A connection for statements that read much. */
export interface ReportClient {
  readonly rows: (name: string, text: string, values: readonly unknown[]) => Promise<readonly Row[]>;
  /** The same, some rows at a time, for answers of any length. One at a time. */
  readonly stream: (text: string, values: readonly unknown[]) => AsyncGenerator<Row>;
}

/**
 * Runs `work` on a connection of its own, in one transaction that changes nothing and sees the ledger at one moment. The planner chooses
 * freely here: what routers forbid it for their small statements (see `createPools`) is right for a report.
 * @throws what connecting throws; DatabaseError.
 */
export async function withReport<Result>(
  databaseUrl: string,
  work: (client: ReportClient) => Promise<Result>,
): Promise<Result> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: 1,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    options: "-c jit=off",
    application_name: "sluice-report",
  });
  // An idle connection that the server ends emits `error`; the next statement tells.
  pool.on("error", () => undefined);
  const client = await pool.connect();
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    return await work({
      rows: (name, text, values) => run(client, name, text, values),
      stream: (text, values) => streamRows(client, text, values),
    });
  } finally {
    // Nothing was changed, so ending the connection is all there is to undo.
    client.release(true);
    await pool.end();
  }
}

async function* streamRows(client: pg.PoolClient, text: string, values: readonly unknown[]): AsyncGenerator<Row> {
  await run(client, "", `DECLARE report_rows NO SCROLL CURSOR FOR ${text}`, values);
  for (;;) {
    // Serial: a cursor has one place.
    const rows = await run(client, "report-fetch", `FETCH ${String(ROWS_AT_ONCE)} FROM report_rows`, []);
    yield* rows;
    if (rows.length < ROWS_AT_ONCE) break;
  }
  await run(client, "report-close", "CLOSE report_rows", []);
}
