/** The ledger's rows as the readers of evidence hand them on: the columns of `schemas/ledger`, without bodies. Times by the database's clock where it wrote them. */
export interface LedgerRows {
  readonly jobs: readonly JobRow[];
  readonly executions: readonly ExecutionRow[];
  readonly attempts: readonly AttemptRow[];
  readonly batches: readonly BatchRow[];
  readonly creates: readonly CreateRow[];
  readonly costs: readonly CostRow[];
  readonly budgets: readonly BudgetRow[];
  readonly reservations: readonly ReservationRow[];
  readonly deadLetters: readonly LetterRow[];
  readonly replays: readonly ReplayRow[];
  readonly sessions: readonly SessionRow[];
  readonly positions: readonly PositionRow[];
  /** Rows that wait for somebody, by table: `outbox_ready`, `ready`, `batch_ready`, `repeats`, `unanswered`. */
  readonly waiting: Readonly<Record<WaitingTable, number>>;
  /** Every change of a state, in order, where a history was kept (`install-history.ts`); null: none was. */
  readonly history: readonly StateChange[] | null;
}

export type WaitingTable = "outbox_ready" | "ready" | "batch_ready" | "repeats" | "unanswered";

export interface JobRow {
  readonly day: number;
  readonly no: number;
  readonly tenant: string;
  readonly jobId: string;
  readonly generation: number;
  readonly state: string;
  readonly executionNo: number | null;
  readonly deadlineMs: number;
  readonly acceptedMs: number;
  readonly endedMs: number | null;
  readonly failureCode: string | null;
  /** `topic:partition:offset` of the record. */
  readonly source: string;
}

export interface ExecutionRow {
  readonly day: number;
  readonly no: number;
  readonly tenant: string;
  /** In hex; null: it is lent to nobody. */
  readonly key: string | null;
  readonly lane: number;
  readonly state: string;
  readonly sessionNo: number | null;
  readonly attemptNo: number | null;
  readonly attempts: number;
  readonly mode: string;
  /** Whether its answer may serve others later; null: it has none. */
  readonly cacheable: boolean | null;
  readonly endedMs: number | null;
}

export interface AttemptRow {
  readonly day: number;
  readonly no: number;
  readonly executionNo: number;
  readonly number: number;
  readonly sessionNo: number;
  readonly state: string;
  /** Null: a call of its own. */
  readonly batchNo: number | null;
  /** The line beside which it was made, to rescue a deadline. */
  readonly supersedes: number | null;
  readonly account: string;
  readonly model: string;
  readonly maxNanoUsd: bigint;
  /** By the router that made it, in the database's time as far as it knew. */
  readonly startedMs: number;
  readonly endedMs: number | null;
  readonly settledMs: number | null;
  readonly outcome: string | null;
  readonly nanoUsd: bigint | null;
}

export interface BatchRow {
  readonly no: number;
  readonly state: string;
  readonly account: string;
  readonly lines: number;
  readonly createdMs: number;
  readonly submittedMs: number | null;
  readonly endedMs: number | null;
  readonly providerBatchId: string | null;
}

/** An intent to create a batch at a provider. */
export interface CreateRow {
  readonly batchNo: number;
  readonly number: number;
  readonly account: string;
  readonly intentMs: number;
  /** Null: not known yet. `absent`: proved not to be there. */
  readonly settled: "created" | "refused" | "absent" | "not_sent" | null;
  readonly providerBatchId: string | null;
}

export interface CostRow {
  readonly day: number;
  readonly no: number;
  readonly kind: string;
  readonly billing: string;
  readonly tenant: string;
  readonly jobNo: number | null;
  readonly attemptNo: number | null;
  readonly nanoUsd: bigint | null;
  readonly maxNanoUsd: bigint;
}

export interface BudgetRow {
  readonly level: string;
  readonly sinceMs: number;
  readonly settledNanoUsd: bigint;
  readonly reservedNanoUsd: bigint;
}

export interface ReservationRow {
  readonly attemptNo: number;
  readonly level: string;
  readonly sinceMs: number;
  readonly maxNanoUsd: bigint;
}

/** A dead letter. */
export interface LetterRow {
  readonly no: number;
  readonly state: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly jobNo: number | null;
  readonly generation: number | null;
  readonly code: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly replayCount: number;
  readonly failedMs: number;
}

/** That a job of the ledger was followed by its next generation. */
export interface ReplayRow {
  readonly jobNo: number;
  readonly newNo: number;
  readonly byWhom: string;
  readonly atMs: number;
}

/** A router's life. */
export interface SessionRow {
  readonly sessionNo: number;
  readonly name: string;
  readonly startedMs: number;
  readonly endedMs: number | null;
  /** Declared dead by others. */
  readonly died: boolean;
}

export interface PositionRow {
  readonly topic: string;
  readonly partition: number;
  readonly next: string;
}

/** One row that came to be or changed its state; `atMs` by the database's clock, at the statement. */
export interface StateChange {
  /** Order of writing. */
  readonly seq: number;
  readonly table: "jobs" | "executions" | "attempts" | "batches";
  readonly no: number;
  /** Null: the row is new. */
  readonly from: string | null;
  readonly to: string;
  /** The session that the row names afterwards; null: none. */
  readonly sessionNo: number | null;
  /** Number of the transaction that made it. */
  readonly transaction: string;
  readonly atMs: number;
}
