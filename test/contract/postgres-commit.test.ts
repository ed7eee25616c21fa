/** Transactions whose last statements, which nobody waits for, do not end as they should: what their COMMIT then means. */
import type { Duplex } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
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

test.each([
  ["that loses against another transaction is tried again, as if its answer had been waited for", "40P01", 2, null],
  ["that PostgreSQL refuses is what the transaction throws", "23505", 1, "23505"],
] as const)("a statement in front of a question %s", async (_what, code, expected, thrown) => {
  await other.query(`CREATE SEQUENCE asked_${code}`);
  await other.query(
    `CREATE FUNCTION refuse_once_${code}() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
       IF nextval('asked_${code}') = 1 THEN RAISE EXCEPTION 'refused' USING ERRCODE = '${code}'; END IF;
       RETURN 7; END $$`,
  );
  let runs = 0;
  const outcome = transaction(pools.durable, async (client) => {
    runs += 1;
    send(client, `mark-asked-${code}`, `SELECT refuse_once_${code}()`, []);
    await run(client, "mark-question", "SELECT value FROM marks WHERE name = 'held'", []);
  });
  const error: unknown = await outcome.then(
    () => ({ code: null }),
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: thrown });
  expect(runs).toBe(expected);
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

describe("an intake group whose COMMIT was not answered", () => {
  const wish = (jobId: string) => ({ jobId, tenant: "catalogue", prompt: jobId });
  const connect = (partition: number) =>
    LedgerBench.start({ ledger: bench.ledger, nowMs: bench.nowMs, close: () => Promise.resolve() }, partition);

  /** The next COMMIT is not answered. @param inItsPlace what happens to it. */
  function loseNextAnswer(inItsPlace: (finish: (word: "COMMIT" | "ROLLBACK") => Promise<unknown>) => Promise<unknown>) {
    let isLost = false;
    pools.durable.on("acquire", (client) => {
      const query = client.query.bind(client) as (...asked: unknown[]) => Promise<unknown>;
      const lose = async (): Promise<never> => {
        isLost = true;
        await inItsPlace((word) => query(word));
        throw new Error("Connection terminated unexpectedly");
      };
      Object.assign(client, {
        query: (...asked: unknown[]) => (asked[0] === "COMMIT" && !isLost ? lose() : query(...asked)),
      });
    });
  }
  afterEach(() => {
    pools.durable.removeAllListeners("acquire");
  });

  test.each([
    ["stands", "COMMIT", 1, "accepted"],
    ["does not stand", "ROLLBACK", 0, "moved"],
  ] as const)(
    "is known, also where another router has gone on meanwhile: it %s",
    async (_known, word, offset, kind) => {
      const partition = 1 + offset;
      const [mine, rival] = [await connect(partition), await connect(partition)];
      const group = await mine.group([await mine.job(wish(`mine-${word}`), true, 0)]);
      const next = await rival.group([await rival.job(wish(`rival-${word}`), true, offset)]);
      loseNextAnswer(async (finish) => {
        await finish(word);
        expect(await rival.ledger.accept(next, RENDER)).toMatchObject({ kind: "accepted" });
      });
      expect(await mine.ledger.accept(group, RENDER)).toMatchObject({ kind });
      expect((await mine.ledger.position(JOBS_TOPIC, partition))?.next).toBe(offset + 1);
    },
  );

  test("is waited for while it is on its way still", async () => {
    const LOCK = 4711;
    await other.query(
      `CREATE FUNCTION commit_waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         PERFORM pg_advisory_xact_lock_shared(${String(LOCK)}); RETURN NULL; END $$`,
    );
    await other.query(
      `CREATE CONSTRAINT TRIGGER commit_waits AFTER UPDATE ON inbox_position DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION commit_waits()`,
    );
    const waiting = async (what: string): Promise<void> => {
      const asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
      while ((await other.query(`${asked} AND query LIKE $1`, [what])).rows.length === 0)
        await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const patient = createPools(
      { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 20_000 },
      logInto([]),
    );
    try {
      const ledger = new PostgresLedger(new LedgerContext(patient, "sim", bench.nowMs), ["catalogue"]);
      const mine = await LedgerBench.start({ ledger, nowMs: bench.nowMs, close: () => Promise.resolve() }, 3);
      const group = await mine.group([await mine.job(wish("late"), true, 0)]);
      const clients = new Set<pg.PoolClient>();
      patient.durable.on("acquire", (client) => clients.add(client));
      await other.query(`SELECT pg_advisory_lock(${String(LOCK)})`);
      const outcome = mine.ledger.accept(group, RENDER);
      await waiting("COMMIT");
      for (const client of clients)
        (client as unknown as { connection: { stream: Duplex } }).connection.stream.destroy(); // as src's connection.ts knows it
      await waiting("%last_group%FOR SHARE");
      await other.query(`SELECT pg_advisory_unlock(${String(LOCK)})`);
      expect(await outcome).toMatchObject({ kind: "accepted", jobs: [{ kind: "started" }] });
    } finally {
      await other.query("SELECT pg_advisory_unlock_all()");
      await patient.close();
    }
  });
});
