import type { DayUse } from "../domain/limit/day-use.js";
import type { CallKind } from "../domain/limit/limits.js";
import type { EpochMs, LedgerKey, SessionNo } from "../domain/ids.js";
import type { AttemptOutcome, ErrorCode, Failure } from "../domain/failure.js";
import type {
  AttemptIntent,
  AttemptSummary,
  EndedState,
  Verdict,
  WaitingExecution,
} from "../domain/execution/execution.js";
import type { PooledLine } from "../domain/batch/queued-line.js";
import type { RouteDecision } from "../domain/route/route-decision.js";
import type { WaitReason } from "../domain/execution/waits.js";
import type { LevelStanding } from "../domain/budget/budget.js";
import type { Usage } from "../domain/cost/usage.js";
import type { MarkedRecords, PositionTurn, RecordMark } from "../domain/dedupe/crash-suspect.js";
import type { QueueWish, TakenOfLimit } from "../domain/limit/queue-turns.js";
import type { GatewayEvent } from "../domain/event/event.js";
import type { OperatorAction } from "../domain/event/operator-event.js";
import type { IntakeJob, Outgoing, RefusedRecord, Renderer } from "../domain/result/outgoing.js";

/**
 * The ledger: the only truth about jobs. Each method that changes something is one transaction, safe to repeat after a kill at
 * any instant. Implemented on Postgres and, for the simulation, in memory; one suite of cases runs on both.
 */

/** How far one partition moves with a group: records of offsets `since` to `upto - 1` were looked at, none left out. */
export interface PositionMove {
  readonly topic: string;
  readonly partition: number;
  readonly since: number;
  readonly upto: number;
  /** 8 bytes over the record `upto - 1`, checked on assignment. */
  readonly witness: Buffer;
  /** Of the position, when the log was proved that this was read from: another number now, and it is another log. Left out: 0. */
  readonly adoptions?: number;
}

export interface InboxPosition {
  /** Offset of the next record to accept. */
  readonly next: number;
  /** Of the record before it; null or empty: unknown; `LOG_START_WITNESS`: the log began there. */
  readonly witness: Buffer | null;
  /** How often an operator has set it to where another log is read from. Left out: never. */
  readonly adoptions?: number;
}

export interface CancelRequest {
  readonly tenant: string;
  readonly jobId: string;
}

/** One that came with a record. */
export interface RecordedCancel extends CancelRequest {
  /** So many of the group's jobs came before it. Of those behind it, it says nothing. */
  readonly behind: number;
}

export interface IntakeGroup {
  readonly session: SessionNo;
  /** Unique in the ledger; kept with the positions, so that a COMMIT whose answer was lost can be looked up. */
  readonly groupNo: number;
  readonly moves: readonly PositionMove[];
  readonly jobs: readonly IntakeJob[];
  readonly refused: readonly RefusedRecord[];
  readonly cancels: readonly RecordedCancel[];
}

/** What became of one job of a group, in the group's order. */
export type Accepted =
  | { readonly kind: "started" }
  | { readonly kind: "queued" }
  /** It waits for a batch. */
  | { readonly kind: "pooled" }
  | { readonly kind: "joined" }
  | { readonly kind: "cached" }
  | { readonly kind: "expired" }
  /** By a later record of its own group: nothing was begun for it. */
  | { readonly kind: "cancelled" }
  | { readonly kind: "redelivered" }
  | { readonly kind: "repeated" }
  | { readonly kind: "conflict" };

export type IntakeOutcome =
  | {
      readonly kind: "accepted";
      readonly day: number;
      readonly acceptedAtMs: EpochMs;
      readonly jobs: readonly Accepted[];
      /** Jobs of the group that were over as they were accepted, and those that its cancels ended. */
      readonly ended: readonly EndedJob[];
      readonly outbox: readonly OutboxGroup[];
    }
  /** This router's session was declared dead: it must stop deciding. */
  | { readonly kind: "fenced" }
  /**
   * A position is not at `since`: another router moved it, or this one, that was told of its partitions anew and read again what it had in
   * hand. Nothing was stored. The stage seeks to the ledger's position.
   */
  | { readonly kind: "moved"; readonly partitions: readonly { readonly topic: string; readonly partition: number }[] };

