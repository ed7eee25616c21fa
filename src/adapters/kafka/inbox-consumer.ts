import type { Consumer, EachBatchPayload, Kafka } from "kafkajs";
import type { IncomingRecord } from "../../domain/job/job.js";
import type { DecodedValue, JobsConsumer, RecordRun, RecordSink, WatchedPartition } from "../../ports/broker.js";
import type { InboxPosition } from "../../ports/ledger.js";
import { isRegistryFramed, type ValueDecoder, type ValueDecoding } from "../../ports/value-decoder.js";
import type { Clock, Log } from "../../ports/system.js";
import type { PartitionAlert } from "../../domain/event/partition-event.js";
import { NOT_ARMED, type ReachPoint } from "../../ports/crash-points.js";
import { judgePosition } from "../../domain/dedupe/judge-position.js";
import { toRecord } from "./incoming-record.js";
import { OneByOne, type Turns } from "./one-by-one.js";

export interface InboxSettings {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly maxWaitMs: number;
  readonly partitionsAtOnce: number;
  /** Of one fetch, over all partitions. */
  readonly bytesMax: number;
  readonly bytesPerPartition: number;
}

export interface InboxParts {
  readonly kafka: Kafka;
  readonly settings: InboxSettings;
  readonly sink: RecordSink;
  readonly position: (topic: string, partition: number) => Promise<InboxPosition | null>;
  readonly openPosition: (topic: string, partition: number, next: number) => Promise<void>;
  readonly turns: Turns;
  /** First and next offset of a partition at the broker. */
  readonly offsets: (topic: string, partition: number) => Promise<{ readonly low: number; readonly high: number }>;
  /** Null: no registry is configured, and values in its encoding are refused. */
  readonly decoder: ValueDecoder | null;
  readonly clock: Clock;
  readonly log: Log;
  /** A partition that can't go on by itself: truncated, or made anew. */
  readonly alert: (alert: PartitionAlert) => void;
  readonly reach?: ReachPoint;
}

interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the next record to hand on; null until it was compared with the ledger in this generation. */
  expected: number | null;
  /** Next offset that was not accepted when last heard of. */
  accepted: number;
  /** Records below this offset are read one by one; null until the first ones came in this generation. */
  oneByOneUpto: number | null;
  /** A seek is under way, to the record before the position or to the one at it. */
  provingFrom: number | null;
  /** The position that seek is for: another one, read meanwhile, is not proved by it. */
  provingFor: InboxPosition | null;
  /** The ledger's position that the log does not fit; null while the partition is read. */
  stoppedAt: InboxPosition | null;
}

type StopCause =
  | { readonly cause: "truncated"; readonly logStart: number; readonly logEnd: number }
  | { readonly cause: "other_topic"; readonly offset: number };

/** Offsets of a batch's first and last record. */
interface BatchSpan {
  readonly first: number;
  readonly last: number;
}

const NO_REGISTRY: ValueDecoding = {
  kind: "refused",
  code: "BAD_AVRO",
  message:
    "the value begins with the schema registry's magic byte, and no registry is configured (registry.url); send JSON, or configure it",
};
const REGISTRY_RETRY_MS = 1000;
const REWIND_RETRY_MS = 500;
const RESTART_WAIT_MS = 5000;

/**
 * The consumer of jobs topics. The ledger's positions count, not the group's: on the first batch of a partition in each generation the
 * position is read, and the consumer seeks to it (kafkajs has no assignment hook, and a seek at the join comes too late). Offsets are
 * committed to Kafka afterwards, as a hint for lag tools.
 */
