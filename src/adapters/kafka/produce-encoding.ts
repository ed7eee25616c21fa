import { crc32c } from "./crc32c.js";
import { encodeRecord, type EncodedRecord, type RecordFields } from "./record-encoding.js";

/**
 * A produce request of kafkajs, version 3 and later, written into one buffer. kafkajs 2.2.4 copies each record through seven encoders, each
 * of which grows by doubling into zeroed memory, and takes its checksum a byte at a time. The bytes are the same, which a test proves.
 * Source of the format: Kafka's documentation, "Produce Request (Version: 3)" and "Record Batch".
 */
export interface ProduceFields {
  readonly acks: number;
  readonly timeout: number;
  readonly transactionalId?: string | null;
  readonly producerId?: unknown;
  readonly producerEpoch?: number;
  readonly compression?: number;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly firstSequence?: number;
      readonly messages: readonly (RecordFields & { readonly timestamp?: unknown })[];
    }[];
  }[];
}

/** What kafkajs makes of the fields. */
export interface ProduceRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  readonly expectResponse: () => boolean;
  readonly encode: () => Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>;
}

export type ProduceRequestOf = (fields: ProduceFields) => ProduceRequest;

const ours = new WeakSet<object>();

export function isOurs(made: unknown): boolean {
  return typeof made === "function" && ours.has(made);
}

/** @param original takes over what no producer of a router asks for: transactions, idempotence, compression, records of several times. */
export function produceRequest(original: ProduceRequestOf): ProduceRequestOf {
  const request: ProduceRequestOf = (fields) => {
    const made = original(fields);
    return isPlain(fields)
      ? {
          ...made,
          encode: () => {
            const buffer = encodeProduce(fields, timeOf(fields) ?? Date.now());
            return Promise.resolve({ buf: buffer, buffer });
          },
        }
      : made;
  };
  ours.add(request);
  return request;
}

function isPlain({ transactionalId, producerId, compression, topicData }: ProduceFields): boolean {
  if ((transactionalId ?? null) !== null || producerId !== NO_PRODUCER || (compression ?? 0) !== 0) return false;
  const time = firstTime(topicData);
  for (const { partitions } of topicData)
    for (const { messages } of partitions)
      for (const { timestamp } of messages) if ((timestamp ?? null) !== time) return false;
  return true;
}

/** Of all its records; null: the caller gave them none. */
function timeOf({ topicData }: ProduceFields): number | null {
  const time = firstTime(topicData);
  return time === null ? null : Number(time);
}

function firstTime(topicData: ProduceFields["topicData"]): unknown {
  for (const { partitions } of topicData)
    for (const { messages } of partitions) for (const { timestamp } of messages) return timestamp ?? null;
  return null;
}

const NO_PRODUCER = -1;
const NO_HEADERS: NonNullable<RecordFields["headers"]> = [];
/** Transactional id, acks, timeout and the number of topics; then per topic the length of its name and its number of partitions. */
const REQUEST_BYTES = 2 + 2 + 4 + 4;
const TOPIC_BYTES = 2 + 4;
/** Partition and length of its records; then what stands before the records of a batch. */
const PARTITION_BYTES = 4 + 4;
const BATCH_BYTES = 61;
/** Of the batch's length field and of its checksum: what they count begins right behind them. */
const LENGTH_AT = 8;
const CHECKSUM_AT = 17;

type PartitionFields = ProduceFields["topicData"][number]["partitions"][number];

function encodePartition({ partition, firstSequence = 0, messages }: PartitionFields) {
  const records: EncodedRecord[] = [];
  let bytes = BATCH_BYTES;
  for (const { key = null, value, headers = NO_HEADERS } of messages) {
    const record = encodeRecord({ key, value, headers, offsetDelta: records.length });
    records.push(record);
    bytes += record.buffer.length;
  }
  return { partition, firstSequence, records, bytes };
}

/** @param nowMs time of all its records. */
export function encodeProduce(fields: ProduceFields, nowMs: number): Buffer {
  const topics = fields.topicData.map(({ topic, partitions }) => ({
    name: Buffer.from(topic, "utf8"),
    partitions: partitions.map(encodePartition),
  }));
  const bytesOf = ({ name, partitions }: (typeof topics)[number]): number =>
    partitions.reduce((sum, { bytes }) => sum + PARTITION_BYTES + bytes, TOPIC_BYTES + name.length);
  const buffer = Buffer.allocUnsafe(topics.reduce((sum, topic) => sum + bytesOf(topic), REQUEST_BYTES));
  let at = buffer.writeInt16BE(-1, 0); // no transactional id
  at = buffer.writeInt16BE(fields.acks, at);
  at = buffer.writeInt32BE(fields.timeout, at);
  at = buffer.writeInt32BE(topics.length, at);
  for (const { name, partitions } of topics) {
    at = buffer.writeInt16BE(name.length, at);
    buffer.set(name, at);
    at = buffer.writeInt32BE(partitions.length, at + name.length);
    for (const { partition, bytes, ...batch } of partitions) {
      at = buffer.writeInt32BE(partition, at);
      at = buffer.writeInt32BE(bytes, at);
      writeBatch(buffer.subarray(at, at + bytes), { ...batch, producerEpoch: fields.producerEpoch ?? 0, nowMs });
      at += bytes;
    }
  }
  return buffer;
}

interface RecordBatch {
  readonly firstSequence: number;
  readonly producerEpoch: number;
  readonly nowMs: number;
  readonly records: readonly { readonly buffer: Buffer }[];
}

/** @param buffer of exactly its size. */
function writeBatch(buffer: Buffer, { firstSequence, producerEpoch, nowMs, records }: RecordBatch): void {
  const time = BigInt(nowMs);
  let at = buffer.writeBigInt64BE(0n, 0); // first offset: the broker's to give
  at = buffer.writeInt32BE(buffer.length - LENGTH_AT - 4, at);
  at = buffer.writeInt32BE(0, at); // leader epoch: the broker's, too
  at = buffer.writeInt8(2, at); // magic
  at = buffer.writeUInt32BE(0, at);
  at = buffer.writeInt16BE(0, at); // attributes: no compression, times of creation, no transaction
  at = buffer.writeInt32BE(records.length - 1, at);
  at = buffer.writeBigInt64BE(time, at);
  at = buffer.writeBigInt64BE(time, at);
  at = buffer.writeBigInt64BE(BigInt(NO_PRODUCER), at);
  at = buffer.writeInt16BE(producerEpoch, at);
  at = buffer.writeInt32BE(firstSequence, at);
  at = buffer.writeInt32BE(records.length, at);
  for (const { buffer: record } of records) {
    buffer.set(record, at);
    at += record.length;
  }
  buffer.writeUInt32BE(crc32c(buffer.subarray(CHECKSUM_AT + 4)), CHECKSUM_AT);
}
