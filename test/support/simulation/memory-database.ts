import { BATCH_TRANSITIONS } from "../../../src/domain/batch/batch.js";
import { LETTER_TRANSITIONS } from "../../../src/domain/dead-letter/where.js";
import type { Budget } from "../../../src/domain/budget/budget.js";
import {
  ATTEMPT_TRANSITIONS,
  EXECUTION_TRANSITIONS,
  JOB_TRANSITIONS,
} from "../../../src/domain/execution/execution.js";
import { LockTable, type LockMode, type LockOwner } from "./memory-locks.js";
import type * as rows from "./memory-rows.js";

/** What a lost connection is to the stages: trouble that waiting mends. */
export class LedgerAway extends Error {}
/** COMMIT was sent and its answer never came. */
export class CommitUnknown extends LedgerAway {}
/** A statement that the database refuses: a unique key, a transition. */
export class LedgerRefused extends Error {}
/** Two transactions wait for each other; the one that closed the circle is rolled back and tried again. */
export class Deadlock extends Error {}

export class Table<Row> {
  readonly name: string;
  readonly committed = new Map<string | number, Row>();
  /** Throws when a row may not become another; like the triggers of the real tables. */
  readonly check: (before: Row, after: Row) => void;

  constructor(name: string, check: (before: Row, after: Row) => void = () => undefined) {
    this.name = name;
    this.check = check;
  }
}

type Key = string | number;

function transitions<State extends string>(name: string, table: Readonly<Record<State, readonly string[]>>) {
  return (before: { readonly state: State }, after: { readonly state: State }): void => {
    if (before.state === after.state || table[before.state].includes(after.state)) return;
    throw new LedgerRefused(`refused transition of ${name}: ${before.state} -> ${after.state}`);
  };
}

const batchStates = transitions("batches", BATCH_TRANSITIONS);
function batchTransitions(before: rows.BatchRow, after: rows.BatchRow): void {
  batchStates(before.batch, after.batch);
}

/** Tables in memory with transactions at read committed: each statement sees what is committed then, and its own transaction's writes. */
export class MemoryDatabase {
  readonly routers = new Table<rows.RouterRow>("routers");
  readonly positions = new Table<rows.PositionRow>("inbox_position");
  readonly turns = new Table<rows.TurnRow>("inbox_turns");
  readonly stops = new Table<rows.StopRow>("inbox_stops");
  readonly jobKeys = new Table<rows.JobKeyRow>("job_key");
  readonly jobs = new Table<rows.JobRow>("jobs", transitions("jobs", JOB_TRANSITIONS));
  readonly executions = new Table<rows.ExecutionRow>("executions", transitions("executions", EXECUTION_TRANSITIONS));
  readonly executionKeys = new Table<rows.ExecutionKeyRow>("execution_key");
  readonly attempts = new Table<rows.AttemptRow>("attempts", transitions("attempts", ATTEMPT_TRANSITIONS));
  readonly ready = new Table<rows.ReadyRow>("ready");
  readonly pools = new Table<rows.PoolRow>("batch_ready");
  readonly batches = new Table<rows.BatchRow>("batches", batchTransitions);
  readonly batchCreates = new Table<rows.BatchCreateRow>("batch_creates");
  readonly batchAccounts = new Table<rows.BatchAccountRow>("batch_accounts");
  readonly budgets = new Table<rows.BudgetRow>("budgets");
  readonly reservations = new Table<rows.ReservationRow>("reservations");
  readonly costs = new Table<rows.CostRow>("costs");
  readonly outbox = new Table<rows.Outgoing>("outbox");
  readonly outboxReady = new Table<rows.OutboxReadyRow>("outbox_ready");
  readonly repeats = new Table<rows.RepeatRow>("repeats");
  /** By execution: its number. */
  readonly unanswered = new Table<number>("unanswered");
  readonly replays = new Table<rows.ReplayRow>("replays");
  readonly breakers = new Table<rows.BreakerRow>("breakers");
  readonly deadLetters = new Table<rows.DeadLetterRow>("dead_letters", transitions("dead_letters", LETTER_TRANSITIONS));
  readonly alertWatch = new Table<rows.AlertWatchRow>("alert_watch");
  readonly alertTallies = new Table<rows.AlertTallyRow>("alert_tallies");
  readonly alerts = new Table<rows.AlertRow>("alerts");
  readonly alertSpend = new Table<rows.AlertSpendRow>("alert_spend");
  readonly alertNotices = new Table<rows.NoticeRow>("alert_notices");
  readonly locks = new LockTable();
  readonly nowMs: () => number;
  /** What the config says of money. */
  readonly limits: readonly Budget[];
  /** After each commit, while nothing else has happened. */
  onCommit: (transaction: Transaction) => void = () => undefined;
  readonly #open = new Set<Transaction>();
  readonly #gone = new WeakSet();
  #block = 0;
  #sessions = 0;

  constructor(nowMs: () => number, limits: readonly Budget[] = []) {
    this.nowMs = nowMs;
    this.limits = limits;
  }

