import type pg from "pg";
import type { Budget, LevelStanding } from "../../../domain/budget/budget.js";
import { rowKey } from "../../../domain/budget/budget-levels.js";
import type { EpochMs } from "../../../domain/ids.js";
import { PostgresBudgets } from "../budget/postgres-budgets.js";
import { run } from "../connection.js";

/** A budget as it stands in the window that is. */
export interface BudgetLine extends LevelStanding {
  /** Attempts without an outcome, those in doubt included. */
  readonly reservations: number;
  /** Of these, in doubt; what they hold is only free once somebody says what they cost. */
  readonly inDoubt: number;
  readonly inDoubtNanoUsd: bigint;
}

/** One that nothing was spent of yet stands at zero. No index holds what is reserved, so where some is all days that are kept are read. */
export async function budgetLines(
  pool: pg.Pool,
  budgets: readonly Budget[],
  nowMs: () => EpochMs,
): Promise<readonly BudgetLine[]> {
  const standings = await new PostgresBudgets(budgets, nowMs).standings(pool);
  const held = standings.some(({ reservedNanoUsd }) => reservedNanoUsd > 0n)
    ? await heldByRow(pool)
    : new Map<string, Held>();
  return standings.map((standing) => ({ ...standing, ...(held.get(standing.row) ?? NOTHING_HELD) }));
}

type Held = Pick<BudgetLine, "reservations" | "inDoubt" | "inDoubtNanoUsd">;
const NOTHING_HELD: Held = { reservations: 0, inDoubt: 0, inDoubtNanoUsd: 0n };

async function heldByRow(pool: pg.Pool): Promise<ReadonlyMap<string, Held>> {
  const rows = await run(
    pool,
    "budgets-held",
    `SELECT b.level, b.since_ms, count(*), count(*) FILTER (WHERE h.doubtful), coalesce(sum(h.max_nano) FILTER (WHERE h.doubtful), 0)
     FROM (SELECT unnest(a.reserved_in) AS no, a.max_nano, a.state IN ('in_doubt', 'settled') AS doubtful
           FROM attempts a WHERE a.reserved_in IS NOT NULL) h
       JOIN budgets b ON b.no = h.no
     GROUP BY b.no`,
    [],
  );
  return new Map(
    rows.map(([level, sinceMs, reservations, inDoubt, inDoubtNanoUsd]) => [
      rowKey(level ?? "", Number(sinceMs)),
      { reservations: Number(reservations), inDoubt: Number(inDoubt), inDoubtNanoUsd: BigInt(inDoubtNanoUsd ?? 0) },
    ]),
  );
}
