import type { BudgetAnswer, BudgetPlace, BudgetStanding, ReservationWish } from "../domain/budget/budget.js";
import type { Payer, Spender } from "../domain/budget/budget-levels.js";
import type { EpochMs } from "../domain/ids.js";

/**
 * The money that calls may cost, held before they are made. A reservation is only worth something in the transaction that stores the
 * intent, so this is no store of its own but a part of each ledger, and every method works inside one of its transactions.
 *
 * Who begins attempts calls `reserve` in the same transaction; who ends one calls `settle` or `release`. Which budgets an attempt counts
 * in, and whether one is full, only the store knows: it counts in all of them or in none. Budgets are the last rows that a transaction
 * locks for others, in the order of their keys: after `reserve` and before the end of the transaction nothing is changed that somebody
 * else may hold.
 *
 * An attempt that no budget guards costs no statement and no lock.
 */
export interface BudgetStore<Transaction> {
  /** Whether a call is held against any budget. */
  guards(spender: Pick<Spender, "tenant" | "account">): boolean;
  /**
   * Where the budgets stand that calls of these payers may count in, without a lock: answers about calls of theirs. A `fail` holds, since
   * what is spent does not become less; whether a call fits is only known once it is reserved.
   */
  look(transaction: Transaction, payers: readonly Payer[], nowMs: EpochMs): Promise<AskBudget>;
  /**
   * Reserves the maximum of each attempt, in the order given. @returns attempts for which a budget has no room, with the key of that budget:
   * they must not be begun. An attempt that can cost nothing reserves nothing, and is never refused.
   */
  reserve(transaction: Transaction, wishes: readonly AttemptWish[]): Promise<RefusedWishes>;
  /**
   * Attempts that have an outcome: what each cost takes the place of what it reserved. Those without a reservation, or whose reservation
   * has ended before, change nothing. Executions that wait for what was left over are due at once.
   */
  settle(transaction: Transaction, attempts: readonly SettledAttempt[], nowMs: EpochMs): Promise<Woken>;
  /**
   * For each execution that was woken for money of a budget and took none of it: some others that wait for the same are due at once, so that
   * what nobody can pay ends soon. @param levels keys of budgets, one for each execution.
   */
  passOn(transaction: Transaction, levels: readonly string[], nowMs: EpochMs): Promise<Woken>;
  /** Attempts that go on under another number keep what they reserved. */
  renumber(transaction: Transaction, attempts: readonly RenumberedAttempt[]): Promise<void>;
  /** Attempts that were never sent: the same at no cost. */
  release(transaction: Transaction, attemptNos: readonly number[], nowMs: EpochMs): Promise<Woken>;
}

/** @param maxNanoUsd the most that the call may cost. */
export type AskBudget = (spender: Spender, maxNanoUsd: bigint) => BudgetAnswer;

export interface AttemptWish extends ReservationWish {
  readonly spender: Spender;
}

/** By attempt: the key of the budget without room. */
export type RefusedWishes = ReadonlyMap<number, string>;

/** How many executions a transaction made due; known once it is committed. */
export interface Woken {
  readonly executions: Promise<number>;
}

/** Told of each budget that is read, where it stood. */
export type SeenStanding = (place: BudgetPlace, standing: BudgetStanding) => void;

export interface RenumberedAttempt {
  readonly from: number;
  readonly to: number;
}

export interface SettledAttempt {
  readonly attemptNo: number;
  /** Null: unknown, so it counts with its maximum. */
  readonly nanoUsd: bigint | null;
}
