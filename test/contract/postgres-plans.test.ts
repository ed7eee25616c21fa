/**
 * What PostgreSQL does for statements that run every few seconds, while much waits: each goes by an index and reads few pages, however many
 * rows there are. The plans are those that really ran, told by the server's auto_explain.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { readSources } from "../../src/adapters/postgres/alert/alert-readings.js";
import { createPools, transaction, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { limitWaiters } from "../../src/adapters/postgres/operator/limit-rows.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { ReadyTake } from "../../src/adapters/postgres/ready-take.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { LedgerLoad } from "../../src/ports/ledger.js";
import type { Log } from "../../src/ports/system.js";
import { RENDER } from "../support/simulation/fixture.js";
import { migratedDatabase, type FreshDatabase } from "../support/servers.js";

const quiet = (): undefined => undefined;
const LOG: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const HOUR_MS = 3_600_000;
/** A table of 100,000 rows of the queue has far more. */
const PAGES_MAX = 200;
const LIMIT = "main/m";
/** The execution that has ended though a job waits for it. */
const ENDED_ALONE = 5000;

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Shared Hit Blocks"?: number;
  readonly "Shared Read Blocks"?: number;
  readonly Plans?: readonly PlanNode[];
}

/** A statement as it ran. */
interface Ran {
  readonly text: string;
  /** Pages of tables and indexes that it touched. */
  readonly pages: number;
  /** How each table was read: by which index, or not by one. */
  readonly reads: readonly string[];
  /** The most rows that one of its steps took from a table, or passed over there. */
  readonly rows: number;
  /** Steps that sort rows of their own. */
  readonly sorts: readonly string[];
}

let database: FreshDatabase;
let pools: Pools;
let context: LedgerContext;
let ledger: PostgresLedger;
let session: SessionNo;
let plans: Ran[] = [];

beforeAll(async () => {
  database = await migratedDatabase();
  const settings = { url: database.url, connectionsMax: 8, connectionTimeoutMs: 5000, statementTimeoutMs: 60_000 };
  const filling = createPools(settings, LOG);
  await fill(filling.durable);
  await filling.close();
  pools = createPools(settings, LOG);
  for (const pool of [pools.durable, pools.relaxed]) pool.on("connect", explainAll);
  context = new LedgerContext(pools, "sim", () => Date.now());
  ledger = new PostgresLedger(context, ["t1", "t2", "t3"]);
  session = await ledger.openSession("router");
}, 120_000);

afterAll(async () => {
  await pools.close();
  await database.drop();
});

function explainAll(client: pg.PoolClient): void {
  client.on("notice", ({ message }) => {
    const found = /^duration: .* plan:\n([^]*)$/.exec(message ?? "")?.[1];
    if (found !== undefined) plans.push(ranOf(JSON.parse(found)));
  });
  const settings = [
    "min_duration = 0",
    "analyze = on",
    "buffers = on",
    "timing = off",
    "format = json",
    "level = notice",
  ];
  const sets = settings.map((setting) => `SET auto_explain.log_${setting}`);
  void client.query(["LOAD 'auto_explain'", ...sets].join("; "));
}