/** One call that ended: the fact, and what is to follow. */
export interface FinishedCall {
  readonly execution: LedgerKey;
  readonly attempt: AttemptIntent;
  readonly outcome: AttemptOutcome;
  readonly endedAtMs: EpochMs;
  readonly requestId: string | null;
  readonly modelVersion: string | null;
  /** Only there when true: that is another model than the one that was asked, and the price is its own. */
  readonly otherModel?: boolean;
  readonly usage: Usage;
  /** Only there where the account has limits by endpoint or tier, which it counts in. */
  readonly countsAs?: CallKind;
  readonly priceVersion: string;
  /** What was billed; null when unknown. 0 for calls that the provider's rule does not bill. */
  readonly nanoUsd: bigint | null;
  readonly summary: AttemptSummary;
  /** The tries before this one. */
  readonly earlier: readonly AttemptSummary[];
  readonly verdict: Verdict;
}

export interface FinishGroup {
  readonly session: SessionNo;
  readonly nowMs: EpochMs;
  readonly calls: readonly FinishedCall[];
}

/** A job that ended, in a few words. */
export interface EndedJob {
  readonly status: EndedState;
  readonly code: ErrorCode | null;
  readonly acceptedAtMs: EpochMs;
  readonly endedAtMs: EpochMs;
}

export interface FinishOutcome {
  readonly ended: readonly EndedJob[];
  readonly outbox: readonly OutboxGroup[];
  /** Calls whose outcome came after their execution had ended otherwise: paid for nothing. */
  readonly waste: number;
  /** Executions that waited for money and are due now; left out: none. */
  readonly woken?: number;
  /** What its cost records add to each tenant's books, nano-dollars above 0; left out: nothing. */
  readonly booked?: ReadonlyMap<string, bigint>;
}

export interface StragglersOutcome extends FinishOutcome {
  /** Jobs that waited for an ended execution as it began, those that it answered included; counted up to 10,000, of the first 100 executions. */
  readonly unanswered: number;
}

/** When to look for jobs that wait for an ended execution which nobody has noted. */
export interface StragglerLook {
  readonly nowMs: EpochMs;
  /** All routers together look once in so long. */
  readonly everyMs: number;
  /** An execution that ended later is left alone. */
  readonly graceMs: number;
}

export interface ExpireOutcome extends FinishOutcome {
  /** Whether jobs may be left whose deadline has passed: one transaction ends so many and no more. */
  readonly more: boolean;
}

/** Records of one topic that one transaction wrote; dropped together when all are published. */
export interface OutboxGroup {
  readonly seq: number;
  readonly topic: string;
  readonly records: readonly Outgoing[];
  /** When they were written. */
  readonly sinceMs: EpochMs;
}

/** A record that its topic does not take. */
export interface RefusedOutgoing {
  /** Of its group. */
  readonly seq: number;
  readonly record: Outgoing;
  readonly reason: string;
}

export interface GivenUp {
  /** What goes out in their place. */
  readonly outbox: readonly OutboxGroup[];
  /** Dead letters `REPLY_UNDELIVERABLE` that were written. */
  readonly letters: number;
  /** Records that nothing can stand for. They keep a row of their own, and `takeOutbox` gives them out again after a while. */
  readonly held: number;
}

/**
 * Tenants have their turns, as often as their weights say; of each the highest priority comes first, and the nearest deadline among those.
 * With `expire`, the nearest deadline of all.
 */
export interface ClaimRequest extends QueueWish {
  readonly session: SessionNo;
  readonly nowMs: EpochMs;
  /** `run`: rows that are due, and with `limits` rows that wait for those; `expire`: rows with a waiting job whose deadline has passed. */
  readonly pick: "run" | "expire";
}

/** Rows that wait for a limit. */
export interface LimitQueue {
  readonly limit: string;
  readonly rows: number;
}

/** Which lines of batches may need a rescue. */
export interface RescueLook {
  readonly session: SessionNo;
  readonly nowMs: EpochMs;
  readonly limit: number;
  /** Names of models, as jobs say them. */
  readonly models: readonly string[];
  /** A job whose deadline is no later waits for each. */
  readonly deadlineMs: EpochMs;
  /** Attempts up to this number are passed by. */
  readonly after: number;
}

/** What to do with a claimed execution. */
export type ClaimVerdict =
  | { readonly kind: "start"; readonly intent: AttemptIntent; readonly decision?: RouteDecision }
  /** It waits for a batch from now on. */
  | {
      readonly kind: "pool";
      readonly pooled: PooledLine;
      readonly decision: RouteDecision;
    }
  | { readonly kind: "fail"; readonly failure: Failure }
  /**
   * `level`: only there where money is the reason, the key of the budget that keeps it out. `limit`: it is taken by that name when there
   * are grants for it; left out: it is taken when it is due. `afterDoubt`: only there when a doubt ends by policy and the call that follows
   * has to wait, the place of its route.
   */
  | {
      readonly kind: "wait";
      readonly runAtMs: EpochMs;
      readonly waitsFor: WaitReason;
      readonly level?: string;
      readonly limit?: string;
      readonly afterDoubt?: number;
    }
  /** It goes on with its line, which is out. */
  | { readonly kind: "line" };

