import type { Budget, BudgetStanding } from "../budget/budget.js";
import type { EpochMs } from "../ids.js";
import type { SpendReading } from "./spend-pattern.js";

/**
 * What the rules look at, one member a source. Null, or a source that is not there: not read this time, so what it would say stays
 * as it was. Lists that are read hold all of their subjects: one that is missing is gone.
 */
export interface AlertReadings {
  /** Since when the oldest execution waits that could run; null inside: none does. */
  readonly runnable: { readonly oldestAtMs: EpochMs | null } | null;
  /** The nearest deadlines of executions that wait for a call, ascending, at most `NEAREST_DEADLINES_MAX`. */
  readonly nearestDeadlinesMs: readonly EpochMs[] | null;
  /** Attempts that may have been billed and are not resolved; counted up to `DOUBTS_MAX`. */
  readonly doubts: number | null;
  /** Batches that are out, the oldest first, at most `BATCHES_MAX`. */
  readonly batches: readonly BatchReading[] | null;
  readonly budgets: readonly BudgetReading[] | null;
  readonly spend: SpendReading | null;
  /** What is known of accounts, or models of one, that failed lately. */
  readonly breakers: readonly BreakerReading[] | null;
}

export const NEAREST_DEADLINES_MAX = 1000;
export const DOUBTS_MAX = 10_000;
export const BATCHES_MAX = 200;

export const NOTHING_READ: AlertReadings = {
  runnable: null,
  nearestDeadlinesMs: null,
  doubts: null,
  batches: null,
  budgets: null,
  spend: null,
  breakers: null,
};

export interface BatchReading {
  readonly no: number;
  readonly account: string;
  /** Null: of several. */
  readonly model: string | null;
  readonly lines: number;
  readonly submittedAtMs: EpochMs;
  /** Of a job that waits for a line of it; null: none does. */
  readonly nearestDeadlineMs: EpochMs | null;
}

export interface BudgetReading extends BudgetStanding {
  readonly budget: Pick<Budget, "level" | "limitNanoUsd" | "window" | "commitment">;
}

export interface BreakerReading {
  readonly account: string;
  /** Null: all of the account. */
  readonly model: string | null;
  /** It is not called, or on trial. */
  readonly open: boolean;
  readonly reason: string;
}
