import { createRequire } from "node:module";
import type { IHeaders } from "kafkajs";

/** A header as kafkajs reads it off the wire. */
interface WireHeader {
  readonly key: string;
  readonly value: Buffer | null;
}

type ReadArray = (this: object, read: unknown) => WireHeader[];

/**
 * Makes kafkajs read a record's headers in linear time. kafkajs 2.2.4 collects them by copying the whole object at each header
 * (src/protocol/recordBatch/record/v0/decoder.js): a record with 10,000 of them blocks the process for 33 s (measured), longer than any
 * session timeout, so that one record would stop its partition for ever. The object it collects them in also inherits `constructor` and
 * `toString`, which then come out as functions beside the bytes; ours inherits nothing.
 * Only headers are read with `readVarIntArray`. Calling it again does nothing. Call it before the first consumer runs.
 */
export function readHeadersInLinearTime(): void {
  const decoder = createRequire(import.meta.url)("kafkajs/src/protocol/decoder") as {
    prototype: { readVarIntArray: ReadArray };
  }; // the pinned version's own file
  const { prototype } = decoder;
  const readArray = prototype.readVarIntArray;
  if (patched.has(readArray)) return;
  const patch: ReadArray = function (read) {
    const headers = readArray.call(this, read);
    // The caller folds the list; what the fold would come to is computed here instead.
    Object.defineProperty(headers, "reduce", { value: () => collectHeaders(headers) });
    return headers;
  };
  patched.add(patch);
  prototype.readVarIntArray = patch;
}

const patched = new WeakSet<ReadArray>();

/** A name that repeats keeps all its values, in order; a header without a value has no bytes. */
function collectHeaders(headers: readonly WireHeader[]): IHeaders {
  const collected = Object.create(null) as Record<string, Buffer | Buffer[]>; // the one way to an object without a prototype
  for (const { key, value } of headers) {
    const bytes = value ?? NO_BYTES;
    const known = collected[key];
    if (known === undefined) collected[key] = bytes;
    else if (Array.isArray(known)) known.push(bytes);
    else collected[key] = [known, bytes];
  }
  return collected;
}

const NO_BYTES = Buffer.alloc(0);
