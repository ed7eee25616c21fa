import type pg from "pg";
import {
  askBudgets,
  BUDGET_PASSED_ON,
  grantWithin,
  settlementOf,
  UNTOUCHED,
  type Budget,
  type BudgetPlace,
  type BudgetStanding,
  type LevelStanding,
  type PlacedWish,
  type Standings,
} from "../../../domain/budget/budget.js";
import { BudgetLevels, rowKey, type Payer, type Spender } from "../../../domain/budget/budget-levels.js";
import type { EpochMs } from "../../../domain/ids.js";
import type {
  AskBudget,
  AttemptWish,
  BudgetStore,
  RefusedWishes,
  RenumberedAttempt,
  SeenStanding,
  SettledAttempt,
  Woken,
} from "../../../ports/budget-store.js";
import { int8Array, textArray } from "../binary-array.js";
import { run, send, sendAndCount } from "../connection.js";

/** A row of `budgets`. */
interface BudgetRow {
  readonly key: string;
  readonly sinceMs: number;
}

const NONE: RefusedWishes = new Map();
const ANYTHING_FITS: AskBudget = () => ({ kind: "fits" });
const NOBODY: Woken = { executions: Promise.resolve(0) };

/**
 * Budgets on PostgreSQL. The limits are the config's; the rows hold what was settled and what is reserved, and are locked from the reservation
 * to the end of its transaction, so two routers decide about the same money one after the other.
 */
export class PostgresBudgets implements BudgetStore<pg.PoolClient> {
  readonly #levels: BudgetLevels;
  readonly #nowMs: () => EpochMs;
  readonly #seen: SeenStanding | undefined;

  /** @param nowMs of the database's clock: which window is. */
  constructor(budgets: readonly Budget[], nowMs: () => EpochMs, seen?: SeenStanding) {
    this.#levels = new BudgetLevels(budgets);
    this.#nowMs = nowMs;
    this.#seen = seen;
  }

  /** Whether there is a budget at all. */
  get any(): boolean {
    return this.#levels.any;
  }

  guards(spender: Pick<Spender, "tenant" | "account">): boolean {
    return this.#levels.guards(spender);
  }

  /** Whether what a call of this tenant may do depends on money, wherever it is made. */
  guardsTenant(tenant: string): boolean {
    return this.#levels.guardsTenant(tenant);
  }

  /** Whether the labels of a payer of this tenant decide anything. */
  asksForLabels(tenant: string): boolean {
    return this.#levels.asksForLabels(tenant);
  }

