import { createPools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { migrate } from "../../src/adapters/postgres/migrate.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import type { Log } from "../../src/ports/system.js";
import { freshDatabase } from "../support/servers.js";
import { ledgerSuite } from "./ledger-suite.js";

const quiet = (): undefined => undefined;
const LOG: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

ledgerSuite("the ledger on PostgreSQL", async () => {
  const database = await freshDatabase();
  await migrate(database.url, { plan: false });
  const pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 10_000 },
    LOG,
  );
  const nowMs = (): number => Date.now();
  return {
    ledger: new PostgresLedger(new LedgerContext(pools, "sim", nowMs), ["catalogue", "shop"]),
    nowMs,
    close: async () => {
      await pools.close();
      await database.drop();
    },
  };
});
