import type { Batch, BatchState } from "../domain/batch/batch.js";
import type { LineCounts } from "../domain/batch/life-group.js";
import type { QueuedLine } from "../domain/batch/queued-line.js";
import type { AttemptIntent, AttemptSummary } from "../domain/execution/execution.js";
import type { EpochMs, LedgerKey, SessionNo } from "../domain/ids.js";
import type { RequestFormat, RoutePolicy } from "../domain/job/job.js";
import type { Renderer } from "../domain/result/outgoing.js";
import type { RouteDecision } from "../domain/route/route-decision.js";
import type { FinishOutcome } from "./ledger.js";

/**
 * The ledger's side of provider batches: lines that wait in pools, batches with their lines, what was asked of providers. As in `Ledger`, each
 * method that changes something is one transaction and safe to repeat after a kill at any instant.
 *
 * A line's outcome is recorded by `Ledger.finish`, like that of any attempt: the first one stands.
 */
export interface BatchLedger {
  /** Rows whose time is over (`QueuedLine.lookAtMs`, or the nearest deadline of a job) go back to the queue of direct calls, due at once. */
  sweepPools(session: SessionNo, nowMs: EpochMs, limit: number): Promise<number>;
  /** What waits, by pool. */
  pools(): Promise<readonly PoolLoad[]>;
  /** Lines of a pool that may be bound, at most `limit`: oldest deadlines first inside each tenant, tenants in turn. Nothing is locked. */
  waitingLines(pool: string, limit: number): Promise<readonly WaitingLine[]>;

  /**
   * Stores an empty batch in state `building`, unless its account is full: the sum of tokens and the number over the account's live batches
   * with this one's are compared under a lock of the account. `retryAtMs` of a hold that a refusal set; null: when a batch ends.
   */
  openBatch(session: SessionNo, wanted: NewBatch, limits: AllowanceLimits): Promise<OpenedBatch>;
  /**
   * Binds lines to a batch in state `building` that this session holds: attempts `batched`, executions `running`. A line that was taken
   * meanwhile or that no job waits for is left out. @returns those that were bound.
   */
  bindLines(session: SessionNo, batchNo: number, lines: readonly LineBinding[], nowMs: EpochMs): Promise<BoundLines>;
  /**
   * Gives lines back: attempts `not_sent`, executions `ready` and due at once. Of those given that are `batched` in this batch; all of them,
   * at most `limit`, when none is named. @returns how many.
   */
  returnLines(
    session: SessionNo,
    batchNo: number,
    attempts: readonly LedgerKey[] | null,
    limit: number,
    nowMs: EpochMs,
  ): Promise<number>;

  /** Batches that are due, which become this session's: nobody's, or of a session that has ended, or its own. */
  claimBatches(session: SessionNo, nowMs: EpochMs, limit: number): Promise<readonly Batch[]>;
  /**
   * Stores a change on condition of session and version, with what goes with it in the same transaction.
   * @returns the batch with its new version; null when somebody was first or the session was declared dead: nothing was stored.
   */
  saveBatch(session: SessionNo, batch: Batch, also: BatchChange, render: Renderer): Promise<Batch | null>;
  /** A batch that has failed and whose lines are all back becomes this session's, whoever has it. @returns null: it is not so. */
  takeFailed(session: SessionNo, batchNo: number): Promise<Batch | null>;
  /** Lines of a batch without an outcome, behind the attempt `after`, in the order of the batch. */
  openLines(batchNo: number, after: number, limit: number): Promise<readonly BatchLine[]>;
  /** Lines of a batch by their attempts' keys, also those that have an outcome. Unknown ones and those of other batches are left out. */
  linesByAttempt(batchNo: number, attempts: readonly LedgerKey[]): Promise<readonly BatchLine[]>;
  /**
   * Lines of a group become direct calls of this session: of those given that are `batched` in this batch, which is `submitted` and held by
   * this session, and whose execution runs under them. Each attempt takes the number and the start of its intent and is `sending`; from
   * then on recovery, doubt and finish treat it as any call. Batch, number of the try, route and bound stay.
   * @returns the numbers of the intents that stand.
   */
  startLines(session: SessionNo, batchNo: number, starts: readonly LineStart[]): Promise<ReadonlySet<number>>;
  /** How far the lines of a batch are. */
  lineCounts(batchNo: number): Promise<LineCounts>;
  /** Ends jobs whose deadline has passed while their line is in a batch; the lines go on. */
  expireBatched(session: SessionNo, nowMs: EpochMs, limit: number, render: Renderer): Promise<FinishOutcome>;