  async look(client: pg.PoolClient, payers: readonly Payer[], nowMs: EpochMs): Promise<AskBudget> {
    const windowMs = this.#nowMs();
    const places = this.#levels.placesAround(payers, windowMs);
    if (places.length === 0) return ANYTHING_FITS;
    const standings = await this.#read(client, places);
    return (spender, maxNanoUsd) => askBudgets(this.#levels.placesOf(spender, windowMs), standings, maxNanoUsd, nowMs);
  }

  async reserve(client: pg.PoolClient, wishes: readonly AttemptWish[]): Promise<RefusedWishes> {
    if (!this.any) return NONE;
    const windowMs = this.#nowMs();
    const guarded = wishes.flatMap(({ spender, attemptNo, maxNanoUsd }): PlacedWish[] => {
      if (maxNanoUsd === 0n || !this.guards(spender)) return [];
      const places = this.#levels.placesOf(spender, windowMs);
      return places.length === 0 ? [] : [{ attemptNo, maxNanoUsd, places }];
    });
    if (guarded.length === 0) return NONE;
    const places = [...new Set(guarded.flatMap((wish) => wish.places))];
    const standings = await this.#lock(client, places);
    const { granted, refused } = grantWithin(guarded, standings);
    keepReservations(client, granted);
    return new Map([...refused].map(([attemptNo, { key }]) => [attemptNo, key]));
  }

  async settle(client: pg.PoolClient, attempts: readonly SettledAttempt[], nowMs: EpochMs): Promise<Woken> {
    if (!this.any || attempts.length === 0) return NOBODY;
    const costs = new Map(attempts.map(({ attemptNo, nanoUsd }) => [attemptNo, nanoUsd]));
    // Rows of attempts whose own rows this transaction holds: nobody else deletes them now.
    const rows = await run(
      client,
      "reservations-end",
      "DELETE FROM reservations WHERE attempt_no = ANY($1::int8[]) RETURNING attempt_no, level, since_ms, max_nano",
      [int8Array([...costs.keys()])],
    );
    if (rows.length === 0) return NOBODY;
    const moves = movesOf(rows, costs);
    if (moves.length > 1) send(client, "budgets-lock", LOCK_ROWS, keysOf(moves));
    moveBudgets(client, moves);
    const limit = Math.max(...moves.map(({ ended }) => ended));
    return wakeWaiting(client, new Set(moves.map(({ key }) => key)), limit, nowMs);
  }

  passOn(client: pg.PoolClient, levels: readonly string[], nowMs: EpochMs): Promise<Woken> {
    if (levels.length === 0) return Promise.resolve(NOBODY);
    return Promise.resolve(wakeWaiting(client, new Set(levels), levels.length * BUDGET_PASSED_ON, nowMs));
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

  release(client: pg.PoolClient, attemptNos: readonly number[], nowMs: EpochMs): Promise<Woken> {
    const attempts = attemptNos.map((attemptNo) => ({ attemptNo, nanoUsd: 0n }));
    return this.settle(client, attempts, nowMs);
  }

  /** All budgets in the windows that are. */
  async standings(client: pg.PoolClient | pg.Pool): Promise<readonly LevelStanding[]> {
    const places = this.#levels.all(this.#nowMs());
    const standings = places.length === 0 ? new Map<string, BudgetStanding>() : await this.#read(client, places);
    return places.map((place) => ({ ...place, ...(standings.get(place.row) ?? UNTOUCHED) }));
  }

  async #read(client: pg.PoolClient | pg.Pool, places: readonly BudgetPlace[]): Promise<Standings> {
    const rows = await run(
      client,
      "budgets-look",
      `SELECT b.level, b.since_ms, b.settled_nano, b.reserved_nano
       FROM unnest($1::text[], $2::int8[]) AS k(level, since_ms) JOIN budgets b ON b.level = k.level AND b.since_ms = k.since_ms`,
      keysOf(places),
    );
    return this.#told(places, readStandings(rows));
  }

  /** Locked until the transaction ends. A budget that nobody has touched in this window has no row yet. */
  async #lock(client: pg.PoolClient, places: readonly BudgetPlace[]): Promise<Standings> {
    const found = readStandings(await run(client, "budgets-lock", LOCK_ROWS, keysOf(places)));
    if (found.size === places.length) return this.#told(places, found);
    // Rows that are missing may have lower keys than some that are locked now: two routers that begin a window at once may meet crosswise,
    // and the deadlock is tried again.
    await run(
      client,
      "budgets-begin",
      "INSERT INTO budgets (level, since_ms) SELECT * FROM unnest($1::text[], $2::int8[]) AS k(level, since_ms) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
      keysOf(places),
    );
    return this.#told(places, readStandings(await run(client, "budgets-lock", LOCK_ROWS, keysOf(places))));
  }

  #told(places: readonly BudgetPlace[], standings: Standings): Standings {
    if (this.#seen !== undefined) for (const place of places) this.#seen(place, standings.get(place.row) ?? UNTOUCHED);
    return standings;
  }
}

function keysOf(rows: readonly BudgetRow[]): readonly [Buffer, Buffer] {
  return [textArray(rows.map(({ key }) => key)), int8Array(rows.map(({ sinceMs }) => sinceMs))];
}

function readStandings(rows: readonly (readonly (string | null)[])[]): Standings {
  return new Map(
    rows.map(([level, sinceMs, settled, reserved]) => [
      rowKey(level ?? "", Number(sinceMs)),
      { settledNanoUsd: BigInt(settled ?? 0), reservedNanoUsd: BigInt(reserved ?? 0) },
    ]),
  );
}

