import { migrate } from "../../../src/adapters/postgres/migrate.js";
import { createOwnDatabase } from "../../../src/demo/own-database.js";
import { startStack } from "../../../src/stack/stack.js";
import type { BuiltCopy } from "./built-copy.js";
import { hardDay, type DayFinding } from "./hard-day.js";

const TEMPLATE = "planted_template";

/** Real servers for runs of the product, in the variables by which test/support/servers.ts finds them; ended with the work. */
export async function withServers(say: (line: string) => void, work: () => Promise<void>): Promise<void> {
  const stack = await startStack({ servers: ["kafka", "postgres", "registry", "redis"], onProgress: say });
  try {
    const { kafkaBrokers, databaseUrl, registryUrl, redisUrl } = stack.addresses;
    const template = await createOwnDatabase(databaseUrl, TEMPLATE);
    await migrate(template.url, { plan: false });
    Object.assign(process.env, {
      SLUICE_TEST_KAFKA_BROKERS: kafkaBrokers,
      SLUICE_TEST_DATABASE_URL: databaseUrl,
      SLUICE_TEST_DATABASE_TEMPLATE: TEMPLATE,
      SLUICE_TEST_REGISTRY_URL: registryUrl,
      SLUICE_TEST_REDIS_URL: redisUrl,
    });
    await work();
    await template.drop();
  } finally {
    await stack.stop();
  }
}

/** What a run of this copy shows to those who look at topics, ledger and bill. */
export function findOnServers({ main }: BuiltCopy): Promise<readonly DayFinding[]> {
  return hardDay(main);
}
