import type pg from "pg";
import { run } from "../connection.js";
import { LIMIT_NAMES } from "../limit-queues.js";

/** Calls that wait for a limit. */
export interface LimitWaiters {
  /** Counting stops at `ROWS_MAX`. */
  readonly rows: number;
  /** When the oldest of those counted was accepted; null: nobody waits for its answer any more. */
  readonly sinceMs: number | null;
}

const ROWS_MAX = 100_000;

/** By the limit's name; one that nothing waits for is not there. */
export async function limitWaiters(pool: pg.Pool): Promise<ReadonlyMap<string, LimitWaiters>> {
  const rows = await run(
    pool,
    "limits-waiting",
    `${LIMIT_NAMES}
     SELECT p.limit_name, w.rows, (SELECT min(j.accepted_ms) FROM jobs j WHERE j.execution_no = w.oldest AND j.state = 'active')
     FROM names p, LATERAL (
       SELECT count(*) AS rows, min(c.no) AS oldest FROM (SELECT r.no FROM ready r WHERE r.limit_name = p.limit_name LIMIT $1) c) w`,
    [ROWS_MAX],
  );
  return new Map(
    rows.map(([limit, count, since]) => [
      limit ?? "",
      { rows: Number(count), sinceMs: (since ?? null) === null ? null : Number(since) },
    ]),
  );
}
