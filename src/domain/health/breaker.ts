import type { EpochMs } from "../ids.js";

/**
 * A circuit breaker: whether calls of a model at an account, or of a whole account, are worth making. Pure; a router keeps one for each,
 * and what others have to know (that it opened, that a trial is out, that it closed) goes through the ledger, where a change counts only
 * if nobody was first.
 *
 * Bounds: while it is open no call is made; half open, one call of all routers; each failed trial doubles the cool-down, up to a maximum.
 */
export const BREAKER_TRANSITIONS = {
  closed: ["degraded", "open", "half_open"],
  degraded: ["closed", "open", "half_open"],
  open: ["half_open", "closed"],
  half_open: ["open", "closed"],
} as const satisfies Record<string, readonly string[]>;
export type BreakerState = keyof typeof BREAKER_TRANSITIONS;

export interface BreakerSettings {
  /** Failures in a row after which a route goes to the end. */
  readonly degradedAfter: number;
  /** Failures in a row after which it opens. */
  readonly openAfter: number;
  /** It also opens when this share of the calls within `rateWindowMs` failed, of `rateCallsMin` at least. */
  readonly failureRate: number;
  readonly rateCallsMin: number;
  readonly rateWindowMs: number;
  /** First wait before a trial; doubled with each failed one, at most `cooldownMaxMs`, and up to a fifth longer by chance. */
  readonly cooldownMs: number;
  /** The same where a person has to do something: a refused key, no credit. */
  readonly accountCooldownMs: number;
  readonly cooldownMaxMs: number;
  /** So long after it closed calls are let through slowly, and two failures in a row open it again. */
  readonly rampMs: number;
}

export type Breaker = ClosedBreaker | OpenBreaker | HalfOpenBreaker;

/** Calls are made; `degraded`: behind others. */
export interface ClosedBreaker {
  readonly state: "closed" | "degraded";
  readonly failuresInARow: number;
  /** How often it has opened without being well in between. */
  readonly openings: number;
  /** When it closed; null: long ago, or it never opened. */
  readonly rampFromMs: EpochMs | null;
}

/** No call is made. */
export interface OpenBreaker {
  readonly state: "open";
  readonly openings: number;
  /** When it first opened, trials in between or not. */
  readonly sinceMs: EpochMs;
  /** When a trial may be made. */
  readonly untilMs: EpochMs;
  /** In words. */
  readonly because: string;
}

/** One call is made, by whoever has the lease. */
export interface HalfOpenBreaker {
  readonly state: "half_open";
  readonly openings: number;
  readonly sinceMs: EpochMs;
  /** When the lease of the trial ends: from then on another may be made. */
  readonly untilMs: EpochMs;
  readonly because: string;
  /** `free`: the lease is this router's and no call has taken it. */
  readonly trial: "elsewhere" | "free" | "out";
  /** When the trial began; null unless it is out. */
  readonly outSinceMs: EpochMs | null;
}

export const CLOSED: ClosedBreaker = { state: "closed", failuresInARow: 0, openings: 0, rampFromMs: null };

/** What the ledger knows of a breaker. Times are those of the router that reads it. */
export interface SharedBreaker {
  readonly state: "closed" | "open" | "half_open";
  readonly openings: number;
  readonly sinceMs: EpochMs;
  readonly untilMs: EpochMs;
  readonly changedMs: EpochMs;
  readonly because: string;
}

export type BreakerEvent =
  /** A call was served, or turned down by a provider that is there. */
  | {
      readonly kind: "alive";
      readonly startedAtMs: EpochMs;
      /** It was the trial of the whole account, so it proves the model, too. */
      readonly isProof: boolean;
    }
  | {
      readonly kind: "failed";
      readonly startedAtMs: EpochMs;
      /** Recent calls and how many of them failed, this one included. */
      readonly recent: { readonly calls: number; readonly failed: number };
      /** It opens whatever came before. */
      readonly atOnce: boolean;
      /** A person has to do something. */
      readonly barred: boolean;
      readonly because: string;
    }
  /** The ledger gave this router the lease for the trial. */
  | { readonly kind: "leased"; readonly untilMs: EpochMs }
  /** A call is about to be made. */
  | { readonly kind: "taken" }
  /** A call that was about to be made was not. */
  | { readonly kind: "not_sent"; readonly startedAtMs: EpochMs }
  /** Somebody else changed it. */
  | { readonly kind: "told"; readonly shared: SharedBreaker };

