/** What a ledger from before budgets had levels holds is carried over. */
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";
import pg from "pg";
import { runner } from "node-pg-migrate";
import { migrate } from "../../src/adapters/postgres/migrate.js";
import { freshDatabase } from "../support/servers.js";

const FOLDER = fileURLToPath(new URL("../../schemas/ledger", import.meta.url));
const DAY_MS = 86_400_000;
const dayOf = (iso: string): number => Date.parse(iso) / DAY_MS;

test("rows of budgets and reservations keep their money under the names of level and window", async () => {
  const database = await freshDatabase();
  const client = new pg.Client({ connectionString: database.url });
  try {
    await runner({
      ...{ databaseUrl: database.url, dir: FOLDER, direction: "up", count: 1, log: () => undefined },
      migrationsTable: "sluice_migrations",
    });
    await client.connect();
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
    await migrate(database.url, { plan: false });
    const rows = async (text: string) => (await client.query({ text, rowMode: "array" })).rows;
    expect(await rows("SELECT level, since_ms, settled_nano, reserved_nano FROM budgets ORDER BY 1, 2")).toEqual([
      ['["tenant","acme",null,null,"day"]', String(first * DAY_MS), "200", "8"],
      ['["tenant","acme",null,null,"day"]', String(fifth * DAY_MS), "300", "0"],
      ['["tenant","acme",null,null,"month"]', String(first * DAY_MS), "200", "8"],
      ['["tenant","shop",null,null,"total"]', "0", "100", "7"],
    ]);
    expect(await rows("SELECT attempt_no, level, since_ms, max_nano FROM reservations ORDER BY 1, 2")).toEqual([
      ["11", '["tenant","shop",null,null,"total"]', "0", "7"],
      ["12", '["tenant","acme",null,null,"day"]', String(first * DAY_MS), "8"],
      ["12", '["tenant","acme",null,null,"month"]', String(first * DAY_MS), "8"],
    ]);
  } finally {
    await client.end();
    await database.drop();
  }
});
