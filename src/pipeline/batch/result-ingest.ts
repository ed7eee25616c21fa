import { batchId, type Batch } from "../../domain/batch/batch.js";
import {
  afterRead,
  allDone,
  groupStored,
  ingestBegins,
  isLastPass,
  readBroke,
  resultsOverdue,
  type AfterRead,
} from "../../domain/batch/life-results.js";
import { troubled } from "../../domain/batch/life.js";
import type { ResultsCursor } from "../../domain/batch/provider-batch.js";
import type { LedgerKey } from "../../domain/ids.js";
import { parseAttemptId } from "../../domain/job/ids.js";
import type { BatchLine } from "../../ports/batch-ledger.js";
import type { LineOutcome, MalformedLine, ResultItem } from "../../ports/batch-provider.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { QuarantineReason } from "../../ports/metrics.js";
import { lifeSettings, type BatchAccount, type BatchStageParts } from "./batch-parts.js";
import type { BatchSaves } from "./batch-saves.js";
import { unreadable, withoutResult, type LineJudge } from "./line-judge.js";
import type { LineWriter } from "./line-writer.js";
import { outcomePrint } from "./outcome-print.js";

/** Answers that are held until their group is written. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
/** Events of one kind that one read tells; all are counted. */
const EVENTS_MAX = 10;
/** Ids come from outside. */
const ID_SHOWN = 80;

export interface IngestParts {
  readonly parts: BatchStageParts;
  readonly saves: BatchSaves;
  readonly judge: LineJudge;
  readonly writer: LineWriter;
  /** No further group is begun. */
  readonly stop: AbortSignal;
  /** What is under way is cut off. */
  readonly cut: AbortSignal;
}

interface Entry {
  readonly key: LedgerKey;
  readonly customId: string;
  readonly outcome: LineOutcome;
}

/** How one read ended. */
type ReadEnd =
  | { readonly kind: "read" }
  | { readonly kind: "broke"; readonly failure: { readonly message: string; readonly retryAfterMs: number | null } }
  | { readonly kind: "stopped" };

/**
 * Brings the results of one ended batch home: read as a stream, judged and written in groups, with a cursor behind each. A kill at any
 * instant costs the reading of one group. Results are matched by the line's id alone, never by place; the first of an id stands.
 */
export class ResultIngest {
  readonly #of: IngestParts;
  readonly #account: BatchAccount;
  #batch: Batch;
  /** Prints of what this read has seen, by attempt: tells a repeat from a contradiction. Bounded by the batch's lines. */
  readonly #seen = new Map<number, number>();
  readonly #told = new Map<string, number>();
  #group: Entry[] = [];
  #groupBytes = 0;
  #cursor: ResultsCursor | null;
  /** A part was not there in this read. */
  #gone = false;
  #writing: Promise<boolean> = Promise.resolve(true);
  #unwritten = 0;

  constructor(of: IngestParts, account: BatchAccount, batch: Batch) {
    this.#of = of;
    this.#account = account;
    this.#batch = batch;
    this.#cursor = batch.cursor;
  }

