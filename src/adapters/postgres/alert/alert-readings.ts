import type pg from "pg";
import {
  BATCHES_MAX,
  DOUBTS_MAX,
  NEAREST_DEADLINES_MAX,
  type AlertReadings,
  type BatchReading,
} from "../../../domain/alert/readings.js";
import { quarterOf, quartersOfInterest, QUARTERS_KEPT } from "../../../domain/alert/spend-pattern.js";
import type { EpochMs } from "../../../domain/ids.js";
import { int8Array } from "../binary-array.js";
import { run, send } from "../connection.js";
import { breakers } from "../health/breaker-rows.js";
import type { LedgerContext } from "../ledger-context.js";
import { oldestRunnable } from "../oldest-runnable.js";

type Source = (client: pg.PoolClient, context: LedgerContext, nowMs: EpochMs) => Promise<Partial<AlertReadings>>;

/** One bounded statement a source, each by an index or on a small table. */
const SOURCES: readonly Source[] = [queue, doubts, batches, budgets, breakerStates, spend];

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
    run(client, "alert-runnable", `SELECT ${oldestRunnable("$1::int8")}`, [nowMs]),
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

async function budgets(client: pg.PoolClient, context: LedgerContext): Promise<Partial<AlertReadings>> {
  return { budgets: await context.budgets.standings(client) };
}

async function breakerStates(client: pg.PoolClient): Promise<Partial<AlertReadings>> {
  const rows = await breakers(client);
  return {
    breakers: rows.map(({ account, model, state, because }) => ({
      account,
      model,
      open: state !== "closed",
      reason: because,
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
