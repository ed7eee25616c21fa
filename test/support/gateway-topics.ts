import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CompressionTypes,
  Kafka,
  logLevel,
  type Admin,
  type Consumer,
  type IHeaders,
  type KafkaMessage,
  type Producer,
} from "kafkajs";
import { readHeadersInLinearTime } from "../../src/adapters/kafka/header-decoding.js";
import { letIdleConnectionsRest } from "../../src/adapters/kafka/idle-connections.js";
import { createTopics } from "../../src/adapters/kafka/topics.js";
import { systemClock } from "../../src/adapters/system/system-clock.js";
import type { FoundRecord, RecordToSend } from "./gateway-records.js";
import type { FreshTopicNames } from "./servers.js";

export interface TopicsSetup {
  readonly brokers: string;
  readonly names: FreshTopicNames;
  readonly partitions: number;
  /** Longest record batch that the topics take; the broker's own default when left out. */
  readonly messageBytesMax?: number;
  /** False: no dead-letter topic, until `createDeadLetters`. */
  readonly withDeadLetters: boolean;
  /** Further topics that results may go to; null: the broker's own default. */
  readonly replyTopics: readonly { readonly name: string; readonly messageBytesMax: number | null }[];
}

const GONE_POLL_MS = 50;

/** The topics of one test: a producer for jobs, and a reader that keeps everything the gateway published, from the start. */
export class GatewayTopics {
  readonly names: FreshTopicNames;
  readonly admin: Admin;
  readonly #kafka: Kafka;
  readonly #readers: Consumer[] = [];
  #producer: Producer;
  readonly #found: FoundRecord[] = [];

  static async open(setup: TopicsSetup): Promise<GatewayTopics> {
    readHeadersInLinearTime(); // what comes out carries the headers of what went in
    letIdleConnectionsRest();
    const kafka = new Kafka({
      brokers: setup.brokers.split(","),
      clientId: "rows-test",
      logLevel: logLevel.NOTHING,
      requestTimeout: 60_000,
    });
    const topics = new GatewayTopics(setup, kafka);
    await topics.#start(setup);
    return topics;
  }

  private constructor({ names }: TopicsSetup, kafka: Kafka) {
    this.names = names;
    this.#kafka = kafka;
    this.admin = kafka.admin();
    this.#producer = this.#newProducer();
  }

