/**
 * One batch from its creation to its end: its states over simulated time, its validation, its lines and its result files. Each change of
 * state is on disk before anything follows from it, so that after a kill it goes on from the last one.
 *
 * A kill while validating validates anew; while lines run, goes on after the last one in the journal; while results are written, writes
 * them anew.
 */
import type { BatchApi, BatchState } from "./batch-api.js";
import { BatchClosing } from "./batch-closing.js";
import { faultOf } from "./batch-faults.js";
import { BatchJournal } from "./batch-journal.js";
import type { JournalCounts } from "./batch-journal.js";
import { isFinal, NO_COUNTS } from "./batch-record.js";
import type { BatchRecord, BatchShelf, BatchTimes } from "./batch-record.js";
import { BatchRun } from "./batch-run.js";
import { turnaroundOf } from "./batch-times.js";
import type { BatchTimetable } from "./batch-times.js";
import { BatchValidation } from "./batch-validation.js";
import type { Validated } from "./batch-validation.js";
import type { BillFile } from "./bill-file.js";
import type { FileStore } from "./file-store.js";
import type { Limits } from "./limits.js";
import type { PriceTable } from "./price-table.js";
import type { SimulatedClock } from "./simulated-clock.js";
import type { Work } from "./turn-loop.js";

export type BatchLifeParts = {
  readonly shelf: BatchShelf;
  readonly files: FileStore;
  readonly bill: BillFile;
  readonly clock: SimulatedClock;
  readonly prices: PriceTable;
  readonly limits: Limits;
  readonly timetable: () => BatchTimetable;
  /** The most tokens that may be enqueued with the batch's own, by its account and this model, when that is too few; null = it fits. */
  readonly overQueue: (record: BatchRecord, model: string, tokens: number) => number | null;
  readonly gate: ValidationGate;
};

/** Lets one batch at a time validate: the ids of a whole input are in memory meanwhile. */
export type ValidationGate = {
  /** false = another one is inside; this one is called when it has left. */
  readonly enter: (life: BatchLife) => boolean;
  readonly leave: (life: BatchLife) => void;
};

const SHARE = 0.5;
const MS_PER_TURN_MIN = 1;

export class BatchLife implements Work {
  record: BatchRecord;
  readonly #parts: BatchLifeParts;
  readonly #api: BatchApi;
  #validation: BatchValidation | null = null;
  #validated: Validated | null = null;
  #journal: BatchJournal | null = null;
  #run: BatchRun | null = null;
  #closing: BatchClosing | null = null;

  constructor(parts: BatchLifeParts, api: BatchApi, record: BatchRecord) {
    this.#parts = parts;
    this.#api = api;
    this.record = record;
  }

  /** What is done so far; null when it does not run, or not yet. */
  get done(): JournalCounts | null {
    return this.#journal === null ? null : this.#journal.counts;
  }

  step(untilMs: number): "again" | "over" | number {
    switch (this.record.state) {
      case "validating":
        return this.#validate(untilMs);
      case "in_progress":
        return this.record.closing === null ? this.#runLines(untilMs) : this.#close(untilMs);
      case "finalizing":
      case "cancelling":
        return this.#close(untilMs);
      case "completed":
      case "failed":
      case "expired":
      case "cancelled":
        return "over";
    }
  }

  /** Starts to cancel; false = too late. */
  cancel(): boolean {
    const { state, closing } = this.record;
    if ((state !== "validating" && state !== "in_progress") || closing !== null) return false;
    this.#stopValidating();
    this.#stopRunning();
    this.#enter("cancelling", { closing: "cancelled" }, "cancellingMs", this.#now());
    return true;
  }

  /** Lets go of all that is open; what was done stays on disk. */
  stop(): void {
    this.#validation?.close();
    this.#stopRunning();
    this.#closing?.abandon();
    this.#journal?.close();
    this.#journal = null;
  }