function ranOf(explained: { readonly "Query Text": string; readonly Plan: PlanNode }): Ran {
  const nodes = nodesOf(explained.Plan);
  const tables = nodes.filter((node) => node["Relation Name"] !== undefined || node["Index Name"] !== undefined);
  return {
    text: explained["Query Text"].replace(/\s+/g, " "),
    pages: (explained.Plan["Shared Hit Blocks"] ?? 0) + (explained.Plan["Shared Read Blocks"] ?? 0),
    reads: tables.map((node) => `${node["Relation Name"] ?? ""}: ${node["Index Name"] ?? node["Node Type"]}`),
    rows: Math.max(
      0,
      ...tables.map((node) => (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"]),
    ),
    sorts: nodes.map((node) => node["Node Type"]).filter((type) => type.includes("Sort")),
  };
}

function nodesOf(node: PlanNode): readonly PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

/** The statements that `work` ran. */
async function ran(work: () => Promise<unknown>): Promise<readonly Ran[]> {
  plans = [];
  await work();
  return plans;
}

const readsOf = (found: readonly Ran[]): readonly string[] => found.flatMap(({ reads }) => reads);

/** Those that are no small look: what a failing test shows. */
const large = (found: readonly Ran[], pagesMax = PAGES_MAX): readonly Ran[] =>
  found.filter(
    ({ pages, reads }) => pages > pagesMax || reads.some((read) => read.endsWith(": Seq Scan") && !isSmall(read)),
  );

/** Tables of some rows, whatever waits. */
const isSmall = (read: string): boolean =>
  /^(routers|breakers|alert_|budgets|batch|tenants|unanswered|straggler_walk|inbox_)/.test(read);

/**
 * 100,000 rows of the queue: of tenant 1 60,000 that are not due, of tenant 2 30,000 that wait for a limit, of tenant 3 10,000 that are due;
 * 100 of them are in doubt. As many executions, attempts and costs, and 20,000 records in the
 * outbox, all but the last 100 of them of another router that lives.
 */
async function fill(pool: pg.Pool): Promise<void> {
  const statements = [
    "INSERT INTO tenants (name) VALUES ('t1'), ('t2'), ('t3')",
    // Its last beat stays new, however long the test takes.
    "INSERT INTO routers (name, ended_at, beat_at) VALUES ('another', NULL, now() + interval '1 day'), ('one that is gone', now(), now())",
    "CREATE TEMPORARY TABLE facts AS SELECT floor(extract(epoch FROM now()) / 86400)::int4 AS day, floor(extract(epoch FROM now()) * 1000)::int8 AS ms",
    `INSERT INTO ready (day, no, priority, run_at_ms, expires_ms, bytes, waits_for, tenant_no, limit_name)
     SELECT f.day, n, 5, CASE WHEN n > 90000 THEN f.ms - 1000 ELSE f.ms + ${String(HOUR_MS)} END, f.ms + 2 * ${String(HOUR_MS)} + n, 500,
       CASE WHEN n % 1000 = 0 THEN 'doubt' WHEN n <= 60000 THEN 'backoff' WHEN n <= 90000 THEN 'rate_limit' ELSE 'concurrency' END,
       CASE WHEN n <= 60000 THEN 1 WHEN n <= 90000 THEN 2 ELSE 3 END, CASE WHEN n > 60000 AND n <= 90000 THEN '${LIMIT}' ELSE '' END
     FROM facts f, generate_series(1, 100000) n`,
    `INSERT INTO jobs (day, no, tenant_no, job_id, generation, state, execution_day, execution_no, priority, deadline_ms, accepted_ms, source, envelope)
     SELECT f.day, n, 1, int4send(n), 0, 'active', f.day, n, 5, f.ms + ${String(HOUR_MS)}, f.ms, 'jobs:0:' || n, '{}' FROM facts f, generate_series(1, 100000) n`,
    `INSERT INTO executions (day, no, tenant_no, state, format, policy, request, request_gzip, cache_write, ended_ms)
     SELECT f.day, n, 1, CASE WHEN n = ${String(ENDED_ALONE)} THEN 'failed' ELSE 'ready' END, 'openai.chat', '{}', '', false, false,
       CASE WHEN n = ${String(ENDED_ALONE)} THEN f.ms END FROM facts f, generate_series(1, 100000) n`,
    `INSERT INTO attempts (day, no, execution_no, number, session_no, state, account, provider, model, route_index, max_nano, started_ms)
     SELECT f.day, n, n, 1, 1, CASE WHEN n % 1000 = 0 THEN 'settled' ELSE 'answered' END, 'main', 'openai', 'm', 0, 1000, f.ms FROM facts f, generate_series(1, 100000) n`,
    `INSERT INTO costs (day, no, kind, billing, tenant_no, attempt_no, account, model, nano_usd, max_nano, list_nano)
     SELECT f.day, n, 'charge', CASE WHEN n % 1000 = 0 THEN 'in_doubt' ELSE 'charged' END, 1, n, 'main', 'm', CASE WHEN n % 1000 = 0 THEN NULL ELSE 1 END, 1000, 1
     FROM facts f, generate_series(1, 100000) n`,
    `INSERT INTO outbox (day, no, kind, topic, headers, value)
     SELECT f.day, n, 'result', 'results', '[]', convert_to(repeat('x', 500), 'UTF8') FROM facts f, generate_series(1, 20000) n`,
    `INSERT INTO outbox_ready (seq, session_no, topic, at_ms, kinds, nos, days)
     SELECT n, CASE WHEN n > 19900 THEN 2 ELSE 1 END, 'results', f.ms - 10000, '{result}', ARRAY[n], ARRAY[f.day] FROM facts f, generate_series(1, 20000) n`,
    "ANALYZE",
  ];
  const client = await pool.connect();
  try {
    for (const statement of statements) await client.query(statement); // serial: each needs the ones before
  } finally {
    client.release();
  }
}

const ROLLED_BACK = new Error("rolled back");

/** Runs `work` in a transaction of which nothing stays. */
async function undone(work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
  await transaction(pools.durable, async (client) => {
    await work(client);
    throw ROLLED_BACK;
  }).catch((error: unknown) => {
    if (error !== ROLLED_BACK) throw error;
  });
}

describe("with 100,000 rows in the queue", () => {
  test("the alerts' look goes by indexes and reads few pages", async () => {
    const found = await ran(() => undone((client) => readSources(client, context, Date.now())));
    // What is in doubt is looked at one by one: 100 costs are open, each with its attempt.
    expect(large(found.filter(({ text }) => !text.includes("'doubt'")))).toEqual([]);
    expect(large(found, 100 * 6)).toEqual([]);
    const reads = found.flatMap((one) => one.reads);
    for (const index of ["ready_expiry", "ready_doubt", "ready_due"]) expect(reads).toContain(`ready: ${index}`);
  });

  test("a claim's look for what is due passes over nothing that is not", async () => {
    const found = await ran(() => new ReadyTake(() => 1).first(pools.durable, { limit: 1 }, Date.now() - HOUR_MS));
    expect(large(found, 50)).toEqual([]);
    expect(readsOf(found)).toContain("ready: ready_due");
  });

  test("a claim's turn takes rows in the order of the queue, and reads about as many as it takes", async () => {
    const take = new ReadyTake(() => 1);
    const wish = { limit: 200, limits: new Map([[LIMIT, 10]]) };
    let taken = 0;
    const found = await ran(() =>
      undone(async (client) => {
        taken = (await take.take(client, wish, Date.now())).rows.length;
      }),
    );
    expect(taken).toBe(210);
    // To find, lock and delete a row touches some pages each.
    expect(large(found, 210 * 8)).toEqual([]);
    expect(Math.max(...found.map(({ rows }) => rows))).toBeLessThanOrEqual(210);
    const turn = found.find(({ text }) => text.includes("DELETE FROM ready"));
    expect(turn?.reads.filter((read) => read === "ready: ready_turn")).not.toEqual([]);
    expect(JSON.stringify(turn?.sorts)).toBe("[]");
  });

  test("the routers' look at limits stops at a bound, and so does limits ls", async () => {
    expect(large(await ran(() => ledger.limitQueues(1000)))).toEqual([]);
    const found = await ran(() => limitWaiters(pools.durable));
    expect(readsOf(found).filter((read) => /^ready: (?!ready_turn|ready_due)/.test(read))).toEqual([]);
    expect(Math.max(...found.map(({ rows }) => rows))).toBe(30_000);
  });

  test("back-pressure's look reads some pages of large tables, and is about right", async () => {
    const loads: LedgerLoad[] = [];
    const found = await ran(async () => {
      loads.push(await ledger.load({ readyRows: 200_001, outboxRows: 100_001 }, []));
    });
    // Two megabytes of each of two tables, and the probes.
    expect(large(found, 800)).toEqual([]);
    // Of routers there are few.
    expect(readsOf(found).filter((read) => read.endsWith("Seq Scan"))).toEqual(["routers: Seq Scan"]);
    const { readyRows = 0, readyBytes = 0, outboxRecords = 0 } = loads[0] ?? {};
    for (const [number, expected] of [
      [readyRows, 100_000],
      [readyBytes, 50_000_000],
      [outboxRecords, 20_000],
    ] as const) {
      expect(number).toBeGreaterThan(expected * 0.6);
      expect(number).toBeLessThan(expected * 1.4);
    }
  });

  test("the sweep of the outbox passes by what another router holds, and takes what one left that is gone", async () => {
    const seqs: number[] = [];
    const found = await ran(async () => {
      expect(await ledger.takeOutbox(session, 50, 2000, ["results"])).toEqual([]);
      for (const group of await ledger.takeOutbox(session, 50, 2000, [])) seqs.push(group.seq);
    });
    // The first of 100 that lie behind 19,900 of a router that lives; with each its record.
    expect(seqs.sort((one, other) => one - other)).toEqual(Array.from({ length: 50 }, (_, index) => 19_901 + index));
    expect(large(found, 50 * 20)).toEqual([]);
    expect(Math.max(...found.map(({ rows }) => rows))).toBeLessThanOrEqual(100);
    expect(readsOf(found)).toContain("outbox_ready: outbox_ready_part");
  });

  test("the look for jobs that wait for what has ended goes along a day's key, some rows at a time, and finds them", async () => {
    const looks: number[] = [];
    const found = await ran(async () => {
      // Yesterday has none; serial: each goes on where the one before ended.
      for (let look = 0; look < 5; look += 1)
        looks.push(await ledger.noteStragglers({ nowMs: Date.now() + HOUR_MS, everyMs: 0, graceMs: 60_000 }));
    });
    expect(looks).toEqual([0, 0, 0, 1, 0]);
    // A row, and for one that waits its execution: some pages each.
    expect(large(found, 2000 * 8)).toEqual([]);
    expect(Math.max(...found.map(({ rows }) => rows))).toBeLessThanOrEqual(2000);
    expect(
      readsOf(found).filter((read) => !isSmall(read) && !/^(jobs|executions)_d\d+: \1_d\d+_pkey$/.test(read)),
    ).toEqual([]);
  });

  test("the jobs that wait for what has ended are counted, and taken, by the index of executions", async () => {
    await pools.durable.query("TRUNCATE unanswered");
    await pools.durable.query("INSERT INTO unanswered SELECT no, day FROM executions WHERE no = 7");
    const found = await ran(async () => {
      expect((await ledger.answerStragglers(session, Date.now(), RENDER)).unanswered).toBe(1);
    });
    expect(large(found, 100)).toEqual([]);
    await pools.durable.query("TRUNCATE unanswered");
    expect(await ledger.answerStragglers(session, Date.now(), RENDER)).toMatchObject({ ended: [], unanswered: 0 });
  });

  test("what else is asked every few seconds reads small tables", async () => {
    const found = await ran(async () => {
      await ledger.breakers();
      await ledger.liveRouters();
      await ledger.beat(session, 0);
    });
    expect(large(found, 20)).toEqual([]);
  });
});
