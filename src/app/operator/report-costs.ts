import {
  costLines,
  keyOfLine,
  sharedCalls,
  type CostLine,
  type CostPeriod,
} from "../../adapters/postgres/operator/cost-rows.js";
import { withReport } from "../../adapters/postgres/operator/report-connection.js";
import { missingMigrations } from "../../adapters/postgres/migrate.js";
import type { Config } from "../../config/config.js";
import {
  addCosts,
  allocateShared,
  NO_COSTS,
  withAllocated,
  type Allocation,
  type CostSums,
  type ReportDimension,
} from "../../domain/cost/cost-report.js";

/** What a report is asked for. */
export interface CostQuestion {
  readonly by: readonly ReportDimension[];
  readonly period: CostPeriod;
  readonly allocate: Allocation;
}

export interface CostReport {
  readonly lines: readonly CostLine[];
  readonly total: CostSums;
}

/** A report is for people: more lines than this nobody reads, and they are held in memory. */
export const REPORT_LINES_MAX = 100_000;

/**
 * Adds up the cost records of the ledger at one moment.
 * @throws Error for more than `REPORT_LINES_MAX` lines, or a ledger whose schema is not current.
 */
export async function reportCosts(config: Config, { by, period, allocate }: CostQuestion): Promise<CostReport> {
  const { url } = config.postgres;
  await refuseOldLedger(url);
  return withReport(url, async (client) => {
    const lines = await costLines(client, by, period, REPORT_LINES_MAX);
    if (lines.length > REPORT_LINES_MAX)
      throw new Error(
        `the report has more than ${String(REPORT_LINES_MAX)} lines; ask --by less, or for a shorter time`,
      );
    const told = new Map(lines.map((line) => [keyOfLine(line.of), line]));
    if (allocate !== "payer")
      for await (const { paid, sharers } of sharedCalls(client, by, period))
        for (const { key, nanoUsd } of allocateShared(paid, sharers, allocate)) {
          const line = told.get(key);
          if (line === undefined) throw new Error(`InvariantError: a shared call names the line ${key}, which is none`);
          told.set(key, { ...line, sums: withAllocated(line.sums, nanoUsd) });
        }
    const allocated = [...told.values()];
    return { lines: allocated, total: allocated.reduce((sum, { sums }) => addCosts(sum, sums), NO_COSTS) };
  });
}

/** @throws Error when the ledger's schema is not current. */
export async function refuseOldLedger(databaseUrl: string): Promise<void> {
  const missing = await missingMigrations(databaseUrl);
  if (missing > 0) throw new Error(`the ledger lacks ${String(missing)} migration(s); run: sluice migrate`);
}
