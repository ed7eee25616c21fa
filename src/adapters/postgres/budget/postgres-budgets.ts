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
  type EndedReservation,
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
  Reserved,
  SeenStanding,
  Settled,
  Woken,
} from "../../../ports/budget-store.js";
import { int4Array, int8Array, textArray } from "../binary-array.js";
import { run, send, sendAndCount } from "../connection.js";
import type { EndedAttempt } from "./ended-attempt.js";

/** A row of `budgets`. */
interface BudgetRow {
  readonly key: string;
  readonly sinceMs: number;
}

export interface PostgresReserved extends Reserved {
  /** By attempt, for its row's `reserved_in`; one that is not there holds nothing. */
  readonly reservedIn: ReadonlyMap<number, string>;
}

export const NOTHING_RESERVED: PostgresReserved = { refused: new Map(), reservedIn: new Map() };
const ANYTHING_FITS: AskBudget = () => ({ kind: "fits" });
const NOBODY: Woken = { executions: Promise.resolve(0) };

/**
 * Budgets on PostgreSQL. The limits are the config's; the rows hold what was settled and what is reserved, and are locked from the reservation
 * to the end of its transaction, so two routers decide about the same money one after the other.
 */
export class PostgresBudgets implements BudgetStore<pg.PoolClient, EndedAttempt> {
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

  async reserve(client: pg.PoolClient, wishes: readonly AttemptWish[]): Promise<PostgresReserved> {
    if (!this.any) return NOTHING_RESERVED;
    const windowMs = this.#nowMs();
    const guarded: PlacedWish[] = [];
    const places = new Set<BudgetPlace>();
    for (const { spender, attemptNo, maxNanoUsd } of wishes) {
      const own = maxNanoUsd === 0n ? [] : this.#levels.placesOf(spender, windowMs);
      if (own.length === 0) continue;
      guarded.push({ attemptNo, maxNanoUsd, places: own });
      for (const place of own) places.add(place);
    }
    if (guarded.length === 0) return NOTHING_RESERVED;
    const budgets = await this.#lock(client, [...places]);
    const { granted, refused, standings } = grantWithin(guarded, budgets.standings);
    this.#told([...places], standings);
    holdMoneyOf(client, granted, budgets.numbers);
    return {
      refused: new Map([...refused].map(([attemptNo, { key }]) => [attemptNo, key])),
      reservedIn: reservedIn(granted, budgets.numbers),
    };
  }

  settle(client: pg.PoolClient, attempts: readonly Settled<EndedAttempt>[], nowMs: EpochMs): Promise<Woken> {
    const moves = movesOf(attempts);
    if (moves.length === 0) return Promise.resolve(NOBODY);
    const numbers = int4Array(moves.map(({ no }) => no));
    if (moves.length > 1) send(client, "budgets-lock-numbers", LOCK_NUMBERS, [numbers]);
    moveBudgets(client, numbers, moves);
    const limit = Math.max(...moves.map(({ ended }) => ended.length));
    return Promise.resolve(wakeWaitingFor(client, numbers, limit, nowMs));
  }

  passOn(client: pg.PoolClient, levels: readonly string[], nowMs: EpochMs): Promise<Woken> {
    if (levels.length === 0) return Promise.resolve(NOBODY);
    return Promise.resolve(wakeWaiting(client, new Set(levels), levels.length * BUDGET_PASSED_ON, nowMs));
  }

