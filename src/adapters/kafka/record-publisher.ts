import kafkajs, {
  type ICustomPartitioner,
  type IHeaders,
  type Kafka,
  type Message,
  type PartitionerArgs,
  type Producer,
  type RecordMetadata,
} from "kafkajs";
import type { Outgoing } from "../../domain/result/outgoing.js";
import type { Publisher, PublishOutcome } from "../../ports/broker.js";
import { NOT_ARMED, reachSoon, type ReachPoint } from "../../ports/crash-points.js";
import { publishRefusal } from "./publish-refusal.js";
import { installEncoding } from "./install-encoding.js";
import { murmur2 } from "./murmur2.js";

const { Partitioners } = kafkajs; // a CommonJS package: Node finds only some of its exports by name

export interface PublisherSettings {
  readonly sendTimeoutMs: number;
  /** The time that records get: brokers refuse one that is an hour ahead of theirs. The machine's own when left out. */
  readonly nowMs?: () => number;
  readonly reach?: ReachPoint;
}

/**
 * Publishes with acks=all. A send that is not answered in time counts as failed and is made again: records have stable ids.
 *
 * What the client says is held against where each record went: when one broker fails and others have answered, kafkajs (2.2.4, sendMessages)
 * asks the failed one's records of their new leaders, leaves out leaders that have answered before, and calls the send done
 * (tulios/kafkajs#1303). Such a send counts as failed too.
 *
 * Each topic has a producer of its own, opened with its first record: a kafkajs producer asks for all topics it ever sent to at once, and
 * when one of them has been deleted the others get that topic's error. There are as many as the config names topics.
 */
export class RecordPublisher implements Publisher {
  readonly #kafka: Kafka;
  readonly #sendTimeoutMs: number;
  readonly #nowMs: () => number;
  readonly #reach: ReachPoint;
  readonly #producers = new Map<string, Promise<Producer>>();
  #closed = false;

  constructor(kafka: Kafka, settings: PublisherSettings) {
    installEncoding();
    this.#kafka = kafka;
    this.#sendTimeoutMs = settings.sendTimeoutMs;
    this.#nowMs = settings.nowMs ?? Date.now;
    this.#reach = settings.reach ?? NOT_ARMED;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opened = [...this.#producers.values()];
    this.#producers.clear();
    await Promise.allSettled(opened.map(async (producer) => (await producer).disconnect()));
  }

  async publish(topic: string, records: readonly Outgoing[]): Promise<PublishOutcome> {
    try {
      await this.#send(topic, records);
      return { kind: "acknowledged" };
    } catch (error) {
      const refusal = publishRefusal(error);
      if (refusal === null) throw error;
      return refusal;
    }
  }

  async #send(topic: string, records: readonly Outgoing[]): Promise<void> {
    const producer = await this.#producerOf(topic);
    // One time for all of a send, which our encoder asks for.
    const timestamp = String(this.#nowMs());
    const messages: PlacedMessage[] = [];
    for (const record of records) messages.push(toMessage(record, timestamp));
    const sending = producer.send({ topic, acks: -1, timeout: this.#sendTimeoutMs, messages }).then((answers) => {
      mustHoldAll(messages, answers);
    });
    reachSoon(this.#reach, "relay.in_flight");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no acknowledgement from Kafka for ${String(this.#sendTimeoutMs * 2)} ms`));
      }, this.#sendTimeoutMs * 2);
    });
    try {
      await Promise.race([sending, late]);
    } finally {
      clearTimeout(timer);
      sending.catch(() => undefined);
    }
  }

  async #producerOf(topic: string): Promise<Producer> {
    if (this.#closed) throw new Error("the publisher is closed");
    const known = this.#producers.get(topic);
    if (known !== undefined) return known;
    const opening = this.#open();
    this.#producers.set(topic, opening);
    try {
      return await opening;
    } catch (error) {
      this.#producers.delete(topic);
      throw error;
    }
  }

  async #open(): Promise<Producer> {
    const producer = this.#kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: createExistingPartitioner,
      retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 1000 },
    });
    await producer.connect();
    return producer;
  }
}

/**
 * The usual partitioner, which honours a record's partition only if the topic has it. kafkajs leaves out records of other partitions and
 * says that they were sent (2.2.4, findLeaderForPartitions): a reply for partition 99 of 12 would be lost. Each of the client's own tries of
 * a send puts a record where the first one did: one without a key would go to any partition, also to one that was acknowledged without it.
 */
export const createExistingPartitioner: ICustomPartitioner = () => {
  const usual = Partitioners.DefaultPartitioner();
  return (args) => {
    const message = args.message as PlacedMessage; // our own, made by `toMessage`
    message.placed ??= placeByKey(existing(args)) ?? usual(existing(args));
    return message.placed;
  };
};

/** Where the usual partitioner puts a record that has a key and wishes for no partition; null: the record is another. */
function placeByKey({ message: { key, partition }, partitionMetadata }: PartitionerArgs): number | null {
  if (partition !== undefined || !Buffer.isBuffer(key)) return null;
  return (murmur2(key) & 0x7fffffff) % partitionMetadata.length;
}

function existing(args: PartitionerArgs): PartitionerArgs {
  const { partition: wished } = args.message;
  if (wished === undefined || args.partitionMetadata.some(({ partitionId }) => partitionId === wished)) return args;
  const { partition: _missing, ...message } = args.message;
  return { ...args, message };
}

interface PlacedMessage extends Message {
  /** Where the client has put it; null until it has. */
  placed?: number | null;
}

/** @throws Error when a record's partition is not among those that were acknowledged. */
function mustHoldAll(messages: readonly PlacedMessage[], answers: readonly RecordMetadata[]): void {
  const acknowledged = new Set(answers.map(({ partition }) => partition));
  let left = 0;
  for (const { placed } of messages) if (typeof placed !== "number" || !acknowledged.has(placed)) left += 1;
  if (left > 0)
    throw new Error(`Kafka acknowledged all but ${String(left)} of ${String(messages.length)} records: a leader moved`);
}

function toMessage(record: Outgoing, timestamp: string): PlacedMessage {
  // Our encoder takes headers as they are, all values of a repeated name in their places; kafkajs itself never looks at them.
  const headers = record.headers as unknown as IHeaders;
  const message: PlacedMessage = { key: record.key, value: record.value, headers, timestamp, placed: null };
  return record.partition === null ? message : { ...message, partition: record.partition };
}
