import { allocate } from "./allocate.js";

/** What cost records add up to, and how the cost of a shared call is told to those who shared it. Nano-dollars. */

/** By what a report can be told apart, in the words of cost records. */
export const REPORT_DIMENSIONS = ["tenant", "department", "application", "provider", "model", "mode"] as const;
export type ReportDimension = (typeof REPORT_DIMENSIONS)[number];

/** Why less was paid than the list says. Money that served nobody is no part of it. */
export interface Saved {
  /** Jobs that joined another's call. */
  readonly coalesced: bigint;
  /** Jobs that were served from an earlier answer. */
  readonly cached: bigint;
  /** Lines of batches, what the provider takes off cached parts of their prompts included. */
  readonly batch: bigint;
  /** What the provider takes off cached parts of the prompt of a call. */
  readonly promptCache: bigint;
  /** Another route than the first that could serve the job; below 0 where it was dearer. */
  readonly routing: bigint;
}

/** `list - paid` is the sum of `saved`, less `waste` and `unlisted`. */
export interface CostSums {
  /** Jobs that were served. */
  readonly jobs: number;
  /** Calls, and lines of batches, that have a cost record. */
  readonly calls: number;
  /** What is known to have been paid, for whatever. */
  readonly paid: bigint;
  readonly list: bigint;
  readonly saved: Saved;
  /** Paid for what served nobody: answers that came too late or were not good, doubts that were billed. */
  readonly waste: bigint;
  /** Paid for what served a job and has no list price, since its tokens were not known. */
  readonly unlisted: bigint;
  /** Calls whose cost is not known, and the most that they may have cost: not in `paid`. */
  readonly inDoubt: OpenCosts;
  readonly suspect: OpenCosts;
}

export interface OpenCosts {
  readonly calls: number;
  readonly max: bigint;
}

export const NO_COSTS: CostSums = {
  jobs: 0,
  calls: 0,
  paid: 0n,
  list: 0n,
  saved: { coalesced: 0n, cached: 0n, batch: 0n, promptCache: 0n, routing: 0n },
  waste: 0n,
  unlisted: 0n,
  inDoubt: { calls: 0, max: 0n },
  suspect: { calls: 0, max: 0n },
};

export function addCosts(one: CostSums, other: CostSums): CostSums {
  return {
    jobs: one.jobs + other.jobs,
    calls: one.calls + other.calls,
    paid: one.paid + other.paid,
    list: one.list + other.list,
    saved: {
      coalesced: one.saved.coalesced + other.saved.coalesced,
      cached: one.saved.cached + other.saved.cached,
      batch: one.saved.batch + other.saved.batch,
      promptCache: one.saved.promptCache + other.saved.promptCache,
      routing: one.saved.routing + other.saved.routing,
    },
    waste: one.waste + other.waste,
    unlisted: one.unlisted + other.unlisted,
    inDoubt: addOpen(one.inDoubt, other.inDoubt),
    suspect: addOpen(one.suspect, other.suspect),
  };
}

function addOpen(one: OpenCosts, other: OpenCosts): OpenCosts {
  return { calls: one.calls + other.calls, max: one.max + other.max };
}

/** Who is told the cost of a call that several jobs shared: the job that opened it, all evenly, or each by its own list price. */
export const ALLOCATIONS = ["payer", "even", "list"] as const;
export type Allocation = (typeof ALLOCATIONS)[number];

/** The jobs of one line of a report that a shared call served. */
export interface Sharer {
  /** The report's line. */
  readonly key: string;
  /** Whether the job that pays is told here: its share is what is left here of what it paid. */
  readonly pays: boolean;
  readonly jobs: number;
  /** Sum of their list prices. */
  readonly list: bigint;
}

/** What a line is told more (or, below 0, less) than its jobs paid. */
export interface AllocatedPart {
  readonly key: string;
  readonly nanoUsd: bigint;
}

/**
 * How the cost of one shared call moves between the lines of a report; the parts add up to 0.
 * @param sharers those of a call, at least one. None pays where the job that pays served nobody: then nothing is moved.
 */
export function allocateShared(
  paid: bigint,
  sharers: readonly Sharer[],
  by: Exclude<Allocation, "payer">,
): readonly AllocatedPart[] {
  const payer = sharers.find(({ pays }) => pays);
  if (payer === undefined) return [];
  const ordered = [payer, ...sharers.filter((sharer) => sharer !== payer)];
  const evenly = by === "even" || ordered.every(({ list }) => list === 0n);
  const parts = allocate(
    paid,
    ordered.map(({ jobs, list }) => (evenly ? BigInt(jobs) : list)),
  );
  return ordered.map(({ key }, place) => ({ key, nanoUsd: (parts[place] ?? 0n) - (place === 0 ? paid : 0n) }));
}

/** A line with what it is told more: what it did not pay itself, it has not saved. */
export function withAllocated(sums: CostSums, nanoUsd: bigint): CostSums {
  const { paid, saved } = sums;
  return { ...sums, paid: paid + nanoUsd, saved: { ...saved, coalesced: saved.coalesced - nanoUsd } };
}
