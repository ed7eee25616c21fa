import { createRequire } from "node:module";
import { promisify } from "node:util";
import { unzip } from "node:zlib";

/** A batch that says, or turns out, to be larger than allowed. */
export class InflatedTooLarge extends RangeError {}

/** @throws InflatedTooLarge when it would be more than `bytesMax`, as far as that is known without writing it; Error when it is no such thing. */
export type Inflate = (compressed: Buffer, bytesMax: number) => Promise<Buffer>;

const require = createRequire(import.meta.url);

interface Snappy {
  readonly uncompress: (compressed: Buffer) => Buffer;
}
interface Lz4 {
  readonly decompressBound: (frame: Uint8Array) => number;
  readonly decompress: (frame: Uint8Array, bytesMax: number) => Uint8Array | number[];
}
interface Zstd {
  readonly init: () => Promise<void>;
  readonly decompress: (frames: Uint8Array, options: { readonly defaultHeapSize: number }) => Uint8Array;
}

const unzipped = promisify(unzip);

export const inflateGzip: Inflate = async (compressed, bytesMax) => {
  try {
    return await unzipped(compressed, { maxOutputLength: bytesMax });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw new InflatedTooLarge(); // zlib's own
    throw error;
  }
};

/** Of snappy-java, which Kafka's own producers use: this, two versions, then blocks behind their lengths. Others send one bare block. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_BLOCKS_AT = 16;

export const inflateSnappy: Inflate = (compressed, bytesMax) => {
  const blocks = compressed.subarray(0, XERIAL.length).equals(XERIAL) ? xerialBlocks(compressed) : [compressed];
  const bytes = blocks.reduce((sum, block) => sum + snappyLength(block), 0);
  if (bytes > bytesMax) return Promise.reject(new InflatedTooLarge());
  const { uncompress } = require("snappyjs") as Snappy;
  return Promise.resolve(Buffer.concat(blocks.map((block) => uncompress(block))));
};

function xerialBlocks(compressed: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = XERIAL_BLOCKS_AT; at + 4 <= compressed.length;) {
    const end = at + 4 + compressed.readUInt32BE(at);
    blocks.push(compressed.subarray(at + 4, end));
    at = end;
  }
  return blocks;
}

/** A block begins with its length as a varint of at most five bytes. Source: google/snappy, format_description.txt. */
function snappyLength(block: Buffer): number {
  let length = 0;
  for (let index = 0; index < Math.min(5, block.length); index += 1) {
    const byte = block[index] ?? 0;
    length += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return length;
  }
  throw new Error("a block of Snappy without a length");
}

/** The bound counts each block as a full one, so it may be too high for blocks of 4 MiB that are nearly empty; no producer of Kafka writes those. */
export const inflateLz4: Inflate = (compressed, bytesMax) => {
  const { decompressBound, decompress } = require("lz4js") as Lz4;
  const bound = decompressBound(compressed);
  if (bound > bytesMax) return Promise.reject(new InflatedTooLarge());
  const inflated = decompress(compressed, bound);
  if (inflated.length > bound) return Promise.reject(new Error("a frame of LZ4 that is longer than it says"));
  return Promise.resolve(Buffer.from(inflated));
};

const ZSTD_GUESS_BYTES = 1_048_576;
let zstd: Promise<Zstd> | null = null;

/** A frame need not say its length, and Kafka's own producers don't: then the room for it is doubled until it fits. */
export const inflateZstd: Inflate = async (compressed, bytesMax) => {
  zstd ??= loadZstd();
  const { decompress } = await zstd;
  const told = zstdLength(compressed);
  if (told !== null && told > bytesMax) throw new InflatedTooLarge();
  for (let room = Math.min(bytesMax, ZSTD_GUESS_BYTES); ; room = Math.min(bytesMax, room * 2)) {
    try {
      return Buffer.from(decompress(compressed, { defaultHeapSize: room }));
    } catch (error) {
      if (told !== null || !isNoRoom(error)) throw error;
      if (room === bytesMax) throw new InflatedTooLarge();
    }
  }
};

async function loadZstd(): Promise<Zstd> {
  const library = require("@bokuweb/zstd-wasm") as Zstd;
  await library.init();
  return library;
}

/** ZSTD_error_dstSize_tooSmall, which the package puts into its message. Source: facebook/zstd, lib/zstd_errors.h. */
function isNoRoom(error: unknown): boolean {
  return error instanceof Error && error.message.endsWith(" -70");
}

/** What the first frame says of its length; null when it says nothing. Source: RFC 8878, 3.1.1.1. */
function zstdLength(frame: Buffer): number | null {
  const descriptor = frame[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const bytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + ([0, 1, 2, 4][descriptor & 0x03] ?? 0);
  if (bytes === 0) return null;
  if (bytes === 8) return Number(frame.readBigUInt64LE(at));
  return frame.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
}
