import { deserialize, serialize } from "node:v8";
import { crc32 } from "node:zlib";
import type { FinishedCall } from "../../ports/ledger.js";

/** Raised whenever `FinishedCall` changes its shape: answers of another version are passed over. */
const VERSION = 1;
const MAGIC = Buffer.from(`sluice-answers ${String(VERSION)}\n`);
const HEAD_BYTES = 8;

/** The first bytes of each file. */
export const FILE_START: Buffer = MAGIC;

/** One record: length (4 bytes, little-endian) and CRC-32 of the call as V8 serializes it, then that. */
export function encodeCall(call: FinishedCall): Buffer {
  const body = serialize(call);
  const record = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  record.writeUInt32LE(body.length, 0);
  record.writeUInt32LE(crc32(body), 4);
  body.copy(record, HEAD_BYTES);
  return record;
}

/**
 * The calls of a file up to where it was cut off or damaged; null for a file of another version. What follows a damaged record is not
 * looked at: nobody knows where it would begin.
 */
export function decodeCalls(file: Buffer): readonly FinishedCall[] | null {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const calls: FinishedCall[] = [];
  let at = MAGIC.length;
  while (at + HEAD_BYTES <= file.length) {
    const length = file.readUInt32LE(at);
    const body = file.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    if (length === 0 || body.length < length || crc32(body) !== file.readUInt32LE(at + 4)) break;
    calls.push(deserialize(body) as FinishedCall); // the checksum says that it is what this version wrote
    at += HEAD_BYTES + length;
  }
  return calls;
}
