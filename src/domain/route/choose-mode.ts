import type { EpochMs } from "../ids.js";
import type { JobMode } from "../job/job.js";
import type { RouteDecision } from "./route-decision.js";

/**
 * Batch or a call of its own, for one execution on one route: pure, from numbers alone.
 *
 * `auto` takes the batch when it is known to be cheaper and ends in time with a margin: after its pool's wait, a turnaround of p95 (two of
 * them when the account's enqueued tokens are used up, since a running batch has to end first) and the margin. A number that is not
 * known speaks for the direct call, never for the batch. Where the lines of a batch are calls of our own, it need not be cheaper: it leaves
 * the account's places to jobs that can't wait.
 *
 * `batch` takes it when the p95 alone fits: a deadline cuts the pool's wait short. An execution that comes up again is given to one as
 * long as half of the batches would make it, since all that is left otherwise is to fail.
 */

/** What a batch is given beyond the p95: for the upload before it, the poll and the storing of results behind it, and for slow ones. */
const MARGIN_SHARE = 0.25;
const MARGIN_MS_MIN = 60_000;

export interface ModeFacts {
  readonly mode: JobMode;
  readonly account: string;
  readonly model: string;
  readonly nowMs: EpochMs;
  readonly deadlineMs: EpochMs;
  /** Upper bounds of the cost, nano-dollars; null: unknown. */
  readonly directMaxNanoUsd: bigint | null;
  readonly batch: BatchOffer;
  /** It was given to a provider or a pool before. */
  readonly again: boolean;
}

/** What a batch of the route would be; null: unknown, but for the headroom. */
export type BatchOffer =
  | {
      readonly kind: "offered";
      readonly turnaroundP95Ms: number | null;
      readonly turnaroundMedianMs: number | null;
      /** Longest wait of a line for others. */
      readonly fillMs: number;
      readonly batchMaxNanoUsd: bigint | null;
      readonly tokens: number | null;
      /** Estimated prompt tokens that the account's batches may still take; null: not limited. */
      readonly headroomTokens: number | null;
      /** Only there when true: its lines are calls of our own, in the background. */
      readonly inBackground?: boolean;
    }
  /** In words: the account has no batches, no price of them is known, the provider doesn't carry the line. */
  | { readonly kind: "impossible"; readonly because: string };

export type ModeChoice =
  /** `lookAtMs`: see `QueuedLine.lookAtMs`. */
  | { readonly kind: "batch"; readonly decision: RouteDecision; readonly lookAtMs: EpochMs }
  | { readonly kind: "direct"; readonly decision: RouteDecision }
  /** Mode `batch` only. */
  | { readonly kind: "refused"; readonly code: "NO_ROUTE" | "NO_ROUTE_IN_TIME"; readonly because: string };

/** How long after its submission a batch is counted on to have ended, its results stored. */
export function withMargin(turnaroundP95Ms: number): number {
  return turnaroundP95Ms + Math.max(MARGIN_MS_MIN, Math.ceil(turnaroundP95Ms * MARGIN_SHARE));
}

export function chooseMode(facts: ModeFacts): ModeChoice {
  if (facts.mode === "direct") return direct(facts, "the job asks for a call of its own");
  return facts.mode === "batch" ? forcedBatch(facts) : cheaperInTime(facts);
}

