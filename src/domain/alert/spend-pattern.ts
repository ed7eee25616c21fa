import type { EpochMs } from "../ids.js";

/**
 * What an hour usually costs, learned from the hours before it. Money is kept in quarters of an hour, for five weeks. The hour that ends
 * now is compared with the median of the same hour in the last weeks, or, until three of those are known, in the last days (seven at
 * least). With less history nothing is said. Quarters that cost nothing have no row and count as nothing.
 */
export const QUARTER_MS = 900_000;
const QUARTERS_AN_HOUR = 4;
const DAY_QUARTERS = 96;
const WEEKS = 5;
const WEEKS_MIN = 3;
const DAYS = 14;
const DAYS_MIN = 7;
/** Older quarters are forgotten. */
export const QUARTERS_KEPT = WEEKS * 7 * DAY_QUARTERS + QUARTERS_AN_HOUR;

export function quarterOf(atMs: EpochMs): number {
  return Math.floor(atMs / QUARTER_MS);
}

/** The quarters that a look at `nowMs` asks for. */
export function quartersOfInterest(nowMs: EpochMs): readonly number[] {
  const now = quarterOf(nowMs);
  const lags = [0, ...lagsOf(WEEKS, 7), ...lagsOf(DAYS, 1)];
  return [...new Set(lags.flatMap((lag) => hourOf(now - lag)))];
}

export interface SpendReading {
  /** The first quarter that anything was ever counted in; null: none yet. */
  readonly firstQuarter: number | null;
  /** Nano-dollars by quarter; those that cost nothing are left out. */
  readonly nanoUsd: ReadonlyMap<number, bigint>;
}

/** What the hour until now cost, the running quarter included, and what such an hour costs usually; null: not known yet. */
export function spendOf(
  { firstQuarter, nanoUsd }: SpendReading,
  nowMs: EpochMs,
): { readonly hourNanoUsd: bigint; readonly usualNanoUsd: bigint | null } {
  const now = quarterOf(nowMs);
  const costOf = (quarter: number): bigint => hourOf(quarter).reduce((sum, one) => sum + (nanoUsd.get(one) ?? 0n), 0n);
  // An hour counts only if the gateway was there for all of it.
  const known = (lags: readonly number[]): readonly bigint[] =>
    lags
      .filter((lag) => firstQuarter !== null && now - lag - QUARTERS_AN_HOUR >= firstQuarter)
      .map((lag) => costOf(now - lag));
  const [weeks, days] = [known(lagsOf(WEEKS, 7)), known(lagsOf(DAYS, 1))];
  const sample = weeks.length >= WEEKS_MIN ? weeks : days.length >= DAYS_MIN ? days : null;
  return { hourNanoUsd: costOf(now), usualNanoUsd: sample === null ? null : median(sample) };
}

/** The quarters of the hour that ends with this one. */
function hourOf(quarter: number): readonly number[] {
  return Array.from({ length: QUARTERS_AN_HOUR }, (_, back) => quarter - back);
}

function lagsOf(count: number, days: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => (index + 1) * days * DAY_QUARTERS);
}

/** The lower one of two in the middle. */
function median(values: readonly bigint[]): bigint {
  const ascending = [...values].sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
  return ascending[Math.floor((ascending.length - 1) / 2)] ?? 0n;
}
