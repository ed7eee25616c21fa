import type { Failure } from "../failure.js";
import type { EpochMs } from "../ids.js";
import type { WaitReason } from "../execution/waits.js";
import type { BudgetWindow, WindowSpan } from "./budget-window.js";

/**
 * A limit of money, and the arithmetic that keeps it: settled + reserved never pass a hard one. Nano-dollars. Pure: a ledger reads where
 * budgets stand under their locks, asks here, and stores what follows in the same transaction.
 */
export interface Budget {
  readonly level: BudgetLevel;
  readonly limitNanoUsd: bigint;
  /** What the limit is for. Money counts in the window in which it was reserved. */
  readonly window: BudgetWindow;
  /** Whose calendar the window goes by; an IANA name. */
  readonly timeZone: string;
  /** A soft limit refuses nothing: what is spent is counted and shown. */
  readonly kind: "hard" | "soft";
  /** Only there for a budget that takes nothing more once so much is spent or held, whatever is left to its limit. */
  readonly stopsAtNanoUsd?: bigint;
  /**
   * Only there for what is paid for an account whether it is used or not: while some of it is left, calls there cost nothing more. Soft;
   * nobody is warned when it is used up, since that is what it is for.
   */
  readonly commitment?: true;
}

/** Whose calls a budget holds: those that jobs of a tenant pay for, with these labels where it names some; or those at an account. */
export type BudgetLevel =
  | {
      readonly of: "tenant";
      readonly tenant: string;
      readonly department: string | null;
      readonly application: string | null;
    }
  | { readonly of: "account"; readonly account: string };

/** A budget in one of its windows. */
export interface BudgetPlace extends WindowSpan {
  readonly budget: Budget;
  /** Of the budget. */
  readonly key: string;
  /** Of the budget and the window. */
  readonly row: string;
}

/** The name of a budget that stays when its limit, its kind or its time zone changes: the ledger's rows carry it. */
export function budgetKey({ level, window }: Pick<Budget, "level" | "window">): string {
  const whose = level.of === "account" ? [level.account] : [level.tenant, level.department, level.application];
  return JSON.stringify([level.of, ...whose, window]);
}

/** The key of what an account may spend a day. */
export function accountKey(account: string): string {
  return budgetKey({ level: { of: "account", account }, window: "day" });
}

/** The level in words. */
export function levelText(level: BudgetLevel): string {
  if (level.of === "account") return `account ${level.account}`;
  const { tenant, department, application } = level;
  return [
    `tenant ${tenant}`,
    ...(department === null ? [] : [`department ${department}`]),
    ...(application === null ? [] : [`application ${application}`]),
  ].join(", ");
}

/** Where a budget stands in one window. */
export interface BudgetStanding {
  /** What ended attempts cost. */
  readonly settledNanoUsd: bigint;
  /** The most that attempts without an outcome may cost, those in doubt included. */
  readonly reservedNanoUsd: bigint;
}

export const UNTOUCHED: BudgetStanding = { settledNanoUsd: 0n, reservedNanoUsd: 0n };

/** A budget in the window that is, and where it stands. */
export interface LevelStanding extends BudgetPlace, BudgetStanding {}

/**
 * How long an execution waits at most before its budget is looked at again. Released money wakes it at once; this is for what nobody tells:
 * a limit that was raised, a window that began.
 */
export const BUDGET_LOOK_AGAIN_MS = 15_000;

/** The same where what is spent is in the way, which only a new day changes: many may wait so, and each look costs a claim. */
export const SPENT_LOOK_AGAIN_MS = 300_000;

/** Executions that are woken for each that was, and took no money: all soon hear that nothing is left, and never all at once. */
export const BUDGET_PASSED_ON = 4;

/** Below 0 when the limit was lowered beneath what had been spent: what runs then ends, nothing new begins. */
export function roomIn(
  { limitNanoUsd }: Pick<Budget, "limitNanoUsd">,
  { settledNanoUsd, reservedNanoUsd }: BudgetStanding,
): bigint {
  return limitNanoUsd - settledNanoUsd - reservedNanoUsd;
}

/** Of a commitment, what calls there may still use without costing more. */
export function commitmentLeft(budget: Pick<Budget, "limitNanoUsd">, standing: BudgetStanding): bigint {
  const left = roomIn(budget, standing);
  return left > 0n ? left : 0n;
}

/** Whether a call that may cost so much may be reserved beside what is spent and held. */
function takes(budget: Budget, standing: BudgetStanding, maxNanoUsd: bigint): boolean {
  if (budget.kind === "soft" || maxNanoUsd === 0n) return true;
  const { stopsAtNanoUsd } = budget;
  if (stopsAtNanoUsd !== undefined && standing.settledNanoUsd + standing.reservedNanoUsd >= stopsAtNanoUsd)
    return false;
  return maxNanoUsd <= roomIn(budget, standing);
}

/** Where budgets stand, by the row of their place; one that is not there is untouched. */
export type Standings = ReadonlyMap<string, BudgetStanding>;

/** What a call would reserve. */
export interface ReservationWish {
  readonly attemptNo: number;
  /** The most that it may cost. */
  readonly maxNanoUsd: bigint;
}

/** With the budgets that guard it, each in the window that is. */
export interface PlacedWish extends ReservationWish {
  readonly places: readonly BudgetPlace[];
}