function cheaperInTime(facts: ModeFacts): ModeChoice {
  const { batch, directMaxNanoUsd } = facts;
  if (batch.kind === "impossible") return direct(facts, batch.because);
  const { batchMaxNanoUsd, turnaroundP95Ms } = batch;
  if (batchMaxNanoUsd === null || directMaxNanoUsd === null)
    return direct(facts, "whether a batch is cheaper is not known");
  const isWorthIt =
    batchMaxNanoUsd < directMaxNanoUsd || (batch.inBackground === true && batchMaxNanoUsd === directMaxNanoUsd);
  if (!isWorthIt) return direct(facts, "a batch is no cheaper");
  if (turnaroundP95Ms === null) return direct(facts, "how long a batch takes is not known");
  const neededMs = withMargin(turnaroundP95Ms);
  const leftMs = leftOf(facts);
  const full = noHeadroom(batch);
  const wholeMs = batch.fillMs + neededMs + (full ? turnaroundP95Ms : 0);
  if (wholeMs > leftMs) {
    const first = full ? `the account's batches are full; ` : "";
    return direct(facts, `${first}a batch may take ${inWords(wholeMs)} and ${inWords(leftMs)} are left`);
  }
  const why =
    batchMaxNanoUsd === directMaxNanoUsd
      ? "a group in the background leaves places to jobs that can't wait"
      : `a batch costs ${String((batchMaxNanoUsd * 100n) / directMaxNanoUsd)} % of a call of its own`;
  const because = `${why} and is counted on within ${inWords(wholeMs)}, ${inWords(leftMs)} are left`;
  return chosen(facts, because, facts.deadlineMs - neededMs);
}

function forcedBatch(facts: ModeFacts): ModeChoice {
  const { batch } = facts;
  if (batch.kind === "impossible") return { kind: "refused", code: "NO_ROUTE", because: batch.because };
  const { turnaroundP95Ms, turnaroundMedianMs } = batch;
  if (batch.batchMaxNanoUsd === null)
    return { kind: "refused", code: "NO_ROUTE", because: "what a line of a batch costs is not known" };
  if (turnaroundP95Ms === null)
    return { kind: "refused", code: "NO_ROUTE_IN_TIME", because: "how long a batch takes is not known" };
  const leftMs = leftOf(facts);
  if (turnaroundP95Ms <= leftMs) return chosen(facts, "the job asks for a batch", facts.deadlineMs - turnaroundP95Ms);
  if (facts.again && turnaroundMedianMs !== null && turnaroundMedianMs <= leftMs)
    return chosen(facts, "the job asks for a batch, which may end in time", facts.deadlineMs - turnaroundMedianMs);
  const because = `95 of 100 batches end within ${inWords(turnaroundP95Ms)} and ${inWords(leftMs)} are left; give it a later deadline, or send it with mode auto or direct`;
  return { kind: "refused", code: "NO_ROUTE_IN_TIME", because };
}

function noHeadroom({ tokens, headroomTokens }: Extract<BatchOffer, { kind: "offered" }>): boolean {
  return headroomTokens !== null && (tokens === null || tokens > headroomTokens);
}

function direct(facts: ModeFacts, because: string): ModeChoice {
  return { kind: "direct", decision: decisionOf(facts, "direct", because) };
}

function chosen(facts: ModeFacts, because: string, lookAtMs: EpochMs): ModeChoice {
  return { kind: "batch", decision: decisionOf(facts, "batch", because), lookAtMs };
}

function decisionOf(facts: ModeFacts, mode: RouteDecision["mode"], because: string): RouteDecision {
  const { account, model, batch } = facts;
  const offered = batch.kind === "offered" ? batch : null;
  return {
    mode,
    account,
    model,
    because,
    numbers: {
      leftMs: leftOf(facts),
      turnaroundP95Ms: offered?.turnaroundP95Ms ?? null,
      fillMs: offered?.fillMs ?? null,
      directMaxNanoUsd: facts.directMaxNanoUsd?.toString() ?? null,
      batchMaxNanoUsd: offered?.batchMaxNanoUsd?.toString() ?? null,
      tokens: offered?.tokens ?? null,
      headroomTokens: offered?.headroomTokens ?? null,
    },
  };
}

function leftOf({ nowMs, deadlineMs }: ModeFacts): number {
  return deadlineMs - nowMs;
}

/** A length of time in its two largest units, rounded to the second. */
function inWords(ms: number): string {
  const seconds = Math.round(Math.max(0, ms) / 1000);
  const parts = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor((seconds % 3600) / 60), "min"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${String(count)} ${unit}`)
    .join(" ");
}
