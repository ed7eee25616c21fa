/**
 * The bill: an append-only JSONL file. An answer is released only after its row is with the operating system, so a
 * SIGKILL of the simulator can lose an answer, never the row of an answer that was sent. Rows of calls that end in the
 * same turn of the event loop share one write; no fsync, since the machine itself is not part of the simulation.
 */
import { closeSync, createReadStream, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { ReadStream } from "node:fs";
import type { ProviderName } from "./price-table.js";
import { quoted } from "./quoted.js";

/** One billed call, or one billed line of a batch. Money is decimal text, so that no reader rounds it. */
export type BillRow = {
  readonly requestId: string;
  /** The caller's own id of the attempt, from `x-client-request-id` or the line's custom_id or key; null when it sent none. */
  readonly attempt: string | null;
  /** A label of the account, never its key. */
  readonly key: string;
  readonly provider: ProviderName;
  readonly model: string;
  readonly modelVersion: string;
  readonly mode: "direct" | "batch";
  /** Of a line of a batch only: the batch's id, and the line's number from 1. */
  readonly batch?: string;
  readonly line?: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  readonly outputTokens: number;
  readonly nanoUsd: string;
  readonly at: string;
};

export type BilledRow = { readonly row: BillRow; readonly nanoUsd: bigint };

/** Called once the row is written (null), or with what kept it from being written. */
export type Release = (failure: Error | null) => void;

/** Put together by hand, since it is on every call's way; only what callers choose needs escaping. */
function rowText(row: BillRow): string {
  return (
    `{"requestId":"${row.requestId}","attempt":${row.attempt === null ? "null" : quoted(row.attempt)},` +
    `"key":${quoted(row.key)},"provider":"${row.provider}","model":${quoted(row.model)},` +
    `"modelVersion":${quoted(row.modelVersion)},"mode":"${row.mode}","inputTokens":${String(row.inputTokens)},` +
    `"cachedInputTokens":${String(row.cachedInputTokens)},"cacheWriteTokens":${String(row.cacheWriteTokens)},` +
    `"outputTokens":${String(row.outputTokens)},"nanoUsd":"${row.nanoUsd}","at":"${row.at}"` +
    (row.batch === undefined ? "}\n" : `,"batch":"${row.batch}","line":${String(row.line)}}\n`)
  );
}

const READ_CHUNK_BYTES = 1 << 20;
const NEWLINE = 10;

export class BillFile {
  readonly #path: string;
  readonly #fd: number;
  #bytes: number;
  #rows = 0;
  #nanoUsd = 0n;
  #pendingText = "";
  #pendingRows = 0;
  #pendingNanoUsd = 0n;
  #releases: Release[] = [];
  #closed = false;
  /** By batch, from the rows of earlier runs. */
  readonly #billedLines = new Map<string, number>();

  /** Opens or creates the file. A last line without its end is cut off: its answer was never sent. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "a+");
    this.#bytes = this.#readExisting();
    if (this.#bytes < fstatSync(this.#fd).size) ftruncateSync(this.#fd, this.#bytes);
  }

  /** Rows in the file, those of earlier runs included. */
  get rows(): number {
    return this.#rows;
  }

  get nanoUsd(): bigint {
    return this.#nanoUsd;
  }

  append(row: BillRow, nanoUsd: bigint, release: Release): void {
    if (this.#closed) {
      // Work that outlived the server: nobody is left to be answered, so nothing was sold.
      release(new Error(`the bill ${this.#path} is closed`));
      return;
    }
    if (this.#releases.length === 0) {
      setImmediate(() => {
        this.flush();
      });
    }
    this.#pendingText += rowText(row);
    this.#pendingRows += 1;
    this.#pendingNanoUsd += nanoUsd;
    this.#releases.push(release);
  }

  /**
   * Writes rows at once, after those that are pending.
   * @throws Error when they can't be written; none of them is then in the file.
   */
  write(rows: readonly BilledRow[]): void {
    if (rows.length === 0) return;
    if (this.#closed) throw new Error(`the bill ${this.#path} is closed`);
    this.flush();
    const failure = this.#writeBytes(Buffer.from(rows.map(({ row }) => rowText(row)).join("")));
    if (failure !== null) throw failure;
    this.#rows += rows.length;
    for (const { nanoUsd } of rows) this.#nanoUsd += nanoUsd;
  }

  /** The last line of a batch that was billed when the file was opened; 0 = none. */
  billedLine(batch: string): number {
    return this.#billedLines.get(batch) ?? 0;
  }

  /** Writes what is pending and releases its answers. */
  flush(): void {
    if (this.#releases.length === 0) return;
    const releases = this.#releases;
    const failure = this.#writeBytes(Buffer.from(this.#pendingText));
    if (failure === null) {
      this.#rows += this.#pendingRows;
      this.#nanoUsd += this.#pendingNanoUsd;
    }
    this.#releases = [];
    this.#pendingText = "";
    this.#pendingRows = 0;
    this.#pendingNanoUsd = 0n;
    for (const release of releases) release(failure);
  }

  /** The rows as they are now, or null when there are none. */
  read(): ReadStream | null {
    return this.#bytes === 0 ? null : createReadStream(this.#path, { end: this.#bytes - 1 });
  }

  close(): void {
    this.flush();
    this.#closed = true;
    closeSync(this.#fd);
  }

  /** All or nothing: after a failure (a full disk) the file is cut back, so that no half row stays. */
  #writeBytes(bytes: Buffer): Error | null {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written);
      this.#bytes += bytes.length;
      return null;
    } catch (error) {
      ftruncateSync(this.#fd, this.#bytes);
      return new Error(`the bill ${this.#path} could not be written`, { cause: error });
    }
  }

  /** Counts the rows of earlier runs; returns the bytes up to the last complete line. */
  #readExisting(): number {
    const chunk = Buffer.alloc(READ_CHUNK_BYTES);
    let rest = Buffer.alloc(0);
    let complete = 0;
    for (let at = 0; ;) {
      const read = readSync(this.#fd, chunk, 0, chunk.length, at);
      if (read === 0) return complete;
      at += read;
      const bytes = Buffer.concat([rest, chunk.subarray(0, read)]);
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      for (const line of bytes.toString("utf8", 0, end).split("\n")) if (line !== "") this.#countRow(line);
      complete += end;
      rest = bytes.subarray(end);
    }
  }

  #countRow(line: string): void {
    const row: unknown = JSON.parse(line);
    if (typeof row !== "object" || row === null || !("nanoUsd" in row) || typeof row.nanoUsd !== "string") {
      throw new Error(`the bill ${this.#path} holds a line that is not a row of a bill: ${line.slice(0, 80)}`);
    }
    this.#rows += 1;
    this.#nanoUsd += BigInt(row.nanoUsd);
    if ("batch" in row && typeof row.batch === "string" && "line" in row && typeof row.line === "number")
      this.#billedLines.set(row.batch, Math.max(row.line, this.#billedLines.get(row.batch) ?? 0));
  }
}
