/** A batch as its provider shows it: the record, with the faults that change what callers see. */
import type { BatchDetails, BatchProblem, BatchState } from "./batch-api.js";
import { faultOf } from "./batch-faults.js";
import type { JournalCounts } from "./batch-journal.js";
import type { BatchCounts, BatchRecord, BatchTimes, BatchUsage } from "./batch-record.js";
import type { ProviderName } from "./price-table.js";

export type BatchView = {
  readonly provider: ProviderName;
  readonly account: string;
  readonly id: string;
  readonly state: BatchState;
  /** A word to show instead of the state's own (fault): unknown to every client. */
  readonly strangeState: string | null;
  readonly times: BatchTimes;
  /** The dated name of the one model; null while unknown, or with several. */
  readonly model: string | null;
  /** 0 before validation, unless stated at the creation. */
  readonly total: number;
  readonly counts: BatchCounts;
  readonly usage: BatchUsage;
  /** Why it failed. */
  readonly problems: readonly BatchProblem[];
  /** The ids of the result files once they stand; null = there is none. */
  readonly outputFile: string | null;
  readonly errorFile: string | null;
  readonly details: BatchDetails;
};

/** How often callers looked at a batch, in the states that faults count. */
export type Looks = { backward: number; strange: number };

const READS = 2;
const STRANGE_WORD = "reticulating";
const BEFORE = { in_progress: "validating", finalizing: "in_progress", completed: "finalizing" } as const;

/** @param done what the running batch has done; null when it does not run. */
export function viewOf(record: BatchRecord, done: JournalCounts | null, looks: Looks): BatchView {
  const counts =
    done === null ? record.counts : { succeeded: done.succeeded, failed: done.failed, expired: 0, cancelled: 0 };
  const wrong = faultOf(record.faults, "batch_counts_wrong");
  const state = shownState(record, looks);
  const isBack = state !== record.state;
  return {
    provider: record.provider,
    account: record.account,
    id: record.id,
    state,
    strangeState: strangeState(record, looks),
    times: isBack ? { ...record.times, completedMs: null, finalizingMs: null } : record.times,
    model: record.model,
    total: record.total,
    counts: wrong === null ? counts : { ...counts, succeeded: counts.succeeded + (wrong.by ?? 1) },
    usage: done === null ? record.usage : done.usage,
    problems: record.problems,
    outputFile: isBack ? null : record.outputFile,
    errorFile: isBack ? null : record.errorFile,
    details: record.details,
  };
}

/** The first look at the state is true, the next ones show the one before. */
function shownState(record: BatchRecord, looks: Looks): BatchState {
  const fault = faultOf(record.faults, "batch_backward");
  const from = fault?.from ?? "completed";
  if (fault === null || record.state !== from) return record.state;
  looks.backward += 1;
  return looks.backward > 1 && looks.backward <= 1 + (fault.reads ?? READS) ? BEFORE[from] : record.state;
}

function strangeState(record: BatchRecord, looks: Looks): string | null {
  const fault = faultOf(record.faults, "batch_strange_state");
  if (fault === null || record.state === "validating") return null;
  looks.strange += 1;
  return looks.strange <= (fault.reads ?? READS) ? (fault.word ?? STRANGE_WORD) : null;
}
