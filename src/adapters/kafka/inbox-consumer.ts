import type { Consumer, EachBatchPayload, Kafka, KafkaMessage } from "kafkajs";
import type { IncomingRecord, RecordHeader } from "../../domain/job/job.js";
import type { DecodedValue, Inbox, RecordSink } from "../../ports/broker.js";
import type { InboxPosition } from "../../ports/ledger.js";
import { isRegistryFramed, type ValueDecoder, type ValueDecoding } from "../../ports/value-decoder.js";
import type { Clock, Log } from "../../ports/system.js";
import { recordWitness } from "../../domain/dedupe/record-witness.js";

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
  /** First and next offset of a partition at the broker. */
  readonly offsets: (topic: string, partition: number) => Promise<{ readonly low: number; readonly high: number }>;
  /** Null: no registry is configured, and values in its encoding are refused. */
  readonly decoder: ValueDecoder | null;
  readonly clock: Clock;
  readonly log: Log;
  /** A partition that can't go on by itself: truncated, or made anew. */
  readonly alert: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

interface PartitionState {
  /** Offset of the next record to hand on; null until it was compared with the ledger in this generation. */
  expected: number | null;
  /** A seek is under way to read the witness of the record before the position. */
  provingFrom: number | null;
  stopped: boolean;
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
export class InboxConsumer implements Inbox {
  readonly #parts: InboxParts;
  #consumer: Consumer;
  #assigned: readonly { readonly topic: string; readonly partition: number }[] = [];
  /** Partitions that wait for the registry, by topic and partition. */
  readonly #waiting = new Set<string>();
  #paused = false;
  #dead = false;
  readonly #states = new Map<string, PartitionState>();
  readonly #commits = new Map<string, { topic: string; partition: number; next: number }>();
  #committing = false;
  #lastProgressMs: number;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#lastProgressMs = parts.clock.monotonicMs();
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
  watched(): readonly { readonly topic: string; readonly partition: number; readonly stopped: boolean }[] {
    return this.#assigned.map(({ topic, partition }) => {
      const key = `${topic}\0${String(partition)}`;
      const stopped = this.#paused || this.#waiting.has(key) || this.#states.get(key)?.stopped === true;
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
  }

  async rewind(topic: string, partition: number): Promise<void> {
    const position = await this.#positionWhenBack(topic, partition);
    if (position === null) return;
    const state = this.#stateOf(topic, partition);
    state.expected = position.next;
    this.#consumer.seek({ topic, partition, offset: String(position.next) });
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
    this.#commits.set(`${topic}\0${String(partition)}`, { topic, partition, next });
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
        await this.#consumer.commitOffsets(offsets);
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
    const state: PartitionState = { expected: null, provingFrom: null, stopped: false };
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
    if (state.stopped) return;
    const beating = setInterval(() => {
      heartbeat().catch(() => undefined);
    }, this.#parts.settings.heartbeatMs);
    try {
      const all = batch.messages.map((message) => toRecord(topic, partition, message));
      if (
        state.expected === null &&
        !(await this.#prove(state, topic, partition, all, Number(batch.firstOffset() ?? batch.lastOffset())))
      )
        return;
      const since = state.expected ?? 0;
      const upto = Number(batch.lastOffset()) + 1;
      if (upto <= since) {
        resolveOffset(batch.lastOffset());
        return;
      }
      const records = all.filter((record) => record.offset >= since);
      const decoded = await this.#decodeAll(records, isRunning);
      if (decoded === null) return;
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
      clearInterval(beating);
    }
    await heartbeat();
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
   * Compares the ledger's position with what the broker has. @returns false after a seek, or when the partition is stopped: the batch is
   * then left alone.
   */
  async #prove(
    state: PartitionState,
    topic: string,
    partition: number,
    records: readonly IncomingRecord[],
    first: number,
  ): Promise<boolean> {
    const position = await this.#openedPosition(topic, partition);
    const { low, high } = await this.#parts.offsets(topic, partition);
    if (high < position.next)
      return this.#stopPartition(state, "inbox.truncated", {
        topic,
        partition,
        ledgerNext: position.next,
        logEnd: high,
      });
    if (low > position.next) {
      this.#parts.alert("inbox.gap", {
        topic,
        partition,
        ledgerNext: position.next,
        logStart: low,
        lostAtMost: low - position.next,
      });
      state.expected = position.next; // the gap is accepted as looked at: those records are gone
      if (first <= low) return true;
      this.#consumer.seek({ topic, partition, offset: String(low) });
      return false;
    }
    const proof = position.next - 1;
    const before = records.find((record) => record.offset === proof);
    const canProve = position.witness !== null && position.witness.length > 0 && proof >= low;
    if (canProve && before !== undefined && !recordWitness(before).equals(position.witness)) {
      return this.#stopPartition(state, "inbox.other_topic", { topic, partition, offset: proof });
    }
    const from = canProve && before === undefined && state.provingFrom === null ? proof : position.next;
    if (first > from) {
      state.provingFrom = from;
      this.#consumer.seek({ topic, partition, offset: String(from) });
      return false;
    }
    state.expected = position.next;
    return true;
  }

  #stopPartition(state: PartitionState, event: string, fields: Readonly<Record<string, unknown>>): false {
    state.stopped = true;
    const { topic, partition } = fields as { topic: string; partition: number }; // both callers put them in
    this.#consumer.pause([{ topic, partitions: [partition] }]);
    this.#parts.alert(event, { ...fields, todo: "look what happened to the topic, then run: sluice topics adopt" });
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

function toRecord(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  return {
    topic,
    partition,
    offset: Number(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: toHeaders(message.headers),
  };
}

const NO_HEADERS: readonly RecordHeader[] = [];

function toHeaders(headers: KafkaMessage["headers"]): readonly RecordHeader[] {
  if (headers === undefined) return NO_HEADERS;
  const names = Object.keys(headers);
  if (names.length === 0) return NO_HEADERS;
  return names.flatMap((name) => {
    const value = headers[name];
    const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return values.map((one) => ({ name, value: typeof one === "string" ? Buffer.from(one, "utf8") : one }));
  });
}