const LOCK_ROWS = `SELECT b.level, b.since_ms, b.settled_nano, b.reserved_nano
  FROM unnest($1::text[], $2::int8[]) AS k(level, since_ms) JOIN budgets b ON b.level = k.level AND b.since_ms = k.since_ms
  ORDER BY b.level || '', b.since_ms + 0 FOR UPDATE OF b`;

function keepReservations(client: pg.PoolClient, granted: readonly PlacedWish[]): void {
  if (granted.length === 0) return;
  const rows = granted.flatMap(({ attemptNo, maxNanoUsd, places }) =>
    places.map(({ key, sinceMs }) => ({ attemptNo, maxNanoUsd, key, sinceMs })),
  );
  send(
    client,
    "reservations-insert",
    `WITH kept AS (
       INSERT INTO reservations (attempt_no, level, since_ms, max_nano)
       SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::int8[]) RETURNING level, since_ms, max_nano)
     UPDATE budgets b SET reserved_nano = b.reserved_nano + k.sum
     FROM (SELECT level, since_ms, sum(max_nano)::int8 AS sum FROM kept GROUP BY level, since_ms) k
     WHERE b.level = k.level AND b.since_ms = k.since_ms`,
    [
      int8Array(rows.map(({ attemptNo }) => attemptNo)),
      ...keysOf(rows),
      int8Array(rows.map(({ maxNanoUsd }) => maxNanoUsd)),
    ],
  );
}

interface BudgetMove extends BudgetRow {
  readonly by: BudgetStanding;
  /** Reservations. */
  readonly ended: number;
}

/** How each budget moves. */
function movesOf(
  rows: readonly (readonly (string | null)[])[],
  costs: ReadonlyMap<number, bigint | null>,
): readonly BudgetMove[] {
  const budgets = new Map<
    string,
    { readonly row: BudgetRow; readonly ended: Parameters<typeof settlementOf>[0][number][] }
  >();
  for (const [attemptNo, level, sinceMs, max] of rows) {
    const row = { key: level ?? "", sinceMs: Number(sinceMs) };
    const name = rowKey(row.key, row.sinceMs);
    const budget = budgets.get(name) ?? { row, ended: [] };
    budget.ended.push({ maxNanoUsd: BigInt(max ?? 0), nanoUsd: costs.get(Number(attemptNo)) ?? null });
    budgets.set(name, budget);
  }
  return [...budgets.values()].map(({ row, ended }) => ({ ...row, by: settlementOf(ended), ended: ended.length }));
}

function moveBudgets(client: pg.PoolClient, moves: readonly BudgetMove[]): void {
  send(
    client,
    "budgets-move",
    `UPDATE budgets b SET settled_nano = b.settled_nano + u.settled, reserved_nano = b.reserved_nano + u.reserved
     FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[]) AS u(level, since_ms, settled, reserved)
     WHERE b.level = u.level AND b.since_ms = u.since_ms`,
    [
      ...keysOf(moves),
      int8Array(moves.map(({ by }) => by.settledNanoUsd)),
      int8Array(moves.map(({ by }) => by.reservedNanoUsd)),
    ],
  );
}

/**
 * As many executions of each level as reservations ended: each left room for about one. Behind the lock of the budget, so that one which was
 * refused just before is there already. Rows that somebody holds are passed over: a wait for one could never end.
 */
function wakeWaiting(client: pg.PoolClient, levels: ReadonlySet<string>, limit: number, nowMs: EpochMs): Woken {
  const executions = sendAndCount(
    client,
    "ready-wake-budget",
    `UPDATE ready r SET run_at_ms = $2
     FROM unnest($1::text[]) AS k(level) CROSS JOIN LATERAL (
       SELECT q.no FROM ready q WHERE q.waits_for = 'budget' AND q.waits_level = k.level AND q.run_at_ms > $2
       ORDER BY q.no LIMIT $3 FOR UPDATE SKIP LOCKED) w
     WHERE r.no = w.no RETURNING 1`,
    [textArray([...levels]), nowMs, limit],
  );
  return { executions };
}
