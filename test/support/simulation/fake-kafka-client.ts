import { createRequire } from "node:module";
import type { EachBatchPayload, Kafka, KafkaMessage, OffsetsByTopicPartition } from "kafkajs";
import type { IncomingRecord } from "../../../src/domain/job/job.js";
import { JOBS_TOPIC } from "./fixture.js";
import type { FakeBroker } from "./fake-broker.js";
import type { Life, World } from "./world.js";

export interface ClientParts {
  readonly world: World;
  readonly life: Life;
  readonly broker: FakeBroker;
  /** Fetching of the whole topic was stopped, or went on. */
  readonly turned: (paused: boolean) => void;
  /** What the product's handler of a batch threw while the group was stable. */
  readonly crashed: (error: unknown) => void;
}

interface Partitions {
  readonly topic: string;
  readonly partitions?: number[];
}

/** kafkajs' own book about what is paused; the rules of single partitions beside whole topics are its. */
interface Subscription {
  pause(what: readonly Partitions[]): void;
  resume(what: readonly Partitions[]): void;
  isPaused(topic: string, partition: number): boolean;
}
const SubscriptionState = createRequire(import.meta.url)("kafkajs/src/consumer/subscriptionState.js") as {
  new (): Subscription; // of the pinned version
};

/** Where one partition is fetched next. */
interface Fetching {
  offset: number;
  /** Taken up with the next fetch; until then the batch that is being handled is stale. */
  sought: number | null;
}

type EachBatch = (payload: EachBatchPayload) => Promise<void>;
/** What kafkajs throws from a heartbeat of a group that changes. */
class Rebalance extends Error {}

const FETCH_MAX = 6;
/** How long it takes at most until a member hears that the group changed. */
const GROUP_BEAT_MS = 1000;

/** kafkajs' consumer on the simulated broker, as far as the product's `InboxConsumer` uses it. One is one member of the group. */
export class FakeKafkaClient {
  readonly events = { GROUP_JOIN: "join", CRASH: "crash" } as const;
  readonly #parts: ClientParts;
  readonly #listeners = new Map<string, (event: { readonly payload: object }) => void>();
  readonly #subscription = new SubscriptionState();
  #fetching = new Map<number, Fetching>();
  #eachBatch: EachBatch = () => Promise.reject(new Error("not running"));
  #generation = -1;
  #stopped = false;

  constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  on(name: string, listener: (event: { readonly payload: object }) => void): void {
    this.#listeners.set(name, listener);
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  subscribe(): Promise<void> {
    return Promise.resolve();
  }

  run({ eachBatch }: { readonly eachBatch: EachBatch }): Promise<void> {
    this.#eachBatch = eachBatch;
    void this.#keepJoined();
    return Promise.resolve();
  }

  disconnect(): Promise<void> {
    this.#stopped = true;
    this.#generation = -2;
    this.#parts.broker.leave(this.#parts.life);
    return Promise.resolve();
  }

  pause(what: readonly Partitions[]): void {
    this.#subscription.pause(what);
    if (what.some(isWhole)) this.#parts.turned(true);
  }

  resume(what: readonly Partitions[]): void {
    const whole = what.some(isWhole);
    this.#subscription.resume(what);
    if (whole) this.#parts.turned(false);
  }

  seek({ partition, offset }: { readonly partition: number; readonly offset: string }): void {
    const fetching = this.#fetching.get(partition);
    if (fetching !== undefined) fetching.sought = Number(offset);
  }

  async #commit({ topics }: OffsetsByTopicPartition): Promise<void> {
    const { world, life, broker } = this.#parts;
    const generation = this.#generation;
    await world.wait(life, "offset-commit", world.random.next() * 20);
    for (const { partition, offset } of topics.flatMap(({ partitions }) => partitions))
      broker.commit(life, generation, partition, Number(offset));
  }

  async #keepJoined(): Promise<void> {
    const { world, life, broker } = this.#parts;
    while (!this.#stopped) {
      if (this.#generation !== broker.generation) await this.#join();
      await world.wait(life, "group-beat", GROUP_BEAT_MS);
    }
  }

