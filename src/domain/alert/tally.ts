import type { AttemptOutcome } from "../failure.js";
import type { EpochMs } from "../ids.js";
import type { CallKind } from "../limit/limits.js";

/**
 * What routers count of what they do, in a form that can be added up. Kept out of the ledger's hot tables: nothing there is
 * ordered by the time at which something ended. A router that is killed takes the count of its last seconds with it; money is
 * counted by the ledger, this is for noticing.
 */
export interface Tally {
  /** By account; only of accounts with calls. */
  readonly accounts: Readonly<Record<string, CallCounts>>;
  /** Jobs that ended, whatever the end; without those that never waited, or ended by a producer's cancel. */
  readonly ended: number;
  readonly deadLetters: number;
  /** From acceptance to the end, of jobs that a call of their own answered, batches left out. */
  readonly jobMs: DurationCounts;
  /** Settled cost, nano-dollars as decimal text. */
  readonly nanoUsd: string;
}

export interface CallCounts {
  readonly calls: number;
  /** Of these, failed by no fault of the job. */
  readonly failed: number;
  /** Of direct calls that were answered. */
  readonly ms: DurationCounts;
  /** What counts towards limits by the minute, by model: direct calls and their tokens, as far as the provider reported them. */
  readonly used: Readonly<Record<string, LimitUse>>;
  /** The same by endpoint and by tier, where the account has limits of these; left out: none did. */
  readonly usedByKind?: KindUse;
}

export type KindUse = Readonly<Partial<Record<CallKind[keyof CallKind], LimitUse>>>;

export interface LimitUse {
  readonly requests: number;
  readonly tokens: number;
}

/** Durations by the index of their bucket: sparse. */
export type DurationCounts = Readonly<Record<number, number>>;

export const EMPTY_TALLY: Tally = { accounts: {}, ended: 0, deadLetters: 0, jobMs: {}, nanoUsd: "0" };

/** Each bucket's upper bound is a quarter above the one before: a quantile is told too high by less than that. */
const BUCKET_GROWTH = 1.25;
const FIRST_BUCKET_MS = 10;
/** A bucket of its own for all above some 80 days. */
const BUCKET_MAX = 90;

export function bucketOf(ms: number): number {
  if (ms <= FIRST_BUCKET_MS) return 0;
  return Math.min(BUCKET_MAX, Math.ceil(Math.log(ms / FIRST_BUCKET_MS) / Math.log(BUCKET_GROWTH)));
}

/** The upper bound of a bucket, milliseconds. */
export function bucketMs(index: number): number {
  return FIRST_BUCKET_MS * BUCKET_GROWTH ** index;
}

/** A bound that at least `percent` of 100 durations are not above; null without any. */
export function quantileMs(counts: DurationCounts, percent: number): number | null {
  const buckets = Object.entries(counts)
    .map(([index, count]) => ({ index: Number(index), count }))
    .sort((one, other) => one.index - other.index);
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  let seen = 0;
  for (const { index, count } of buckets) {
    seen += count;
    if (seen * 100 >= total * percent) return bucketMs(index);
  }
  return null;
}

export function durationsIn(counts: DurationCounts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** What a call came to that is no fault of its job: of the account, of the way there, or of nobody known. */
const FAULTS: ReadonlySet<AttemptOutcome> = new Set<AttemptOutcome>([
  "rate_limited",
  "overloaded",
  "timed_out",
  "connection_failed",
  "bad_response",
  "auth_failed",
  "quota_exhausted",
  "line_expired",
  "line_missing",
  "in_doubt",
  "unclassified",
]);

export function isFault(outcome: AttemptOutcome): boolean {
  return FAULTS.has(outcome);
}

export function isEmpty(tally: Tally): boolean {
  const { accounts, ended, deadLetters, nanoUsd } = tally;
  return ended === 0 && deadLetters === 0 && nanoUsd === "0" && Object.keys(accounts).length === 0;
}

export function sumOf(tallies: readonly Tally[]): Tally {
  const accounts: Record<string, CallCounts> = {};
  const jobMs: Record<number, number> = {};
  let [ended, deadLetters, nanoUsd] = [0, 0, 0n];
  for (const tally of tallies) {
    for (const [name, counts] of Object.entries(tally.accounts)) accounts[name] = addCalls(accounts[name], counts);
    addDurations(jobMs, tally.jobMs);
    ended += tally.ended;
    deadLetters += tally.deadLetters;
    nanoUsd += BigInt(tally.nanoUsd);
  }
  return { accounts, ended, deadLetters, jobMs, nanoUsd: nanoUsd.toString() };
}

function addCalls(known: CallCounts | undefined, more: CallCounts): CallCounts {
  const ms: Record<number, number> = { ...known?.ms };
  addDurations(ms, more.ms);
  const used: Record<string, LimitUse> = { ...known?.used };
  for (const [model, use] of Object.entries(more.used)) used[model] = addUse(used[model], use);
  const sum = { calls: (known?.calls ?? 0) + more.calls, failed: (known?.failed ?? 0) + more.failed, ms, used };
  const kinds = [known?.usedByKind ?? {}, more.usedByKind ?? {}];
  const usedByKind: Record<string, LimitUse> = {};
  for (const kind of kinds)
    for (const [name, use] of Object.entries(kind)) usedByKind[name] = addUse(usedByKind[name], use);
  return Object.keys(usedByKind).length === 0 ? sum : { ...sum, usedByKind };
}

export function addUse(known: LimitUse | undefined, more: LimitUse): LimitUse {
  return { requests: (known?.requests ?? 0) + more.requests, tokens: (known?.tokens ?? 0) + more.tokens };
}

function addDurations(sum: Record<number, number>, more: DurationCounts): void {
  for (const [index, count] of Object.entries(more)) sum[Number(index)] = (sum[Number(index)] ?? 0) + count;
}

/** A tally and when the time it is about began. */
export interface TallySlot {
  readonly sinceMs: EpochMs;
  readonly tally: Tally;
}

/** A window holds at most as many slots and one more. */
const SLOTS = 40;

/** The slots of a window after a look: the newest takes what was counted until it is full; what is older than the window is left out. */
export function nextSlots(
  slots: readonly TallySlot[],
  counted: Tally,
  windowMs: number,
  nowMs: EpochMs,
): readonly TallySlot[] {
  const kept = slots.filter(({ sinceMs }) => nowMs - sinceMs < windowMs && sinceMs <= nowMs);
  const last = kept.at(-1);
  if (last === undefined || nowMs - last.sinceMs >= windowMs / SLOTS)
    return [...kept, { sinceMs: nowMs, tally: counted }];
  return [...kept.slice(0, -1), { sinceMs: last.sinceMs, tally: sumOf([last.tally, counted]) }];
}
