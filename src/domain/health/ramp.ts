import type { EpochMs } from "../ids.js";

/**
 * How calls begin again after a breaker has closed: from a few up to `SHARE` of the rate there was before it opened, so that in no second
 * more begin than twice that rate. Pure: a bucket that fills with the rising rate and holds a quarter of a second of it.
 */
const SHARE = 1.6;
const BURST_MS = 250;
/** For a router that knows of no rate before. */
const PER_SECOND_MIN = 1;
/** Nobody is told to wait longer than this for a turn that may come sooner. */
const WAIT_MS_MAX = 5000;

export interface Ramp {
  readonly fromMs: EpochMs;
  readonly rampMs: number;
  /** Calls a second before the outage. */
  readonly steadyPerSecond: number;
  /** When the calls so far are paid for by the rate. */
  readonly paidUntilMs: EpochMs;
  /** The same with those that were told to wait. */
  readonly promisedUntilMs: EpochMs;
}

export function beginRamp(fromMs: EpochMs, rampMs: number, steadyPerSecond: number): Ramp {
  return { fromMs, rampMs, steadyPerSecond, paidUntilMs: fromMs, promisedUntilMs: fromMs };
}

/** Calls a second that are let through at this time. */
export function rampPerSecond({ fromMs, rampMs, steadyPerSecond }: Ramp, nowMs: EpochMs): number {
  const passed = Math.min(1, Math.max(0, nowMs - fromMs) / rampMs);
  return Math.max(PER_SECOND_MIN, steadyPerSecond * SHARE * passed);
}

/** Whether a call would be let through. */
export function hasRoom(ramp: Ramp, nowMs: EpochMs): boolean {
  return ramp.paidUntilMs <= nowMs + burstMs(ramp, nowMs);
}

/** A quarter of a second of the rate; a rate below four a second still has room for one. */
function burstMs(ramp: Ramp, nowMs: EpochMs): number {
  return Math.max(0, BURST_MS - 1000 / rampPerSecond(ramp, nowMs));
}

/** A call that there is room for goes out. */
export function takeFromRamp(ramp: Ramp, nowMs: EpochMs): Ramp {
  return { ...ramp, paidUntilMs: Math.max(ramp.paidUntilMs, nowMs) + 1000 / rampPerSecond(ramp, nowMs) };
}

/**
 * When a call that there is no room for should ask again: each is told a turn of its own, as far as that is worth it, or all would come
 * back together.
 */
export function promiseTurn(ramp: Ramp, nowMs: EpochMs): { readonly ramp: Ramp; readonly runAtMs: EpochMs } {
  const lastMs = Math.max(ramp.promisedUntilMs, ramp.paidUntilMs, nowMs);
  const promisedUntilMs = Math.min(lastMs + 1000 / rampPerSecond(ramp, nowMs), nowMs + WAIT_MS_MAX);
  return { ramp: { ...ramp, promisedUntilMs }, runAtMs: Math.ceil(promisedUntilMs) };
}
