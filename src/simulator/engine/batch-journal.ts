/**
 * What a batch has done so far, one entry a line in the order of the input, appended after the lines are billed. It is the batch's memory
 * over a restart: the next line to run is the one after the last entry, and the result files are made from it at the end.
 *
 * An entry is two letters, four token counts and the text of the result line, separated by spaces:
 * `o` output file, `e` error file, `-` neither; then `s` succeeded, `f` failed, `x` no line of the input (a fault's).
 */
import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { NO_USAGE } from "./batch-record.js";
import type { BatchUsage } from "./batch-record.js";
import { LineReader } from "./line-reader.js";

export type JournalEntry = {
  readonly file: "output" | "error" | null;
  readonly end: "succeeded" | "failed" | "extra";
  readonly usage: BatchUsage | null;
  /** "" when it is in no file. */
  readonly text: string;
};

export type JournalCounts = {
  readonly succeeded: number;
  readonly failed: number;
  /** Lines of the output file. */
  readonly outputs: number;
  readonly usage: BatchUsage;
};

const FILES = { output: "o", error: "e" } as const;
const ENDS = { succeeded: "s", failed: "f", extra: "x" } as const;
const HEAD = /^([oe-])([sfx]) (\d+) (\d+) (\d+) (\d+) /;
const NEWLINE = 10;

function entryText(entry: JournalEntry): string {
  const usage = entry.usage ?? NO_USAGE;
  const file = entry.file === null ? "-" : FILES[entry.file];
  return (
    `${file}${ENDS[entry.end]} ${String(usage.inputTokens)} ${String(usage.cachedInputTokens)} ` +
    `${String(usage.outputTokens)} ${String(usage.reasoningTokens)} ${entry.text}\n`
  );
}

/** @throws Error when the line is no entry. */
export function readEntry(line: string): JournalEntry {
  const head = HEAD.exec(line);
  if (head === null) throw new Error(`expected an entry of a batch's journal, got "${line.slice(0, 40)}"`);
  const [whole, file, end, input, cached, output, reasoning] = head;
  return {
    file: file === "o" ? "output" : file === "e" ? "error" : null,
    end: end === "s" ? "succeeded" : end === "f" ? "failed" : "extra",
    usage: {
      inputTokens: Number(input),
      cachedInputTokens: Number(cached),
      outputTokens: Number(output),
      reasoningTokens: Number(reasoning),
    },
    text: line.slice(whole.length),
  };
}

function added(usage: BatchUsage, more: BatchUsage | null): BatchUsage {
  if (more === null) return usage;
  return {
    inputTokens: usage.inputTokens + more.inputTokens,
    cachedInputTokens: usage.cachedInputTokens + more.cachedInputTokens,
    outputTokens: usage.outputTokens + more.outputTokens,
    reasoningTokens: usage.reasoningTokens + more.reasoningTokens,
  };
}

export class BatchJournal {
  readonly #path: string;
  readonly #fd: number;
  #counts: JournalCounts = { succeeded: 0, failed: 0, outputs: 0, usage: NO_USAGE };
  #isClosed = false;

  /** Opens or creates it; a last entry without its end is cut off: its line is run again. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "a+");
    this.#cutUnfinished();
    const reader = new LineReader(path);
    for (let line = reader.next(); line !== null; line = reader.next()) this.#count(readEntry(line));
    reader.close();
  }

  get counts(): JournalCounts {
    return this.#counts;
  }

  /** Lines of the input that are done. */
  get lines(): number {
    return this.#counts.succeeded + this.#counts.failed;
  }

  append(entries: readonly JournalEntry[]): void {
    if (entries.length === 0) return;
    const bytes = Buffer.from(entries.map(entryText).join(""));
    for (let written = 0; written < bytes.length;) written += writeSync(this.#fd, bytes, written);
    for (const entry of entries) this.#count(entry);
  }

  close(): void {
    if (!this.#isClosed) closeSync(this.#fd);
    this.#isClosed = true;
  }

  #count(entry: JournalEntry): void {
    const { succeeded, failed, outputs, usage } = this.#counts;
    this.#counts = {
      succeeded: succeeded + (entry.end === "succeeded" ? 1 : 0),
      failed: failed + (entry.end === "failed" ? 1 : 0),
      outputs: outputs + (entry.file === "output" ? 1 : 0),
      usage: added(usage, entry.end === "succeeded" ? entry.usage : null),
    };
  }

  #cutUnfinished(): void {
    const { size } = statSync(this.#path);
    const piece = Buffer.alloc(64 * 1024);
    for (let end = size; end > 0;) {
      const start = Math.max(0, end - piece.length);
      const read = readSync(this.#fd, piece, 0, end - start, start);
      const newline = piece.subarray(0, read).lastIndexOf(NEWLINE);
      if (newline >= 0) {
        if (start + newline + 1 < size) ftruncateSync(this.#fd, start + newline + 1);
        return;
      }
      end = start;
    }
    if (size > 0) ftruncateSync(this.#fd, 0);
  }
}