export interface StartedExecution {
  readonly execution: WaitingExecution;
  readonly intent: AttemptIntent;
}

export interface ClaimOutcome {
  readonly fenced: boolean;
  /** Rows taken from the queue, started or not. */
  readonly taken: number;
  /** Whether there may be more rows that are due; left out: when it took as many as it may. */
  readonly more?: boolean;
  /** Of those taken, by the limit that they waited for; left out: no such rows were asked for. */
  readonly limited?: ReadonlyMap<string, TakenOfLimit>;
  readonly started: readonly StartedExecution[];
  readonly ended: readonly EndedJob[];
  readonly outbox: readonly OutboxGroup[];
  /** Executions that waited for money and are due now; left out: none. */
  readonly woken?: number;
}

/** A session whose process is proved to be over, with every attempt of which a byte may have left. */
export interface EndedSession {
  readonly session: SessionNo;
  /** As the ledger gave it out: another ledger may have had a session of the same number. */
  readonly stamp: string;
  readonly mayHaveSent: ReadonlySet<number>;
}

export interface Ledger {
  /** A fresh block of ledger numbers: `from` to `from + count - 1`, never given out again. */
  takeNumbers(): Promise<{ readonly from: number; readonly count: number }>;

  openSession(name: string): Promise<SessionNo>;
  /** @param lowMark no unfinished attempt of this session has a lower number. @returns false when the session was declared dead. */
  beat(session: SessionNo, lowMark: number): Promise<boolean>;
  endSession(session: SessionNo): Promise<void>;
  /** How many sessions have neither ended nor been declared dead. */
  liveRouters(): Promise<number>;
  /** Limits that rows wait for, with how many of them; counting stops at `rowsMax`. */
  limitQueues(rowsMax: number): Promise<readonly LimitQueue[]>;
  /**
   * Calls of these accounts within the last 24 h, by model and hour; lines of providers' batches are none. Reads a day's attempts.
   * @param apart by endpoint and tier too, of which several entries may be alike; reads a day's executions for it.
   */
  dayUse(accounts: readonly string[], apart: boolean): Promise<readonly DayUse[]>;
  /**
   * Declares sessions dead whose beat is older than `deadAfterMs` of database time, nobody when that is null, and puts the calls of dead
   * ones in doubt, with an event each, which `session`'s sweep publishes.
   */
  recoverDeadSessions(
    session: SessionNo,
    deadAfterMs: number | null,
    graceMs: (account: string) => number,
    render: Renderer,
  ): Promise<number>;

  position(topic: string, partition: number): Promise<InboxPosition | null>;
  /** A partition is met for the first time, and its log begins at `next`. One that is known stays as it is. */
  openPosition(topic: string, partition: number, next: number): Promise<void>;

  /**
   * Counts that a session begins to read an opened partition at its position. The same session again counts once; one that left in
   * order not at all, and a position that has moved begins anew.
   */
  beginTurn(session: SessionNo, topic: string, partition: number): Promise<PositionTurn>;
  /** The last mark of a partition, if a record of it is at or above the position. */
  mark(topic: string, partition: number): Promise<RecordMark | null>;
  /**
   * Durable when it resolves, and a beat. Remembers who had marked them before, alone or among others.
   * @returns false when the session was declared dead: it must not read on.
   */
  markRecords(session: SessionNo, records: MarkedRecords): Promise<boolean>;

