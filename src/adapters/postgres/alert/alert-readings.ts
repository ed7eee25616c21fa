import type pg from "pg";
import {
  BATCHES_MAX,
  DOUBTS_MAX,
  NEAREST_DEADLINES_MAX,
  type AlertReadings,
  type BatchReading,
  type BudgetReading,
} from "../../../domain/alert/readings.js";
import { quarterOf, quartersOfInterest, QUARTERS_KEPT } from "../../../domain/alert/spend-pattern.js";
import { UNTOUCHED, windowSince } from "../../../domain/budget/budget.js";
import type { EpochMs } from "../../../domain/ids.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run, send } from "../connection.js";
import type { LedgerContext } from "../ledger-context.js";

type Source = (client: pg.PoolClient, context: LedgerContext, nowMs: EpochMs) => Promise<Partial<AlertReadings>>;

const DAY_MS = 86_400_000;
/** Rows of the queue among which the oldest due one is looked for, highest priority first. */
const RUNNABLE_LOOK = 1000;

/** One bounded statement a source, each by an index or on a small table. */
const SOURCES: readonly Source[] = [queue, doubts, batches, budgets, spend];

export async function readSources(
  client: pg.PoolClient,
  context: LedgerContext,
  nowMs: EpochMs,
): Promise<Partial<AlertReadings>> {
  const read = await Promise.all(SOURCES.map((source) => source(client, context, nowMs)));
  return Object.assign({}, ...read) as Partial<AlertReadings>; // each source gives members of it
}

/** Adds to what the quarter that runs has cost, and forgets what is too old to compare with. */
export function addSpend(client: pg.PoolClient, nanoUsd: bigint, nowMs: EpochMs): void {
  if (nanoUsd === 0n) return;
  send(
    client,
    "alert-spend-add",
    "INSERT INTO alert_spend (quarter, nano_usd) VALUES ($1, $2) ON CONFLICT (quarter) DO UPDATE SET nano_usd = alert_spend.nano_usd + EXCLUDED.nano_usd",
    [quarterOf(nowMs), nanoUsd.toString()],
  );
  send(client, "alert-spend-forget", "DELETE FROM alert_spend WHERE quarter < $1", [quarterOf(nowMs) - QUARTERS_KEPT]);
}

async function queue(client: pg.PoolClient, _context: LedgerContext, nowMs: EpochMs): Promise<Partial<AlertReadings>> {
  const [oldest, deadlines] = await Promise.all([
    run(
      client,
      "alert-runnable",
      `SELECT min(run_at_ms) FROM (SELECT run_at_ms FROM ready WHERE run_at_ms <= $1 ORDER BY priority DESC, run_at_ms LIMIT ${String(RUNNABLE_LOOK)}) r`,
      [nowMs],
    ),
    run(
      client,
      "alert-deadlines",
      `SELECT expires_ms FROM ready ORDER BY expires_ms LIMIT ${String(NEAREST_DEADLINES_MAX)}`,
      [],
    ),
  ]);
  const at = oldest[0]?.[0] ?? null;
  return {
    runnable: { oldestAtMs: at === null ? null : Number(at) },
    nearestDeadlinesMs: deadlines.map(([expires]) => Number(expires)),
  };
}

/** In their grace, and those that were settled by policy and whose cost is still open. */
async function doubts(client: pg.PoolClient): Promise<Partial<AlertReadings>> {
  const limit = String(DOUBTS_MAX);
  const [row] = await run(
    client,
    "alert-doubts",
    `SELECT (SELECT count(*) FROM (SELECT 1 FROM ready WHERE waits_for = 'doubt' LIMIT ${limit}) r)
       + (SELECT count(*) FROM (SELECT 1 FROM costs c JOIN attempts a ON a.no = c.attempt_no AND a.day = c.day
          WHERE c.nano_usd IS NULL AND a.state = 'settled' LIMIT ${limit}) s)`,
    [],
  );
  return { doubts: Number(row?.[0]) };
}

async function batches(client: pg.PoolClient): Promise<Partial<AlertReadings>> {
  const rows = await run(
    client,
    "alert-batches",
    `SELECT no, account, model, lines, submitted_ms, nearest_deadline_ms FROM batches
     WHERE state NOT IN ('done', 'failed') AND submitted_ms IS NOT NULL AND ended_ms IS NULL ORDER BY submitted_ms LIMIT ${String(BATCHES_MAX)}`,
    [],
  );
  return {
    batches: rows.map(([no, account, model, lines, submitted, deadline]): BatchReading => ({
      no: Number(no),
      account: account ?? "",
      model: model ?? null,
      lines: Number(lines),
      submittedAtMs: Number(submitted),
      nearestDeadlineMs: deadline === null || deadline === undefined ? null : Number(deadline),
    })),
  };
}

/** One that nothing was spent of yet stands at zero. */
async function budgets(client: pg.PoolClient, context: LedgerContext, nowMs: EpochMs): Promise<Partial<AlertReadings>> {
  const wanted = context.settings.budgets;
  if (wanted.length === 0) return { budgets: [] };
  const rows = await run(
    client,
    "alert-budgets",
    `SELECT b.tenant_no, b.settled_nano, b.reserved_nano
     FROM unnest($1::int4[], $2::int4[]) AS k(tenant_no, since_day) JOIN budgets b ON b.tenant_no = k.tenant_no AND b.since_day = k.since_day`,
    [
      int4Array(wanted.map(({ tenant }) => context.tenants.noOf(tenant))),
      int4Array(wanted.map(({ window }) => windowSince(window, Math.floor(nowMs / DAY_MS)))),
    ],
  );
  const standings = new Map(
    rows.map(([tenant, settled, reserved]) => [
      Number(tenant),
      { settledNanoUsd: BigInt(settled ?? 0), reservedNanoUsd: BigInt(reserved ?? 0) },
    ]),
  );
  return {
    budgets: wanted.map((budget): BudgetReading => ({
      ...budget,
      ...(standings.get(context.tenants.noOf(budget.tenant)) ?? UNTOUCHED),
    })),
  };
}

async function spend(client: pg.PoolClient, _context: LedgerContext, nowMs: EpochMs): Promise<Partial<AlertReadings>> {
  const [first, rows] = await Promise.all([
    run(client, "alert-spend-first", "SELECT min(quarter) FROM alert_spend", []),
    run(client, "alert-spend", "SELECT quarter, nano_usd FROM alert_spend WHERE quarter = ANY($1::int8[])", [
      int8Array(quartersOfInterest(nowMs)),
    ]),
  ]);
  const quarter = first[0]?.[0] ?? null;
  return {
    spend: {
      firstQuarter: quarter === null ? null : Number(quarter),
      nanoUsd: new Map(rows.map(([at, nanoUsd]) => [Number(at), BigInt(nanoUsd ?? 0)])),
    },
  };
}
