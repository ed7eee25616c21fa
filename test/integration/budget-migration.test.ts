/** What ledgers from before hold is carried over: from before budgets had levels, and from before attempts said what they have reserved. */
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import pg from "pg";
import { runner } from "node-pg-migrate";
import { migrate } from "../../src/adapters/postgres/migrate.js";
import { freshDatabase } from "../support/servers.js";

const FOLDER = fileURLToPath(new URL("../../schemas/ledger", import.meta.url));
const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS);
const dayOf = (iso: string): number => Date.parse(iso) / DAY_MS;

let database: Awaited<ReturnType<typeof freshDatabase>>;
let client: pg.Client;

beforeEach(async () => {
  database = await freshDatabase();
  client = new pg.Client({ connectionString: database.url });
});

afterEach(async () => {
  await client.end();
  await database.drop();
});

/** The ledger as its first migrations left it. */
async function ledgerAfter(count: number): Promise<void> {
  await runner({
    ...{ databaseUrl: database.url, dir: FOLDER, direction: "up", count, log: () => undefined },
    migrationsTable: "sluice_migrations",
  });
  await client.connect();
}

const rows = async (text: string) => (await client.query({ text, rowMode: "array" })).rows;

async function insertAttempt(no: number, state: string, maxNano: number): Promise<void> {
  await client.query(
    `INSERT INTO attempts (day, no, execution_no, number, session_no, state, account, provider, model, route_index, max_nano, started_ms)
     VALUES ($1, $2, $2, 1, 1, $3, 'main', 'openai', 'm', 0, $4, 0)`,
    [TODAY, no, state, maxNano],
  );
}

test("rows of budgets and reservations keep their money under the names of level and window", async () => {
  await ledgerAfter(1);
  await client.query("INSERT INTO tenants (no, name) OVERRIDING SYSTEM VALUE VALUES (1, 'shop'), (2, 'acme')");
  const budget = "INSERT INTO budgets (tenant_no, since_day, settled_nano, reserved_nano) VALUES ($1, $2, $3, $4)";
  const [first, fifth] = [dayOf("2026-11-01"), dayOf("2026-11-05")];
  await client.query(budget, [1, 0, 100, 7]);
  await client.query(budget, [2, first, 200, 8]);
  await client.query(budget, [2, fifth, 300, 0]);
  await client.query(
    "INSERT INTO reservations (attempt_no, tenant_no, since_day, max_nano) VALUES (11, 1, 0, 7), (12, 2, $1, 8)",
    [first],
  );
  await insertAttempt(11, "sending", 7);
  await insertAttempt(12, "batched", 8);
  await migrate(database.url, { plan: false });
  expect(await rows("SELECT level, since_ms, settled_nano, reserved_nano FROM budgets ORDER BY 1, 2")).toEqual([
    ['["tenant","acme",null,null,"day"]', String(first * DAY_MS), "200", "8"],
    ['["tenant","acme",null,null,"day"]', String(fifth * DAY_MS), "300", "0"],
    ['["tenant","acme",null,null,"month"]', String(first * DAY_MS), "200", "8"],
    ['["tenant","shop",null,null,"total"]', "0", "100", "7"],
  ]);
  expect(await reservedIn()).toEqual([
    ["11", '["tenant","shop",null,null,"total"]', "0", "7"],
    ["12", '["tenant","acme",null,null,"day"]', String(first * DAY_MS), "8"],
    ["12", '["tenant","acme",null,null,"month"]', String(first * DAY_MS), "8"],
  ]);
});

test("open reservations move into the rows of their attempts; what nobody would ever settle counts as spent", async () => {
  await ledgerAfter(5);
  await client.query(
    "INSERT INTO budgets (level, since_ms, settled_nano, reserved_nano) VALUES ('day', 5, 100, 60), ('total', 0, 900, 60)",
  );
  const states = ["sending", "batched", "in_doubt", "settled", "answered"];
  for (const [place, state] of states.entries()) await insertAttempt(21 + place, state, 10); // serial: a handful
  // The last one has no attempt any more; that of 25 has its outcome.
  await client.query(
    `INSERT INTO reservations (attempt_no, level, since_ms, max_nano)
     SELECT no, level, since_ms, 10 FROM generate_series(21, 26) AS no CROSS JOIN budgets`,
  );
  await migrate(database.url, { plan: false });
  expect(await rows("SELECT level, settled_nano, reserved_nano FROM budgets ORDER BY 1")).toEqual([
    ["day", "120", "40"],
    ["total", "920", "40"],
  ]);
  expect(await reservedIn()).toEqual(
    ["21", "22", "23", "24"].flatMap((no) => [
      [no, "day", "5", "10"],
      [no, "total", "0", "10"],
    ]),
  );
});

const reservedIn = () =>
  rows(
    `SELECT a.no, b.level, b.since_ms, a.max_nano FROM attempts a CROSS JOIN unnest(a.reserved_in) AS n(no) JOIN budgets b ON b.no = n.no
     ORDER BY 1, 2`,
  );
