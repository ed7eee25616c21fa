import type { Failure } from "../failure.js";
import type { EpochMs } from "../ids.js";
import type { JobMode } from "../job/job.js";

/** What becomes of the new jobs of one intake group once it is known which execution serves each: one rule for every ledger. */

/** A new job of the group. `execution`: the one that it joins, or whose answer it takes; null: it opens its own, under its own number. */
export interface PlacedJob {
  readonly no: number;
  readonly execution: { readonly no: number } | null;
  readonly cached: unknown;
  /** When at the latest it has to be in a batch; null: it may not wait for one. */
  readonly batchUntilMs: EpochMs | null;
  readonly job: { readonly mode: JobMode };
  /** What it would begin with: a call, or a place in a pool. */
  readonly item: { readonly intent: unknown; readonly pooled?: unknown };
}

/**
 * Jobs of the group whose executions must not wait for a batch, whatever they say themselves: another one of the group joined that
 * can't wait, or asks for a call of its own.
 */
export function hurriedOpeners(jobs: readonly PlacedJob[]): ReadonlySet<number> {
  const hurried = new Set<number>();
  const openers = new Map(jobs.map((placed) => [placed.no, placed]));
  for (const { execution, batchUntilMs, job } of jobs) {
    const opener = openers.get(execution?.no ?? -1);
    if (opener === undefined) continue;
    if (opener.item.pooled === undefined ? job.mode === "direct" : batchUntilMs === null) hurried.add(opener.no);
  }
  return hurried;
}

/** @returns numbers of the jobs that a later record of their group cancels. One that comes before its job says nothing of it. */
export function cancelledJobs(
  jobs: readonly { readonly no: number; readonly job: { readonly tenant: string; readonly jobId: string } }[],
  cancels: readonly { readonly tenant: string; readonly jobId: string; readonly behind: number }[],
): ReadonlySet<number> {
  const cancelled = new Set<number>();
  for (const { tenant, jobId, behind } of cancels)
    for (const { no, job } of jobs.slice(0, behind))
      if (job.jobId === jobId && job.tenant === tenant) cancelled.add(no);
  return cancelled;
}

export function openingFate(
  { no, cached, execution, item }: PlacedJob,
  hurried: ReadonlySet<number>,
): "cached" | "joined" | "started" | "pooled" | "queued" {
  if (cached !== null) return "cached";
  if (execution !== null) return "joined";
  if (item.intent !== null) return "started";
  return item.pooled !== undefined && !hurried.has(no) ? "pooled" : "queued";
}

/** Of a job that is cancelled before it has ended, at intake or later. */
export const CANCELLED: Failure = {
  code: "CANCELLED",
  message: "cancelled on request before it had ended",
  provider: null,
  retryAtMs: null,
};

const LATE: Failure = {
  code: "DEADLINE_EXCEEDED",
  message: "the deadline had passed when the job was accepted; send it with a later one",
  provider: null,
  retryAtMs: null,
};

export interface IntakeEnd {
  readonly status: "expired" | "cancelled" | "succeeded";
  readonly failure: Failure | null;
}

/** How a job ends in the transaction that accepts it: its deadline had passed, it was cancelled behind it, or the answer was there. Null: it goes on. */
export function intakeEnd(fate: string | null): IntakeEnd | null {
  if (fate === "expired") return { status: fate, failure: LATE };
  if (fate === "cancelled") return { status: fate, failure: CANCELLED };
  return fate === "cached" ? { status: "succeeded", failure: null } : null;
}
