/**
 * Runs a batch's lines one after the other: the same checks and answers as direct calls, billed at batch prices, in short turns. Each turn
 * first bills its lines, then writes them down in the journal. A kill between the two leaves lines that are billed and not written; they
 * are run again without being billed again, and come out the same, since nothing in an answer depends on when it was made but its time.
 */
import type { BatchApi, BatchLine, LineOutcome, ResultFileName } from "./batch-api.js";
import { faultOf, isInShare } from "./batch-faults.js";
import type { BatchJournal, JournalEntry } from "./batch-journal.js";
import type { BatchRecord } from "./batch-record.js";
import type { BillFile, BilledRow } from "./bill-file.js";
import { billedNanoUsd } from "./bill-price.js";
import { digestOf } from "./chat-answer.js";
import { checkedLine } from "./checked-line.js";
import type { DirectAnswer, DirectCall } from "./direct-operation.js";
import { isoTime } from "./iso-time.js";
import { LineReader } from "./line-reader.js";
import type { PriceTable } from "./price-table.js";
import { tooDeepOr } from "./too-deep.js";

export type BatchRunParts = {
  readonly api: BatchApi;
  readonly prices: PriceTable;
  readonly bill: BillFile;
  /** The last line of the batch that an earlier run billed; 0 = none. */
  readonly billedLine: number;
};

/** Lines of one turn at most: what a turn holds in memory. */
const TURN_LINES_MAX = 64;
const LINE_FAILS_STATUS = 500;
const SHARE = 0.5;

export class BatchRun {
  readonly #parts: BatchRunParts;
  readonly #record: BatchRecord;
  readonly #journal: BatchJournal;
  readonly #reader: LineReader;

  constructor(parts: BatchRunParts, record: BatchRecord, inputPath: string, journal: BatchJournal) {
    this.#parts = parts;
    this.#record = record;
    this.#journal = journal;
    this.#reader = new LineReader(inputPath);
    this.#reader.skip(journal.lines);
  }