/** What the others have to be told of a change; null: nothing. */
export type BreakerChange = "opened" | "reopened" | "closed" | null;

export interface BreakerStep {
  readonly breaker: Breaker;
  readonly change: BreakerChange;
}

/** @param random in [0, 1), from outside; only looked at when it opens. */
export function nextBreaker(
  breaker: Breaker,
  event: BreakerEvent,
  nowMs: EpochMs,
  random: number,
  settings: BreakerSettings,
): BreakerStep {
  if (event.kind === "told") return unchanged(fromShared(event.shared, nowMs, settings));
  switch (breaker.state) {
    case "closed":
    case "degraded":
      return fromClosed(breaker, event, nowMs, random, settings);
    case "open":
      return fromOpen(breaker, event, nowMs);
    case "half_open":
      return fromHalfOpen(breaker, event, nowMs, random, settings);
  }
}

/** Whether a call may be made now, as far as this breaker says. */
export function mayCall(breaker: Breaker, nowMs: EpochMs): boolean {
  if (breaker.state === "open") return false;
  return breaker.state !== "half_open" || (breaker.trial === "free" && nowMs < breaker.untilMs);
}

/** Whether somebody may ask the ledger for the lease of a trial. */
export function isTrialDue(breaker: Breaker, nowMs: EpochMs): boolean {
  return (breaker.state === "open" || breaker.state === "half_open") && nowMs >= breaker.untilMs;
}

/** Whether it closed so short ago that calls are let through slowly. */
export function isRamping(breaker: Breaker, nowMs: EpochMs, rampMs: number): boolean {
  if (breaker.state !== "closed" && breaker.state !== "degraded") return false;
  return breaker.rampFromMs !== null && nowMs < breaker.rampFromMs + rampMs;
}

function unchanged(breaker: Breaker): BreakerStep {
  return { breaker, change: null };
}

type OwnEvent = Exclude<BreakerEvent, { readonly kind: "told" }>;

function fromClosed(
  breaker: ClosedBreaker,
  event: OwnEvent,
  nowMs: EpochMs,
  random: number,
  settings: BreakerSettings,
): BreakerStep {
  if (event.kind !== "alive" && event.kind !== "failed") return unchanged(breaker);
  const ramping = isRamping(breaker, nowMs, settings.rampMs);
  const { rampFromMs } = breaker;
  // What began before it closed says something of the outage that is over.
  if (rampFromMs !== null && event.startedAtMs < rampFromMs) return unchanged(breaker);
  const openings = ramping ? breaker.openings : 0;
  if (event.kind === "alive") {
    if (breaker.failuresInARow === 0 && openings === breaker.openings) return unchanged(breaker);
    return unchanged({ state: "closed", failuresInARow: 0, openings, rampFromMs: ramping ? rampFromMs : null });
  }
  const failuresInARow = breaker.failuresInARow + 1;
  if (opens(event, failuresInARow, ramping, settings)) {
    const open = opened(event, { openings: openings + 1, sinceMs: nowMs }, nowMs, random, settings);
    return { breaker: open, change: "opened" };
  }
  const state = failuresInARow >= settings.degradedAfter ? "degraded" : "closed";
  return unchanged({ state, failuresInARow, openings, rampFromMs: ramping ? rampFromMs : null });
}

type Failed = Extract<BreakerEvent, { readonly kind: "failed" }>;

function opens({ atOnce, recent }: Failed, inARow: number, ramping: boolean, settings: BreakerSettings): boolean {
  const { openAfter, degradedAfter, rateCallsMin, failureRate } = settings;
  if (atOnce || inARow >= openAfter || (ramping && inARow >= degradedAfter)) return true;
  return recent.calls >= rateCallsMin && recent.failed >= recent.calls * failureRate;
}

