import type { EpochMs } from "../ids.js";

/**
 * Which execution serves a new job whose request is known: pure, so that every ledger has the same rule.
 *
 * A request key has two lanes with at most one unfinished execution each. The ordinary one serves whoever it can answer in time. A job
 * whose deadline passes before the ordinary one is even tried again (a provider's Retry-After, a backoff, the grace of a doubt) opens
 * the express one, or joins it: there is no third, so a key never has more than two calls out, however many jobs are in a hurry. A job that
 * may not use the ordinary one's answer opens the express one too, so that the answer stays for others.
 */
export const LANE = { ordinary: 0, express: 1 } as const;
export type Lane = (typeof LANE)[keyof typeof LANE];

/** An execution of the key as the ledger holds it, locked against ending. */
export interface FoundExecution {
  readonly lane: Lane;
  readonly now: FoundState;
}

export type FoundState =
  /** Its call is out. Nobody knows when it answers, but it began before any call of the new job's own could. */
  | { readonly kind: "running" }
  /** Nothing happens before `untilMs`. `doubtMaxNanoUsd`: what the call in doubt may have cost; null: none is in doubt. */
  | { readonly kind: "waits"; readonly untilMs: EpochMs; readonly doubtMaxNanoUsd: bigint | null }
  /** It waits for a batch; a job that must not wait turns it into a call of its own. */
  | { readonly kind: "pooled" }
  /** A line of a batch that is expected to end by `untilMs`. */
  | { readonly kind: "batched"; readonly untilMs: EpochMs }
  | { readonly kind: "answered"; readonly atMs: EpochMs }
  | { readonly kind: "over" };

/** What matters of the new job. */
export interface Joiner {
  readonly deadlineMs: EpochMs;
  readonly cacheRead: boolean;
  readonly cacheMaxAgeMs: number | null;
  /** Most that an identical call in doubt may have cost for another to be made beside it, nano-dollars; null: none may. */
  readonly riskNanoUsd: bigint | null;
  /** Whether it may wait for a batch at all. */
  readonly mayWaitForBatch: boolean;
}

export type Choice<Found extends FoundExecution> =
  /** Join it if it is live; if it has answered, that answer serves. */
  | { readonly kind: "take"; readonly execution: Found }
  /** Open one in this lane, in place of the ended one that its key names; null: the lane is free. */
  | { readonly kind: "open"; readonly lane: Lane; readonly instead: Found | null }
  /** The ordinary lane has become free meanwhile. */
  | { readonly kind: "again" };

/** @param found the executions that the lanes of the job's key name, at most one each. */
export function chooseExecution<Found extends FoundExecution>(
  found: readonly Found[],
  job: Joiner,
  nowMs: EpochMs,
): Choice<Found> {
  const answered = newestAnswer(found, job, nowMs);
  if (answered !== null) return { kind: "take", execution: answered };
  const live = found.filter(({ now }) => now.kind !== "answered" && now.kind !== "over");
  const ordinary = found.find(({ lane }) => lane === LANE.ordinary);
  const express = found.find(({ lane }) => lane === LANE.express);
  const inTime = live.filter(({ now }) => answersInTime(now, job));
  const joined = inTime.find(({ lane }) => lane === LANE.ordinary) ?? inTime[0];
  if (joined !== undefined) return { kind: "take", execution: joined };
  if (ordinary === undefined) return { kind: "again" };
  if (live.includes(ordinary)) {
    // Both are too late for it, and there is no third lane.
    if (express !== undefined && live.includes(express)) return { kind: "take", execution: express };
    return { kind: "open", lane: LANE.express, instead: express ?? null };
  }
  // What is opened may fail, and an answer that this job can't use may be of use to others: the older one goes.
  return answeredAtMs(ordinary) > answeredAtMs(express) && (express === undefined || !live.includes(express))
    ? { kind: "open", lane: LANE.express, instead: express ?? null }
    : { kind: "open", lane: LANE.ordinary, instead: ordinary };
}

/** -1: it has no answer. */
function answeredAtMs(found: FoundExecution | undefined): EpochMs {
  return found?.now.kind === "answered" ? found.now.atMs : -1;
}

function newestAnswer<Found extends FoundExecution>(
  found: readonly Found[],
  { cacheRead, cacheMaxAgeMs }: Joiner,
  nowMs: EpochMs,
): Found | null {
  let newest: { readonly execution: Found; readonly atMs: EpochMs } | null = null;
  for (const execution of found) {
    const { now } = execution;
    if (!cacheRead || now.kind !== "answered") continue;
    if (cacheMaxAgeMs !== null && nowMs - now.atMs > cacheMaxAgeMs) continue;
    if (newest === null || now.atMs > newest.atMs) newest = { execution, atMs: now.atMs };
  }
  return newest?.execution ?? null;
}

/** A doubt that may not be paid beside is waited for, deadline or not: `fail` never pays twice. */
function answersInTime(now: FoundState, { deadlineMs, riskNanoUsd, mayWaitForBatch }: Joiner): boolean {
  if (now.kind === "batched") return mayWaitForBatch && now.untilMs < deadlineMs;
  if (now.kind !== "waits" || now.untilMs < deadlineMs) return true;
  return now.doubtMaxNanoUsd !== null && (riskNanoUsd === null || now.doubtMaxNanoUsd > riskNanoUsd);
}
