import type { BudgetAnswer, BudgetPlace, BudgetStanding, ReservationWish } from "../domain/budget/budget.js";
import type { Payer, Spender } from "../domain/budget/budget-levels.js";
import type { EpochMs } from "../domain/ids.js";

/**
 * The money that calls may cost, held before they are made. A reservation is only worth something in the transaction that stores the
 * intent, so this is no store of its own but a part of each ledger, and every method works inside one of its transactions.
 *
 * Who begins attempts calls `reserve` in the same transaction; who ends one calls `settle` or `release`. Which budgets an attempt counts
 * in, and whether one is full, only the store knows: it counts in all of them or in none. Budgets are the last rows that a transaction
 * locks for others, all of them in one order: after `reserve` and before the end of the transaction nothing is changed that somebody
 * else may hold.
 *
 * An attempt that no budget guards costs no statement and no lock.
 *
 * @typeParam Attempt an attempt that ends, as the ledger tells it: with what it takes to find what it has reserved.
 */
export interface BudgetStore<Transaction, Attempt> {
  /** Whether a call is held against any budget. */
  guards(spender: Pick<Spender, "tenant" | "account">): boolean;
  /**
   * Where the budgets stand that calls of these payers may count in, without a lock: answers about calls of theirs. A `fail` holds, since
   * what is spent becomes less only where a bill corrects it, later; whether a call fits is only known once it is reserved.
   */
  look(transaction: Transaction, payers: readonly Payer[], nowMs: EpochMs): Promise<AskBudget>;
  /**
   * Reserves the maximum of each attempt, in the order given. Attempts without room in one of their budgets must not be begun. An attempt
   * that can cost nothing reserves nothing, and is never refused.
   */
  reserve(transaction: Transaction, wishes: readonly AttemptWish[]): Promise<Reserved>;
  /**
   * Attempts that have an outcome: what each cost takes the place of what it reserved. Those without a reservation, or whose reservation
   * has ended before, change nothing. Executions that wait for what was left over are due at once.
   */
  settle(transaction: Transaction, attempts: readonly Settled<Attempt>[], nowMs: EpochMs): Promise<Woken>;
  /**
   * For each execution that was woken for money of a budget and took none of it: some others that wait for the same are due at once, so that
   * what nobody can pay ends soon. @param levels keys of budgets, one for each execution.
   */
  passOn(transaction: Transaction, levels: readonly string[], nowMs: EpochMs): Promise<Woken>;
  /** Attempts that were never sent: the same as `settle`, at no cost. */
  release(transaction: Transaction, attempts: readonly Attempt[], nowMs: EpochMs): Promise<Woken>;
}

/** @param maxNanoUsd the most that the call may cost. */
export type AskBudget = (spender: Spender, maxNanoUsd: bigint) => BudgetAnswer;

export interface AttemptWish extends ReservationWish {
  readonly spender: Spender;
}

export interface Reserved {
  /** By attempt: the key of the budget without room. */
  readonly refused: ReadonlyMap<number, string>;
}

/** How many executions a transaction made due; known once it is committed. */
export interface Woken {
  readonly executions: Promise<number>;
}

/** Told of each budget that is read, where it stood; of one that reserves, with what it reserves. */
export type SeenStanding = (place: BudgetPlace, standing: BudgetStanding) => void;

export interface Settled<Attempt> {
  readonly attempt: Attempt;
  /** Null: unknown, so it counts with its maximum. */
  readonly nanoUsd: bigint | null;
}
