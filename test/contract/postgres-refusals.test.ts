import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { LETTER_TRANSITIONS, type LetterState } from "../../src/domain/dead-letter/where.js";
import type { OutboxGroup } from "../../src/ports/ledger.js";
import { migratedDatabase, type FreshDatabase } from "../support/servers.js";
import { logInto } from "../support/work.js";
import { answerTo, costsIn, LedgerBench, resultsIn } from "./ledger-bench.js";
import { finishStage } from "./ledger-dispatch-cases.js";

/** What only the real database refuses: the ledger in memory takes any value. */
let database: FreshDatabase;
let pools: Pools;
let bench: LedgerBench;

beforeAll(async () => {
  database = await migratedDatabase();
  pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 10_000 },
    logInto([]),
  );
  const nowMs = (): number => Date.now();
  const ledger = new PostgresLedger(new LedgerContext(pools, "sim", nowMs), ["catalogue", "shop"]);
  bench = await LedgerBench.start({ ledger, nowMs, close: () => Promise.resolve() });
});
afterAll(async () => {
  await pools.close();
  await database.drop();
});

test("an answer with a character that PostgreSQL can't store leaves a doubt, and does not run for ever", async () => {
  const held = await bench.start({ jobId: "a", tenant: "catalogue", prompt: "why" });
  const other = await bench.start({ jobId: "b", tenant: "catalogue", prompt: "how" });
  const published: OutboxGroup[] = [];
  const stage = finishStage(bench, published);
  stage.add(bench.ended(held, { ...answerTo("why"), modelVersion: "model\0" }));
  stage.add(bench.ended(other, answerTo("how")));
  stage.close();
  await stage.run();
  expect(resultsIn(published)).toMatchObject([{ jobId: "b", status: "succeeded" }]);
  const found = await pools.durable.query(
    "SELECT a.state AS attempt, a.outcome, a.nano_usd, e.state AS execution FROM attempts a JOIN executions e ON e.no = a.execution_no WHERE a.no = $1",
    [held.intent.no],
  );
  expect(found.rows).toEqual([{ attempt: "in_doubt", outcome: "in_doubt", nano_usd: null, execution: "in_doubt" }]);
  const { outbox } = await bench.claim(() => ({
    kind: "fail",
    failure: { code: "IN_DOUBT", message: "unknown", provider: null, retryAtMs: null },
  }));
  expect(resultsIn(outbox)).toMatchObject([{ jobId: "a", status: "failed", code: "IN_DOUBT" }]);
  expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "in_doubt", nanoUsd: null }]);
});

test("a dead letter's state changes only as its table says", async () => {
  const states = Object.keys(LETTER_TRANSITIONS) as LetterState[]; // its keys
  const moves = states.flatMap((from) => states.map((to) => ({ from, to }))).filter(({ from, to }) => from !== to);
  const taken: string[] = [];
  for (const [no, { from, to }] of moves.entries()) {
    // Serial: one row after the other, and what is refused says so.
    await pools.durable.query(
      `INSERT INTO dead_letters (day, no, state, code, message, failed_ms, topic, partition, source_offset, record_headers)
       VALUES (20000, $1, $2, 'INTERNAL', 'm', 0, 'llm.jobs.v1', 0, $1, '[]')`,
      [-1 - no, from],
    );
    const told = await pools.durable
      .query("UPDATE dead_letters SET state = $2 WHERE no = $1", [-1 - no, to])
      .then(() => "taken")
      .catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    if (told === "taken") taken.push(`${from}>${to}`);
    else expect(told).toBe(`refused transition of dead_letters: ${from} -> ${to}`);
  }
  const listed = states.flatMap((from) => LETTER_TRANSITIONS[from].map((to) => `${from}>${to}`));
  expect(taken.sort()).toEqual(listed.sort());
});
