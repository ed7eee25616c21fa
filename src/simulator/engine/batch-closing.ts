/**
 * Writes a batch's result files from its journal, then what has to be said about the lines that never ran. In short turns; a kill
 * leaves nothing of it, and it begins anew.
 */
import type { BatchApi, ResultFileMeta, ResultFileName } from "./batch-api.js";
import { faultOf } from "./batch-faults.js";
import { readEntry } from "./batch-journal.js";
import type { JournalCounts } from "./batch-journal.js";
import type { BatchRecord } from "./batch-record.js";
import { requestIdOf } from "./batch-run.js";
import { digestNumber, digestOf } from "./chat-answer.js";
import type { FileStore, StoredFile } from "./file-store.js";
import { LineReader } from "./line-reader.js";
import { ResultWriter } from "./result-writer.js";

export type ClosedFiles = { readonly outputFile: string | null; readonly errorFile: string | null };

export class BatchClosing {
  readonly #api: BatchApi;
  readonly #record: BatchRecord;
  readonly #files: FileStore;
  readonly #nowMs: () => number;
  readonly #writers: Readonly<Record<ResultFileName, ResultWriter>>;
  readonly #steps: Generator<undefined, undefined>;

  constructor(
    api: BatchApi,
    record: BatchRecord,
    paths: { readonly journal: string; readonly input: string | null },
    counts: JournalCounts,
    files: FileStore,
    nowMs: () => number,
  ) {
    this.#api = api;
    this.#record = record;
    this.#files = files;
    this.#nowMs = nowMs;
    const damage = faultOf(record.faults, "batch_file_damaged")?.how ?? null;
    this.#writers = {
      output: new ResultWriter(files, damage),
      error: new ResultWriter(files, counts.outputs === 0 ? damage : null),
    };
    this.#steps = this.#work(paths, counts);
  }

  /** Works until it is done or `untilMs` (performance.now) has come; true = the files stand. */
  step(untilMs: number): ClosedFiles | null {
    do {
      if (this.#steps.next().done === true) return { outputFile: this.#keep("output"), errorFile: this.#keep("error") };
    } while (performance.now() < untilMs);
    return null;
  }

  abandon(): void {
    this.#steps.return(undefined);
    this.#writers.output.abandon();
    this.#writers.error.abandon();
  }

  *#work(
    paths: { readonly journal: string; readonly input: string | null },
    counts: JournalCounts,
  ): Generator<undefined, undefined> {
    const closing = this.#record.closing;
    if (closing === "expired" && !this.#api.expiredKeepsResults) return;
    const isReordered = faultOf(this.#record.faults, "batch_lines_reordered") !== null;
    yield* isReordered ? this.#copyReordered(paths.journal) : this.#copy(paths.journal);
    if (paths.input === null || closing === null || closing === "completed") return;
    yield* this.#neverRan(paths.input, counts.succeeded + counts.failed, closing);
  }

  *#copy(journal: string): Generator<undefined, undefined> {
    const reader = new LineReader(journal);
    try {
      for (let line = reader.next(); line !== null; line = reader.next()) {
        this.#write(line);
        yield;
      }
    } finally {
      reader.close();
    }
  }

  /** By positions, not by lines: what is in memory is a number for each. */
  *#copyReordered(journal: string): Generator<undefined, undefined> {
    const starts: number[] = [];
    const reader = new LineReader(journal);
    for (let at = 0; reader.next() !== null; at = reader.position) {
      starts.push(at);
      yield;
    }
    reader.close();
    for (const at of shuffled(starts, this.#record)) {
      const one = new LineReader(journal, at);
      const line = one.next();
      one.close();
      if (line !== null) this.#write(line);
      yield;
    }
  }

  *#neverRan(input: string, done: number, kind: "expired" | "cancelled"): Generator<undefined, undefined> {
    const reader = new LineReader(input);
    try {
      reader.skip(done);
      for (let line = done + 1; ; line += 1) {
        const text = reader.next();
        if (text === null) return;
        const read = this.#api.readLine(text, this.#record.details);
        const customId = "line" in read ? read.line.customId : (read.unreadable.customId ?? "");
        const outcome = { kind, line, customId, requestId: requestIdOf(this.#record, line) };
        const result = this.#api.resultOf(outcome, this.#record.details);
        if (result !== null) this.#writers[result.file].write(result.text);
        yield;
      }
    } finally {
      reader.close();
    }
  }

  #write(line: string): void {
    const entry = readEntry(line);
    if (entry.file !== null) this.#writers[entry.file].write(entry.text);
  }

  /** Of an earlier attempt that a kill ended, the file may stand already. */
  #keep(name: ResultFileName): string | null {
    const meta = this.#record.results?.[name];
    if (meta === undefined) throw new Error(`expected batch ${this.#record.id} to name its result files`);
    const earlier = this.#files.find(this.#record.provider, this.#record.account, meta.id);
    if (earlier !== null) this.#files.remove(earlier);
    const stored = this.#writers[name].done(this.#metaOf(meta));
    if (stored !== null && faultOf(this.#record.faults, "batch_file_gone") !== null) this.#files.remove(stored);
    return stored?.id ?? null;
  }

  #metaOf(meta: ResultFileMeta): Omit<StoredFile, "bytes" | "sha256" | "createdMs"> {
    const { provider, account } = this.#record;
    const expiresMs = meta.keptMs === null ? null : this.#nowMs() + meta.keptMs;
    return { provider, account, id: meta.id, expiresMs, listed: meta.listed, details: meta.details };
  }
}

/** Another order, fixed by the batch's serial and seed; never the same one when there are two lines. */
function shuffled(starts: readonly number[], { serial, seed }: BatchRecord): readonly number[] {
  const order = [...starts];
  let state = digestNumber(digestOf(`order ${String(seed)} ${String(serial)}`), 0, 4);
  for (let last = order.length - 1; last > 0; last -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // Sattolo's: each place gets another's line.
    const other = Math.floor((state / 2 ** 32) * last);
    [order[last], order[other]] = [order[other] ?? 0, order[last] ?? 0];
  }
  return order;
}
