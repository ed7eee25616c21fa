import {
  addUse,
  bucketOf,
  isEmpty,
  isFault,
  type CallCounts,
  type LimitUse,
  type Tally,
} from "../../domain/alert/tally.js";
import type { CallKind } from "../../domain/limit/limits.js";
import type { FinishedCall, FinishOutcome } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";

interface Counts {
  calls: number;
  failed: number;
  readonly ms: Record<number, number>;
  readonly used: Record<string, LimitUse>;
  usedByKind?: Record<string, LimitUse>;
}

/** Hears of calls whose outcome the ledger has. */
export interface FinishListener {
  /** @param are whether they were made by us, or are lines of a batch at the provider. */
  finished(are: "calls" | "lines", calls: readonly FinishedCall[], outcome: FinishOutcome, nowMs: number): void;
}

/** Hears of groups that intake has brought into the ledger. */
export interface IntakeListener {
  /** @param jobs those that were over as they came in, or were cancelled; metrics have heard of them as of any other. */
  endedAtIntake(jobs: number): void;
}

/** Counts in memory what this router's work comes to, until `take`: a handful of additions a call. */
export class TallyRecorder implements FinishListener, IntakeListener {
  #accounts = new Map<string, Counts>();
  #jobMs: Record<number, number> = {};
  #ended = 0;
  #deadLetters = 0;
  #nanoUsd = 0n;

  finished(are: "calls" | "lines", calls: readonly FinishedCall[], { ended }: FinishOutcome, nowMs: number): void {
    let waited = are === "lines";
    for (const { attempt, outcome, endedAtMs, nanoUsd, usage, countsAs } of calls) {
      const counts = this.#countsOf(attempt.account);
      counts.calls += 1;
      if (isFault(outcome)) counts.failed += 1;
      else if (are === "calls") add(counts.ms, endedAtMs - attempt.startedAtMs);
      if (are === "calls") {
        const tokens = (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0);
        counts.used[attempt.model] = addUse(counts.used[attempt.model], { requests: 1, tokens });
        if (countsAs !== undefined) addKind(counts, countsAs, { requests: 1, tokens });
      }
      waited ||= attempt.batchNo !== undefined;
      this.#nanoUsd += nanoUsd ?? 0n;
    }
    // Nobody says which job a call answered, and what waited for a batch or a group says nothing about how fast calls are.
    if (waited) return;
    for (const { status, acceptedAtMs } of ended) if (status === "succeeded") add(this.#jobMs, nowMs - acceptedAtMs);
  }

  /** They say nothing of what waits: answers out of the cache would hide that no call is made any more. */
  endedAtIntake(jobs: number): void {
    this.#ended -= jobs;
  }

  /** What metrics are told, told here too as far as it is about ends of jobs. */
  listening(metrics: Metrics): Metrics {
    return {
      count: (name, labels, by) => {
        if (name === "sluice_jobs_ended_total") this.#ended += by ?? 1;
        else if (name === "sluice_dead_letters_total") this.#deadLetters += by ?? 1;
        metrics.count(name, labels, by);
      },
      set: (name, labels, value) => {
        metrics.set(name, labels, value);
      },
      observe: (name, labels, value) => {
        metrics.observe(name, labels, value);
      },
    };
  }

  /** What was counted since the last time; null: nothing. */
  take(): Tally | null {
    const tally: Tally = {
      accounts: Object.fromEntries([...this.#accounts].map(([name, counts]): [string, CallCounts] => [name, counts])),
      ended: this.#ended,
      deadLetters: this.#deadLetters,
      jobMs: this.#jobMs,
      nanoUsd: this.#nanoUsd.toString(),
    };
    this.#accounts = new Map();
    this.#jobMs = {};
    this.#ended = this.#deadLetters = 0;
    this.#nanoUsd = 0n;
    return isEmpty(tally) ? null : tally;
  }

  #countsOf(account: string): Counts {
    let counts = this.#accounts.get(account);
    if (counts === undefined) {
      counts = { calls: 0, failed: 0, ms: {}, used: {} };
      this.#accounts.set(account, counts);
    }
    return counts;
  }
}

function addKind(counts: Counts, { endpoint, tier }: CallKind, use: LimitUse): void {
  counts.usedByKind ??= {};
  for (const name of [endpoint, tier]) counts.usedByKind[name] = addUse(counts.usedByKind[name], use);
}

function add(counts: Record<number, number>, ms: number): void {
  const bucket = bucketOf(ms);
  counts[bucket] = (counts[bucket] ?? 0) + 1;
}
