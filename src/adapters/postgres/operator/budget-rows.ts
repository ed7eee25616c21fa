import type pg from "pg";
import { windowSince, type Budget, type BudgetStanding } from "../../../domain/budget/budget.js";
import { int4Array, textArray } from "../binary-array.js";
import { run } from "../connection.js";

/** A budget as it stands in the window that is. */
export interface BudgetLine extends Budget, BudgetStanding {
  /** The window's first day, in days since 1970-01-01 UTC; null: all time. */
  readonly sinceDay: number | null;
  /** Attempts without an outcome, those in doubt included. */
  readonly reservations: number;
  /** Of these, in doubt; what they hold is only free once somebody says what they cost. */
  readonly inDoubt: number;
  readonly inDoubtNanoUsd: bigint;
}

/** In the order given. One that nothing was spent of yet stands at zero. */
export async function budgetLines(pool: pg.Pool, budgets: readonly Budget[]): Promise<readonly BudgetLine[]> {
  const [now] = await run(
    pool,
    "database-day",
    "SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::int4",
    [],
  );
  const since = budgets.map(({ window }) => windowSince(window, Number(now?.[0])));
  const rows = await run(
    pool,
    "budgets-list",
    `SELECT u.place, b.settled_nano, b.reserved_nano, count(r.attempt_no), count(a.no), coalesce(sum(r.max_nano) FILTER (WHERE a.no IS NOT NULL), 0)
     FROM unnest($1::text[], $2::int4[]) WITH ORDINALITY AS u(tenant, since, place)
     JOIN tenants t ON t.name = u.tenant JOIN budgets b ON b.tenant_no = t.no AND b.since_day = u.since
     LEFT JOIN reservations r ON r.tenant_no = b.tenant_no AND r.since_day = b.since_day
     LEFT JOIN attempts a ON a.no = r.attempt_no AND a.state IN ('in_doubt', 'settled')
     GROUP BY u.place, b.settled_nano, b.reserved_nano`,
    [textArray(budgets.map(({ tenant }) => tenant)), int4Array(since)],
  );
  const byPlace = new Map(rows.map(([place, ...standing]) => [Number(place), standing]));
  return budgets.map((budget, index) => {
    const [settled, reserved, reservations, inDoubt, doubtful] = byPlace.get(index + 1) ?? [];
    return {
      ...budget,
      sinceDay: budget.window === "total" ? null : (since[index] ?? null),
      settledNanoUsd: BigInt(settled ?? 0),
      reservedNanoUsd: BigInt(reserved ?? 0),
      reservations: Number(reservations ?? 0),
      inDoubt: Number(inDoubt ?? 0),
      inDoubtNanoUsd: BigInt(doubtful ?? 0),
    };
  });
}
