import { createHash } from "node:crypto";
import type { IncomingRecord } from "../job/job.js";

/**
 * In the place of a witness: the log began at the position, so nothing was there to be accepted. A log that begins earlier is another one,
 * since the beginning only ever moves on. No record's, which have 8 bytes.
 */
export const LOG_START_WITNESS = Buffer.from("start");

/**
 * 8 bytes over a record's place, time, key and value. Kept with a partition's position; when the record before the position is another
 * one, the topic was truncated or made anew.
 */
export function recordWitness(record: Pick<IncomingRecord, "offset" | "timestampMs" | "key" | "value">): Buffer {
  const hash = createHash("sha256");
  hash.update(
    `${String(record.offset)}:${String(record.timestampMs)}:${String(record.key?.length ?? -1)}:${String(record.value?.length ?? -1)}:`,
  );
  if (record.key !== null) hash.update(record.key);
  if (record.value !== null) hash.update(record.value);
  return hash.digest().subarray(0, 8);
}