  /** @returns the batch as it is stored then; null when somebody else has it. */
  async run(): Promise<Batch | null> {
    if (this.#batch.state === "ended" && !(await this.#save(ingestBegins(this.#batch, this.#nowMs())))) return null;
    this.#of.parts.reach?.("batch.downloading");
    const end = await this.#read();
    if (!(await this.#flush()) || !(await this.#writing)) return null;
    switch (end.kind) {
      case "stopped":
        return this.#batch;
      case "broke":
        return this.#afterBreak(end.failure);
      case "read":
        return this.#afterRead();
    }
  }

  async #read(): Promise<ReadEnd> {
    const { settings, reach } = this.#of.parts;
    const { providerBatchId, lineFormat, parts, cursor } = this.#batch;
    if (providerBatchId === null || parts.length === 0) return { kind: "read" };
    const request = { batchId: providerBatchId, lineFormat, parts, cursor };
    const limits = { timeoutMs: settings.transferTimeoutMs };
    for await (const item of this.#account.provider.results(request, limits, this.#of.cut)) {
      if (item.kind === "end") {
        this.#passTo(item.cursor);
        break;
      }
      if (item.kind === "broken") {
        this.#passTo(item.cursor);
        return { kind: "broke", failure: item.failure };
      }
      this.#take(item);
      reach?.("batch.result_read");
      if (this.#isGroupFull() && !(await this.#flush())) return { kind: "stopped" };
      if (this.#of.stop.aborted) return { kind: "stopped" };
    }
    return { kind: "read" };
  }

  /** Not past a part that was not there: a read that breaks off behind it must find it missing when it goes on. */
  #passTo(cursor: ResultsCursor | null): void {
    if (!this.#gone) this.#cursor = cursor;
  }

  #take(item: Exclude<ResultItem, { readonly kind: "end" | "broken" }>): void {
    switch (item.kind) {
      case "line":
        this.#takeLine(item.customId, item.outcome);
        this.#passTo(item.cursor);
        return;
      case "malformed":
        this.#takeMalformed(item);
        this.#passTo(item.cursor);
        return;
      case "restarted":
        this.#log("batch.results_changed", { part: item.part });
        return;
      case "gone":
        this.#log("batch.results_gone", { part: item.part, message: item.failure.message });
        this.#gone = true;
        return;
    }
  }

  #takeLine(customId: string, outcome: LineOutcome): void {
    const key = parseAttemptId(customId);
    if (key === null) {
      this.#quarantine("unknown_id", customId);
      return;
    }
    const print = outcomePrint(outcome);
    const before = this.#seen.get(key.no);
    if (before !== undefined) {
      // After `restarted` all lines come again.
      if (before !== print) this.#quarantine("conflict", customId);
      else this.#count("repeated");
      return;
    }
    this.#seen.set(key.no, print);
    this.#group.push({ key, customId, outcome });
    this.#groupBytes += outcome.kind === "answered" ? outcome.bodyText.length : 0;
  }

  /** A line that the last read can't make out either has been answered, and the answer is lost. */
  #takeMalformed(item: MalformedLine): void {
    const { customId, because, part, lineNumber } = item;
    this.#count("malformed");
    this.#log("batch.result_malformed", { because, part, lineNumber, customId: customId?.slice(0, ID_SHOWN) });
    if (customId === null || !isLastPass(this.#batch)) return;
    this.#takeLine(customId, { ...unreadable(`its result can't be read: ${because}`), billed: "perhaps" });
  }

  #isGroupFull(): boolean {
    return this.#group.length >= this.#of.parts.settings.groupSizeMax || this.#groupBytes >= GROUP_BYTES_MAX;
  }

  /** Writes the group while the next one is read. @returns false when the batch is somebody else's. */
  async #flush(): Promise<boolean> {
    const [group, cursor] = [this.#group, this.#cursor];
    this.#group = [];
    this.#groupBytes = 0;
    const calls = await this.#judge(group);
    if (!(await this.#writing)) return false;
    const writing = this.#write(calls, cursor);
    writing.catch(() => undefined); // thrown where it is awaited
    this.#writing = writing;
    return true;
  }

  async #judge(group: readonly Entry[]): Promise<readonly FinishedCall[]> {
    if (group.length === 0) return [];
    const { parts, judge } = this.#of;
    const lines = await parts.ledger.linesByAttempt(
      this.#batch.no,
      group.map(({ key }) => key),
    );
    const known = new Map(lines.map((line) => [line.attempt.no, line]));
    return group.flatMap(({ key, customId, outcome }) => {
      const line = known.get(key.no);
      if (line === undefined) {
        this.#seen.delete(key.no); // only lines of the batch are remembered
        this.#quarantine("unknown_id", customId);
      }
      // One that has its outcome was read before.
      if (line?.state !== "batched") return [];
      return [judge.ofResult(this.#account.provider, this.#batch, line, outcome)];
    });
  }

  async #write(calls: readonly FinishedCall[], cursor: ResultsCursor | null): Promise<boolean> {
    const { writer, parts } = this.#of;
    if (calls.length === 0 && isSamePlace(cursor, this.#batch.cursor)) return true;
    const { outcomes, refused } = await writer.write(this.#batch, calls);
    this.#unwritten += refused;
    parts.reach?.("batch.group_stored");
    if (!(await this.#save(groupStored(this.#batch, cursor, outcomes, this.#nowMs())))) return false;
    parts.reach?.("batch.group_saved");
    return true;
  }

  async #afterBreak(failure: {
    readonly message: string;
    readonly retryAfterMs: number | null;
  }): Promise<Batch | null> {
    const { random } = this.#of.parts;
    const settings = this.#settings();
    if (resultsOverdue(this.#batch, settings, this.#nowMs()))
      return this.#settle({ kind: "settle", as: "line_missing", lost: true });
    const step = readBroke(this.#batch, failure, settings, this.#nowMs(), random.next());
    return (await this.#save(step)) ? this.#batch : null;
  }

  async #afterRead(): Promise<Batch | null> {
    const { parts } = this.#of;
    parts.reach?.("batch.results_read");
    const open = await parts.ledger.openLines(this.#batch.no, 0, 1);
    const end = { linesOpen: open.length > 0, gone: this.#gone };
    const after = afterRead(this.#batch, end, this.#settings(), this.#nowMs(), parts.random.next());
    if (after.kind === "settle") return this.#settle(after);
    return (await this.#save(after.step)) ? this.#afterSave() : null;
  }

  /** What no result tells of. */
  async #settle({ as, lost }: Extract<AfterRead, { readonly kind: "settle" }>): Promise<Batch | null> {
    const { parts, judge, writer, saves } = this.#of;
    const end = withoutResult(as, lost);
    let settled = 0;
    let after = 0;
    for (;;) {
      // Serial: groups of one batch, each behind the last.
      const lines: readonly BatchLine[] = await parts.ledger.openLines(
        this.#batch.no,
        after,
        parts.settings.groupSizeMax,
      );
      const last = lines.at(-1);
      if (last === undefined) break;
      after = last.attempt.no;
      const calls = lines.map((line) => judge.ofEnd(this.#batch, line, end));
      const { outcomes, refused } = await writer.write(this.#batch, calls);
      this.#unwritten += refused;
      settled += lines.length;
      if (!(await this.#save(groupStored(this.#batch, this.#batch.cursor, outcomes, this.#nowMs())))) return null;
    }
    if (as === "line_missing" && settled > 0)
      await saves.note(this.#batch, "batch.lines_lost", end.message, { lines: String(settled) });
    return this.#finished();
  }

  async #finished(): Promise<Batch | null> {
    const { random } = this.#of.parts;
    const settings = this.#settings();
    if (this.#unwritten > 0) {
      const trouble = {
        message: `the ledger refuses the outcomes of ${String(this.#unwritten)} lines`,
        retryAfterMs: settings.pollMaxMs,
      };
      return (await this.#save(troubled(this.#batch, trouble, settings, this.#nowMs(), random.next())))
        ? this.#batch
        : null;
    }
    return (await this.#save(allDone(this.#batch, settings, this.#nowMs()))) ? this.#afterSave() : null;
  }

  #afterSave(): Batch {
    if (this.#batch.state !== "done") return this.#batch;
    const { parts } = this.#of;
    parts.reach?.("batch.done");
    parts.metrics.count("sluice_batches_total", { account: this.#batch.account, became: "done" });
    this.#log("batch.done", { lines: this.#batch.lines, ...this.#batch.outcomes });
    return this.#batch;
  }

  async #save(step: Parameters<BatchSaves["save"]>[0]): Promise<boolean> {
    const saved = await this.#of.saves.save(step);
    if (saved !== null) this.#batch = saved;
    return saved !== null;
  }

  /** A result that is not used. Told once: a second read shows it again. */
  #quarantine(because: Extract<QuarantineReason, "unknown_id" | "conflict">, customId: string): void {
    this.#count(because);
    if (this.#batch.passes > 0) return;
    const told = (this.#told.get(because) ?? 0) + 1;
    this.#told.set(because, told);
    if (told > EVENTS_MAX) return;
    const [kind, message] =
      because === "conflict"
        ? (["result.conflict", "two different results for one line; the first stands"] as const)
        : (["batch.unknown_line", "a result that is not of this batch; it is not used"] as const);
    // Nobody waits for it.
    void this.#of.saves.note(this.#batch, kind, message, { customId: customId.slice(0, ID_SHOWN) });
  }

  #count(because: QuarantineReason): void {
    this.#of.parts.metrics.count("sluice_batch_quarantined_total", { account: this.#batch.account, because });
  }

  #log(event: string, fields: Readonly<Record<string, unknown>>): void {
    const level = event === "batch.done" ? "info" : "warn";
    this.#of.parts.log[level](event, { batch: batchId(this.#batch.no), account: this.#batch.account, ...fields });
  }

  #settings() {
    return lifeSettings(this.#batch, this.#account, this.#of.parts.settings);
  }

  #nowMs(): number {
    return this.#of.parts.clock.nowMs();
  }
}

function isSamePlace(one: ResultsCursor | null, other: ResultsCursor | null): boolean {
  return one?.part === other?.part && one?.byteOffset === other?.byteOffset;
}
