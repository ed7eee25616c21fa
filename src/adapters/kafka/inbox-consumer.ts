import type { Consumer, EachBatchPayload, Kafka, TopicOffsets } from "kafkajs";
import type { CarefulReading } from "../../domain/dedupe/crash-suspect.js";
import type { JobsConsumer, RecordRun, RecordSink, WatchedPartition } from "../../ports/broker.js";
import { NOT_ARMED, type ReachPoint } from "../../ports/crash-points.js";
import { FramedValues, type FramedValuesParts, type WaitingPartition } from "./framed-values.js";
import { toRecord } from "./incoming-record.js";
import { isStopped, partitionKey, PartitionStates, type PartitionState } from "./partition-state.js";
import { PositionProof, type PositionProofParts } from "./position-proof.js";
import { StepByStep, type StepByStepParts } from "./step-by-step.js";

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

export interface InboxParts extends PositionProofParts, StepByStepParts, FramedValuesParts {
  readonly kafka: Kafka;
  readonly settings: InboxSettings;
  readonly sink: RecordSink;
  readonly reach?: ReachPoint;
}

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
  #paused = false;
  #dead = false;
  readonly #states = new PartitionStates();
  readonly #proof: PositionProof;
  readonly #stepByStep: StepByStep;
  readonly #values: FramedValues;
  readonly #reach: ReachPoint;
  readonly #commits = new Map<string, Accepted>();
  #committing = false;
  /** The client's way to commit once: its `commitOffsets` tries for minutes, in whatever generation there is by then, and goes back with it. */
  #commitOnce: EachBatchPayload["commitOffsetsIfNecessary"] | null = null;
  #generation = 0;
  #lastProgressMs: number;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#lastProgressMs = parts.clock.monotonicMs();
    this.#proof = new PositionProof(parts, this.#states, {
      seek: ({ topic, partition }, offset) => {
        this.#consumer.seek({ topic, partition, offset: String(offset) });
      },
      // While everything is paused this one is too; naming it alone would let the others go.
      pause: (state) => {
        if (!this.#paused) this.#consumer.pause([ofPartition(state)]);
      },
      resume: (state) => {
        if (!this.#paused) this.#consumer.resume([ofPartition(state)]);
      },
    });
    this.#stepByStep = new StepByStep(parts);
    this.#values = new FramedValues(parts, {
      pause: (partition) => {
        if (!this.#paused) this.#consumer.pause([ofPartition(partition)]);
      },
      resume: (partition) => {
        if (!this.#paused) this.#consumer.resume([ofPartition(partition)]);
      },
    });
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
      // Proved and decoded anew: the log may fit now, and left paused nobody would look at it in this generation.
      const stopped = this.#pausedAlone();
      if (stopped.length > 0 && !this.#paused) consumer.resume(stopped);
      this.#states.clear();
      this.#values.forget();
      this.#forgetCommits();
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
      const stopped =
        this.#paused ||
        this.#values.waitsForRegistry(topic, partition) ||
        isStopped(this.#states.known(topic, partition));
      return { topic, partition, stopped };
    });
  }

  /** A new client in the place of one that reads no more; it goes on at the ledger's positions. */
  async restart(): Promise<void> {
    const given = this.#consumer;
    this.#consumer = this.#open();
    this.#assigned = [];
    this.#states.clear();
    this.#values.forget();
    this.#forgetCommits();
    this.#commitOnce = null;
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
    this.#values.forget();
    this.#forgetCommits();
    this.#commitOnce = null;
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
    const stopped = this.#pausedAlone();
    if (stopped.length > 0) this.#consumer.pause(stopped);
  }

  #pausedAlone(): { topic: string; partitions: number[] }[] {
    return [...this.#states.stopped(), ...this.#values.waiting].map(ofPartition);
  }

  /** Takes up stopped partitions whose position was changed from outside. Rejects when the ledger can't be asked. */
  lookAtStopped(): Promise<void> {
    return this.#proof.lookAtStopped();
  }

  rewind(topic: string, partition: number): Promise<void> {
    return this.#proof.rewind(topic, partition);
  }

  accepted(topic: string, partition: number, next: number): void {
    this.#lastProgressMs = this.#parts.clock.monotonicMs();
    const state = this.#states.known(topic, partition);
    if (state === undefined) return; // of a generation before: others may have committed more by now
    state.accepted = next;
    this.#commits.set(partitionKey(topic, partition), { topic, partition, next });
    if (this.#committing) return;
    this.#committing = true;
    void this.#commitAll();
  }

  /** A generation begins: what was accepted in the one before may be behind what others have committed meanwhile. */
  #forgetCommits(): void {
    this.#commits.clear();
    this.#generation += 1;
  }

  /** Milliseconds since a record was last accepted. */
  idleMs(): number {
    return this.#parts.clock.monotonicMs() - this.#lastProgressMs;
  }

  async #commitAll(): Promise<void> {
    let failures = 0;
    while (this.#commits.size > 0) {
      const owned = new Set(this.#assigned.map(({ topic, partition }) => partitionKey(topic, partition)));
      // Another router's by now: the broker would take an offset from any member of the group, and go back with it (tulios/kafkajs#1046).
      const pending = [...this.#commits].filter(([key]) => owned.has(key));
      this.#commits.clear();
      if (pending.length === 0) break;
      const generation = this.#generation;
      try {
        this.#reach("intake.before_offset_commit");
        await this.#commitOnce?.({ topics: byTopic(pending.map(([, one]) => one)) });
        this.#reach("intake.after_offset_commit");
        failures = 0;
      } catch (error) {
        failures += 1;
        const message = error instanceof Error ? error.message : String(error);
        this.#parts.log.debug("kafka.commit_failed", { message, failures });
        if (generation === this.#generation && failures < COMMIT_TRIES) this.#putBack(pending);
      }
      await this.#parts.clock.sleep(COMMIT_PAUSE_MS);
    }
    this.#committing = false;
  }

  /** Where nothing newer was accepted. */
  #putBack(pending: readonly (readonly [string, Accepted])[]): void {
    for (const [key, one] of pending) if (!this.#commits.has(key)) this.#commits.set(key, one);
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
    // Once it is disconnected a commit would connect it again.
    this.#commitOnce = async (offsets) => (isRunning() ? payload.commitOffsetsIfNecessary(offsets) : undefined);
    const state = this.#states.of(topic, partition);
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
      if (state.expected === null && !(await this.#proof.prove(state, all, span, () => payload.isStale()))) return;
      const since = state.expected;
      if (since === null) return; // a rewind began
      if (span.first > Math.max(since, state.goneUpto)) {
        await this.#proof.tellGap(state, since, span.first);
        if (payload.isStale() || state.expected !== since) return;
      }
      const upto = span.last + 1;
      if (upto <= since) {
        resolveOffset(batch.lastOffset());
        return;
      }
      const records = all.filter((record) => record.offset >= since);
      if (records.length > 0) this.#reach("intake.read");
      if (records.length > 0) state.careful ??= await this.#stepByStep.begin({ topic, partition, since, upto });
      if (state.expected !== since) return; // the same
      if (state.careful !== null && since < state.careful.upto) {
        const run = { topic, partition, since, upto, records, adoptions: state.adoptions };
        if (await this.#readInSteps(state, run, state.careful, payload)) resolveOffset(batch.lastOffset());
        return;
      }
      const decoded = await this.#values.decodeAll(records, () => isRunning() && !payload.isStale());
      // Sought elsewhere meanwhile: expecting the end of this batch would pass over the records from there to the seek.
      if (decoded === null || state.expected !== since) return;
      state.expected = upto;
      await this.#parts.sink.offer({
        topic,
        partition,
        since,
        upto,
        records,
        adoptions: state.adoptions,
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
  #readInSteps(
    state: PartitionState,
    run: RecordRun,
    reading: CarefulReading,
    payload: EachBatchPayload,
  ): Promise<boolean> {
    let { since } = run;
    return this.#stepByStep.read(run, reading, {
      // A rebalance rejects the heartbeat, which ends the batch.
      goesOn: async () => {
        await payload.heartbeat();
        return payload.isRunning() && !payload.isStale() && this.#states.isCurrent(state) && state.expected === since;
      },
      decode: async (records) => {
        const decoded = await this.#values.decodeAll(records, () => payload.isRunning() && !payload.isStale());
        return payload.isStale() ? null : decoded; // sought elsewhere meanwhile
      },
      offer: (step) => {
        since = step.upto;
        state.expected = since;
        return this.#parts.sink.offer(step);
      },
      isAccepted: (upto) => state.accepted >= upto,
    });
  }
}

/** Between two commits of the group: nobody waits for them. */
const COMMIT_PAUSE_MS = 200;
/** In a row. What was not committed then is with the next record that is accepted. */
const COMMIT_TRIES = 10;

interface Accepted {
  readonly topic: string;
  readonly partition: number;
  readonly next: number;
}

function byTopic(accepted: readonly Accepted[]): TopicOffsets[] {
  const topics = new Map<string, TopicOffsets>();
  for (const { topic, partition, next } of accepted) {
    const its = topics.get(topic) ?? { topic, partitions: [] };
    its.partitions.push({ partition, offset: String(next) });
    topics.set(topic, its);
  }
  return [...topics.values()];
}

function ofPartition({ topic, partition }: WaitingPartition): { topic: string; partitions: number[] } {
  return { topic, partitions: [partition] };
}
