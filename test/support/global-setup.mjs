// Plain JavaScript on the compiled output: Jest compiles a TypeScript setup to CommonJS, which can't import our sources.
import { existsSync } from "node:fs";
import { memoryFolder } from "./memory-folder.mjs";

const entry = new URL("../../dist/stack/stack.js", import.meta.url);
const migrations = new URL("../../dist/adapters/postgres/migrate.js", import.meta.url);
const own = new URL("../../dist/demo/own-database.js", import.meta.url);

/** What most tests' databases are copied from: a copy takes a fifth of the time that the migrations take. */
const TEMPLATE = "test_template";

export default async function startServers() {
  if (!existsSync(entry)) throw new Error("dist/stack/stack.js is missing: build first (npm run build)");
  // Before the workers start, which take it from here: what they make for their tests goes there too.
  const folder = process.env.TMPDIR === undefined ? memoryFolder() : null;
  if (folder !== null) {
    process.stderr.write(`files of servers and tests are in ${folder}\n`);
    process.env.TMPDIR = folder;
  }
  const { startStack } = await import(entry.href);
  const stack = await startStack({
    servers: ["kafka", "postgres", "registry", "redis"],
    onProgress: (line) => process.stderr.write(`${line}\n`),
  });
  const { createOwnDatabase } = await import(own.href);
  const { migrate } = await import(migrations.href);
  const template = await createOwnDatabase(stack.addresses.databaseUrl, TEMPLATE);
  await migrate(template.url, { plan: false });
  // Handed to the teardown, which runs in this same process.
  globalThis.sluiceTestStack = stack;
  // Names of our own, read by test/support/servers.ts. The usual ones would change what the code under test does.
  process.env.SLUICE_TEST_KAFKA_BROKERS = stack.addresses.kafkaBrokers;
  process.env.SLUICE_TEST_DATABASE_URL = stack.addresses.databaseUrl;
  process.env.SLUICE_TEST_DATABASE_TEMPLATE = TEMPLATE;
  process.env.SLUICE_TEST_REGISTRY_URL = stack.addresses.registryUrl;
  process.env.SLUICE_TEST_REDIS_URL = stack.addresses.redisUrl;
}