  takeBlock(): { readonly from: number; readonly count: number } {
    this.#block += 1000;
    return { from: this.#block, count: 1000 };
  }

  nextSession(): number {
    this.#sessions += 1;
    return this.#sessions;
  }

  begin(connection: object): Transaction {
    const transaction = new Transaction(this, connection);
    this.#open.add(transaction);
    return transaction;
  }

  commit(transaction: Transaction): void {
    transaction.apply();
    this.#end(transaction, "committed");
    this.onCommit(transaction);
  }

  abort(transaction: Transaction, gone = false): void {
    this.#end(transaction, "aborted", gone);
  }

  /** The connections of a process were cut, or it is `gone`: what it had open is rolled back. */
  abortConnection(connection: object, gone: boolean): void {
    if (gone) this.#gone.add(connection);
    for (const transaction of [...this.#open]) if (transaction.connection === connection) this.abort(transaction, gone);
  }

  /** Of a process that is dead: what it began in the instant of its death goes nowhere. */
  isGone(connection: object): boolean {
    return this.#gone.has(connection);
  }

  #end(transaction: Transaction, state: "committed" | "aborted", gone = false): void {
    if (!this.#open.delete(transaction)) return;
    transaction.state = state;
    this.locks.release(transaction, gone);
  }
}

interface Written {
  readonly table: Table<unknown>;
  readonly rows: Map<Key, unknown>;
}

export class Transaction implements LockOwner {
  readonly connection: object;
  readonly #database: MemoryDatabase;
  readonly #written = new Map<string, Written>();
  state: "open" | "committed" | "aborted" = "open";

  constructor(database: MemoryDatabase, connection: object) {
    this.#database = database;
    this.connection = connection;
  }

  requireOpen(): void {
    if (this.state !== "open") throw new LedgerAway("the connection to the ledger was lost in a transaction");
  }

  /** Waits for each row in turn. @throws Deadlock when that would never end. */
  async lock<Row>(table: Table<Row>, keys: readonly Key[], mode: LockMode): Promise<void> {
    for (const key of keys) {
      this.requireOpen(); // a lock of one that has ended would never be given back
      // Serial: the order of locks is what the ledger's promises rest on.
      await this.#database.locks.acquire(
        this,
        `${table.name}:${String(key)}`,
        mode,
        () => new Deadlock(`deadlock on ${table.name}`),
      );
      this.requireOpen();
    }
  }

  /** As an INSERT meets a unique key: waits until nobody else is changing it. @returns whether it is there. */
  async probe<Row>(table: Table<Row>, key: Key): Promise<boolean> {
    const name = `${table.name}:${String(key)}`;
    const held = this.#database.locks.holds(this, name);
    await this.lock(table, [key], "exclusive");
    const there = this.get(table, key) !== undefined;
    if (there && !held) this.#database.locks.releaseOne(this, name);
    return there;
  }

  tryLock<Row>(table: Table<Row>, key: Key, mode: LockMode): boolean {
    this.requireOpen();
    return this.#database.locks.tryAcquire(this, `${table.name}:${String(key)}`, mode);
  }

  get<Row>(table: Table<Row>, key: Key): Row | undefined {
    const written = this.#written.get(table.name)?.rows;
    if (written?.has(key) === true) return written.get(key) as Row | undefined; // only rows of this table are in it
    return table.committed.get(key);
  }

  all<Row>(table: Table<Row>): Row[] {
    const written = this.#written.get(table.name)?.rows as Map<Key, Row | undefined> | undefined; // as above
    const found: Row[] = [];
    for (const [key, row] of table.committed) if (written?.has(key) !== true) found.push(row);
    if (written !== undefined) for (const row of written.values()) if (row !== undefined) found.push(row);
    return found;
  }

  insert<Row>(table: Table<Row>, key: Key, row: Row): void {
    if (this.get(table, key) !== undefined) throw new LedgerRefused(`duplicate key in ${table.name}: ${String(key)}`);
    this.#rowsOf(table).set(key, row);
  }

  update<Row extends object>(table: Table<Row>, key: Key, change: Partial<Row>): Row {
    const before = this.get(table, key);
    if (before === undefined) throw new LedgerRefused(`no row ${String(key)} in ${table.name}`);
    const after = { ...before, ...change };
    table.check(before, after);
    this.#rowsOf(table).set(key, after);
    return after;
  }

  remove<Row>(table: Table<Row>, key: Key): void {
    this.#rowsOf(table).set(key, undefined);
  }

  #rowsOf<Row>(table: Table<Row>): Map<Key, unknown> {
    const known = this.#written.get(table.name);
    if (known !== undefined) return known.rows;
    const created: Written = { table: table as Table<unknown>, rows: new Map() }; // rows go back into the table they came for
    this.#written.set(table.name, created);
    return created.rows;
  }

  /** Keys that this transaction wrote in a table. */
  touched<Row>(table: Table<Row>): readonly Key[] {
    return [...(this.#written.get(table.name)?.rows.keys() ?? [])];
  }

  apply(): void {
    this.requireOpen();
    for (const { table, rows: changed } of this.#written.values()) {
      for (const [key, row] of changed) {
        if (row === undefined) table.committed.delete(key);
        else table.committed.set(key, row);
      }
    }
  }
}
