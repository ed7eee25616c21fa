import { createRequire } from "node:module";
import kafkajs from "kafkajs";
import type { DecodedValue } from "../../ports/broker.js";
import { readHeadersInLinearTime } from "./header-decoding.js";
import { InflatedTooLarge, inflateGzip, inflateLz4, inflateSnappy, inflateZstd, type Inflate } from "./inflate.js";

const { CompressionCodecs, CompressionTypes } = kafkajs; // a CommonJS package: Node finds only some of its exports by name
const require = createRequire(import.meta.url);
const GZIP: number = CompressionTypes.GZIP;
const BATCH = "kafkajs/src/protocol/recordBatch/v0/decoder.js";

/** kafkajs' reader of a fetched partition; it stands at the beginning of a batch. */
interface FetchDecoder {
  readonly buffer: Buffer;
  readonly offset: number;
}
type DecodeBatch = (fetched: FetchDecoder) => Promise<unknown>;
type Refused = Extract<DecodedValue, { readonly kind: "refused" }>;

/** Where the fields of a batch lie behind its beginning. Source: Kafka's documentation, "Record Batch". */
const AT = { attributes: 21, lastOffsetDelta: 23, maxTimestamp: 35, records: 57 };
const COMPRESSION_MASK = 0x07;
const CONTROL_MASK = 0x20;

const refusals = new WeakMap<object, Refused>();
const ours = new WeakSet<DecodeBatch>();
let inflatedBytesMax = 0;

/**
 * Makes kafkajs read what any producer may send. kafkajs 2.2.4 knows gzip alone, inflates without a bound, and a batch that it can't read
 * ends the whole consumer, again and again: one producer that compresses by another codec would stop all jobs of all topics. Here all four
 * codecs are read, up to `bytesMax` of a batch, and each record of a batch that can't be read stands without key and value in its place,
 * with its refusal (`refusalOf`).
 *
 * For this process. Call it before the first consumer runs; kafkajs loads the file that is replaced with its first fetch.
 * @throws when the installed kafkajs has no such file: a new version has to be looked at.
 */
export function readAnyBatch(bytesMax: number): void {
  readHeadersInLinearTime();
  inflatedBytesMax = bytesMax;
  const codecs = [
    [CompressionTypes.GZIP, inflateGzip],
    [CompressionTypes.Snappy, inflateSnappy],
    [CompressionTypes.LZ4, inflateLz4],
    [CompressionTypes.ZSTD, inflateZstd],
  ] as const;
  for (const [type, inflate] of codecs) readWith(type, inflate);
  const path = require.resolve(BATCH);
  const original = require(path) as DecodeBatch;
  const loaded = require.cache[path];
  if (loaded === undefined) throw new Error(`InvariantError: ${BATCH} was not loaded`);
  if (ours.has(original)) return;
  const decode: DecodeBatch = async (fetched) => {
    const { buffer, offset } = fetched; // the original moves on
    try {
      return await original(fetched);
    } catch (error) {
      const batch = buffer.subarray(offset);
      if (
        isCutOff(error) ||
        batch.length < AT.records + 4 ||
        (batch.readInt16BE(AT.attributes) & COMPRESSION_MASK) === 0
      )
        throw error;
      return unreadable(batch, error);
    }
  };
  ours.add(decode);
  loaded.exports = decode;
}

/** Why the record of this message can't be read: it came in a batch that can't. Undefined: it can. */
export function refusalOf(message: object): Refused | undefined {
  return refusals.get(message);
}

/** What is known of a message is known of the record that was made of it. */
export function passRefusalOn(message: object, record: object): void {
  const refusal = refusals.get(message);
  if (refusal !== undefined) refusals.set(record, refusal);
}

/** kafkajs keeps the codec that compresses, where there is one: ours only read. */
function readWith(type: number, inflate: Inflate): void {
  const codecs: Record<number, () => object> = CompressionCodecs;
  const writes = type === GZIP ? codecs[type]?.() : {};
  const codec = { ...writes, decompress: (compressed: Buffer) => inflate(compressed, inflatedBytesMax) };
  codecs[type] = () => codec;
}

/** The last batch of a fetch may be cut off; it comes whole with the next. */
function isCutOff(error: unknown): boolean {
  return error instanceof Error && error.name === "KafkaJSPartialMessageError";
}

/** One message an offset, as kafkajs gives them, each of them refused. A broker takes no compressed batch with gaps. */
function unreadable(batch: Buffer, error: unknown): { readonly records: readonly object[] } {
  const firstOffset = batch.readBigInt64BE(0);
  const count = batch.readInt32BE(AT.lastOffsetDelta) + 1;
  const refusal = refusalFor(error, count);
  const isControlRecord = (batch.readInt16BE(AT.attributes) & CONTROL_MASK) !== 0;
  const records = Array.from({ length: count }, (_unused, index) => {
    const message = {
      attributes: 0,
      offset: String(firstOffset + BigInt(index)),
      timestamp: String(batch.readBigInt64BE(AT.maxTimestamp)),
      ...{ key: null, value: null, headers: {}, isControlRecord },
      batchContext: { inTransaction: false, firstOffset: String(firstOffset) },
    };
    refusals.set(message, refusal);
    return message;
  });
  return { records };
}

function refusalFor(error: unknown, count: number): Refused {
  const of = `the record came in a compressed batch of ${String(count)}, which the producer or its broker made`;
  if (error instanceof InflatedTooLarge) {
    const limit = `expected at most ${String(inflatedBytesMax)} bytes once inflated (kafka.inflatedBytesMax), got more`;
    return { kind: "refused", code: "TOO_LARGE", message: `${of}: ${limit}; send smaller batches` };
  }
  const because = error instanceof Error ? error.message : String(error);
  return { kind: "refused", code: "BAD_JOB", message: `${of}, and can't be inflated: ${because}` };
}