  #now(): number {
    return this.#parts.clock.now();
  }

  #change(change: Partial<BatchRecord>): void {
    this.record = { ...this.record, ...change };
    this.#parts.shelf.keep(this.record);
  }

  /** @param atMs when that was due: a clock that jumped, or lines that took long, change no time of a batch. */
  #enter(state: BatchState, change: Partial<BatchRecord>, time: keyof BatchTimes, atMs: number): void {
    this.#change({ ...change, state, times: { ...this.record.times, [time]: atMs } });
    const deleted = faultOf(this.record.faults, "batch_deleted");
    if (deleted !== null && (deleted.at ?? "in_progress") === state) this.#change({ isRemoved: true });
  }

  #isStuckIn(state: BatchState): boolean {
    return faultOf(this.record.faults, "batch_stuck")?.state === state;
  }

  /** Where the input's bytes are; null when the file is gone and they are not held yet. */
  #inputPath(): string | null {
    const held = this.#parts.shelf.heldInput(this.record);
    if (held !== null) return held;
    const { provider, account, input } = this.record;
    const file = this.#parts.files.find(provider, account, input);
    return file === null ? null : this.#parts.files.pathOf(file);
  }

  // Validating

  #validate(untilMs: number): "again" | "over" | number {
    if (this.#isStuckIn("validating")) return Infinity;
    if (this.#validated === null) {
      if (!this.#parts.gate.enter(this)) return Infinity;
      this.#validated = this.#readInput(untilMs);
      if (this.#validated === null) return "again";
      this.#stopValidating();
    }
    const dueMs = this.record.times.createdMs + this.#parts.timetable().validatingMs;
    if (this.#now() < dueMs) return dueMs;
    this.#judge(this.#inputPath() === null ? this.#inputGone() : this.#validated, dueMs);
    return isFinal(this.record) ? "over" : "again";
  }

  #readInput(untilMs: number): Validated | null {
    const inputPath = this.#inputPath();
    this.#validation ??=
      inputPath === null ? null : new BatchValidation(this.#api, this.record, inputPath, this.#parts);
    return this.#validation === null ? this.#inputGone() : this.#validation.step(untilMs);
  }

  #stopValidating(): void {
    this.#validation?.close();
    this.#validation = null;
    this.#parts.gate.leave(this);
  }

  #inputGone(): Validated {
    const message = `The input file ${this.record.input} is gone.`;
    const problem = { code: "invalid_request", message, param: null, line: null };
    return { total: 0, model: null, enqueued: {}, problems: [problem] };
  }

  #judge(validated: Validated, atMs: number): void {
    const { faults } = this.record;
    const refused = faultOf(faults, "batch_refused");
    const line = refused === null || refused.line === 0 ? null : (refused.line ?? 1);
    const told =
      refused === null
        ? []
        : [{ code: refused.code ?? "invalid_json_line", message: "This line is not valid.", param: null, line }];
    const problems = [...validated.problems, ...told];
    const full = problems.length === 0 ? this.#queueFull(validated) : null;
    const all = full === null ? problems : [full];
    if (all.length > 0) {
      this.#enter("failed", { problems: all, counts: NO_COUNTS, enqueued: {} }, "failedMs", atMs);
      this.#dropInput();
      return;
    }
    const { total, model, enqueued } = validated;
    const path = this.#inputPath();
    if (path !== null && this.record.inputIsListed) this.#parts.shelf.holdInput(this.record, path);
    this.#enter("in_progress", { total, model, enqueued }, "inProgressMs", atMs);
  }

  #queueFull({ enqueued }: Validated): BatchRecord["problems"][number] | null {
    for (const [model, tokens] of Object.entries(enqueued)) {
      const isTold = faultOf(this.record.faults, "batch_queue_full") !== null;
      const tokensMax = isTold ? 0 : this.#parts.overQueue(this.record, model, tokens);
      if (tokensMax !== null) return this.#api.problemOf({ kind: "queue_full", model, tokensMax });
    }
    return null;
  }

  // Running

  #runLines(untilMs: number): "again" | "over" | number {
    const { times, faults, total } = this.record;
    this.#journal ??= new BatchJournal(this.#parts.shelf.journalPath(this.record));
    const nowMs = this.#now();
    // What was due before the window ended is done, even when the clock has run or jumped ahead of the work.
    const atMs = Math.min(nowMs, times.expiresMs);
    const journal = this.#journal;
    const expires = faultOf(faults, "batch_expires");
    const cancelled = faultOf(faults, "batch_cancelled");
    const stops = expires ?? cancelled;
    const stopAt = stops === null ? total : Math.ceil(total * (stops.share ?? SHARE));
    const startedMs = times.inProgressMs ?? atMs;
    const spanMs = turnaroundOf(this.#parts.timetable(), this.record.seed, this.record.serial);
    const due = spanMs === 0 ? total : Math.floor(((atMs - startedMs) / spanMs) * total);
    const last = Math.min(stopAt, due);
    if (journal.lines < last) {
      this.#runUpTo(last, journal, untilMs, atMs);
      return "again";
    }
    if (journal.lines < stopAt) {
      if (nowMs >= times.expiresMs) return this.#expire();
      const nextMs = startedMs + Math.ceil(((journal.lines + 1) / total) * spanMs);
      return Math.min(times.expiresMs, Math.max(nextMs, nowMs + MS_PER_TURN_MIN));
    }
    return this.#runOut(startedMs + spanMs, expires !== null, cancelled !== null);
  }

  /** All lines that are to run have run. */
  #runOut(endMs: number, waitsForExpiry: boolean, isCancelled: boolean): "again" | number {
    const { expiresMs } = this.record.times;
    if (isCancelled && !waitsForExpiry) {
      this.cancel();
      return "again";
    }
    if (waitsForExpiry || this.#isStuckIn("in_progress") || endMs > expiresMs)
      return this.#now() < expiresMs ? expiresMs : this.#expire();
    return this.#now() < endMs ? endMs : this.#finalize(endMs);
  }

  #runUpTo(last: number, journal: BatchJournal, untilMs: number, nowMs: number): void {
    if (this.#run === null) {
      const inputPath = this.#inputPath();
      if (inputPath === null) throw new Error(`the input of batch ${this.record.id} is gone`);
      const { prices, bill } = this.#parts;
      const parts = { api: this.#api, prices, bill, billedLine: bill.billedLine(this.record.id) };
      this.#run = new BatchRun(parts, this.record, inputPath, journal);
    }
    this.#run.step(last, untilMs, nowMs);
  }

  #stopRunning(): void {
    this.#run?.close();
    this.#run = null;
  }

  // Closing

  #finalize(atMs: number): "again" {
    this.#stopRunning();
    this.#enter("finalizing", { closing: "completed" }, "finalizingMs", atMs);
    return "again";
  }

  #expire(): "again" {
    this.#stopRunning();
    this.#change({ closing: "expired" });
    return "again";
  }

  #close(untilMs: number): "again" | "over" | number {
    const { closing, times, state } = this.record;
    if (closing === null) throw new Error(`expected batch ${this.record.id} in ${state} to be closing`);
    if (this.#isStuckIn("finalizing") && state === "finalizing") return Infinity;
    const timetable = this.#parts.timetable();
    const dueMs =
      closing === "completed"
        ? (times.finalizingMs ?? 0) + timetable.finalizingMs
        : closing === "cancelled"
          ? (times.cancellingMs ?? 0) + timetable.cancellingMs
          : times.expiresMs;
    if (this.#now() < dueMs) return dueMs;
    this.#journal ??= new BatchJournal(this.#parts.shelf.journalPath(this.record));
    const { counts } = this.#journal;
    this.#closing ??= this.#newClosing(counts);
    const files = this.#closing.step(untilMs);
    if (files === null) return "again";
    this.#closing = null;
    const undone = closing === "completed" ? 0 : Math.max(0, this.record.total - counts.succeeded - counts.failed);
    const ended = {
      counts: {
        succeeded: counts.succeeded,
        failed: counts.failed,
        expired: closing === "expired" ? undone : 0,
        cancelled: closing === "cancelled" ? undone : 0,
      },
      usage: counts.usage,
      enqueued: {},
      ...files,
    };
    this.#enter(closing, ended, `${closing}Ms`, dueMs);
    this.#journal.close();
    this.#journal = null;
    this.#parts.shelf.dropJournal(this.record);
    this.#dropInput();
    return "over";
  }

  #newClosing(counts: JournalCounts): BatchClosing {
    const { id, details } = this.record;
    const { files, shelf, clock } = this.#parts;
    if (this.record.results === null)
      this.#change({
        results: {
          output: this.#api.resultFile("output", id, details),
          error: this.#api.resultFile("error", id, details),
        },
      });
    // Before validation nobody knows what the lines are, so nothing is said about them.
    const input = this.record.total === 0 ? null : this.#inputPath();
    const paths = { journal: shelf.journalPath(this.record), input };
    return new BatchClosing(this.#api, this.record, paths, counts, files, () => clock.now());
  }

  /** An input that came inline has served; an uploaded file is its owner's, and only let go of. */
  #dropInput(): void {
    this.#parts.shelf.dropInput(this.record);
    if (this.record.inputIsListed) return;
    const { provider, account, input } = this.record;
    const file = this.#parts.files.find(provider, account, input);
    if (file !== null) this.#parts.files.remove(file);
  }
}
