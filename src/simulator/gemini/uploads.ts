/**
 * Resumable uploads in progress: a caller starts one, is told an address, and sends the bytes there in pieces, each saying
 * where it begins. The address is the permission, so whoever sends there acts with the key that started the upload.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { FileStore, FileWriter, StoredFile } from "../engine/file-store.js";

/** What the caller said of the file at the start. */
export type UploadPlan = {
  /** Chosen by the caller, without `files/`; null = any. */
  readonly fileId: string | null;
  readonly displayName: string | null;
  readonly mimeType: string;
  /** null when the caller did not say. */
  readonly bytes: number | null;
};

export type Upload = {
  readonly id: string;
  readonly key: string;
  readonly account: string;
  readonly plan: UploadPlan;
  readonly writer: FileWriter;
  status: "active" | "final" | "cancelled";
  /** What it became, for a caller that lost the answer. */
  file: StoredFile | null;
};

/** Uploads remembered; beyond, the oldest is given up. */
const UPLOADS_MAX = 1000;

export class Uploads {
  readonly #byId = new Map<string, Upload>();

  start(files: FileStore, key: string, account: string, plan: UploadPlan): Upload {
    if (this.#byId.size >= UPLOADS_MAX) this.#forgetOldest();
    const id = randomBytes(24).toString("base64url");
    const upload: Upload = { id, key, account, plan, writer: files.writer(), status: "active", file: null };
    this.#byId.set(id, upload);
    return upload;
  }

  find(id: string): Upload | null {
    return this.#byId.get(id) ?? null;
  }

  #forgetOldest(): void {
    const [oldest] = this.#byId.values();
    if (oldest === undefined) return;
    this.#byId.delete(oldest.id);
    giveUp(oldest);
  }
}

/** Drops the bytes of an upload that will not become a file. */
export function giveUp(upload: Upload): void {
  if (upload.status !== "active") return;
  upload.status = "cancelled";
  upload.writer.abandon();
}

/**
 * Writes what the request carries until it ends or the connection does; what came before a break stays.
 * Rejects when it can't be written; the upload is then given up.
 */
export function receive(request: IncomingMessage, upload: Upload): Promise<"whole" | "broken"> {
  return new Promise((resolve, reject) => {
    request.on("data", (piece: Buffer) => {
      if (upload.status !== "active") return;
      try {
        upload.writer.write(piece);
      } catch (error) {
        giveUp(upload);
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    request.once("end", () => {
      resolve("whole");
    });
    request.once("close", () => {
      resolve("broken");
    });
  });
}
