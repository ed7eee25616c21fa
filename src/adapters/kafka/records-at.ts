import kafkajs, { type Admin, type Consumer, type EachBatchPayload } from "kafkajs";
import type { IncomingRecord } from "../../domain/job/job.js";
import type { Clock } from "../../ports/system.js";
import { readAnyBatch } from "./batch-decoding.js";
import { toRecord } from "./incoming-record.js";
import { clientOptions, type KafkaConnection } from "./topics.js";
import { untilSettled } from "./until-settled.js";

const { Kafka } = kafkajs; // a CommonJS package: Node finds only some of its exports by name

export interface RecordsWanted {
  readonly topic: string;
  /** One offset a partition. */
  readonly offsets: ReadonlyMap<number, number>;
  /** A group of this reader's own; it is deleted afterwards. */
  readonly groupId: string;
  readonly clock: Clock;
  /** As routers read: a record that they could not read has no bytes here either. */
  readonly inflatedBytesMax: number;
}

const WAIT_MS = 10_000;
const LOOK_EVERY_MS = 20;

/**
 * The record at an offset of each partition; null: nothing is there that a consumer gets (the marker of a transaction). What did not come
 * within ten seconds is left out. Reads nothing when no offset is wanted.
 * @throws KafkaJS errors when the cluster can't be reached.
 */
export async function recordsAt(
  connection: KafkaConnection,
  admin: Admin,
  { topic, offsets, groupId, clock, inflatedBytesMax }: RecordsWanted,
): Promise<ReadonlyMap<number, IncomingRecord | null>> {
  const found = new Map<number, IncomingRecord | null>();
  if (offsets.size === 0) return found;
  const partitions = [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) }));
  await untilSettled(clock, () => admin.setOffsets({ groupId, topic, partitions }));
  readAnyBatch(inflatedBytesMax);
  const retry = { retries: 8, initialRetryTime: 200, maxRetryTime: 1000 };
  const consumer = new Kafka({ ...clientOptions(connection), retry }).consumer({
    groupId,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 200,
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: (payload) => {
        take(consumer, payload, offsets, found);
        return Promise.resolve();
      },
    });
    const endMs = clock.monotonicMs() + WAIT_MS;
    while (found.size < offsets.size && clock.monotonicMs() < endMs) await clock.sleep(LOOK_EVERY_MS);
  } finally {
    await consumer.disconnect();
    // Left behind it would do no harm: a group without members ends by itself.
    await admin.deleteGroups([groupId]).catch(() => undefined);
  }
  return found;
}

/** One batch a partition is enough: it begins at the wanted offset, or behind it when there is no record. */
function take(
  consumer: Consumer,
  { batch }: EachBatchPayload,
  offsets: ReadonlyMap<number, number>,
  found: Map<number, IncomingRecord | null>,
): void {
  const { topic, partition } = batch;
  consumer.pause([{ topic, partitions: [partition] }]);
  const wanted = offsets.get(partition);
  if (wanted === undefined) return;
  const message = batch.messages.find(({ offset }) => Number(offset) === wanted);
  found.set(partition, message === undefined ? null : toRecord(topic, partition, message));
}
