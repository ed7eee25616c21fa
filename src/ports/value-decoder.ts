import type { DecodedValue } from "./broker.js";

/**
 * What became of a value in a schema registry's encoding. `unavailable`: the registry can't be asked now and the schema is not in
 * the cache; the partition waits and the record is tried again, never dead-lettered for it.
 */
export type ValueDecoding = DecodedValue | { readonly kind: "unavailable"; readonly message: string };

/** Decodes values that begin with a schema registry's magic byte. Needs the registry once a schema; known ones are kept. */
export interface ValueDecoder {
  /** Never rejects for what a value holds. Resolves within the decoder's time limit; when the signal aborts, with `unavailable`. */
  decode(value: Buffer, signal?: AbortSignal): Promise<ValueDecoding>;
}

/** First byte of the Confluent wire format: 0, then the schema's id (4 bytes, big-endian), then Avro. JSON never begins with it. */
export const REGISTRY_MAGIC_BYTE = 0;

/** Whether a record's value is for the decoder; all else is read as JSON. */
export function isRegistryFramed(value: Buffer | null): value is Buffer {
  return value !== null && value.length > 0 && value[0] === REGISTRY_MAGIC_BYTE;
}
