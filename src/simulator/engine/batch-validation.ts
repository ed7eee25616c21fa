/** Reads a batch's input once, line by line, and says whether the batch may run: in short turns, so that others are not held up. */
import type { BatchApi, BatchLine, BatchProblem, InputProblem } from "./batch-api.js";
import type { BatchRecord } from "./batch-record.js";
import { checkedLine } from "./checked-line.js";
import { LineReader } from "./line-reader.js";
import type { Limits } from "./limits.js";
import type { PriceTable } from "./price-table.js";

export type Validated = {
  readonly total: number;
  /** The dated name of the model, when all lines name one. */
  readonly model: string | null;
  /** Input tokens by listed model. */
  readonly enqueued: Readonly<Record<string, number>>;
  readonly problems: readonly BatchProblem[];
};

/** More problems than these are not told. */
const PROBLEMS_MAX = 50;

export class BatchValidation {
  readonly #api: BatchApi;
  readonly #record: BatchRecord;
  readonly #prices: PriceTable;
  readonly #linesMax: number;
  readonly #reader: LineReader;
  readonly #ids = new Set<string>();
  readonly #enqueued = new Map<string, number>();
  readonly #problems: BatchProblem[] = [];
  readonly #versions = new Set<string>();
  #firstModel: string | null = null;
  #lines = 0;
  #units = 0;

  constructor(
    api: BatchApi,
    record: BatchRecord,
    inputPath: string,
    parts: { readonly prices: PriceTable; readonly limits: Limits },
  ) {
    this.#api = api;
    this.#record = record;
    this.#prices = parts.prices;
    this.#linesMax = Math.min(api.linesMax, parts.limits.batchLinesMax ?? Infinity);
    this.#reader = new LineReader(inputPath);
  }

  /** Works until it is done or `untilMs` (performance.now) has come. */
  step(untilMs: number): Validated | null {
    do {
      const text = this.#reader.next();
      if (text === null) {
        if (this.#lines === 0) this.#found({ kind: "empty" });
        return this.#done();
      }
      this.#lines += 1;
      this.#take(text);
      if (this.#units > this.#linesMax) {
        this.#found({ kind: "too_many_lines", linesMax: this.#linesMax });
        return this.#done();
      }
      if (this.#problems.length >= PROBLEMS_MAX) return this.#done();
    } while (performance.now() < untilMs);
    return null;
  }

  close(): void {
    this.#reader.close();
  }

  #done(): Validated {
    this.close();
    const [version] = this.#versions;
    return {
      total: this.#lines,
      model: this.#versions.size === 1 && version !== undefined ? version : null,
      enqueued: Object.fromEntries(this.#enqueued),
      problems: this.#problems,
    };
  }

  #take(text: string): void {
    const read = this.#api.readLine(text, this.#record.details);
    if ("unreadable" in read) {
      this.#units += 1;
      if (this.#api.unreadableRefusesBatch) this.#problems.push({ ...read.unreadable.problem, line: this.#lines });
      return;
    }
    this.#units += read.line.units;
    this.#takeLine(read.line);
  }

  #takeLine(line: BatchLine): void {
    const { customId } = line;
    if (this.#api.uniqueIds) {
      if (this.#ids.has(customId)) this.#found({ kind: "repeated_id", customId, line: this.#lines });
      this.#ids.add(customId);
    }
    const checked = checkedLine(this.#api, line, this.#prices);
    if ("refusal" in checked) {
      if (this.#api.refusesBatch(checked.refusal))
        this.#found({ kind: "refused", refusal: checked.refusal, line: this.#lines });
      return;
    }
    const { call } = checked;
    this.#firstModel ??= call.askedModel;
    if (this.#api.oneModel && call.askedModel !== this.#firstModel)
      this.#found({ kind: "other_model", model: call.askedModel, first: this.#firstModel, line: this.#lines });
    this.#versions.add(call.model.version);
    this.#enqueued.set(call.model.name, (this.#enqueued.get(call.model.name) ?? 0) + call.inputTokens);
  }

  #found(problem: InputProblem): void {
    this.#problems.push(this.#api.problemOf(problem));
  }
}
