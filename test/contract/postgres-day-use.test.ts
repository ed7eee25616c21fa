/** What a day has seen is found by the summaries of its attempts' times, not by reading a week of them. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { dayUse } from "../../src/adapters/postgres/day-use.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { migratedDatabase } from "../support/servers.js";
import { logInto } from "../support/work.js";

/** Evenly over seven days: about 14,300 of them are of the last 24 h. */
const ATTEMPTS = 100_000;
const DAYS = 7;

let database: Awaited<ReturnType<typeof migratedDatabase>>;
let pools: Pools;
let context: LedgerContext;

beforeAll(async () => {
  database = await migratedDatabase();
  const limits = { connectionsMax: 2, connectionTimeoutMs: 5000, statementTimeoutMs: 60_000 };
  pools = createPools({ url: database.url, ...limits }, logInto([]));
  context = new LedgerContext(pools, "sim", () => Date.now(), {
    waitersMax: 500,
    compressAboveBytes: 2048,
    budgets: [],
  });
  // Of executions that came in today and were called when it was their turn, the oldest first, as routers write them.
  await pools.durable.query(
    `INSERT INTO attempts (day, no, execution_no, number, session_no, state, account, provider, model, route_index, max_nano,
       started_ms, ended_ms, outcome, input_tokens, output_tokens)
     SELECT floor(extract(epoch FROM now()) / 86400)::integer, n, n, 1, 1, 'answered', 'a' || n % 4, 'openai', 'm' || n % 3, 0, 0,
       t, t + 1000, 'succeeded', 100, 20
     FROM (SELECT n, (extract(epoch FROM now()) * 1000 - ($1::int8 - n) * $2::float8)::int8 AS t FROM generate_series(1, $1::int8) n) s
     ORDER BY n`,
    [ATTEMPTS, (DAYS * 86_400_000) / ATTEMPTS],
  );
  await pools.durable.query("VACUUM ANALYZE attempts"); // makes the summaries that autovacuum would have made on the way
}, 120_000);

afterAll(async () => {
  await pools.close();
  await database.drop();
});

test("by account, model and hour", async () => {
  const uses = await dayUse(context, ["a0", "a1"], false);
  expect(new Set(uses.map(({ account }) => account))).toEqual(new Set(["a0", "a1"]));
  const calls = uses.reduce((sum, use) => sum + use.calls, 0);
  expect(Math.abs(calls - ATTEMPTS / DAYS / 2)).toBeLessThan(20);
  expect(uses.every((use) => use.tokens === use.calls * 120 && use.hoursAgo < 24)).toBe(true);
});

test("reads the pages of the day, and few others", async () => {
  const { rows } = await pools.durable.query<{ "QUERY PLAN": string }>(
    `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF)
     SELECT account, model, count(*) FROM attempts
     WHERE started_ms > floor(extract(epoch FROM now()) * 1000)::int8 - 86400000 AND account = ANY ('{a0,a1}')
       AND state NOT IN ('not_sent', 'batched') GROUP BY 1, 2`,
  );
  const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
  if (process.env["SLUICE_SHOW_PLANS"] !== undefined) process.stderr.write(`${plan}\n`);
  expect(plan).toMatch(/Bitmap Index Scan on attempts_d\d+_started_ms_idx/);
  const pages = Number(/Heap Blocks: lossy=(\d+)/.exec(plan)?.[1]);
  const [size] = (
    await pools.durable.query<{ pages: string }>(
      "SELECT sum(relpages) AS pages FROM pg_class WHERE relname LIKE 'attempts_d%' AND relkind = 'r'",
    )
  ).rows;
  expect(pages).toBeGreaterThan(0);
  expect(pages).toBeLessThan(Number(size?.pages) / 4);
});