  release(client: pg.PoolClient, attempts: readonly EndedAttempt[], nowMs: EpochMs): Promise<Woken> {
    const unsent = attempts.map((attempt) => ({ attempt, nanoUsd: 0n }));
    return this.settle(client, unsent, nowMs);
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
  async #lock(client: pg.PoolClient, places: readonly BudgetPlace[]): Promise<LockedBudgets> {
    const keys = keysOf(places);
    let locked = readLocked(await run(client, "budgets-lock", LOCK_ROWS, keys));
    if (locked.standings.size < places.length) {
      // New rows get the highest numbers, and come last in the order of locks.
      await run(
        client,
        "budgets-begin",
        "INSERT INTO budgets (level, since_ms) SELECT * FROM unnest($1::text[], $2::int8[]) AS k(level, since_ms) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
        keys,
      );
      locked = readLocked(await run(client, "budgets-lock", LOCK_ROWS, keys));
    }
    return locked;
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

/** Rows by their place's row. */
interface LockedBudgets {
  readonly standings: Standings;
  readonly numbers: ReadonlyMap<string, number>;
}

function readLocked(rows: readonly (readonly (string | null)[])[]): LockedBudgets {
  const numbers = new Map(rows.map(([level, sinceMs, , , no]) => [rowKey(level ?? "", Number(sinceMs)), Number(no)]));
  return { standings: readStandings(rows), numbers };
}

const LOCK_ROWS = `SELECT b.level, b.since_ms, b.settled_nano, b.reserved_nano, b.no
  FROM unnest($1::text[], $2::int8[]) AS k(level, since_ms) JOIN budgets b ON b.level = k.level AND b.since_ms = k.since_ms
  ORDER BY b.no + 0 FOR UPDATE OF b`;
export const LOCK_NUMBERS =
  "SELECT 1 FROM unnest($1::int4[]) AS k(no) JOIN budgets b ON b.no = k.no ORDER BY b.no + 0 FOR UPDATE OF b";

function numberOf({ row }: BudgetPlace, numbers: ReadonlyMap<string, number>): number {
  const no = numbers.get(row);
  if (no === undefined) throw new Error(`InvariantError: budget ${row} is not locked`);
  return no;
}

/** By attempt, as PostgreSQL writes an array: the numbers of the budgets that it counts in. Most attempts of a group share one. */
function reservedIn(granted: readonly PlacedWish[], numbers: ReadonlyMap<string, number>): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  const texts = new Map<string, string>();
  for (const { attemptNo, places } of granted) {
    const list = places.map((place) => numberOf(place, numbers)).join(",");
    let text = texts.get(list);
    if (text === undefined) texts.set(list, (text = `{${list}}`));
    found.set(attemptNo, text);
  }
  return found;
}

function holdMoneyOf(
  client: pg.PoolClient,
  granted: readonly PlacedWish[],
  numbers: ReadonlyMap<string, number>,
): void {
  if (granted.length === 0) return;
  const sums = new Map<BudgetPlace, bigint>();
  for (const { maxNanoUsd, places } of granted)
    for (const place of places) sums.set(place, (sums.get(place) ?? 0n) + maxNanoUsd);
  send(
    client,
    "budgets-hold",
    `UPDATE budgets b SET reserved_nano = b.reserved_nano + u.held FROM unnest($1::int4[], $2::int8[]) AS u(no, held) WHERE b.no = u.no`,
    [int4Array([...sums.keys()].map((place) => numberOf(place, numbers))), int8Array([...sums.values()])],
  );
}

interface BudgetMove {
  readonly no: number;
  readonly ended: EndedReservation[];
}

/** How each budget moves, in the order of their numbers. */
function movesOf(attempts: readonly Settled<EndedAttempt>[]): readonly BudgetMove[] {
  const budgets = new Map<number, BudgetMove>();
  const lists = new Map<string, readonly BudgetMove[]>();
  for (const { attempt, nanoUsd } of attempts) {
    if (attempt.reservedIn === null) continue;
    let moves = lists.get(attempt.reservedIn);
    if (moves === undefined) {
      moves = numbersIn(attempt.reservedIn).map((no) => {
        const known = budgets.get(no) ?? { no, ended: [] };
        budgets.set(no, known);
        return known;
      });
      lists.set(attempt.reservedIn, moves);
    }
    const ended = { maxNanoUsd: attempt.maxNanoUsd, nanoUsd };
    for (const move of moves) move.ended.push(ended);
  }
  return [...budgets.values()].sort((a, b) => a.no - b.no);
}

function numbersIn(array: string): readonly number[] {
  return array.slice(1, -1).split(",").map(Number);
}

function moveBudgets(client: pg.PoolClient, numbers: Buffer, moves: readonly BudgetMove[]): void {
  const by = moves.map(({ ended }) => settlementOf(ended));
  send(
    client,
    "budgets-move",
    `UPDATE budgets b SET settled_nano = b.settled_nano + u.settled, reserved_nano = b.reserved_nano + u.reserved
     FROM unnest($1::int4[], $2::int8[], $3::int8[]) AS u(no, settled, reserved) WHERE b.no = u.no`,
    [
      numbers,
      int8Array(by.map(({ settledNanoUsd }) => settledNanoUsd)),
      int8Array(by.map(({ reservedNanoUsd }) => reservedNanoUsd)),
    ],
  );
}

/**
 * As many executions of each level as reservations ended: each left room for about one. Behind the lock of the budget, so that one which was
 * refused just before is there already. Rows that somebody holds are passed over: a wait for one could never end.
 */
function wakeWaiting(client: pg.PoolClient, levels: ReadonlySet<string>, limit: number, nowMs: EpochMs): Woken {
  const from = "unnest($1::text[]) AS k(level)";
  return {
    executions: sendAndCount(client, "ready-wake-budget", wakeOf(from), [textArray([...levels]), nowMs, limit]),
  };
}

/** The same for budgets by their numbers. */
export function wakeWaitingFor(client: pg.PoolClient, numbers: Buffer | string, limit: number, nowMs: EpochMs): Woken {
  const from = "(SELECT DISTINCT b.level FROM unnest($1::int4[]) AS n(no) JOIN budgets b ON b.no = n.no) k";
  return { executions: sendAndCount(client, "ready-wake-budgets", wakeOf(from), [numbers, nowMs, limit]) };
}

function wakeOf(levels: string): string {
  return `UPDATE ready r SET run_at_ms = $2
     FROM ${levels} CROSS JOIN LATERAL (
       SELECT q.no FROM ready q WHERE q.waits_for = 'budget' AND q.waits_level = k.level AND q.run_at_ms > $2
       ORDER BY q.no LIMIT $3 FOR UPDATE SKIP LOCKED) w
     WHERE r.no = w.no RETURNING 1`;
}
