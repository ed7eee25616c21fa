import type { StoredFile } from "../engine/file-store.js";

/** A file is looked at before it can be used: by the simulator's own rule for so long. */
export const PROCESSING_MS = 2000;

/** RFC 3339 with nine digits, as Google's own clock writes it. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000000Z`;
}

export function isActive(file: StoredFile, nowMs: number): boolean {
  return nowMs >= file.createdMs + PROCESSING_MS;
}

/** A file as the API shows it. `sha256Hash` is base64 over the hexadecimal text, as the real API has it. */
export function fileJson(file: StoredFile, nowMs: number, baseUrl: string): Record<string, unknown> {
  const { displayName, mimeType } = file.details;
  return {
    name: `files/${file.id}`,
    ...(typeof displayName === "string" ? { displayName } : {}),
    mimeType,
    sizeBytes: String(file.bytes),
    createTime: timestamp(file.createdMs),
    updateTime: timestamp(file.createdMs),
    ...(file.expiresMs === null ? {} : { expirationTime: timestamp(file.expiresMs) }),
    sha256Hash: Buffer.from(file.sha256).toString("base64"),
    uri: `${baseUrl}/v1beta/files/${file.id}`,
    state: isActive(file, nowMs) ? "ACTIVE" : "PROCESSING",
    source: "UPLOADED",
  };
}