  /**
   * Runs lines up to line `last`, until `untilMs` (performance.now) has come or the turn is full.
   * @param nowMs the simulated time that answers carry.
   * @throws Error when the bill can't be written; nothing of the turn is then written down.
   */
  step(last: number, untilMs: number, nowMs: number): void {
    const rows: BilledRow[] = [];
    const entries: JournalEntry[] = [];
    const turnEnd = Math.min(last, this.#journal.lines + TURN_LINES_MAX);
    for (let line = this.#journal.lines + 1; line <= turnEnd && performance.now() < untilMs; line += 1) {
      const text = this.#reader.next();
      if (text === null) throw new Error(`expected batch ${this.#record.id} to have a line ${String(line)}`);
      entries.push(...this.#runLine(line, text, nowMs, rows));
    }
    this.#parts.bill.write(rows);
    this.#journal.append(entries);
  }

  close(): void {
    this.#reader.close();
  }

  #runLine(line: number, text: string, nowMs: number, rows: BilledRow[]): readonly JournalEntry[] {
    const { api, prices } = this.#parts;
    const requestId = requestIdOf(this.#record, line);
    const read = api.readLine(text, this.#record.details);
    if ("unreadable" in read) {
      const { customId, refusal } = read.unreadable;
      return [this.#failed({ kind: "refused", line, customId: customId ?? "", requestId, refusal })];
    }
    const { customId } = read.line;
    const fails = faultOf(this.#record.faults, "batch_lines_fail");
    const checked =
      fails !== null && isInShare(line, fails.share ?? 1)
        ? { refusal: api.refusalFor(fails.status ?? LINE_FAILS_STATUS, "The simulator was told to fail this line.") }
        : checkedLine(api, read.line, prices);
    if ("refusal" in checked)
      return [this.#failed({ kind: "refused", line, customId, requestId, refusal: checked.refusal })];
    if (checked.call.model.batch === null) {
      const refusal = api.refusalFor(404, `The model '${checked.call.askedModel}-batch' does not exist.`);
      return [this.#failed({ kind: "refused", line, customId, requestId, refusal })];
    }
    try {
      return this.#answered(line, read.line, checked.call, nowMs, rows);
    } catch (error) {
      const refusal = api.refusalFor(400, tooDeepOr(error));
      return [this.#failed({ kind: "refused", line, customId, requestId, refusal })];
    }
  }

  #answered(
    line: number,
    asked: BatchLine,
    call: DirectCall,
    nowMs: number,
    rows: BilledRow[],
  ): readonly JournalEntry[] {
    const requestId = requestIdOf(this.#record, line);
    const bodyDigest = digestOf(JSON.stringify(asked.request.body));
    const context = { bodyDigest, seed: this.#record.seed, requestId, nowMs, mode: "batch" } as const;
    const answer = call.answer(context);
    if (line > this.#parts.billedLine) rows.push(this.#row(line, asked, call, answer));
    const bodyText = answer.bodyText();
    const outcome = { kind: "succeeded", line, customId: asked.customId, requestId, bodyText } as const;
    const { inputTokens, cachedInputTokens, outputTokens } = answer.usage;
    const usage = { inputTokens, cachedInputTokens, outputTokens, reasoningTokens: answer.reasoningTokens };
    const entry: JournalEntry = { ...this.#placed(outcome), end: "succeeded", usage };
    const missing = faultOf(this.#record.faults, "batch_lines_missing");
    const kept =
      missing !== null && isInShare(line, missing.share ?? SHARE) ? { ...entry, file: null, text: "" } : entry;
    return [
      kept,
      ...this.#repeated(outcome, () => call.answer({ ...context, seed: context.seed + 1 })),
      ...this.#unknown(outcome),
    ];
  }

  #failed(outcome: LineOutcome): JournalEntry {
    return { ...this.#placed(outcome), end: "failed", usage: null };
  }

  #placed(outcome: LineOutcome): { file: ResultFileName | null; text: string } {
    return this.#parts.api.resultOf(outcome, this.#record.details) ?? { file: null, text: "" };
  }

  #repeated(
    outcome: Extract<LineOutcome, { kind: "succeeded" }>,
    otherAnswer: () => DirectAnswer,
  ): readonly JournalEntry[] {
    const fault = faultOf(this.#record.faults, "batch_lines_repeated");
    if (fault === null || !isInShare(outcome.line, fault.share ?? SHARE)) return [];
    const again = fault.different === true ? { ...outcome, bodyText: otherAnswer().bodyText() } : outcome;
    return [{ ...this.#placed(again), end: "extra", usage: null }];
  }

  /** One with each of the first lines. */
  #unknown(outcome: Extract<LineOutcome, { kind: "succeeded" }>): readonly JournalEntry[] {
    const fault = faultOf(this.#record.faults, "batch_lines_unknown");
    if (fault === null || outcome.line > (fault.count ?? 1)) return [];
    const customId = `unknown-${String(outcome.line)}`;
    return [{ ...this.#placed({ ...outcome, customId }), end: "extra", usage: null }];
  }

  #row(line: number, asked: BatchLine, call: DirectCall, answer: DirectAnswer): BilledRow {
    const { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens } = answer.usage;
    const nanoUsd = billedNanoUsd(answer.model, answer.usage, "batch");
    const row = {
      requestId: requestIdOf(this.#record, line),
      attempt: asked.customId,
      key: this.#record.account,
      provider: this.#record.provider,
      model: call.askedModel,
      modelVersion: answer.model.version,
      mode: "batch",
      inputTokens,
      cachedInputTokens,
      cacheWriteTokens,
      outputTokens,
      nanoUsd: nanoUsd.toString(),
      at: isoTime(Date.now()),
      batch: this.#record.id,
      line,
    } as const;
    return { row, nanoUsd };
  }
}

/** Fixed by batch and line, so that a line that is run again has the id that it was billed under. */
export function requestIdOf(record: BatchRecord, line: number): string {
  return `req_${digestOf(`${record.id} ${String(line)}`)}`;
}
