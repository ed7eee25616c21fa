import type pg from "pg";
import {
  askBudget,
  BUDGET_PASSED_ON,
  grantWithin,
  settlementOf,
  UNTOUCHED,
  windowSince,
  type Budget,
  type BudgetStanding,
} from "../../../domain/budget/budget.js";
import type { EpochMs } from "../../../domain/ids.js";
import type {
  AskBudget,
  AttemptWish,
  BudgetStore,
  RenumberedAttempt,
  SettledAttempt,
} from "../../../ports/budget-store.js";
import { int4Array, int8Array } from "../binary-array.js";
import { run, send } from "../connection.js";

/** Numbers of tenants; known for every tenant with a budget. */
interface TenantNumbering {
  noOf(name: string): number;
}

/** A row of `budgets`. */
interface BudgetRow {
  readonly tenantNo: number;
  readonly sinceDay: number;
}

interface WantedRow extends BudgetRow {
  readonly budget: Budget;
}

const NONE: ReadonlySet<number> = new Set();
const ANYTHING_FITS: AskBudget = () => ({ kind: "fits" });

/**
 * Budgets on PostgreSQL. The limit is the config's; the row holds what was settled and what is reserved, and is locked from the reservation
 * to the end of its transaction, so two routers decide about the same money one after the other.
 */
export class PostgresBudgets implements BudgetStore<pg.PoolClient> {
  readonly #budgets: ReadonlyMap<string, Budget>;
  readonly #tenants: TenantNumbering;
  readonly #today: () => number;

  /** @param today days since 1970-01-01 UTC on the database's clock. */
  constructor(budgets: readonly Budget[], tenants: TenantNumbering, today: () => number) {
    this.#budgets = new Map(budgets.map((budget) => [budget.tenant, budget]));
    this.#tenants = tenants;
    this.#today = today;
  }

  /** Whether any tenant has a budget. */
  get any(): boolean {
    return this.#budgets.size > 0;
  }

  guards(tenant: string): boolean {
    return this.#budgets.has(tenant);
  }

