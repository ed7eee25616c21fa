import { bucketOf, isEmpty, isFault, type CallCounts, type Tally } from "../../domain/alert/tally.js";
import type { FinishedCall, FinishOutcome } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";

interface Counts {
  calls: number;
  failed: number;
  readonly ms: Record<number, number>;
}

/** Hears of calls whose outcome the ledger has. */
export interface FinishListener {
  finished(calls: readonly FinishedCall[], outcome: FinishOutcome, nowMs: number): void;
}

/** Counts in memory what this router's work comes to, until `take`: a handful of additions a call. */
export class TallyRecorder implements FinishListener {
  #accounts = new Map<string, Counts>();
  #jobMs: Record<number, number> = {};
  #ended = 0;
  #deadLetters = 0;
  #nanoUsd = 0n;

  finished(calls: readonly FinishedCall[], { ended }: FinishOutcome, nowMs: number): void {
    let lines = 0;
    for (const { attempt, outcome, endedAtMs, nanoUsd } of calls) {
      const isLine = attempt.batchNo !== undefined;
      const counts = this.#countsOf(attempt.account);
      counts.calls += 1;
      if (isFault(outcome)) counts.failed += 1;
      else if (!isLine) add(counts.ms, endedAtMs - attempt.startedAtMs);
      if (isLine) lines += 1;
      this.#nanoUsd += nanoUsd ?? 0n;
    }
    // Nobody says which job a call answered, and what waited for a batch says nothing about how fast calls are.
    if (lines > 0) return;
    for (const { status, acceptedAtMs } of ended)
      if (status === "succeeded" && acceptedAtMs !== undefined) add(this.#jobMs, nowMs - acceptedAtMs);
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
      counts = { calls: 0, failed: 0, ms: {} };
      this.#accounts.set(account, counts);
    }
    return counts;
  }
}

function add(counts: Record<number, number>, ms: number): void {
  const bucket = bucketOf(ms);
  counts[bucket] = (counts[bucket] ?? 0) + 1;
}
