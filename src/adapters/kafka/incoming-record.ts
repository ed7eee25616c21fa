import type { KafkaMessage } from "kafkajs";
import { passRefusalOn } from "./batch-decoding.js";
import type { IncomingRecord, RecordHeader } from "../../domain/job/job.js";

/** A message as the rest of the gateway knows records. */
export function toRecord(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  const record = {
    topic,
    partition,
    offset: Number(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: toHeaders(message.headers),
  };
  passRefusalOn(message, record);
  return record;
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
