/** Transactions whose last statements, which nobody waits for, do not end as they should: what their COMMIT then means. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import pg from "pg";
import {
  CommitUnknownError,
  createPools,
  DependencyError,
  run,
  send,
  transaction,
  type Pools,
} from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { JOBS_TOPIC, RENDER } from "../support/simulation/fixture.js";
import { migratedDatabase, type FreshDatabase } from "../support/servers.js";
import { logInto } from "../support/work.js";
import { LedgerBench } from "./ledger-bench.js";

const STATEMENT_TIMEOUT_MS = 400;

let database: FreshDatabase;
let pools: Pools;
let bench: LedgerBench;
/** Somebody else's connection, whose locks the transactions wait for. */
let other: pg.Client;

beforeAll(async () => {
  database = await migratedDatabase();
  pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: STATEMENT_TIMEOUT_MS },
    logInto([]),
  );
  const nowMs = (): number => Date.now();
  const ledger = new PostgresLedger(new LedgerContext(pools, "sim", nowMs), ["catalogue"]);
  bench = await LedgerBench.start({ ledger, nowMs, close: () => Promise.resolve() });
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
  await other.query("CREATE TABLE marks (name text PRIMARY KEY, value integer NOT NULL)");
  await other.query("INSERT INTO marks VALUES ('held', 0)");
});
afterAll(async () => {
  await other.end();
  await pools.close();
  await database.drop();
});

async function marks(): Promise<Readonly<Record<string, number>>> {
  const { rows } = await other.query<{ name: string; value: number }>("SELECT name, value FROM marks ORDER BY name");
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

/** While somebody else holds this lock. */
async function whileLocked<Result>(statement: string, work: () => Promise<Result>): Promise<Result> {
  await other.query("BEGIN");
  try {
    await other.query(statement);
    return await work();
  } finally {
    await other.query("ROLLBACK");
  }
}

test("a statement that is given up right before its COMMIT: nothing stands, that is known, and nobody tries again at once", async () => {
  let runs = 0;
  let asked = 0;
  const outcome = whileLocked("SELECT 1 FROM marks WHERE name = 'held' FOR UPDATE", () =>
    transaction(
      pools.durable,
      (client) => {
        runs += 1;
        send(client, "mark-first", "INSERT INTO marks VALUES ('first', 1)", []);
        send(client, "mark-held", "UPDATE marks SET value = 1 WHERE name = 'held'", []);
        return Promise.resolve("done");
      },
      () => {
        asked += 1;
        return Promise.resolve(null);
      },
    ),
  );
  const error: unknown = await outcome.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DependencyError);
  expect(error).not.toBeInstanceOf(CommitUnknownError);
  // 57014: canceling statement due to statement timeout.
  expect((error as Error).cause).toMatchObject({ code: "57014" });
  expect([runs, asked]).toEqual([1, 0]);
  expect(await marks()).toEqual({ held: 0 });
  // The connections that are left are whole.
  await transaction(pools.durable, (client) =>
    run(client, "mark-held-again", "UPDATE marks SET value = 2 WHERE name = 'held'", []),
  );
  expect(await marks()).toEqual({ held: 2 });
});

test("[E5] a statement right before its COMMIT that loses against another transaction is tried again, and stands once", async () => {
  await other.query("CREATE SEQUENCE tries");
  await other.query(
    `CREATE FUNCTION lose_once() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
       IF nextval('tries') = 1 THEN RAISE EXCEPTION 'lost' USING ERRCODE = 'serialization_failure'; END IF;
       RETURN 7; END $$`,
  );
  let runs = 0;
  await transaction(pools.durable, (client) => {
    runs += 1;
    send(client, "mark-lost", "INSERT INTO marks SELECT 'lost', lose_once()", []);
    return Promise.resolve();
  });
  expect(runs).toBe(2);
  expect((await marks())["lost"]).toBe(7);
});

test("a statement right before its COMMIT that PostgreSQL refuses is what the transaction throws", async () => {
  const outcome = transaction(pools.durable, (client) => {
    send(client, "mark-second", "INSERT INTO marks VALUES ('second', 1)", []);
    send(client, "mark-twice", "INSERT INTO marks VALUES ('held', 1)", []);
    return Promise.resolve();
  });
  // 23505: unique violation.
  await expect(outcome).rejects.toMatchObject({ code: "23505" });
  expect(await marks()).not.toHaveProperty("second");
});

test("an intake group whose rows could not be written in time is not there, and is accepted when it comes again", async () => {
  const group = await bench.group([await bench.job({ jobId: "a", tenant: "catalogue", prompt: "why" }, true)]);
  await whileLocked("LOCK TABLE jobs IN SHARE MODE", async () => {
    await expect(bench.ledger.accept(group, RENDER)).rejects.toBeInstanceOf(DependencyError);
  });
  expect((await bench.ledger.position(JOBS_TOPIC, 0))?.next).toBe(0);
  expect(await bench.ledger.accept(group, RENDER)).toMatchObject({ kind: "accepted", jobs: [{ kind: "started" }] });
  expect((await bench.ledger.position(JOBS_TOPIC, 0))?.next).toBe(1);
});