  accept(group: IntakeGroup, render: Renderer): Promise<IntakeOutcome>;
  claim(
    request: ClaimRequest,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    render: Renderer,
  ): Promise<ClaimOutcome>;
  /**
   * Claims executions whose lines are out in batches that providers have, for a call beside the line: not one that had a rescue, or for
   * which no job waits. `start` needs an intent that supersedes the line, `line` changes nothing; no other verdict is taken. The line keeps
   * its state, and its outcome is recorded when it comes: the first answer serves, the other is waste.
   */
  rescue(
    look: RescueLook,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    render: Renderer,
  ): Promise<ClaimOutcome>;
  /**
   * Lets the row that the next claim would take first wait until then, jobs' deadlines or not: for one whose claim is refused.
   * @returns its execution; null when no row is due.
   */
  setAside(request: Pick<ClaimRequest, "pick" | "nowMs" | "limits">, untilMs: EpochMs): Promise<LedgerKey | null>;
  /**
   * Ends the jobs of executions in the air whose deadline has passed. The calls go on: for jobs that have more time, and so that their
   * cost is known.
   */
  expire(
    session: SessionNo,
    executions: readonly LedgerKey[],
    nowMs: EpochMs,
    render: Renderer,
  ): Promise<ExpireOutcome>;
  /**
   * A failed call ends its jobs unless one that waits has the time for what `givenTime` says: then that follows, and the jobs that have
   * not expire one by one.
   */
  finish(group: FinishGroup, render: Renderer): Promise<FinishOutcome>;
  /**
   * Which of these attempts have no outcome yet, or only a doubt. One that this ledger doesn't know as it is given (another execution,
   * another start) is not among them.
   */
  openAttempts(
    attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
  ): Promise<ReadonlySet<number>>;
  /**
   * Declares a session dead whose process is proved to be over, unless it has ended, and gives back what it never sent: attempts that are
   * `sending` and not among `mayHaveSent`. A session that this ledger doesn't know by number and stamp is passed over.
   * @returns how many it gave back.
   */
  takeBackUnsent(ended: EndedSession, nowMs: EpochMs): Promise<number>;
  /** Of a session, for as long as this ledger lives. @throws Error when there is none of this number. */
  sessionStamp(session: SessionNo): Promise<string>;
  /** Gives intents back whose bytes never left: attempt `not_sent`, execution `ready` at once. */
  giveBack(
    session: SessionNo,
    attempts: readonly { readonly execution: LedgerKey; readonly attempt: AttemptIntent }[],
    nowMs: EpochMs,
  ): Promise<void>;
  /** An operator's cancel; a producer's comes with its record. */
  cancel(
    session: SessionNo,
    requests: readonly CancelRequest[],
    action: OperatorAction,
    render: Renderer,
  ): Promise<FinishOutcome>;
  /** An event that belongs to no other transaction: the note is one of its own. */
  note(session: SessionNo, event: GatewayEvent, render: Renderer): Promise<readonly OutboxGroup[]>;
  /**
   * Ends jobs that still wait for an ended execution, by its stored end: more waiters than one finish takes, and what `noteStragglers` found.
   * At most 500 at once.
   */
  answerStragglers(session: SessionNo, nowMs: EpochMs, render: Renderer): Promise<StragglersOutcome>;
  /**
   * Looks at some of the jobs, the next ones at each look, for such that wait for an ended execution and of which the sweep doesn't know, and
   * notes them for it. One that is there is found within a round over the jobs of the days on which some have not ended.
   * @returns how many it found; anything but 0 tells of a bug, or of a fault of the database.
   */
  noteStragglers(look: StragglerLook): Promise<number>;

  /** Groups that no living router has in memory, oldest first. They become this session's. @param butNot topics that are left alone. */
  takeOutbox(
    session: SessionNo,
    limit: number,
    olderThanMs: number,
    butNot: readonly string[],
  ): Promise<readonly OutboxGroup[]>;
  dropOutbox(seqs: readonly number[]): Promise<void>;
  /**
   * Takes refused records out of their groups. A result, repeat or cost record ends as a dead letter, its job's status stays; a dead letter
   * goes out again without its value; what is refused even then is held. A record that is no longer in its group was given up before: no-op.
   */
  giveUpOutgoing(session: SessionNo, refused: readonly RefusedOutgoing[], render: Renderer): Promise<GivenUp>;
  /** Makes sure that the tables for the coming days are there; called at start and hourly. */
  prepareDays(): Promise<void>;
  /** Where all budgets of the config stand in the windows that are: what accounts have spent, thresholds, and what operators see. */
  standings(): Promise<readonly LevelStanding[]>;
  /** @param refusing topics that take nothing at present. */
  load(limits: LoadLimits, refusing: readonly string[]): Promise<LedgerLoad>;
}

/** Counting stops at as many rows. */
export interface LoadLimits {
  readonly readyRows: number;
  /** A row stands for a record at least. */
  readonly outboxRows: number;
}

/** What back-pressure looks at. Numbers of large tables may be estimates. */
export interface LedgerLoad {
  /** Rows for calls and for batches. */
  readonly readyRows: number;
  /** Of the requests of these rows, as they are stored. */
  readonly readyBytes: number;
  /** Without those of refusing topics. */
  readonly outboxRecords: number;
  readonly refusedRecords: number;
  readonly oldestRunnableMs: number | null;
  /** As `Ledger.liveRouters`. */
  readonly liveRouters: number;
}