  async look(client: pg.PoolClient, tenants: readonly string[], nowMs: EpochMs): Promise<AskBudget> {
    const wanted = this.#rowsOf(tenants);
    if (wanted.length === 0) return ANYTHING_FITS;
    const rows = await run(
      client,
      "budgets-look",
      `SELECT b.tenant_no, b.settled_nano, b.reserved_nano
       FROM unnest($1::int4[], $2::int4[]) AS k(tenant_no, since_day) JOIN budgets b ON b.tenant_no = k.tenant_no AND b.since_day = k.since_day`,
      keysOf(wanted),
    );
    const standings = readStandings(rows);
    return (tenant, maxNanoUsd) => {
      const budget = this.#budgets.get(tenant);
      if (budget === undefined) return { kind: "fits" };
      return askBudget(budget, standings.get(this.#tenants.noOf(tenant)) ?? UNTOUCHED, maxNanoUsd, nowMs);
    };
  }

  async reserve(client: pg.PoolClient, wishes: readonly AttemptWish[]): Promise<ReadonlySet<number>> {
    const guarded = wishes.filter(({ tenant, maxNanoUsd }) => maxNanoUsd > 0n && this.guards(tenant));
    if (guarded.length === 0) return NONE;
    const wanted = this.#rowsOf(guarded.map(({ tenant }) => tenant));
    const standings = await lockRows(client, wanted);
    const granted = wanted.flatMap((row) => {
      const { tenant } = row.budget;
      const own = guarded.filter((wish) => wish.tenant === tenant);
      return grantWithin(row.budget, standings.get(row.tenantNo) ?? UNTOUCHED, own).map((wish) => ({ ...wish, row }));
    });
    keepReservations(client, granted);
    const kept = new Set(granted.map(({ attemptNo }) => attemptNo));
    return new Set(guarded.flatMap(({ attemptNo }) => (kept.has(attemptNo) ? [] : [attemptNo])));
  }

  async settle(client: pg.PoolClient, attempts: readonly SettledAttempt[], nowMs: EpochMs): Promise<void> {
    if (this.#budgets.size === 0 || attempts.length === 0) return;
    const costs = new Map(attempts.map(({ attemptNo, nanoUsd }) => [attemptNo, nanoUsd]));
    // Rows of attempts whose own rows this transaction holds: nobody else deletes them now.
    const rows = await run(
      client,
      "reservations-end",
      "DELETE FROM reservations WHERE attempt_no = ANY($1::int8[]) RETURNING attempt_no, tenant_no, since_day, max_nano",
      [int8Array([...costs.keys()])],
    );
    if (rows.length === 0) return;
    const moves = movesOf(rows, costs);
    lockInOrder(client, moves);
    moveBudgets(client, moves);
    wakeWaiting(
      client,
      moves.map(({ tenantNo }) => tenantNo),
      rows.length,
      nowMs,
    );
  }

  passOn(client: pg.PoolClient, tenants: readonly string[], nowMs: EpochMs): Promise<void> {
    const tenantNos = this.#rowsOf(tenants).map(({ tenantNo }) => tenantNo);
    if (tenantNos.length > 0) wakeWaiting(client, tenantNos, tenants.length * BUDGET_PASSED_ON, nowMs);
    return Promise.resolve();
  }

  renumber(client: pg.PoolClient, attempts: readonly RenumberedAttempt[]): Promise<void> {
    if (this.any && attempts.length > 0)
      send(
        client,
        "reservations-renumber",
        "UPDATE reservations r SET attempt_no = u.new FROM unnest($1::int8[], $2::int8[]) AS u(old, new) WHERE r.attempt_no = u.old",
        [int8Array(attempts.map(({ from }) => from)), int8Array(attempts.map(({ to }) => to))],
      );
    return Promise.resolve();
  }

  release(client: pg.PoolClient, attemptNos: readonly number[], nowMs: EpochMs): Promise<void> {
    const attempts = attemptNos.map((attemptNo) => ({ attemptNo, nanoUsd: 0n }));
    return this.settle(client, attempts, nowMs);
  }

  /** The rows of the budgets of these tenants in the window that is, in the order in which they are locked. */
  #rowsOf(tenants: readonly string[]): WantedRow[] {
    if (this.#budgets.size === 0) return [];
    const day = this.#today();
    return [...new Set(tenants)]
      .flatMap((tenant): WantedRow[] => {
        const budget = this.#budgets.get(tenant);
        if (budget === undefined) return [];
        return [{ budget, tenantNo: this.#tenants.noOf(tenant), sinceDay: windowSince(budget.window, day) }];
      })
      .sort(byKey);
  }
}

function byKey(a: BudgetRow, b: BudgetRow): number {
  return a.tenantNo - b.tenantNo || a.sinceDay - b.sinceDay;
}

function keysOf(rows: readonly BudgetRow[]): readonly [Buffer, Buffer] {
  return [int4Array(rows.map(({ tenantNo }) => tenantNo)), int4Array(rows.map(({ sinceDay }) => sinceDay))];
}

/** By the tenant's number: of each tenant one window was asked for. */
function readStandings(rows: readonly (readonly (string | null)[])[]): Map<number, BudgetStanding> {
  return new Map(
    rows.map(([tenantNo, settled, reserved]) => [
      Number(tenantNo),
      { settledNanoUsd: BigInt(settled ?? 0), reservedNanoUsd: BigInt(reserved ?? 0) },
    ]),
  );
}

const LOCK_ROWS = `SELECT b.tenant_no, b.settled_nano, b.reserved_nano
  FROM unnest($1::int4[], $2::int4[]) AS k(tenant_no, since_day) JOIN budgets b ON b.tenant_no = k.tenant_no AND b.since_day = k.since_day
  ORDER BY b.tenant_no + 0, b.since_day + 0 FOR UPDATE OF b`;

/** Locked until the transaction ends. A budget that nobody has touched in this window has no row yet. */
async function lockRows(client: pg.PoolClient, wanted: readonly WantedRow[]): Promise<Map<number, BudgetStanding>> {
  const found = readStandings(await run(client, "budgets-lock", LOCK_ROWS, keysOf(wanted)));
  if (found.size === wanted.length) return found;
  // Rows that are missing have lower keys than some that are locked now: two routers that begin a window at once may meet crosswise, and
  // the deadlock is tried again.
  await run(
    client,
    "budgets-begin",
    "INSERT INTO budgets (tenant_no, since_day) SELECT * FROM unnest($1::int4[], $2::int4[]) ON CONFLICT DO NOTHING",
    keysOf(wanted),
  );
  return readStandings(await run(client, "budgets-lock", LOCK_ROWS, keysOf(wanted)));
}

function keepReservations(
  client: pg.PoolClient,
  granted: readonly { readonly attemptNo: number; readonly maxNanoUsd: bigint; readonly row: BudgetRow }[],
): void {
  if (granted.length === 0) return;
  send(
    client,
    "reservations-insert",
    `WITH kept AS (
       INSERT INTO reservations (attempt_no, tenant_no, since_day, max_nano)
       SELECT * FROM unnest($1::int8[], $2::int4[], $3::int4[], $4::int8[]) RETURNING tenant_no, since_day, max_nano)
     UPDATE budgets b SET reserved_nano = b.reserved_nano + k.sum
     FROM (SELECT tenant_no, since_day, sum(max_nano)::int8 AS sum FROM kept GROUP BY tenant_no, since_day) k
     WHERE b.tenant_no = k.tenant_no AND b.since_day = k.since_day`,
    [
      int8Array(granted.map(({ attemptNo }) => attemptNo)),
      ...keysOf(granted.map(({ row }) => row)),
      int8Array(granted.map(({ maxNanoUsd }) => maxNanoUsd)),
    ],
  );
}

interface BudgetMove extends BudgetRow {
  readonly by: BudgetStanding;
}

/** How each budget moves, in the order in which they are locked. */
function movesOf(
  rows: readonly (readonly (string | null)[])[],
  costs: ReadonlyMap<number, bigint | null>,
): readonly BudgetMove[] {
  const ended = rows.map(([attemptNo, tenantNo, sinceDay, max]) => ({
    tenantNo: Number(tenantNo),
    sinceDay: Number(sinceDay),
    maxNanoUsd: BigInt(max ?? 0),
    nanoUsd: costs.get(Number(attemptNo)) ?? null,
  }));
  const budgets = new Map(ended.map((one) => [`${String(one.tenantNo)}:${String(one.sinceDay)}`, one]));
  return [...budgets.values()].sort(byKey).map(({ tenantNo, sinceDay }) => ({
    tenantNo,
    sinceDay,
    by: settlementOf(ended.filter((one) => one.tenantNo === tenantNo && one.sinceDay === sinceDay)),
  }));
}

function lockInOrder(client: pg.PoolClient, moves: readonly BudgetMove[]): void {
  if (moves.length > 1) send(client, "budgets-lock", LOCK_ROWS, keysOf(moves));
}

function moveBudgets(client: pg.PoolClient, moves: readonly BudgetMove[]): void {
  send(
    client,
    "budgets-move",
    `UPDATE budgets b SET settled_nano = b.settled_nano + u.settled, reserved_nano = b.reserved_nano + u.reserved
     FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[]) AS u(tenant_no, since_day, settled, reserved)
     WHERE b.tenant_no = u.tenant_no AND b.since_day = u.since_day`,
    [
      ...keysOf(moves),
      int8Array(moves.map(({ by }) => by.settledNanoUsd)),
      int8Array(moves.map(({ by }) => by.reservedNanoUsd)),
    ],
  );
}

/**
 * As many executions as reservations ended: each left room for about one. Behind the lock of the budget, so that one which was refused
 * just before is there already. Rows that somebody holds are passed over: a wait for one could never end.
 */
function wakeWaiting(client: pg.PoolClient, tenantNos: readonly number[], limit: number, nowMs: EpochMs): void {
  send(
    client,
    "ready-wake-budget",
    `UPDATE ready r SET run_at_ms = $2 FROM (
       SELECT q.no FROM ready q JOIN executions e ON e.no = q.no AND e.day = q.day
       WHERE q.waits_for = 'budget' AND q.run_at_ms > $2 AND e.tenant_no = ANY($1::int4[])
       ORDER BY q.no LIMIT $3 FOR UPDATE OF q SKIP LOCKED) w
     WHERE r.no = w.no`,
    [int4Array(tenantNos), nowMs, limit],
  );
}
