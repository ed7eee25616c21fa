import type { Failure } from "../failure.js";
import type { EpochMs } from "../ids.js";
import type { WaitReason } from "../execution/waits.js";

/**
 * A hard limit of money, and the arithmetic that keeps it: settled + reserved never pass it. Nano-dollars. Pure: a ledger reads where a
 * budget stands under its lock, asks here, and stores what follows in the same transaction.
 */
export interface Budget {
  readonly tenant: string;
  readonly limitNanoUsd: bigint;
  readonly window: BudgetWindow;
}

/** What the limit is for: all time, or each UTC day or calendar month. Money counts in the window in which it was reserved. */
export type BudgetWindow = "total" | "day" | "month";

/** Where a budget stands in one window. */
export interface BudgetStanding {
  /** What ended attempts cost. */
  readonly settledNanoUsd: bigint;
  /** The most that attempts without an outcome may cost, those in doubt included. */
  readonly reservedNanoUsd: bigint;
}

export const UNTOUCHED: BudgetStanding = { settledNanoUsd: 0n, reservedNanoUsd: 0n };

/**
 * How long an execution waits at most before its budget is looked at again. Released money wakes it at once; this is for what nobody tells:
 * a limit that was raised, a window that began.
 */
export const BUDGET_LOOK_AGAIN_MS = 15_000;

/** Executions that are woken for each that was, and took no money: all soon hear that nothing is left, and never all at once. */
export const BUDGET_PASSED_ON = 4;

const DAY_MS = 86_400_000;

/** The first day of the window that a day lies in, in days since 1970-01-01 UTC; 0 for all time. */
export function windowSince(window: BudgetWindow, day: number): number {
  if (window === "total") return 0;
  return window === "day" ? day : day + 1 - new Date(day * DAY_MS).getUTCDate();
}

/** Below 0 when the limit was lowered beneath what had been spent: what runs then ends, nothing new begins. */
export function roomIn({ limitNanoUsd }: Budget, { settledNanoUsd, reservedNanoUsd }: BudgetStanding): bigint {
  return limitNanoUsd - settledNanoUsd - reservedNanoUsd;
}

/** What a call would reserve. */
export interface ReservationWish {
  readonly attemptNo: number;
  /** The most that it may cost. */
  readonly maxNanoUsd: bigint;
}

/** Those that fit, one after another in the order given: one that does not fit leaves its room to those behind it. */
export function grantWithin(
  budget: Budget,
  standing: BudgetStanding,
  wishes: readonly ReservationWish[],
): readonly ReservationWish[] {
  let room = roomIn(budget, standing);
  return wishes.filter(({ maxNanoUsd }) => {
    if (maxNanoUsd > room) return false;
    room -= maxNanoUsd;
    return true;
  });
}

/** What a budget says to a call before it is begun. */
export type BudgetAnswer =
  | { readonly kind: "fits" }
  /** Only what is reserved is in the way, so it may fit later. */
  | { readonly kind: "wait"; readonly runAtMs: EpochMs; readonly waitsFor: WaitReason }
  /** What is spent leaves too little, and does not become less. */
  | { readonly kind: "fail"; readonly failure: Failure };

export function askBudget(budget: Budget, standing: BudgetStanding, maxNanoUsd: bigint, nowMs: EpochMs): BudgetAnswer {
  if (maxNanoUsd === 0n || maxNanoUsd <= roomIn(budget, standing)) return { kind: "fits" };
  if (standing.settledNanoUsd + maxNanoUsd <= budget.limitNanoUsd) return waitForBudget(nowMs);
  return {
    kind: "fail",
    failure: {
      code: "BUDGET_EXCEEDED",
      message: `the call may cost ${String(maxNanoUsd)} nano-dollars, the budget of tenant ${budget.tenant} (${PERIODS[budget.window]}) has ${String(budget.limitNanoUsd)} of which ${String(standing.settledNanoUsd)} are spent; raise the limit and replay, or ask for a shorter answer`,
      provider: null,
      retryAtMs: null,
    },
  };
}

export function waitForBudget(nowMs: EpochMs): Extract<BudgetAnswer, { readonly kind: "wait" }> {
  return { kind: "wait", runAtMs: nowMs + BUDGET_LOOK_AGAIN_MS, waitsFor: "budget" };
}

const PERIODS = { total: "in all", day: "a day", month: "a month" } as const satisfies Record<BudgetWindow, string>;

/** A reservation that ends. `nanoUsd`: what its attempt cost, 0 when it was never sent; null: unknown, so it counts with its maximum. */
export interface EndedReservation {
  readonly maxNanoUsd: bigint;
  readonly nanoUsd: bigint | null;
}

/** How a budget moves when these end. */
export function settlementOf(ended: readonly EndedReservation[]): BudgetStanding {
  return ended.reduce<BudgetStanding>(
    ({ settledNanoUsd, reservedNanoUsd }, { maxNanoUsd, nanoUsd }) => ({
      settledNanoUsd: settledNanoUsd + (nanoUsd ?? maxNanoUsd),
      reservedNanoUsd: reservedNanoUsd - maxNanoUsd,
    }),
    UNTOUCHED,
  );
}