  /** Batches that ended since then, newest first: what turnarounds are learned from. */
  turnarounds(sinceMs: EpochMs, limit: number): Promise<readonly Turnaround[]>;
  /** Batches that are not over, by account and state: what counts against allowances, and what is shown. */
  batchLoads(): Promise<readonly BatchLoad[]>;
  /** Create intents of an account since then, newest first. */
  creates(account: string, sinceMs: EpochMs): Promise<readonly StoredCreate[]>;
  /** Enqueued tokens are refused beyond `tokensMax` until then; the lower of two holds. */
  holdAccount(account: string, tokensMax: number | null, untilMs: EpochMs): Promise<void>;
}

export interface PoolLoad {
  readonly pool: string;
  readonly lines: number;
  /** Sum of (bytes + 1), ids left out. */
  readonly bytes: number;
  readonly tokens: number;
  readonly oldestAtMs: EpochMs;
  /** The nearest `lookAtMs`. */
  readonly nearestLookAtMs: EpochMs;
}

export interface WaitingLine {
  readonly execution: LedgerKey;
  readonly tenant: string;
  readonly line: QueuedLine;
  readonly addedAtMs: EpochMs;
  /** Tries so far: the attempt's number will be one more. */
  readonly attempts: number;
}

export interface NewBatch extends Pick<
  Batch,
  "no" | "account" | "provider" | "pool" | "way" | "lineFormat" | "model" | "createdAtMs"
> {
  /** Most that will be bound; the reservation until it is sealed. */
  readonly lines: number;
  readonly tokens: number;
}

/** Null: not limited. */
export interface AllowanceLimits {
  readonly tokensMax: number | null;
  readonly linesMax: number | null;
  readonly openBatchesMax: number | null;
  /** The provider keeps no mark: at most one batch of the account between `building` and the answer to its creation. */
  readonly oneAtATime: boolean;
}

export type OpenedBatch =
  | { readonly kind: "opened"; readonly batch: Batch }
  | {
      readonly kind: "full";
      readonly limit: "enqueued_tokens" | "queued_lines" | "open_batches" | "one_at_a_time";
      /** Tokens that would still fit; null: not the reason. */
      readonly tokensLeft: number | null;
      readonly retryAtMs: EpochMs | null;
    }
  | { readonly kind: "fenced" };

export interface LineBinding {
  readonly execution: LedgerKey;
  /** `no` grows in the order of the batch. */
  readonly intent: AttemptIntent;
}

export interface BoundLines {
  readonly attempts: readonly number[];
}

/** A line that is to be called. */
export interface LineStart {
  readonly execution: LedgerKey;
  /** The number of its attempt until now. */
  readonly lineNo: number;
  readonly intent: AttemptIntent;
}

/** What is stored together with a change of a batch. */
export interface BatchChange {
  /** A create intent begins, or one is settled. */
  readonly create?:
    | { readonly kind: "intent"; readonly mark: string; readonly fileId: string | null }
    | { readonly kind: "settled"; readonly as: "created" | "refused" | "absent" | "not_sent" };
  /**
   * Only there when true: lines that were given back since its seal are out after all. They are `batched` again, whatever their executions
   * have gone on to, and reserve again what they had reserved, within the limit or not: the provider has them.
   */
  readonly linesOut?: true;
}

export interface BatchLoad {
  readonly account: string;
  readonly state: BatchState;
  readonly batches: number;
  readonly lines: number;
  /** Estimated prompt tokens. */
  readonly tokens: number;
}

export interface StoredCreate {
  readonly batchNo: number;
  readonly number: number;
  readonly mark: string;
  readonly fileId: string | null;
  readonly lines: number;
  readonly intentAtMs: EpochMs;
  readonly settled: "created" | "refused" | "absent" | "not_sent" | null;
  readonly providerBatchId: string | null;
}

/** All that is needed to send a line, and to judge what came of it. */
export interface BatchLine {
  readonly execution: LedgerKey;
  readonly attempt: AttemptIntent;
  readonly format: RequestFormat;
  readonly policy: RoutePolicy;
  readonly bodyText: string;
  readonly history: readonly AttemptSummary[];
  readonly decision: RouteDecision | null;
  readonly maxCostNanoUsd: bigint | null;
  /** Over the jobs that still wait; null: nobody does. */
  readonly latestDeadlineMs: EpochMs | null;
  readonly state: "batched" | "ended";
}

export interface Turnaround {
  readonly account: string;
  readonly model: string | null;
  readonly lines: number;
  /** From its submission to its end. */
  readonly ms: number;
  readonly endedAtMs: EpochMs;
}
