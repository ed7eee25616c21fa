import { judgePosition } from "../../domain/dedupe/judge-position.js";
import type { PartitionAlert } from "../../domain/event/partition-event.js";
import type { IncomingRecord } from "../../domain/job/job.js";
import type { InboxPosition } from "../../ports/ledger.js";
import type { Clock, Log } from "../../ports/system.js";
import type { PartitionState, PartitionStates } from "./partition-state.js";

export interface PositionProofParts {
  readonly position: (topic: string, partition: number) => Promise<InboxPosition | null>;
  readonly openPosition: (topic: string, partition: number, next: number) => Promise<void>;
  /** First and next offset of a partition at the broker. */
  readonly offsets: (topic: string, partition: number) => Promise<{ readonly low: number; readonly high: number }>;
  readonly clock: Clock;
  readonly log: Log;
  /** A partition that can't go on by itself: truncated, or made anew. */
  readonly alert: (alert: PartitionAlert) => void;
}

/** The client, as far as a proof moves it. */
export interface PartitionReader {
  readonly seek: (state: PartitionState, offset: number) => void;
  readonly pause: (state: PartitionState) => void;
  readonly resume: (state: PartitionState) => void;
}

/** Offsets of a batch's first and last record, markers included. */
export interface BatchSpan {
  readonly first: number;
  readonly last: number;
}

type StopCause =
  | { readonly cause: "truncated"; readonly logStart: number; readonly logEnd: number }
  | { readonly cause: "other_topic"; readonly offset: number };

const REWIND_RETRY_MS = 500;

/**
 * Compares the ledger's positions with the logs at the broker. A partition is handed on only after its log was proved to be the one that was
 * read before: the record before the position is looked at, by a seek if need be. One that does not fit stops, until the position is
 * changed from outside or a new generation begins.
 */
export class PositionProof {
  readonly #parts: PositionProofParts;
  readonly #states: PartitionStates;
  readonly #reader: PartitionReader;

  constructor(parts: PositionProofParts, states: PartitionStates, reader: PartitionReader) {
    this.#parts = parts;
    this.#states = states;
    this.#reader = reader;
  }

  /**
   * Compares the ledger's position with what the broker has, and sets from where the partition is handed on.
   * @returns false after a seek, by this or by a rewind meanwhile, or when the partition is stopped: the batch is then left alone.
   */
  async prove(
    state: PartitionState,
    records: readonly IncomingRecord[],
    span: BatchSpan,
    isStale: () => boolean,
  ): Promise<boolean> {
    const { topic, partition } = state;
    const position = await this.#openedPosition(topic, partition);
    const log = await this.#parts.offsets(topic, partition);
    if (isStale()) return false;
    const proof = position.next - 1;
    const isSoughtFor = state.provingFor !== null && isSame(state.provingFor, position);
    if (!isSoughtFor) state.provingFrom = null;
    const looked = state.provingFrom !== null || (span.first <= proof && proof <= span.last);
    const before = records.find((record) => record.offset === proof) ?? (looked ? null : undefined);
    const verdict = judgePosition(position, log, before);
    state.adoptions = position.adoptions ?? 0;
    switch (verdict) {
      case "truncated":
        return this.#stop(state, position, { cause: verdict, logStart: log.low, logEnd: log.high });
      case "other_topic":
        return this.#stop(state, position, { cause: verdict, offset: proof });
      case "gap":
        return this.#passGap(state, position, log.low, span);
      case "unproven":
        return this.#seekTo(state, proof, position);
      case "fits":
        // Sought already: the record at the position is a marker that consumers don't get.
        if (span.first > position.next && state.provingFrom !== position.next)
          return this.#seekTo(state, position.next, position);
        state.expected = position.next;
        return span.last >= proof || this.#seekTo(state, position.next, position);
    }
  }

  /**
   * Records are missing before those that came, markers included: a client whose offset was deleted goes on at the log's beginning, and tells
   * nobody. What is missing in the middle of a log (compaction) was taken out by its owner.
   * @param since offset of the next record to hand on. @param first of the first one that came.
   */
  async tellGap(state: PartitionState, since: number, first: number): Promise<void> {
    const { topic, partition } = state;
    const { low } = await this.#parts.offsets(topic, partition);
    const logStart = Math.min(low, first);
    state.goneUpto = first;
    if (logStart <= since) return;
    this.#parts.alert({ cause: "gap", topic, partition, ledgerNext: since, logStart, lostAtMost: logStart - since });
  }

