import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SessionNo } from "../../domain/ids.js";
import type { AnswerJournal, EarlierAnswers } from "../../ports/answer-journal.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { Log } from "../../ports/system.js";
import { decodeCalls, encodeCall, FILE_START } from "./record-format.js";

export interface FileJournalOptions {
  /** Of one router; made when it is missing, readable only by its owner. */
  readonly folder: string;
  readonly session: SessionNo;
  /** Most bytes of answers on disk; what comes while it is full is not kept. */
  readonly bytesMax: number;
  readonly log: Log;
}

const SUFFIX = ".answers";
/** A file is removed once the ledger has all of its answers; small ones go soon. */
const SEGMENT_PARTS = 16;
/** A file whose answers are all stored is emptied from this size on: what stays in it would be looked up in vain after a kill. */
const EMPTY_ABOVE_BYTES = 65_536;

interface Segment {
  readonly path: string;
  readonly file: number;
  bytes: number;
  /** Answers in it that the ledger does not have yet. */
  waiting: number;
}

/**
 * Answers in files of one session. A file outlives a killed process without `fsync`, since the kernel has its bytes; it need not outlive the
 * machine. What is kept in one turn of the event loop is written at its end, in one call.
 */
export class FileJournal implements AnswerJournal {
  readonly #options: FileJournalOptions;
  readonly #segments = new Map<number, Segment>();
  readonly #earlierFiles: readonly string[];
  #all: Segment[] = [];
  #unwritten: { readonly no: number; readonly record: Buffer }[] = [];
  #unwrittenBytes = 0;
  #nextFile = 1;
  #full = false;
  #broken = false;

  /** @throws Error when the folder can't be made or read. */
  constructor(options: FileJournalOptions) {
    this.#options = options;
    try {
      mkdirSync(options.folder, { recursive: true, mode: 0o700 });
      this.#earlierFiles = readdirSync(options.folder)
        .filter((name) => name.endsWith(SUFFIX))
        .map((name) => join(options.folder, name));
    } catch (error) {
      throw new Error(
        `expected a folder to write to at storage.journal.folder (${options.folder}): ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  keep(call: FinishedCall): void {
    if (this.#broken) return;
    const record = encodeCall(call);
    if (!this.#hasRoom(record.length)) return;
    if (this.#unwritten.length === 0)
      setImmediate(() => {
        this.#write();
      });
    this.#unwritten.push({ no: call.attempt.no, record });
    this.#unwrittenBytes += record.length;
  }

  stored(calls: readonly FinishedCall[]): void {
    if (this.#unwritten.length > 0) this.#write(); // some of them may be among those that wait for the end of this turn
    for (const { attempt } of calls) {
      const segment = this.#segments.get(attempt.no);
      if (segment === undefined) continue;
      this.#segments.delete(attempt.no);
      segment.waiting -= 1;
      if (segment.waiting === 0) this.#served(segment);
    }
  }

  async earlier(): Promise<EarlierAnswers> {
    const { bytesMax, log } = this.#options;
    const calls: FinishedCall[] = [];
    for (const path of this.#earlierFiles) {
      // Serial: one file in memory at a time.
      const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
      const found = size > bytesMax ? null : decodeCalls(await readFile(path).catch(() => Buffer.alloc(0)));
      if (found === null) log.warn("journal.file_unusable", { path, bytes: size });
      else calls.push(...found);
    }
    return {
      calls,
      forget: () => {
        this.#write();
        for (const path of this.#earlierFiles) this.#remove(path);
      },
    };
  }

  close(): void {
    this.#write();
    for (const segment of this.#all) {
      closeSync(segment.file);
      if (segment.waiting === 0) this.#remove(segment.path);
    }
    this.#all = [];
    this.#broken = true;
  }

  #hasRoom(bytes: number): boolean {
    const held = this.#all.reduce((sum, segment) => sum + segment.bytes, this.#unwrittenBytes);
    const full = held + bytes > this.#options.bytesMax;
    if (full && !this.#full) this.#options.log.warn("journal.full", { bytesMax: this.#options.bytesMax });
    this.#full = full;
    return !full;
  }

  #write(): void {
    if (this.#unwritten.length === 0) return;
    const records = this.#unwritten;
    this.#unwritten = [];
    this.#unwrittenBytes = 0;
    try {
      const segment = this.#current();
      const bytes = Buffer.concat(records.map(({ record }) => record));
      writeAll(segment.file, bytes, segment.bytes);
      segment.bytes += bytes.length;
      segment.waiting += records.length;
      for (const { no } of records) this.#segments.set(no, segment);
    } catch (error) {
      // Half a record at the end of a file is passed over by whoever reads it; nothing is written behind it any more.
      this.#broken = true;
      this.#options.log.error("journal.write_failed", {
        message: messageOf(error),
        note: "answers are no longer kept",
      });
    }
  }

  #current(): Segment {
    const { folder, session, bytesMax } = this.#options;
    const last = this.#all.at(-1);
    if (last !== undefined && last.bytes < bytesMax / SEGMENT_PARTS) return last;
    const path = this.#newPath(folder, session);
    const segment = { path, file: openSync(path, "wx", 0o600), bytes: 0, waiting: 0 };
    writeAll(segment.file, FILE_START, 0);
    segment.bytes = FILE_START.length;
    this.#all.push(segment);
    return segment;
  }

  /** Another ledger may have given out the same session number before. */
  #newPath(folder: string, session: SessionNo): string {
    for (;;) {
      const path = join(folder, `${String(session)}-${String(this.#nextFile)}${SUFFIX}`);
      this.#nextFile += 1;
      if (!this.#earlierFiles.includes(path)) return path;
    }
  }

  /** The ledger has all of its answers. */
  #served(segment: Segment): void {
    if (segment !== this.#all.at(-1)) {
      closeSync(segment.file);
      this.#all = this.#all.filter((other) => other !== segment);
      this.#remove(segment.path);
    } else if (segment.bytes >= Math.min(EMPTY_ABOVE_BYTES, this.#options.bytesMax / SEGMENT_PARTS)) {
      ftruncateSync(segment.file, FILE_START.length);
      segment.bytes = FILE_START.length;
    }
  }

  #remove(path: string): void {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      this.#options.log.warn("journal.file_stays", { path, message: messageOf(error) });
    }
  }
}

function writeAll(file: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length;)
    written += writeSync(file, bytes, written, bytes.length - written, position + written);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