  async #join(): Promise<void> {
    const { world, life, broker } = this.#parts;
    await world.wait(life, "group-join", world.random.between(1, 50));
    if (this.#isStopped()) return;
    this.#generation = broker.isMember(life) ? broker.generation : broker.join(life);
    const partitions = broker.partitionsOf(life);
    this.#fetching = new Map(
      partitions.map((partition) => [partition, { offset: broker.committed[partition] ?? 0, sought: null }]),
    );
    this.#listeners.get("join")?.({ payload: { memberAssignment: { [JOBS_TOPIC]: partitions } } });
    for (const partition of partitions) void this.#consume(partition, this.#generation);
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  #isCurrent(generation: number): boolean {
    return this.#generation === generation && this.#parts.broker.generation === generation && !this.#stopped;
  }

  async #consume(partition: number, generation: number): Promise<void> {
    const { world, life, broker } = this.#parts;
    const fetching = this.#fetching.get(partition);
    while (fetching !== undefined && this.#isCurrent(generation)) {
      const since = this.#fetchFrom(partition, fetching);
      const paused = this.#subscription.isPaused(JOBS_TOPIC, partition);
      const records = paused ? [] : broker.read(partition, since, world.random.between(1, FETCH_MAX));
      if (records.length === 0) {
        await world.wait(life, "fetch-idle", world.random.between(50, 950));
        continue;
      }
      await world.step(life, `fetched ${String(partition)}`);
      // Answers of partitions that were sought or paused meanwhile are thrown away.
      if (fetching.sought !== null || this.#subscription.isPaused(JOBS_TOPIC, partition)) continue;
      if (this.#isCurrent(generation)) await this.#handOver(partition, records, fetching, generation);
    }
  }

  /** Out of range, as after a loss of records, the client goes back to the beginning. */
  #fetchFrom(partition: number, fetching: Fetching): number {
    const { low, high } = this.#parts.broker.bounds(partition);
    fetching.offset = fetching.sought ?? fetching.offset;
    fetching.sought = null;
    if (fetching.offset < low || fetching.offset > high) fetching.offset = low;
    return fetching.offset;
  }

  async #handOver(
    partition: number,
    records: readonly IncomingRecord[],
    fetching: Fetching,
    generation: number,
  ): Promise<void> {
    const { crashed } = this.#parts;
    const last = records.at(-1)?.offset ?? 0;
    const resolved: { upto: number | null } = { upto: null };
    const isCurrent = (): boolean => this.#isCurrent(generation);
    try {
      await this.#eachBatch({
        batch: {
          topic: JOBS_TOPIC,
          partition,
          messages: records.map(messageOf),
          firstOffset: () => String(records[0]?.offset ?? 0),
          lastOffset: () => String(last),
        },
        heartbeat: () => (isCurrent() ? Promise.resolve() : Promise.reject(new Rebalance())),
        resolveOffset: (offset: string) => {
          resolved.upto = Number(offset) + 1;
        },
        isRunning: isCurrent,
        isStale: () => fetching.sought !== null,
        commitOffsetsIfNecessary: (offsets: OffsetsByTopicPartition) => this.#commit(offsets),
      } as unknown as EachBatchPayload); // what the inbox reads of it
    } catch (error) {
      if (!(error instanceof Rebalance) && isCurrent()) await this.#restart(error);
      else if (!(error instanceof Rebalance)) crashed(error);
      return;
    }
    if (resolved.upto !== null) fetching.offset = resolved.upto;
  }

  /** As the client does by itself when a handler throws: it leaves the group and joins anew. */
  async #restart(error: unknown): Promise<void> {
    const { world, life, broker, crashed } = this.#parts;
    crashed(error);
    this.#generation = -1;
    broker.leave(life);
    await world.wait(life, "client-restart", 200);
  }
}

function isWhole({ partitions }: Partitions): boolean {
  return partitions === undefined;
}

function messageOf({ offset, timestampMs, key, value, headers }: IncomingRecord): KafkaMessage {
  return {
    offset: String(offset),
    timestamp: String(timestampMs),
    key,
    value,
    headers: Object.fromEntries(headers.map((header) => [header.name, header.value])),
    attributes: 0,
  };
}

/** kafkajs as far as the product's consumer asks for it: a consumer. */
export function fakeKafka(parts: ClientParts): Kafka {
  return { consumer: () => new FakeKafkaClient(parts) } as unknown as Kafka; // the only part that is used
}