  /**
   * Reads the positions of stopped partitions again. One that was changed from outside (`sluice topics adopt`) is taken up from there, unless
   * it lies beyond the log: a group of the log before was under way still, and behind the end nothing would come that could be compared.
   * Rejects when ledger or broker can't be asked; asking again does no harm.
   */
  async lookAtStopped(): Promise<void> {
    for (const state of this.#states.stopped()) {
      const { topic, partition, stoppedAt } = state;
      // Serial: stopped partitions are few, and nobody waits.
      const position = await this.#parts.position(topic, partition);
      if (position === null || stoppedAt === null || isSame(position, stoppedAt)) continue;
      const { low, high } = await this.#parts.offsets(topic, partition);
      if (!this.#states.isCurrent(state)) continue; // a new generation proves it itself
      if (high < position.next) {
        this.#stop(state, position, { cause: "truncated", logStart: low, logEnd: high });
        continue;
      }
      state.stoppedAt = null;
      state.expected = null;
      state.careful = null;
      state.provingFrom = null;
      this.#reader.seek(state, Math.max(low, position.next - 1)); // that record is compared; at the log's end none else would come
      this.#reader.resume(state);
      this.#parts.log.warn("inbox.taken_up", { topic, partition, before: stoppedAt.next, next: position.next });
    }
  }

  /** Goes to the ledger's position, as soon as the ledger says what it is. Nothing is handed on before the log is proved anew. */
  async rewind(topic: string, partition: number): Promise<void> {
    const state = this.#states.of(topic, partition);
    // The move that was refused may have been one in another log, if the topic was made anew meanwhile.
    proveAnew(state);
    const position = await this.#positionWhenBack(topic, partition);
    // Proved meanwhile by a batch: to seek now would hand its records on a second time.
    if (position === null || state.expected !== null || !this.#states.isCurrent(state)) return;
    proveAnew(state);
    this.#reader.seek(state, Math.max(0, position.next - 1));
    this.#parts.log.info("kafka.rewound", { topic, partition, next: position.next });
  }

  /** Given up here, the partition would stand still until its next record. */
  async #positionWhenBack(topic: string, partition: number): Promise<InboxPosition | null> {
    for (;;) {
      try {
        return await this.#parts.position(topic, partition);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#parts.log.warn("kafka.rewind_waits_for_ledger", { topic, partition, message });
        // Serial: the same question again.
        await this.#parts.clock.sleep(REWIND_RETRY_MS);
      }
    }
  }

  #seekTo(state: PartitionState, offset: number, position: InboxPosition): false {
    state.provingFrom = offset;
    state.provingFor = position;
    this.#reader.seek(state, offset);
    return false;
  }

  /** Those records are gone, so the partition goes on behind them. */
  #passGap(state: PartitionState, position: InboxPosition, logStart: number, span: BatchSpan): boolean {
    const { topic, partition } = state;
    const { next } = position;
    const lostAtMost = logStart - next;
    this.#parts.alert({ cause: "gap", topic, partition, ledgerNext: next, logStart, lostAtMost });
    state.goneUpto = logStart;
    state.expected = next;
    return span.first <= logStart || this.#seekTo(state, logStart, position);
  }

  #stop(state: PartitionState, position: InboxPosition, found: StopCause): false {
    const { topic, partition } = state;
    state.stoppedAt = position;
    this.#reader.pause(state);
    this.#parts.alert({ topic, partition, ledgerNext: position.next, ...found });
    return false;
  }

  async #openedPosition(topic: string, partition: number): Promise<InboxPosition> {
    const known = await this.#parts.position(topic, partition);
    if (known !== null) return known;
    const { low } = await this.#parts.offsets(topic, partition);
    await this.#parts.openPosition(topic, partition, low);
    return (await this.#parts.position(topic, partition)) ?? { next: low, witness: null };
  }
}

function proveAnew(state: PartitionState): void {
  state.expected = null;
  state.provingFrom = null;
}

function isSame(one: InboxPosition, other: InboxPosition): boolean {
  return one.next === other.next && one.witness?.toString("hex") === other.witness?.toString("hex");
}