export interface Grants {
  readonly granted: readonly PlacedWish[];
  /** By attempt: the first of its budgets without room. */
  readonly refused: ReadonlyMap<number, BudgetPlace>;
  /** Where the budgets stand with what was granted. */
  readonly standings: Standings;
}

/**
 * Those for which every one of their budgets has room, one after another in the order given. One that does not fit takes nothing anywhere, and
 * leaves its room to those behind it.
 */
export function grantWithin(wishes: readonly PlacedWish[], standings: Standings): Grants {
  const now = new Map(standings);
  const granted: PlacedWish[] = [];
  const refused = new Map<number, BudgetPlace>();
  for (const wish of wishes) {
    const full = wish.places.find(({ budget, row }) => !takes(budget, now.get(row) ?? UNTOUCHED, wish.maxNanoUsd));
    if (full !== undefined) {
      refused.set(wish.attemptNo, full);
      continue;
    }
    granted.push(wish);
    for (const { row } of wish.places) {
      const { settledNanoUsd, reservedNanoUsd } = now.get(row) ?? UNTOUCHED;
      now.set(row, { settledNanoUsd, reservedNanoUsd: reservedNanoUsd + wish.maxNanoUsd });
    }
  }
  return { granted, refused, standings: now };
}

/** What budgets say to a call before it is begun. */
export type BudgetAnswer =
  | { readonly kind: "fits" }
  | BudgetWait
  /** What is spent leaves too little in this window; no call that ends makes it less. */
  | { readonly kind: "fail"; readonly failure: Failure };

export interface BudgetWait {
  readonly kind: "wait";
  /** `held`: only what is reserved is in the way, so it may fit at any time. `spent`: an account has spent its day. */
  readonly because: "held" | "spent";
  readonly runAtMs: EpochMs;
  readonly waitsFor: WaitReason;
  /** The key of the budget that keeps it out: money that is free there wakes it. */
  readonly level: string;
}

/** The answer of all: one that fails it decides, then one that lets it wait. */
export function askBudgets(
  places: readonly BudgetPlace[],
  standings: Standings,
  maxNanoUsd: bigint,
  nowMs: EpochMs,
): BudgetAnswer {
  let answer: BudgetAnswer = { kind: "fits" };
  for (const place of places) {
    const own = askBudget(place, standings.get(place.row) ?? UNTOUCHED, maxNanoUsd, nowMs);
    if (own.kind === "fail") return own;
    if (answer.kind === "fits") answer = own;
  }
  return answer;
}

function askBudget(place: BudgetPlace, standing: BudgetStanding, maxNanoUsd: bigint, nowMs: EpochMs): BudgetAnswer {
  const { budget } = place;
  if (takes(budget, standing, maxNanoUsd)) return { kind: "fits" };
  const { limitNanoUsd, level, stopsAtNanoUsd } = budget;
  const { settledNanoUsd } = standing;
  if (settledNanoUsd + maxNanoUsd <= limitNanoUsd && settledNanoUsd < (stopsAtNanoUsd ?? limitNanoUsd))
    return waitForBudget(place, nowMs);
  // Another account may take the call, or tomorrow this one: only what it never takes fails.
  if (level.of === "account" && maxNanoUsd <= limitNanoUsd) return waitForWindow(place, nowMs);
  return { kind: "fail", failure: exceeded(place, standing, maxNanoUsd) };
}

function exceeded(
  { budget: { level, window, limitNanoUsd }, untilMs }: BudgetPlace,
  { settledNanoUsd }: BudgetStanding,
  maxNanoUsd: bigint,
): Failure {
  return {
    code: "BUDGET_EXCEEDED",
    message: `the call may cost ${String(maxNanoUsd)} nano-dollars, the budget of ${levelText(level)} (${PERIODS[window]}) has ${String(limitNanoUsd)} of which ${String(settledNanoUsd)} are spent; raise the limit and replay, or ask for a shorter answer`,
    provider: null,
    retryAtMs: maxNanoUsd <= limitNanoUsd ? untilMs : null,
  };
}

export function waitForBudget({ key }: Pick<BudgetPlace, "key">, nowMs: EpochMs): BudgetWait {
  return { kind: "wait", because: "held", runAtMs: nowMs + BUDGET_LOOK_AGAIN_MS, waitsFor: "budget", level: key };
}

function waitForWindow({ key, untilMs }: BudgetPlace, nowMs: EpochMs): BudgetWait {
  const runAtMs = Math.min(untilMs ?? Infinity, nowMs + SPENT_LOOK_AGAIN_MS);
  return { kind: "wait", because: "spent", runAtMs, waitsFor: "budget", level: key };
}

export const PERIODS = {
  total: "in all",
  hour: "an hour",
  day: "a day",
  month: "a month",
} as const satisfies Record<BudgetWindow, string>;

/** A reservation that ends. `nanoUsd`: what its attempt cost, 0 when it was never sent; null: unknown, so it counts with its maximum. */
export interface EndedReservation {
  readonly maxNanoUsd: bigint;
  readonly nanoUsd: bigint | null;
}

/**
 * By how much what was settled moves when it turns out that an ended attempt cost something else.
 * @param counted what it was settled with.
 */
export function correctionOf(counted: EndedReservation, nanoUsd: bigint): bigint {
  return nanoUsd - (counted.nanoUsd ?? counted.maxNanoUsd);
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
