import type pg from "pg";
import type { Budget, LevelStanding } from "../../../domain/budget/budget.js";
import { int8Array, textArray } from "../binary-array.js";
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

/** One that nothing was spent of yet stands at zero. */
export async function budgetLines(pool: pg.Pool, budgets: readonly Budget[]): Promise<readonly BudgetLine[]> {
  const [now] = await run(pool, "database-now", "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8", []);
  const standings = await new PostgresBudgets(budgets, () => Number(now?.[0])).standings(pool);
  const rows = await run(
    pool,
    "budgets-list",
    `SELECT u.place, count(r.attempt_no), count(a.no), coalesce(sum(r.max_nano) FILTER (WHERE a.no IS NOT NULL), 0)
     FROM unnest($1::text[], $2::int8[]) WITH ORDINALITY AS u(level, since, place)
     JOIN reservations r ON r.level = u.level AND r.since_ms = u.since
     LEFT JOIN attempts a ON a.no = r.attempt_no AND a.state IN ('in_doubt', 'settled')
     GROUP BY u.place`,
    [textArray(standings.map(({ key }) => key)), int8Array(standings.map(({ sinceMs }) => sinceMs))],
  );
  const byPlace = new Map(rows.map(([place, ...held]) => [Number(place), held]));
  return standings.map((standing, index) => {
    const [reservations, inDoubt, doubtful] = byPlace.get(index + 1) ?? [];
    return {
      ...standing,
      reservations: Number(reservations ?? 0),
      inDoubt: Number(inDoubt ?? 0),
      inDoubtNanoUsd: BigInt(doubtful ?? 0),
    };
  });
}
