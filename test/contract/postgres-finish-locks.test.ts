/** Ended calls whose jobs somebody else holds at that moment. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { migratedDatabase, type FreshDatabase } from "../support/servers.js";
import { logInto } from "../support/work.js";
import { answerTo, failureOf, LedgerBench } from "./ledger-bench.js";

let database: FreshDatabase;
let pools: Pools;
let bench: LedgerBench;
/** Somebody else's connection, whose locks the transactions wait for. */
let other: pg.Client;

beforeAll(async () => {
  database = await migratedDatabase();
  pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 20_000 },
    logInto([]),
  );
  const nowMs = (): number => Date.now();
  const ledger = new PostgresLedger(new LedgerContext(pools, "sim", nowMs), ["catalogue"]);
  bench = await LedgerBench.start({ ledger, nowMs, close: () => Promise.resolve() });
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
});
afterAll(async () => {
  await other.end();
  await pools.close();
  await database.drop();
});

async function stateOf(jobId: string): Promise<string | undefined> {
  const { rows } = await other.query<{ state: string }>("SELECT state FROM jobs WHERE job_id = $1", [
    Buffer.from(jobId),
  ]);
  return rows[0]?.state;
}

/** Resolves when a transaction of the ledger waits for a lock. */
async function someoneWaits(): Promise<void> {
  const asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  while ((await other.query(asked)).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** While somebody else cancels one job of four, and does or does not get to the end of it, their calls are finished. */
async function finishBesideCancel(
  name: string,
  cancelled: number,
  end: "COMMIT" | "ROLLBACK",
  outcome: (number: number) => Parameters<LedgerBench["ended"]>[1],
): Promise<readonly (string | undefined)[]> {
  const jobIds = [1, 2, 3, 4].map((number) => `${name}-${String(number)}-of-${String(cancelled)}-${end}`);
  const held = [];
  // Serial: one record after the other.
  for (const jobId of jobIds) held.push(await bench.start({ jobId, tenant: "catalogue", prompt: jobId }));
  await other.query("BEGIN");
  await other.query("UPDATE jobs SET state = 'cancelled', ended_ms = 1, failure_code = 'CANCELLED' WHERE job_id = $1", [
    Buffer.from(jobIds[cancelled - 1] ?? ""),
  ]);
  const finishing = bench.finish(held.map((call, index) => bench.ended(call, outcome(index))));
  await someoneWaits();
  await other.query(end);
  await finishing;
  return Promise.all(jobIds.map(stateOf));
}

const answer = (): ReturnType<typeof answerTo> => answerTo("it");
const refusal = () => failureOf("refused", "answered", 400);

describe.each([
  ["answered", "succeeded", answer],
  ["failed", "failed", refusal],
] as const)("calls that %s, while the job of one is being cancelled", (name, state, outcome) => {
  test.each([1, 2, 4])("end all other jobs, whichever it is: number %i", async (cancelled) => {
    const expected = [1, 2, 3, 4].map((number) => (number === cancelled ? "cancelled" : state));
    expect(await finishBesideCancel(name, cancelled, "COMMIT", outcome)).toEqual(expected);
  });

  test("end all jobs when the cancel comes to nothing", async () => {
    expect(await finishBesideCancel(name, 2, "ROLLBACK", outcome)).toEqual([state, state, state, state]);
  });
});
