import type {
  AttemptIntent,
  AttemptState,
  AttemptSummary,
  ExecutionState,
  JobState,
  ServedAnswer,
} from "../../../src/domain/execution/execution.js";
import type { Alert } from "../../../src/domain/alert/alert.js";
import type { BudgetStanding } from "../../../src/domain/budget/budget.js";
import type { LetterState } from "../../../src/domain/dead-letter/where.js";
import type { StoppedPartition } from "../../../src/domain/event/partition-event.js";
import type { AttemptOutcome, Failure } from "../../../src/domain/failure.js";
import type { StoredBreaker } from "../../../src/ports/health-store.js";
import type { WaitReason } from "../../../src/domain/execution/waits.js";
import type { Batch } from "../../../src/domain/batch/batch.js";
import type { QueuedLine } from "../../../src/domain/batch/queued-line.js";
import type { LedgerKey } from "../../../src/domain/ids.js";
import type { JobMode, RequestFormat, RoutePolicy } from "../../../src/domain/job/job.js";
import type { CostRow, KeptRecord, Outgoing } from "../../../src/domain/result/outgoing.js";
import type { RouteDecision } from "../../../src/domain/route/route-decision.js";
import type { StoredCreate } from "../../../src/ports/batch-ledger.js";

/** Rows of the ledger in memory: the columns of the real tables that decide something. */

export interface RouterRow {
  readonly no: number;
  readonly name: string;
  readonly beatMs: number;
  readonly lowMark: number;
  readonly endedMs: number | null;
  readonly died: boolean;
  readonly recoveredMs: number | null;
}

export interface AlertWatchRow {
  readonly lookedAtMs: number;
  readonly memory: string | null;
}

export interface AlertTallyRow {
  readonly text: string;
}

export type AlertRow = Alert;

export interface AlertSpendRow {
  readonly quarter: number;
  readonly nanoUsd: bigint;
}

export interface NoticeRow {
  readonly no: number;
  readonly eventId: string;
  readonly body: string;
  readonly tries: number;
  readonly createdMs: number;
  readonly nextAtMs: number;
  readonly reason: string | null;
}

export interface PositionRow {
  readonly next: number;
  readonly witness: Buffer | null;
  readonly lastGroup: number | null;
  readonly adoptions: number;
}

export interface MarkRow {
  readonly offset: number;
  readonly upto: number;
  readonly by: number;
  readonly earlier: EarlierMarkRow | null;
}

/** Whose mark before that held these records too. */
export interface EarlierMarkRow {
  readonly by: number;
  readonly upto: number;
  readonly followedAtMs: number;
  readonly alone: boolean;
}

export interface TurnRow {
  readonly next: number;
  readonly turns: number;
  readonly session: number;
  readonly mark: MarkRow | null;
}

export interface StopRow {
  readonly partition: number;
  readonly cause: StoppedPartition["cause"];
  readonly next: number;
  readonly session: number;
}

export interface JobKeyRow {
  readonly bodyHash: Buffer;
  readonly key: LedgerKey;
}

export interface JobRow {
  readonly key: LedgerKey;
  readonly tenant: string;
  readonly jobId: string;
  readonly generation: number;
  readonly state: JobState;
  readonly execution: LedgerKey | null;
  readonly priority: number;
  readonly deadlineMs: number;
  readonly acceptedMs: number;
  readonly endedMs: number | null;
  readonly failureCode: string | null;
  readonly source: string;
  readonly envelope: string;
  readonly record: KeptRecord;
}

export interface ExecutionRow {
  readonly key: LedgerKey;
  readonly tenant: string;
  readonly requestKey: string | null;
  readonly state: ExecutionState;
  readonly session: number | null;
  readonly attemptNo: number | null;
  readonly attempts: number;
  readonly routeIndex: number;
  readonly format: RequestFormat;
  readonly policy: RoutePolicy;
  readonly bodyText: string;
  readonly cacheWrite: boolean;
  readonly maxCostNanoUsd: bigint | null;
  readonly mode: JobMode;
  readonly decision: RouteDecision | null;
  readonly history: readonly AttemptSummary[];
  readonly answer: ServedAnswer | null;
  readonly failure: Failure | null;
  readonly endedMs: number | null;
}

export interface ExecutionKeyRow {
  readonly execution: LedgerKey;
  readonly answeredMs: number | null;
}

export interface AttemptRow {
  readonly intent: AttemptIntent;
  readonly execution: LedgerKey;
  readonly session: number;
  readonly state: AttemptState;
  readonly outcome: AttemptOutcome | null;
  readonly settledMs: number | null;
  readonly nanoUsd: bigint | null;
  /** Rows of the budgets in which it is settled. */
  readonly countedIn?: readonly string[];
  /** Only there for a line that was given back: when. */
  readonly endedMs?: number;
  /** Only there when true: it was given back, and its batch turned up. */
  readonly outAgain?: true;
  /** Prompt and answer; left out: nothing was counted, or not yet. */
  readonly tokens?: number;
}

export interface ReadyRow {
  readonly key: LedgerKey;
  readonly priority: number;
  readonly runAtMs: number;
  readonly expiresMs: number;
  readonly waitsFor: WaitReason;
  /** What it waits for until there is a grant; left out: it waits until it is due. */
  readonly limit?: string;
  /** Only there where money is the reason: the key of the budget that keeps it out. */
  readonly level?: string;
}

/** What waits for a batch. */
export interface PoolRow {
  readonly key: LedgerKey;
  readonly tenant: string;
  readonly pool: string;
  readonly line: QueuedLine;
  readonly priority: number;
  readonly addedMs: number;
  readonly expiresMs: number;
  /** Tries so far. */
  readonly attempts: number;
}

export interface BatchRow {
  readonly batch: Batch;
  readonly session: number | null;
  readonly nearestDeadlineMs: number | null;
}

export interface BatchCreateRow extends StoredCreate {
  readonly account: string;
}

export interface BatchAccountRow {
  readonly tokensMax: number | null;
  readonly holdUntilMs: number;
}

/** By its key and the beginning of its window. */
export interface BudgetRow extends BudgetStanding {
  readonly key: string;
  readonly sinceMs: number;
}

/** By its attempt and its budget. */
export interface ReservationRow {
  readonly attemptNo: number;
  /** The key of its row. */
  readonly budget: string;
  readonly maxNanoUsd: bigint;
}

export interface OutboxReadyRow {
  readonly seq: number;
  readonly session: number;
  readonly topic: string;
  readonly atMs: number;
  readonly afterMs: number;
  readonly keys: readonly string[];
}

export interface RepeatRow {
  readonly no: number;
  readonly jobNo: number;
  readonly envelope: string;
}

export interface DeadLetterRow {
  readonly no: number;
  readonly code: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The job that it is about; null: its record became none. */
  readonly job: LedgerKey | null;
  readonly state: LetterState;
  /** The record that its topic did not take; null for other letters. */
  readonly outboxKey: string | null;
}

/** By the number of the job that was replayed. */
export interface ReplayRow {
  readonly job: LedgerKey;
  readonly next: LedgerKey;
}

export type { CostRow, Outgoing };

/** As `StoredBreaker`, with times of the database's clock. */
export interface BreakerRow extends Omit<StoredBreaker, "openMs" | "leftMs" | "changedAgoMs"> {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly changedMs: number;
}
