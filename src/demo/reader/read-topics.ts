import { randomUUID } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";
import type { IHeaders, KafkaMessage } from "kafkajs";
import type { TopicRecord } from "./topic-record.js";

export interface ReadTopicsOptions {
  readonly brokers: readonly string[];
  readonly topics: readonly string[];
  /** The whole reading is given up after this time. */
  readonly timeoutMs: number;
}

/** All records of `scanTopics` in a list. */
export async function readTopics(options: ReadTopicsOptions): Promise<readonly TopicRecord[]> {
  const records: TopicRecord[] = [];
  await scanTopics(options, (record) => records.push(record));
  return records;
}

/**
 * Reads each topic from its first record to the end it had when reading began, under a consumer group of its own. Each partition comes in
 * order, and partitions between each other in any.
 * @throws Error when the end is not reached in time, with what is missing. A topic that does not exist is an error too.
 */
export async function scanTopics(options: ReadTopicsOptions, onRecord: (record: TopicRecord) => void): Promise<void> {
  const kafka = new Kafka({
    clientId: "sluice-demo-reader",
    brokers: [...options.brokers],
    logLevel: logLevel.NOTHING,
  });
  const missing = await endOffsets(kafka, options.topics);
  if (missing.size === 0) return;
  const consumer = kafka.consumer({
    groupId: `demo-reader-${randomUUID()}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 200,
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...options.topics], fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new Error(
            `expected to read all topics within ${String(options.timeoutMs)} ms; unread: ${[...missing.keys()].join(", ")}`,
          ),
        );
      }, options.timeoutMs);
      const finish = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const run = consumer.run({
        autoCommit: false,
        eachBatch: ({ batch }) => {
          const place = `${batch.topic}/${String(batch.partition)}`;
          const end = missing.get(place);
          if (end === undefined) return Promise.resolve();
          for (const message of batch.messages)
            if (BigInt(message.offset) < end) onRecord(toRecord(batch.topic, batch.partition, message));
          if (BigInt(batch.lastOffset()) >= end - 1n) missing.delete(place);
          if (missing.size === 0) finish();
          return Promise.resolve();
        },
      });
      run.catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
}

/** The end of each partition that holds records, by `topic/partition`. */
async function endOffsets(kafka: Kafka, topics: readonly string[]): Promise<Map<string, bigint>> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const ends = new Map<string, bigint>();
    // One after the other: a handful of topics, and one connection answers in order anyway.
    for (const topic of topics) {
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        if (BigInt(high) > BigInt(low)) ends.set(`${topic}/${String(partition)}`, BigInt(high));
      }
    }
    return ends;
  } finally {
    await admin.disconnect();
  }
}

function toRecord(topic: string, partition: number, message: KafkaMessage): TopicRecord {
  return {
    topic,
    partition,
    offset: message.offset,
    key: message.key,
    value: message.value,
    headers: toHeaders(message.headers),
    timestampMs: Number.isNaN(Number(message.timestamp)) ? null : Number(message.timestamp),
  };
}

function toHeaders(headers: IHeaders | undefined): ReadonlyMap<string, Buffer> {
  const bytes = new Map<string, Buffer>();
  for (const [name, values] of Object.entries(headers ?? {})) {
    const last = Array.isArray(values) ? values.at(-1) : values;
    if (last !== undefined) bytes.set(name, Buffer.isBuffer(last) ? last : Buffer.from(last, "utf8"));
  }
  return bytes;
}