function opened(
  { barred, because }: Failed,
  { openings, sinceMs }: { readonly openings: number; readonly sinceMs: EpochMs },
  nowMs: EpochMs,
  random: number,
  settings: BreakerSettings,
): OpenBreaker {
  return { state: "open", openings, sinceMs, untilMs: nowMs + cooldownMs(openings, barred, random, settings), because };
}

/** Never shorter than the stated one: jitter only adds. @param openings at least 1. */
export function cooldownMs(openings: number, barred: boolean, random: number, settings: BreakerSettings): number {
  const baseMs = barred ? settings.accountCooldownMs : settings.cooldownMs;
  const grownMs = Math.min(settings.cooldownMaxMs, baseMs * 2 ** Math.min(openings - 1, 30));
  return Math.ceil(grownMs * (1 + random / 5));
}

/** Calls that were out when it opened may still end; they change nothing, for good or ill. */
function fromOpen(breaker: OpenBreaker, event: OwnEvent, nowMs: EpochMs): BreakerStep {
  if (event.kind === "alive" && event.isProof) return closed(breaker, nowMs);
  if (event.kind !== "leased") return unchanged(breaker);
  const { openings, sinceMs, because } = breaker;
  const { untilMs } = event;
  return unchanged({ state: "half_open", openings, sinceMs, untilMs, because, trial: "free", outSinceMs: null });
}

function fromHalfOpen(
  breaker: HalfOpenBreaker,
  event: OwnEvent,
  nowMs: EpochMs,
  random: number,
  settings: BreakerSettings,
): BreakerStep {
  switch (event.kind) {
    case "leased":
      return unchanged({ ...breaker, untilMs: event.untilMs, trial: "free", outSinceMs: null });
    case "taken":
      return unchanged(breaker.trial === "free" ? { ...breaker, trial: "out", outSinceMs: nowMs } : breaker);
    case "not_sent":
      return unchanged(isTrial(breaker, event.startedAtMs) ? { ...breaker, trial: "free", outSinceMs: null } : breaker);
    case "alive":
      return event.isProof || isTrial(breaker, event.startedAtMs) ? closed(breaker, nowMs) : unchanged(breaker);
    case "failed": {
      if (!isTrial(breaker, event.startedAtMs)) return unchanged(breaker);
      const { openings, sinceMs } = breaker;
      const open = opened(event, { openings: openings + 1, sinceMs }, nowMs, random, settings);
      return { breaker: open, change: "reopened" };
    }
  }
}

function closed({ openings }: OpenBreaker | HalfOpenBreaker, nowMs: EpochMs): BreakerStep {
  return { breaker: { state: "closed", failuresInARow: 0, openings, rampFromMs: nowMs }, change: "closed" };
}

/** Nothing else of this router began after the trial was taken. */
function isTrial({ outSinceMs }: HalfOpenBreaker, startedAtMs: EpochMs): boolean {
  return outSinceMs !== null && startedAtMs >= outSinceMs;
}

/** A time further off than any cool-down is a clock that was set: nothing is open for longer. */
function fromShared(shared: SharedBreaker, nowMs: EpochMs, { rampMs, cooldownMaxMs }: BreakerSettings): Breaker {
  const { state, openings, sinceMs, because } = shared;
  if (state === "closed") {
    const isNew = nowMs < shared.changedMs + rampMs;
    if (!isNew) return CLOSED;
    return { state: "closed", failuresInARow: 0, openings, rampFromMs: Math.min(shared.changedMs, nowMs) };
  }
  if (state === "open") {
    const untilMs = Math.min(shared.untilMs, nowMs + Math.ceil(cooldownMaxMs * 1.2));
    return { state, openings, sinceMs, untilMs, because };
  }
  return { state, openings, sinceMs, untilMs: shared.untilMs, because, trial: "elsewhere", outSinceMs: null };
}

/** What each model of an account has failed with since the last call that the account served. */
export type FailuresByModel = ReadonlyMap<string, number>;

/** Whether the trouble is the account's and not a model's: several are degraded, and together they would open one. */
export function isWholeAccount(failures: FailuresByModel, { degradedAfter, openAfter }: BreakerSettings): boolean {
  let [models, sum] = [0, 0];
  for (const count of failures.values()) {
    if (count >= degradedAfter) models += 1;
    sum += count;
  }
  return models >= 2 && sum >= openAfter;
}
