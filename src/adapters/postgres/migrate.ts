import { fileURLToPath } from "node:url";
import { readdirSync } from "node:fs";
import pg from "pg";
import { runner } from "node-pg-migrate";
import { NOT_ARMED, type ReachPoint } from "../../ports/crash-points.js";

/** The migrations are plain SQL beside the other schemas; this path holds from `dist` and from `src` alike. */
const MIGRATIONS_FOLDER = fileURLToPath(new URL("../../../schemas/ledger", import.meta.url));

/**
 * Brings the ledger's schema up to date, one transaction a file. Two processes at once: the second waits for the first.
 * @param options `plan`: only say what would run.
 * @returns the names of the migrations that ran, or would run.
 * @throws when the database can't be reached, or a migration fails (nothing of that migration stays).
 */
export async function migrate(
  databaseUrl: string,
  options: { readonly plan: boolean; readonly reach?: ReachPoint },
): Promise<string[]> {
  const { plan, reach = NOT_ARMED } = options;
  const dbClient = new pg.Client({ connectionString: databaseUrl });
  await dbClient.connect();
  try {
    if (reach !== NOT_ARMED) watchCommits(dbClient, reach);
    const done = await runner({
      dbClient,
      dir: MIGRATIONS_FOLDER,
      direction: "up",
      migrationsTable: "sluice_migrations",
      dryRun: plan,
      advisoryLockMode: "wait",
      log: (said: unknown) => {
        if (String(said).startsWith("> Migrating files")) reach("migrate.locked");
        else if (String(said).startsWith("### MIGRATION")) reach("migrate.before_file");
      },
    });
    if (done.length > 0) reach("migrate.done");
    return done.map((migration) => migration.name);
  } finally {
    await dbClient.end();
  }
}

/** The runner says what it begins (above), not what it is about to commit (node-pg-migrate 8, migration.ts). */
function watchCommits(client: pg.Client, reach: ReachPoint): void {
  const query = client.query.bind(client) as (...args: readonly unknown[]) => unknown;
  client.query = ((...args: readonly unknown[]) => {
    if (args[0] === "COMMIT;") reach("migrate.before_commit");
    return query(...args);
  }) as typeof client.query; // all of its overloads, passed on as they come
}

/** Routers ask again and again: on a half-open network each look would keep its connection for ever. */
const LOOK_TIMEOUT_MS = 10_000;

/** How many migrations of this build the database lacks; a router refuses to start on any. @throws when it does not answer within 10 s. */
export async function missingMigrations(databaseUrl: string): Promise<number> {
  const wanted = readdirSync(MIGRATIONS_FOLDER).filter((name) => name.endsWith(".sql")).length;
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: LOOK_TIMEOUT_MS,
    query_timeout: LOOK_TIMEOUT_MS,
  });
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
