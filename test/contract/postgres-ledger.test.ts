import { createPools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { loadLetter } from "../../src/adapters/postgres/operator/letter-rows.js";
import { openOperatorSession } from "../../src/adapters/postgres/operator/operator-session.js";
import { redeliverLetter } from "../../src/adapters/postgres/operator/redeliver-letter.js";
import { replayLetter } from "../../src/adapters/postgres/operator/replay-letter.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { isAboutDelivery } from "../../src/domain/dead-letter/replay.js";
import type { Log } from "../../src/ports/system.js";
import { migratedDatabase } from "../support/servers.js";
import { batchLedgerSuite } from "./ledger-batch-cases.js";
import { ledgerSuite, type SuiteLedger } from "./ledger-suite.js";

const quiet = (): undefined => undefined;
const LOG: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const REUSE = { dedupe: true, cache: true, cacheMaxAgeMs: null } as const;

const open = async (): Promise<SuiteLedger & { readonly ledger: PostgresLedger }> => {
  const database = await migratedDatabase();
  const pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 10_000 },
    LOG,
  );
  const nowMs = (): number => Date.now();
  const context = new LedgerContext(pools, "sim", nowMs);
  return {
    ledger: new PostgresLedger(context, ["catalogue", "shop"]),
    operator: {
      openSession: () => openOperatorSession(context, "operator"),
      replay: async (request, render) => {
        const letter = await loadLetter(pools.durable, request.letterNo);
        // As the command does.
        if (letter === null || !isAboutDelivery(letter.letter.code)) {
          const made = await replayLetter(context, { ...request, reuse: REUSE }, render);
          return made.kind === "replayed" ? { kind: "replayed", how: made.how } : made;
        }
        const sent = await redeliverLetter(context, request.letterNo, request.session);
        return sent.kind === "redelivered" ? { kind: "replayed", how: "redelivered" } : sent;
      },
    },
    nowMs,
    close: async () => {
      await pools.close();
      await database.drop();
    },
  };
};

ledgerSuite("the ledger on PostgreSQL", open);
batchLedgerSuite("batches in the ledger on PostgreSQL", open);
