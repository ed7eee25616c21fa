import { fileURLToPath } from "node:url";
import { readdirSync } from "node:fs";
import pg from "pg";
import { runner } from "node-pg-migrate";

/** The migrations are plain SQL beside the other schemas; this path holds from `dist` and from `src` alike. */
const MIGRATIONS_FOLDER = fileURLToPath(new URL("../../../schemas/ledger", import.meta.url));

/**
 * Brings the ledger's schema up to date, one transaction a file. Two processes at once: the second waits for the first.
 * @param options `plan`: only say what would run.
 * @returns the names of the migrations that ran, or would run.
 * @throws when the database can't be reached, or a migration fails (nothing of that migration stays).
 */
export async function migrate(databaseUrl: string, options: { readonly plan: boolean }): Promise<string[]> {
  const done = await runner({
    databaseUrl,
    dir: MIGRATIONS_FOLDER,
    direction: "up",
    migrationsTable: "sluice_migrations",
    dryRun: options.plan,
    advisoryLockMode: "wait",
    log: () => undefined,
  });
  return done.map((migration) => migration.name);
}

/** How many migrations of this build the database lacks; a router refuses to start on any. */
export async function missingMigrations(databaseUrl: string): Promise<number> {
  const wanted = readdirSync(MIGRATIONS_FOLDER).filter((name) => name.endsWith(".sql")).length;
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const found = await client.query<{ exists: boolean }>(
      "SELECT to_regclass('sluice_migrations') IS NOT NULL AS exists",
    );
    if (found.rows[0]?.exists !== true) return wanted;
    const ran = await client.query<{ count: string }>("SELECT count(*) AS count FROM sluice_migrations");
    return Math.max(0, wanted - Number(ran.rows[0]?.count ?? 0));
  } finally {
    await client.end();
  }
}
