/** Ended calls whose jobs somebody else holds at that moment. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import { migratedDatabase, type FreshDatabase } from "../support/servers.js";
import { logInto } from "../support/work.js";
import { answerTo, failureOf, LedgerBench, type Held } from "./ledger-bench.js";

/** Jobs beside the first of each call that a transaction of `narrow` ends. */
const WAITERS_MAX = 2;

let database: FreshDatabase;
let pools: Pools;
let bench: LedgerBench;
/** The same ledger, by a router whose transactions end few jobs. */
let narrow: LedgerBench;
/** Somebody else's connection, whose locks the transactions wait for. */
let other: pg.Client;

beforeAll(async () => {
  database = await migratedDatabase();
  pools = createPools(
    { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 20_000 },
    logInto([]),
  );
  const nowMs = (): number => Date.now();
  const ledger = new PostgresLedger(new LedgerContext(pools, "sim", nowMs), ["catalogue"]);
  const close = (): Promise<void> => Promise.resolve();
  bench = await LedgerBench.start({ ledger, nowMs, close });
  const few = { waitersMax: WAITERS_MAX, compressAboveBytes: 2048, budgets: [] };
  const narrowLedger = new PostgresLedger(new LedgerContext(pools, "sim", nowMs, few), ["catalogue"]);
  narrow = await LedgerBench.start({ ledger: narrowLedger, nowMs, close }, 1);
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
});
afterAll(async () => {
  await other.end();
  await pools.close();
  await database.drop();
});

async function stateOf(jobId: string): Promise<string | undefined> {
  const { rows } = await other.query<{ state: string }>("SELECT state FROM jobs WHERE job_id = $1", [
    Buffer.from(jobId),
  ]);
  return rows[0]?.state;
}

/** Resolves when a transaction of the ledger waits for a lock. */
async function someoneWaits(): Promise<void> {
  const asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  while ((await other.query(asked)).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Somebody else cancels these jobs while `work` comes to them, and gets to the end of it. */
async function besideCancel<Result>(jobIds: readonly string[], work: () => Promise<Result>): Promise<Result> {
  await other.query("BEGIN");
  await other.query(
    "UPDATE jobs SET state = 'cancelled', ended_ms = 1, failure_code = 'CANCELLED' WHERE job_id = ANY($1::bytea[])",
    [jobIds.map((jobId) => Buffer.from(jobId))],
  );
  const working = work();
  await someoneWaits();
  await other.query("COMMIT");
  return working;
}

/** While somebody else cancels one job of four, and does or does not get to the end of it, their calls are finished. */
async function finishBesideCancel(
  name: string,
  cancelled: number,
  end: "COMMIT" | "ROLLBACK",
  outcome: (number: number) => Parameters<LedgerBench["ended"]>[1],
): Promise<readonly (string | undefined)[]> {
  const jobIds = [1, 2, 3, 4].map((number) => `${name}-${String(number)}-of-${String(cancelled)}-${end}`);
  const held = [];
  // Serial: one record after the other.
  for (const jobId of jobIds) held.push(await bench.start({ jobId, tenant: "catalogue", prompt: jobId }));
  await other.query("BEGIN");
  await other.query("UPDATE jobs SET state = 'cancelled', ended_ms = 1, failure_code = 'CANCELLED' WHERE job_id = $1", [
    Buffer.from(jobIds[cancelled - 1] ?? ""),
  ]);
  const finishing = bench.finish(held.map((call, index) => bench.ended(call, outcome(index))));
  await someoneWaits();
  await other.query(end);
  await finishing;
  return Promise.all(jobIds.map(stateOf));
}

const answer = (): ReturnType<typeof answerTo> => answerTo("it");
const refusal = () => failureOf("refused", "answered", 400);

describe.each([
  ["answered", "succeeded", answer],
  ["failed", "failed", refusal],
] as const)("calls that %s, while the job of one is being cancelled", (name, state, outcome) => {
  test.each([1, 2, 4])("end all other jobs, whichever it is: number %i", async (cancelled) => {
    const expected = [1, 2, 3, 4].map((number) => (number === cancelled ? "cancelled" : state));
    expect(await finishBesideCancel(name, cancelled, "COMMIT", outcome)).toEqual(expected);
  });

  test("end all jobs when the cancel comes to nothing", async () => {
    expect(await finishBesideCancel(name, 2, "ROLLBACK", outcome)).toEqual([state, state, state, state]);
  });
});

describe("more jobs wait for a call than one transaction ends, while some are being cancelled", () => {
  const NUMBERS = [1, 2, 3, 4, 5, 6];

  async function callOfSix(name: string, wish: Partial<JobWish> = {}): Promise<Held> {
    const [first = "", ...others] = NUMBERS.map((number) => `${name}-${String(number)}`);
    const shared = { tenant: "catalogue", prompt: name, ...wish };
    const held = await narrow.start({ jobId: first, ...shared });
    const joining = [];
    // Serial: each takes the next offset.
    for (const jobId of others) joining.push(await narrow.job({ jobId, ...shared }, true));
    await narrow.accept(joining);
    return held;
  }

  /** Their ids, in the order in which the index of executions has them: the first three are found. */
  async function inOrder({ execution }: Held): Promise<readonly string[]> {
    const { rows } = await other.query<{ id: string }>(
      "SELECT convert_from(job_id, 'UTF8') AS id FROM jobs WHERE execution_no = $1 ORDER BY day, ctid",
      [execution.no],
    );
    return rows.map(({ id }) => id);
  }

  // By the number of those that ended it looks as if all were.
  test.each([
    ["answered", 1, "succeeded", answer],
    ["answered", 3, "succeeded", answer],
    ["failed", 1, "failed", refusal],
    ["failed", 3, "failed", refusal],
  ] as const)(
    "a call that %s leaves the rest to the sweep: %i of those found are gone",
    async (name, gone, state, outcome) => {
      const held = await callOfSix(`few-${name}-${String(gone)}`);
      const ids = await inOrder(held);
      await besideCancel(ids.slice(0, gone), () => narrow.finish([narrow.ended(held, outcome())]));
      expect(await Promise.all(ids.map(stateOf))).toEqual(
        NUMBERS.map((number) => (number <= gone ? "cancelled" : number <= WAITERS_MAX + 1 ? state : "active")),
      );
      await narrow.ledger.answerStragglers(narrow.session, narrow.nowMs(), RENDER);
      expect(await Promise.all(ids.map(stateOf))).toEqual(
        NUMBERS.map((number) => (number <= gone ? "cancelled" : state)),
      );
    },
  );

  test.each([1, 3])("a look for expired ones says that more are left: %i of those found are gone", async (gone) => {
    const held = await callOfSix(`few-expired-${String(gone)}`, { ttlMs: 10_000 });
    const ids = await inOrder(held);
    const look = () => narrow.ledger.expire(narrow.session, [held.execution], narrow.nowMs() + 11_000, RENDER);
    const first = await besideCancel(ids.slice(0, gone), look);
    expect([first.ended.length, first.more]).toEqual([WAITERS_MAX + 1 - gone, true]);
    expect((await look()).more).toBe(true);
    expect((await look()).more).toBe(false);
  });
});
