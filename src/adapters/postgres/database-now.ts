import type pg from "pg";

/** The database's wall clock, milliseconds since 1970-01-01 UTC. @throws what PostgreSQL throws. */
export async function databaseNowMs(pool: Pick<pg.Pool, "query">): Promise<number> {
  const { rows } = await pool.query<{ now: number }>(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now",
  );
  const [row] = rows;
  if (row === undefined) throw new Error("expected the database to tell its time");
  return row.now;
}