export class InboxConsumer implements JobsConsumer {
  readonly #parts: InboxParts;
  #consumer: Consumer;
  #assigned: readonly { readonly topic: string; readonly partition: number }[] = [];
  /** Partitions that wait for the registry, by topic and partition. */
  readonly #waiting = new Set<string>();
  #paused = false;
  #dead = false;
  readonly #states = new Map<string, PartitionState>();
  readonly #oneByOne: OneByOne;
  readonly #reach: ReachPoint;
  readonly #commits = new Map<string, { topic: string; partition: number; next: number }>();
  #committing = false;
  #lastProgressMs: number;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#lastProgressMs = parts.clock.monotonicMs();
    this.#oneByOne = new OneByOne(parts);
    this.#reach = parts.reach ?? NOT_ARMED;
    this.#consumer = this.#open();
  }

  #open(): Consumer {
    const { kafka, settings, log } = this.#parts;
    const consumer = kafka.consumer({
      groupId: settings.groupId,
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: settings.heartbeatMs,
      maxWaitTimeInMs: settings.maxWaitMs,
      maxBytes: settings.bytesMax,
      maxBytesPerPartition: settings.bytesPerPartition,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 200, maxRetryTime: 2000, retries: 10, restartOnFailure: () => Promise.resolve(true) },
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      if (consumer !== this.#consumer) return; // one that was given up
      // Proved anew: the log may fit now, and left paused nobody would look at it in this generation.
      const stopped = this.#stopped().map(ofPartition);
      if (stopped.length > 0 && !this.#paused) consumer.resume(stopped);
      this.#states.clear();
      this.#assigned = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => ({ topic, partition })),
      );
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      log.error("kafka.consumer_crashed", { message: payload.error.message, restart: payload.restart });
      // Some errors the client never tries again, whatever it is told; nobody would read any more.
      if (!payload.restart && consumer === this.#consumer) this.#dead = true;
    });
    return consumer;
  }

  /** True once the client gave up by itself. */
  get dead(): boolean {
    return this.#dead;
  }

  /** The assigned partitions, and whether fetching is stopped on purpose. */
  watched(): readonly WatchedPartition[] {
    return this.#assigned.map(({ topic, partition }) => {
      const key = `${topic}\0${String(partition)}`;
      const stopped = this.#paused || this.#waiting.has(key) || isStopped(this.#states.get(key));
      return { topic, partition, stopped };
    });
  }

  /** A new client in the place of one that reads no more; it goes on at the ledger's positions. */
  async restart(): Promise<void> {
    const given = this.#consumer;
    this.#consumer = this.#open();
    this.#assigned = [];
    this.#states.clear();
    this.#dead = false;
    // A client that hangs may hang here too; its group membership ends by itself then.
    await Promise.race([given.disconnect().catch(() => undefined), this.#parts.clock.sleep(RESTART_WAIT_MS)]);
    await this.start();
    if (this.#paused) this.pause();
  }

  async start(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#parts.settings.topics], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: this.#parts.settings.partitionsAtOnce,
      eachBatch: (payload) => this.#eachBatch(payload),
    });
  }

  /** Leaves the group, so that its partitions go to others at once. */
  async stop(): Promise<void> {
    await this.#consumer.disconnect();
  }

  pause(): void {
    this.#paused = true;
    this.#consumer.pause(this.#parts.settings.topics.map((topic) => ({ topic })));
  }

  resume(): void {
    this.#paused = false;
    this.#consumer.resume(this.#parts.settings.topics.map((topic) => ({ topic })));
    // The client forgets single partitions when it resumes their topic.
    const stopped = this.#stopped().map(ofPartition);
    if (stopped.length > 0) this.#consumer.pause(stopped);
  }

  #stopped(): readonly PartitionState[] {
    return [...this.#states.values()].filter(isStopped);
  }

  /**
   * Reads the positions of stopped partitions again. One that was changed from outside (`sluice topics adopt`) is taken up from there.
   * Rejects when the ledger can't be asked; asking again does no harm.
   */
  async lookAtStopped(): Promise<void> {
    for (const state of this.#stopped()) {
      const { topic, partition, stoppedAt } = state;
      // Serial: stopped partitions are few, and nobody waits.
      const position = await this.#parts.position(topic, partition);
      if (position === null || stoppedAt === null || isSame(position, stoppedAt)) continue;
      if (this.#states.get(`${topic}\0${String(partition)}`) !== state) continue; // a new generation proves it itself
      state.stoppedAt = null;
      state.expected = null;
      state.oneByOneUpto = null;
      state.provingFrom = null;
      this.#consumer.seek({ topic, partition, offset: String(position.next) });
      if (!this.#paused) this.#consumer.resume([ofPartition(state)]);
      this.#parts.log.warn("inbox.taken_up", { topic, partition, before: stoppedAt.next, next: position.next });
    }
  }

  async rewind(topic: string, partition: number): Promise<void> {
    const position = await this.#positionWhenBack(topic, partition);
    if (position === null) return;
    const state = this.#stateOf(topic, partition);
    // Proved anew: the move that was refused may have been one in another log, if the topic was made anew meanwhile.
    state.expected = null;
    state.provingFrom = null;
    this.#consumer.seek({ topic, partition, offset: String(Math.max(0, position.next - 1)) });
    this.#parts.log.warn("kafka.rewound", { topic, partition, next: position.next });
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

  accepted(topic: string, partition: number, next: number): void {
    this.#lastProgressMs = this.#parts.clock.monotonicMs();
    const key = `${topic}\0${String(partition)}`;
    const state = this.#states.get(key);
    if (state !== undefined) state.accepted = next;
    this.#commits.set(key, { topic, partition, next });
    if (this.#committing) return;
    this.#committing = true;
    void this.#commitAll();
  }

  /** Milliseconds since a record was last accepted. */
  idleMs(): number {
    return this.#parts.clock.monotonicMs() - this.#lastProgressMs;
  }

  async #commitAll(): Promise<void> {
    while (this.#commits.size > 0) {
      const offsets = [...this.#commits.values()].map(({ topic, partition, next }) => ({
        topic,
        partition,
        offset: String(next),
      }));
      this.#commits.clear();
      try {
        this.#reach("intake.before_offset_commit");
        await this.#consumer.commitOffsets(offsets);
        this.#reach("intake.after_offset_commit");
      } catch (error) {
        this.#parts.log.debug("kafka.commit_failed", {
          message: error instanceof Error ? error.message : String(error),
        });
      }
      await this.#parts.clock.sleep(COMMIT_PAUSE_MS);
    }
    this.#committing = false;
  }

  #stateOf(topic: string, partition: number): PartitionState {
    const key = `${topic}\0${String(partition)}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state: PartitionState = {
      topic,
      partition,
      expected: null,
      accepted: 0,
      oneByOneUpto: null,
      provingFrom: null,
      provingFor: null,
      stoppedAt: null,
    };
    this.#states.set(key, state);
    return state;
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const heartbeat = (): Promise<void> => payload.heartbeat();
    const resolveOffset = (offset: string): void => {
      payload.resolveOffset(offset);
    };
    const isRunning = (): boolean => payload.isRunning();
    const { topic, partition } = batch;
    if (!isRunning() || payload.isStale()) return;
    const state = this.#stateOf(topic, partition);
    if (isStopped(state)) return;
    const span = { first: Number(batch.firstOffset() ?? batch.lastOffset()), last: Number(batch.lastOffset()) };
    // The client was out of range and went back to the beginning: the log is not the one that was proved.
    if (state.expected !== null && span.first < state.expected) {
      state.expected = null;
      state.provingFrom = null;
    }
    const handled = new AbortController();
    void this.#beat(heartbeat, handled.signal);
    try {
      const all = batch.messages.map((message) => toRecord(topic, partition, message));
      if (state.expected === null && !(await this.#prove(state, all, span, () => payload.isStale()))) return;
      const since = state.expected ?? 0;
      const upto = span.last + 1;
      if (upto <= since) {
        resolveOffset(batch.lastOffset());
        return;
      }
      const records = all.filter((record) => record.offset >= since);
      if (records.length > 0) this.#reach("intake.read");
      if (records.length > 0) state.oneByOneUpto ??= await this.#oneByOne.begin({ topic, partition, since, upto });
      if (since < (state.oneByOneUpto ?? 0)) {
        const run = { topic, partition, since, upto, records };
        if (await this.#readOneByOne(state, run, payload)) resolveOffset(batch.lastOffset());
        return;
      }
      const decoded = await this.#decodeAll(records, isRunning);
      // Sought elsewhere meanwhile: expecting the end of this batch would pass over the records from there to the seek.
      if (decoded === null || state.expected !== since) return;
      state.expected = upto;
      await this.#parts.sink.offer({
        topic,
        partition,
        since,
        upto,
        records,
        ...(decoded.size > 0 ? { decoded } : {}),
      });
      // Sought back while this waited for room: resolving would undo the seek, and the records in between would be passed over.
      if (state.expected === upto) resolveOffset(batch.lastOffset());
    } finally {
      handled.abort("handled"); // with a reason it makes no exception, which costs more than the batch
    }
    await heartbeat();
  }

  /** While a batch is handled: the handler may wait for room longer than the group waits for a member. */
  async #beat(heartbeat: () => Promise<void>, handled: AbortSignal): Promise<void> {
    for (;;) {
      await this.#parts.clock.sleep(this.#parts.settings.heartbeatMs, handled);
      if (handled.aborted) return;
      heartbeat().catch(() => undefined);
    }
  }

  /** @returns false when it stopped before the end: what is left comes again. */
  #readOneByOne(state: PartitionState, run: RecordRun, payload: EachBatchPayload): Promise<boolean> {
    const key = `${run.topic}\0${String(run.partition)}`;
    return this.#oneByOne.read(run, {
      // A rebalance rejects the heartbeat, which ends the batch.
      goesOn: async () => {
        await payload.heartbeat();
        return payload.isRunning() && !payload.isStale() && this.#states.get(key) === state;
      },
      decode: async (record) => {
        const decoded = await this.#decodeAll([record], () => payload.isRunning());
        return payload.isStale() ? null : decoded; // sought elsewhere meanwhile
      },
      offer: (one) => {
        state.expected = one.upto;
        return this.#parts.sink.offer(one);
      },
      isAccepted: (upto) => state.accepted >= upto,
    });
  }

  /** Avro values are decoded before they are queued; while the registry is away this partition waits, and nothing is refused. */
  async #decodeAll(
    records: readonly IncomingRecord[],
    isRunning: () => boolean,
  ): Promise<Map<IncomingRecord, DecodedValue> | null> {
    const decoded = new Map<IncomingRecord, DecodedValue>();
    let waiting = records.filter((record) => isRegistryFramed(record.value));
    while (waiting.length > 0) {
      if (!isRunning()) return null;
      const values = await Promise.all(waiting.map((record) => this.#decode(record)));
      const again: IncomingRecord[] = [];
      waiting.forEach((record, index) => {
        const value = values[index];
        if (value === undefined || value.kind === "unavailable") again.push(record);
        else decoded.set(record, value);
      });
      if (again.length > 0) {
        const key = `${again[0]?.topic ?? ""}\0${String(again[0]?.partition)}`;
        this.#waiting.add(key);
        this.#parts.log.warn("registry.unavailable", { partition: again[0]?.partition, records: again.length });
        await this.#parts.clock.sleep(REGISTRY_RETRY_MS);
        this.#waiting.delete(key);
      }
      waiting = again;
    }
    return decoded;
  }

  #decode(record: IncomingRecord): Promise<ValueDecoding> {
    const { decoder } = this.#parts;
    if (decoder === null || record.value === null) return Promise.resolve(NO_REGISTRY);
    return decoder.decode(record.value);
  }

  /**
   * Compares the ledger's position with what the broker has. @param span the batch's own offsets, markers included.
   * @returns false after a seek, by this or by a rewind meanwhile, or when the partition is stopped: the batch is then left alone.
   */
  async #prove(
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
    switch (verdict) {
      case "truncated":
        return this.#stopPartition(state, position, { cause: verdict, logStart: log.low, logEnd: log.high });
      case "other_topic":
        return this.#stopPartition(state, position, { cause: verdict, offset: proof });
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

  #seekTo(state: PartitionState, offset: number, position: InboxPosition): false {
    const { topic, partition } = state;
    state.provingFrom = offset;
    state.provingFor = position;
    this.#consumer.seek({ topic, partition, offset: String(offset) });
    return false;
  }

  /** Those records are gone, so the partition goes on behind them. */
  #passGap(state: PartitionState, position: InboxPosition, logStart: number, span: BatchSpan): boolean {
    const { topic, partition } = state;
    const { next } = position;
    const lostAtMost = logStart - next;
    this.#parts.alert({ cause: "gap", topic, partition, ledgerNext: next, logStart, lostAtMost });
    state.expected = next;
    return span.first <= logStart || this.#seekTo(state, logStart, position);
  }

  #stopPartition(state: PartitionState, position: InboxPosition, found: StopCause): false {
    const { topic, partition } = state;
    state.stoppedAt = position;
    // While everything is paused this one is too; naming it alone would let the others go.
    if (!this.#paused) this.#consumer.pause([ofPartition(state)]);
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

/** Between two commits of the group: nobody waits for them. */
const COMMIT_PAUSE_MS = 200;

function isStopped(state: PartitionState | undefined): boolean {
  return state !== undefined && state.stoppedAt !== null;
}

function ofPartition({ topic, partition }: PartitionState): { topic: string; partitions: number[] } {
  return { topic, partitions: [partition] };
}

function isSame(one: InboxPosition, other: InboxPosition): boolean {
  return one.next === other.next && one.witness?.toString("hex") === other.witness?.toString("hex");
}