  #newProducer(): Producer {
    return this.#kafka.producer({ allowAutoTopicCreation: false });
  }

  async #start({ names, partitions, messageBytesMax, replyTopics, withDeadLetters }: TopicsSetup): Promise<void> {
    await Promise.all([this.admin.connect(), this.#producer.connect()]);
    const configEntries = messageBytesEntries(messageBytesMax ?? null);
    const written = [names.results, names.costs, ...(withDeadLetters ? [names.deadLetters] : []), names.events];
    await createTopics(
      this.admin,
      [
        { topic: names.jobs, numPartitions: partitions, replicationFactor: 1, configEntries },
        ...written.map((topic) => ({ topic, numPartitions: 1, replicationFactor: 1, configEntries })),
        ...replyTopics.map(({ name, messageBytesMax: bytes }) => ({
          topic: name,
          numPartitions: 1,
          replicationFactor: 1,
          configEntries: messageBytesEntries(bytes),
        })),
      ],
      systemClock,
    );
    await this.#read([...written, ...replyTopics.map(({ name }) => name)]);
  }

  /** Keeps what is in these topics from now on, from their beginning. */
  async #read(topics: string[]): Promise<void> {
    const reader = this.#kafka.consumer({
      groupId: `rows-reader-${randomUUID()}`,
      maxWaitTimeInMs: 50,
      maxBytesPerPartition: 4 * 1024 * 1024,
      retry: { retries: 20, initialRetryTime: 100, maxRetryTime: 1000 },
    });
    this.#readers.push(reader);
    await reader.connect();
    await reader.subscribe({ topics, fromBeginning: true });
    await reader.run({
      autoCommit: false,
      eachBatch: ({ batch }) => {
        this.#found.push(...batch.messages.map((message) => toFound(batch.topic, batch.partition, message)));
        return Promise.resolve();
      },
    });
  }

  /** Publishes in order. @returns the records' offsets when all went to one partition. */
  async publish(
    records: readonly RecordToSend[],
    compression: CompressionTypes = CompressionTypes.None,
  ): Promise<readonly number[]> {
    const sent = await this.#producer.send({
      topic: this.names.jobs,
      acks: -1,
      compression,
      messages: records.map(({ key = null, value, headers = {}, partition }) => ({
        key,
        value,
        headers: { ...headers },
        ...(partition === undefined ? {} : { partition }),
      })),
    });
    const base = Number(sent[0]?.baseOffset ?? Number.NaN);
    return records.map((_record, index) => base + index);
  }

  /** Publishes into partition 0 in a transaction of its own; its end is a control record in the log. */
  async inTransaction(values: readonly string[], end: "commit" | "abort"): Promise<void> {
    const producer = this.#kafka.producer({
      transactionalId: randomUUID(),
      maxInFlightRequests: 1,
      idempotent: true,
      allowAutoTopicCreation: false,
    });
    await producer.connect();
    const transaction = await producer.transaction();
    const messages = values.map((value) => ({ value, partition: 0 }));
    await transaction.send({ topic: this.names.jobs, acks: -1, messages });
    await transaction[end]();
    await producer.disconnect();
  }

  get results(): readonly FoundRecord[] {
    return this.in(this.names.results);
  }

  get costs(): readonly FoundRecord[] {
    return this.in(this.names.costs);
  }

  get events(): readonly FoundRecord[] {
    return this.in(this.names.events);
  }

  get deadLetters(): readonly FoundRecord[] {
    return this.in(this.names.deadLetters);
  }

  in(topic: string): readonly FoundRecord[] {
    return this.#found.filter((record) => record.topic === topic);
  }

  /** Deletes the jobs topic and makes it anew: its offsets begin at 0 again. */
  async remakeJobs(partitions: number): Promise<void> {
    await this.admin.deleteTopics({ topics: [this.names.jobs], timeout: 30_000 });
    // The broker answers before the deletion is through.
    while ((await this.admin.listTopics()).includes(this.names.jobs)) await sleep(GONE_POLL_MS);
    const topic = { topic: this.names.jobs, numPartitions: partitions, replicationFactor: 1 };
    // Until it is gone everywhere, making it anew says that it is there.
    const make = (): Promise<boolean> => this.admin.createTopics({ topics: [topic], waitForLeaders: false });
    while (!(await make())) await sleep(GONE_POLL_MS);
    await createTopics(this.admin, [topic], systemClock);
  }

  /** So many partitions in all from now on. */
  async growJobs(partitions: number): Promise<void> {
    await this.admin.createPartitions({ topicPartitions: [{ topic: this.names.jobs, count: partitions }] });
    // One that knew the topic before leaves out, without a word, what is meant for partitions that it has not heard of.
    await this.#producer.disconnect();
    this.#producer = this.#newProducer();
    await this.#producer.connect();
  }

  /** Deletes the jobs of partition 0 below this offset, as retention does. */
  async deleteJobsBefore(offset: number): Promise<void> {
    const partitions = [{ partition: 0, offset: String(offset) }];
    await this.admin.deleteTopicRecords({ topic: this.names.jobs, partitions });
  }

  /** Makes the dead-letter topic that was left out. */
  async createDeadLetters(): Promise<void> {
    const topic = { topic: this.names.deadLetters, numPartitions: 1, replicationFactor: 1 };
    await createTopics(this.admin, [topic], systemClock);
    await this.#read([this.names.deadLetters]);
  }

  /** What the group has committed in each partition; -1 where it has committed nothing. */
  async committed(groupId: string): Promise<readonly number[]> {
    const [found] = await this.admin.fetchOffsets({ groupId, topics: [this.names.jobs] });
    const partitions = [...(found?.partitions ?? [])].sort((a, b) => a.partition - b.partition);
    return partitions.map(({ offset }) => Number(offset));
  }

  async close(): Promise<void> {
    await Promise.all([
      ...this.#readers.map((reader) => reader.disconnect()),
      this.#producer.disconnect(),
      this.admin.disconnect(),
    ]);
  }
}

function messageBytesEntries(bytes: number | null): { readonly name: string; readonly value: string }[] {
  return bytes === null ? [] : [{ name: "max.message.bytes", value: String(bytes) }];
}

function toFound(topic: string, partition: number, message: KafkaMessage): FoundRecord {
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key,
    value: message.value,
    headers: toHeaders(message.headers),
  };
}

function toHeaders(headers: IHeaders | undefined): ReadonlyMap<string, readonly Buffer[]> {
  return new Map(
    Object.entries(headers ?? {}).map(([name, value]) => {
      const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
      return [name, values.map((one) => (typeof one === "string" ? Buffer.from(one, "utf8") : one))];
    }),
  );
}
