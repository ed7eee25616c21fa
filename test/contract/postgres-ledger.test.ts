import { PostgresAlerts } from "../../src/adapters/postgres/alert/postgres-alerts.js";
import { createPools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { loadLetter } from "../../src/adapters/postgres/operator/letter-rows.js";
import { openOperatorSession } from "../../src/adapters/postgres/operator/operator-session.js";
import { adoptPosition } from "../../src/adapters/postgres/operator/position-rows.js";
import { redeliverLetter } from "../../src/adapters/postgres/operator/redeliver-letter.js";
import { replayLetter } from "../../src/adapters/postgres/operator/replay-letter.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { resolveDoubt } from "../../src/adapters/postgres/operator/doubt-rows.js";
import type { Budget } from "../../src/domain/budget/budget.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import { isAboutDelivery } from "../../src/domain/dead-letter/replay.js";
import type { Log } from "../../src/ports/system.js";
import { migratedDatabase } from "../support/servers.js";
import { batchLedgerSuite } from "./ledger-batch-cases.js";
import type { BudgetedLedger } from "./budget-bench.js";
import { queueLedgerSuite } from "./ledger-queue-cases.js";
import { budgetLedgerSuite } from "./ledger-budget-cases.js";
import { JOBS_TOPIC, RENDER } from "../support/simulation/fixture.js";
import { ENDED_ALONE, waitersLedgerSuite } from "./ledger-waiters-cases.js";
import { ledgerSuite, type SuiteLedger } from "./ledger-suite.js";

const quiet = (): undefined => undefined;
const LOG: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const REUSE = { dedupe: true, cache: true, cacheMaxAgeMs: null } as const;

const nowMs = (): number => Date.now();

/** An empty ledger of its own. */
const openContext = async (
  budgets: readonly Budget[],
  weights: ReadonlyMap<string, number> = new Map(),
  waitersMax = 500,
) => {
  const database = await migratedDatabase();
  const pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 10_000 },
    LOG,
  );
  const context = new LedgerContext(pools, "sim", nowMs, {
    waitersMax,
    compressAboveBytes: 2048,
    budgets,
    weights,
  });
  const close = async (): Promise<void> => {
    await pools.close();
    await database.drop();
  };
  return { pools, context, ledger: new PostgresLedger(context, ["catalogue", "shop"]), nowMs, close };
};

const open = async (): Promise<SuiteLedger & { readonly ledger: PostgresLedger }> => {
  const { pools, context, ledger, close } = await openContext([]);
  return {
    ledger,
    alerts: new PostgresAlerts(context),
    operator: {
      openSession: () => openOperatorSession(context, "operator"),
      replay: async (request, render) => {
        const letter = await loadLetter(pools.durable, request.letterNo);
        // As the command does.
        if (letter === null || !isAboutDelivery(letter.letter.code)) {
          const made = await replayLetter(context, { ...request, reuse: REUSE }, render);
          return made.kind === "replayed" ? { kind: "replayed", how: made.how } : made;
        }
        const sent = await redeliverLetter(context, request, render);
        return sent.kind === "redelivered" ? { kind: "replayed", how: "redelivered" } : sent;
      },
      adopt: async (from) => {
        const expected = await ledger.position(JOBS_TOPIC, 0);
        if (expected === null) return false;
        const session = await openOperatorSession(context, "operator");
        const action = { byWhom: "ann@desk", atMs: nowMs() };
        const place = { cluster: context.cluster, topic: JOBS_TOPIC, partition: 0 };
        return adoptPosition(context, { ...place, expected, from, isLogStart: true, session, action }, RENDER);
      },
    },
    nowMs,
    close,
  };
};

const openBudgeted = async (budgets: readonly Budget[], waitersMax?: number): Promise<BudgetedLedger> => {
  const { pools, context, ledger, close } = await openContext(budgets, new Map(), waitersMax);
  const rows = async (text: string, values: readonly unknown[] = []) =>
    (await pools.durable.query<Record<string, string>>(text, [...values])).rows;
  return {
    ledger,
    nowMs,
    close,
    standing: async (key) => {
      const [row] = await rows("SELECT settled_nano, reserved_nano FROM budgets WHERE level = $1", [key]);
      return {
        settledNanoUsd: BigInt(row?.["settled_nano"] ?? 0),
        reservedNanoUsd: BigInt(row?.["reserved_nano"] ?? 0),
      };
    },
    reservations: async () =>
      (await rows("SELECT no, unnest(reserved_in) FROM attempts ORDER BY 1, 2")).map((row) => Number(row["no"])),
    resolve: async (attempt, nanoUsd, byBill) => {
      const session = await openOperatorSession(context, "operator");
      const resolution = { attempt, nanoUsd, billed: nanoUsd > 0n, byWhom: "ann@desk", session };
      const bill = byBill === undefined ? {} : { bill: { usage: NO_USAGE, providerBatchId: null } };
      return (await resolveDoubt(context, { ...resolution, ...bill }, RENDER)) === "resolved";
    },
  };
};

ledgerSuite("the ledger on PostgreSQL", open);
budgetLedgerSuite("budgets in the ledger on PostgreSQL", openBudgeted);
batchLedgerSuite("batches in the ledger on PostgreSQL", open);

queueLedgerSuite("the queue of the ledger on PostgreSQL", (weights) => openContext([], weights));
waitersLedgerSuite("jobs that wait in the ledger on PostgreSQL", async (waitersMax) => {
  const opened = await openContext([], new Map(), waitersMax);
  return {
    ...opened,
    endAlone: async ({ day, no }, state, endedMs) => {
      const [failure, ended] = state === "failed" ? [JSON.stringify(ENDED_ALONE), endedMs] : [null, null];
      await opened.pools.durable.query(
        "UPDATE executions SET state = $3, failure = $4, ended_ms = $5 WHERE day = $1 AND no = $2",
        [day, no, state, failure, ended],
      );
    },
  };
});
