import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { sessionNo, type SessionNo } from "../../domain/ids.js";
import type { EarlierWork, Journal } from "../../ports/journal.js";
import type { EndedSession, FinishedCall } from "../../ports/ledger.js";
import type { Log } from "../../ports/system.js";
import { decodeCalls, encodeCall, FILE_START } from "./record-format.js";
import { readSends, SendsFile, type SendsPaths } from "./sends-file.js";

export interface FileJournalOptions {
  /** Of one router; made when it is missing, readable only by its owner. */
  readonly folder: string;
  readonly session: SessionNo;
  /** Tells this session from one of the same number in another ledger. */
  readonly stamp: string;
  /** Most bytes of answers on disk; what comes while it is full is not kept. */
  readonly bytesMax: number;
  readonly log: Log;
}

const SUFFIX = ".answers";
const SENDS_SUFFIX = ".sends";
const ALIVE_SUFFIX = ".alive";
/** Another at each start of the machine (Linux, proc_sys_kernel(5)). */
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
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
 * The work of one session in files. A file outlives a killed process without `fsync`, since the kernel has its bytes; it need not outlive the
 * machine. Sends are noted at once, see `SendsFile`; what answers are kept in one turn of the event loop is written at its end, in one call.
 */
export class FileJournal implements Journal {
  readonly #options: FileJournalOptions;
  readonly #segments = new Map<number, Segment>();
  readonly #earlierFiles: readonly string[];
  readonly #bootId: string | null;
  #sends: SendsFile | null = null;
  #all: Segment[] = [];
  #unwritten: { readonly no: number; readonly record: Buffer }[] = [];
  #unwrittenBytes = 0;
  #nextFile = 1;
  #full = false;
  #broken = false;

  /** Without a proof of life (no Linux, a path too long for a socket) it keeps answers only, and says so. @throws Error when the folder can't be made or read. */
  static async open(options: FileJournalOptions): Promise<FileJournal> {
    const journal = new FileJournal(options);
    await journal.#openSends();
    return journal;
  }

  private constructor(options: FileJournalOptions) {
    this.#options = options;
    this.#bootId = readBootId();
    try {
      mkdirSync(options.folder, { recursive: true, mode: 0o700 });
      this.#earlierFiles = readdirSync(options.folder).map((name) => join(options.folder, name));
    } catch (error) {
      throw new Error(
        `expected a folder to write to at storage.journal.folder (${options.folder}): ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  async #openSends(): Promise<void> {
    const { folder, session, stamp, log } = this.#options;
    const bootId = this.#bootId;
    if (bootId === null) return;
    const path = join(folder, `${String(session)}-${stamp.replaceAll(/\D/g, "")}`);
    try {
      this.#sends = await SendsFile.create(sendsPaths(`${path}${SENDS_SUFFIX}`), { session, stamp, bootId });
    } catch (error) {
      log.warn("journal.sends_unproved", {
        message: messageOf(error),
        note: "after a kill, calls that were not sent are in doubt too",
      });
    }
  }

  sending(attemptNo: number): boolean {
    return this.#sends === null || this.#sends.add(attemptNo);
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
      this.#sends?.done(attempt.no);
      const segment = this.#segments.get(attempt.no);
      if (segment === undefined) continue;
      this.#segments.delete(attempt.no);
      segment.waiting -= 1;
      if (segment.waiting === 0) this.#served(segment);
    }
  }

  async earlier(): Promise<EarlierWork> {
    const answers: FinishedCall[] = [];
    const ended: EndedSession[] = [];
    const gone: string[] = [];
    for (const path of this.#earlierFiles) {
      // Serial: one file in memory at a time.
      if (path.endsWith(SUFFIX)) {
        answers.push(...(await this.#answersIn(path)));
        gone.push(path);
      } else if (path.endsWith(SENDS_SUFFIX)) {
        const paths = sendsPaths(path);
        const found = await this.#sendsIn(paths);
        if (found.kind === "alive") continue;
        gone.push(paths.sends, paths.alive);
        if (found.kind === "ended")
          ended.push({ session: sessionNo(found.head.session), stamp: found.head.stamp, mayHaveSent: found.sent });
      }
    }
    return {
      answers,
      ended,
      forget: () => {
        this.#write();
        for (const path of gone)
          this.#cleanUp(path, () => {
            rmSync(path, { force: true });
          });
      },
    };
  }

  async #answersIn(path: string): Promise<readonly FinishedCall[]> {
    const { bytesMax, log } = this.#options;
    const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
    const found = size > bytesMax ? null : decodeCalls(await readFile(path).catch(() => Buffer.alloc(0)));
    if (found === null) log.warn("journal.file_unusable", { path, bytes: size });
    return found ?? [];
  }

  async #sendsIn(paths: SendsPaths): ReturnType<typeof readSends> {
    try {
      return this.#bootId === null ? { kind: "no_proof" } : await readSends(paths, this.#bootId);
    } catch (error) {
      this.#options.log.warn("journal.file_unusable", { path: paths.sends, message: messageOf(error) });
      return { kind: "no_proof" };
    }
  }

  close(): void {
    this.#write();
    for (const segment of this.#all)
      this.#cleanUp(segment.path, () => {
        closeSync(segment.file);
        if (segment.waiting === 0) rmSync(segment.path, { force: true });
      });
    this.#all = [];
    this.#broken = true;
    const sends = this.#sends;
    this.#sends = null;
    if (sends !== null)
      this.#cleanUp(this.#options.folder, () => {
        sends.close();
      });
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
      this.#all = this.#all.filter((other) => other !== segment);
      this.#cleanUp(segment.path, () => {
        closeSync(segment.file);
        rmSync(segment.path, { force: true });
      });
    } else if (segment.bytes >= Math.min(EMPTY_ABOVE_BYTES, this.#options.bytesMax / SEGMENT_PARTS)) {
      this.#cleanUp(segment.path, () => {
        ftruncateSync(segment.file, FILE_START.length);
        segment.bytes = FILE_START.length;
      });
    }
  }

  /** What stays behind is looked up in vain later, and no more: the ledger knows its answers. */
  #cleanUp(path: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.warn("journal.file_stays", { path, message: messageOf(error) });
    }
  }
}

function writeAll(file: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length;)
    written += writeSync(file, bytes, written, bytes.length - written, position + written);
}

/** The socket lies beside the file. */
function sendsPaths(sends: string): SendsPaths {
  return { sends, alive: `${sends.slice(0, -SENDS_SUFFIX.length)}${ALIVE_SUFFIX}` };
}

function readBootId(): string | null {
  try {
    return readFileSync(BOOT_ID_FILE, "utf8").trim();
  } catch {
    return null;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
