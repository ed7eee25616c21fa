import type { BudgetAnswer, ReservationWish } from "../domain/budget/budget.js";
import type { EpochMs } from "../domain/ids.js";

/**
 * The money that calls may cost, held before they are made. A reservation is only worth something in the transaction that stores the
 * intent, so this is no store of its own but a part of each ledger, and every method works inside one of its transactions.
 *
 * Who begins attempts calls `reserve` in the same transaction; who ends one calls `settle` or `release`. Which budgets an attempt counts
 * in, and whether one is full, only the store knows. Budgets are the last rows that a transaction locks for others, in the order of their
 * keys: after `reserve` and before the end of the transaction nothing is changed that somebody else may hold.
 *
 * Without a budget for its tenant an attempt costs no statement and no lock.
 */
export interface BudgetStore<Transaction> {
  /** Whether calls of this tenant are held against a budget. */
  guards(tenant: string): boolean;
  /**
   * Where the budgets of these tenants stand, without a lock: answers about calls of theirs. A `fail` holds, since what is spent does not
   * become less; whether a call fits is only known once it is reserved.
   */
  look(transaction: Transaction, tenants: readonly string[], nowMs: EpochMs): Promise<AskBudget>;
  /**
   * Reserves the maximum of each attempt, in the order given. @returns attempts whose budget has no room for it: they must not be begun.
   * An attempt that can cost nothing reserves nothing, and is never refused.
   */
  reserve(transaction: Transaction, wishes: readonly AttemptWish[]): Promise<ReadonlySet<number>>;
  /**
   * Attempts that have an outcome: what each cost takes the place of what it reserved. Those without a reservation, or whose reservation
   * has ended before, change nothing. Executions that wait for what was left over are due at once.
   */
  settle(transaction: Transaction, attempts: readonly SettledAttempt[], nowMs: EpochMs): Promise<void>;
  /**
   * Executions of these tenants that were woken for money and ended without taking any: for each of them some others are due at once, so
   * that what nobody can pay ends soon.
   */
  passOn(transaction: Transaction, tenants: readonly string[], nowMs: EpochMs): Promise<void>;
  /** Attempts that go on under another number keep what they reserved. */
  renumber(transaction: Transaction, attempts: readonly RenumberedAttempt[]): Promise<void>;
  /** Attempts that were never sent: the same at no cost. */
  release(transaction: Transaction, attemptNos: readonly number[], nowMs: EpochMs): Promise<void>;
}

/** @param maxNanoUsd the most that the call may cost. */
export type AskBudget = (tenant: string, maxNanoUsd: bigint) => BudgetAnswer;

export interface AttemptWish extends ReservationWish {
  readonly tenant: string;
}

export interface RenumberedAttempt {
  readonly from: number;
  readonly to: number;
}

export interface SettledAttempt {
  readonly attemptNo: number;
  /** Null: unknown, so it counts with its maximum. */
  readonly nanoUsd: bigint | null;
}
