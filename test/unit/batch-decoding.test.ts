import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { readAnyBatch, refusalOf } from "../../src/adapters/kafka/batch-decoding.js";
import {
  InflatedTooLarge,
  inflateGzip,
  inflateLz4,
  inflateSnappy,
  inflateZstd,
  type Inflate,
} from "../../src/adapters/kafka/inflate.js";

const require = createRequire(import.meta.url);
const snappy = require("snappyjs") as { compress: (bytes: Buffer) => Buffer };
const lz4 = require("lz4js") as { compress: (bytes: Buffer) => Uint8Array };
const zstd = require("@bokuweb/zstd-wasm") as {
  init: () => Promise<void>;
  compress: (bytes: Buffer, level: number) => Uint8Array;
};
beforeAll(() => zstd.init());

/** As snappy-java frames it: its name, two versions, blocks behind their lengths. */
function xerial(blocks: readonly Buffer[]): Buffer {
  const head = Buffer.from("82534e41505059000000000100000001", "hex");
  const framed = blocks.flatMap((block) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    return [length, block];
  });
  return Buffer.concat([head, ...framed]);
}

const halves = (bytes: Buffer) => [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)];
const CODECS: readonly (readonly [string, Inflate, (bytes: Buffer) => Buffer])[] = [
  ["gzip", inflateGzip, (bytes) => gzipSync(bytes)],
  ["snappy, one block", inflateSnappy, (bytes) => snappy.compress(bytes)],
  ["snappy in blocks", inflateSnappy, (bytes) => xerial(halves(bytes).map((half) => snappy.compress(half)))],
  ["lz4", inflateLz4, (bytes) => Buffer.from(lz4.compress(bytes))],
  ["zstd", inflateZstd, (bytes) => Buffer.from(zstd.compress(bytes, 3))],
];

describe.each(CODECS)("what is compressed by %s", (_name, inflate, compress) => {
  test.each([[20], [300], [70_000], [3_000_000]])("comes out as it went in: %i bytes", async (length) => {
    const bytes = Buffer.from("a word and ".repeat(length / 10)).subarray(0, length);
    expect((await inflate(compress(bytes), 8_388_608)).equals(bytes)).toBe(true);
  });

  test("is given up when it is larger than allowed", async () => {
    await expect(inflate(compress(Buffer.alloc(9_000_000, "x")), 8_388_608)).rejects.toThrow(InflatedTooLarge);
  });
});

describe("a batch that can't be read", () => {
  type Decode = (fetched: object) => Promise<{ readonly records: readonly { readonly offset: string }[] }>;
  const Decoder = require("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => object;
  /** Three records from offset 40 on, compressed by the codec of this number. */
  function batchOf(codec: number, records: Buffer): Buffer {
    const head = Buffer.alloc(61);
    head.writeBigInt64BE(40n, 0);
    head.writeInt32BE(head.length - 12 + records.length, 8);
    head.writeInt8(2, 16);
    head.writeInt16BE(codec, 21);
    head.writeInt32BE(2, 23);
    head.writeInt32BE(3, 57);
    return Buffer.concat([head, records]);
  }
  const decoded = (bytes: Buffer) => {
    readAnyBatch(1_048_576);
    return (require("kafkajs/src/protocol/recordBatch/v0/decoder.js") as Decode)(new Decoder(bytes));
  };

  test.each([
    ["is no gzip", 1, Buffer.from("no gzip"), "BAD_JOB", "incorrect header check"],
    ["is no Snappy", 2, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]), "BAD_JOB", "can't be inflated"],
    ["is no LZ4", 3, Buffer.from("no lz4 frame"), "BAD_JOB", "invalid magic number"],
    ["is no Zstandard", 4, Buffer.from("no zstd frame"), "BAD_JOB", "can't be inflated"],
    ["holds no records", 1, gzipSync(Buffer.from([0x50])), "BAD_JOB", "can't be inflated"],
    ["is too large", 1, gzipSync(Buffer.alloc(2_000_000)), "TOO_LARGE", "at most 1048576 bytes once inflated"],
  ])("because it %s has a refused record at each of its offsets", async (_what, codec, bytes, code, says) => {
    const { records } = await decoded(batchOf(codec, bytes));
    expect(records.map(({ offset }) => offset)).toEqual(["40", "41", "42"]);
    for (const record of records) {
      expect(record).toMatchObject({ key: null, value: null, isControlRecord: false });
      expect(refusalOf(record)).toMatchObject({ kind: "refused", code });
      expect(refusalOf(record)?.message).toContain(says);
    }
  });

  test("because it is cut off is left to the next fetch", async () => {
    const whole = batchOf(1, gzipSync(Buffer.alloc(100)));
    await expect(decoded(whole.subarray(0, whole.length - 3))).rejects.toThrow("partial record batch");
  });
});
