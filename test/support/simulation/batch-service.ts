import type { BatchRules, BatchWay } from "../../../src/domain/batch/batch-rules.js";
import type {
  BatchRefusal,
  ProviderBatch,
  ProviderBatchState,
  ResultPart,
} from "../../../src/domain/batch/provider-batch.js";
import type { AttemptOutcome } from "../../../src/domain/failure.js";
import { BATCH_INPUT_NANO_PER_TOKEN, BATCH_OUTPUT_NANO_PER_TOKEN, digestOf, POISON } from "./fixture.js";
import type { ProviderBooks } from "./fake-provider.js";
import type { World } from "./world.js";

/**
 * The far side of a simulated batch API: what reached it goes on whoever dies. One account; it bills the lines that it answered, at half
 * the price.
 */

const CHAT = ["openai.chat"] as const;
const COMMON = {
  formats: CHAT,
  alike: { format: true, model: true },
  customIdForm: /^[\w-]{1,64}$/,
  listFilter: "none",
  windowMs: 45_000,
  expiredKeepsResults: true,
  resultsKeptMs: 600_000,
  allowance: "enqueued_tokens",
  openBatchesMax: null,
  createsPerHourMax: null,
  discount: { percent: 50, cachedInput: "discounted" },
} as const satisfies Partial<BatchRules>;

function wayOf(way: BatchWay, fence: "delete_file" | "none"): BatchRules["ways"][number] {
  const bytes = { bytesMax: 100_000, lineBytesMax: 50_000, frameBytes: way === "file" ? 0 : 20 };
  return { way, fence, linesMax: 8, embeddingInputsMax: null, ...bytes };
}

/** Files and marks: a late create is fenced by deleting its file. */
export const FILE_RULES: BatchRules = { ...COMMON, ways: [wayOf("file", "delete_file")], markCharactersMax: 64 };
/** Lines inside of the create call, no marks, no fence: only size, time and patience tell. */
export const INLINE_RULES: BatchRules = { ...COMMON, ways: [wayOf("inline", "none")], markCharactersMax: null };

/** A fresh batch or file may be missing from lists for as long. */
export const LAG_MAX_MS = 3000;
/** When a create on its way arrives, where nothing but waiting fences it. */
export const LATE_MS = { minMs: 200, maxMs: 5000 } as const;
/** In some worlds it comes when nobody waits for it any more. */
export const ORPHAN_LATE_MS = { minMs: 14_000, maxMs: 40_000 } as const;
/** So long at least creates must be waited for that nothing fences: until the last one could have arrived and be listed. */
export const INLINE_GRACE_MS = 10_000;
const FENCED_LATE_MS = { minMs: 200, maxMs: 20_000 } as const;

export interface ServedFile {
  readonly id: string;
  readonly name: string;
  readonly lines: readonly string[];
  readonly createdMs: number;
  readonly visibleMs: number;
  readonly readyMs: number;
  deleted: boolean;
}

/** What the far side does with a line, decided when its batch is made. */
type LineFate = "answered" | "overloaded" | "refused" | "bad_response";
type Telling = "once" | "never" | "twice" | "garbled" | "another_answer";

export interface ServedLine {
  readonly customId: string;
  readonly prompt: string;
  readonly fate: LineFate;
  readonly telling: Telling;
  outcome: "waiting" | LineFate | "expired" | "cancelled";
  outputTokens: number;
}

export interface ServedBatch {
  readonly id: string;
  readonly account: string;
  readonly mark: string | null;
  readonly fileId: string | null;
  readonly model: string | null;
  readonly createdMs: number;
  readonly visibleMs: number;
  readonly lines: readonly ServedLine[];
  state: ProviderBatchState;
  endedMs: number | null;
  refusal: BatchRefusal | null;
  parts: readonly ResultPart[];
  /** The bytes of each part, as a list of lines. */
  texts: readonly (readonly string[])[];
  /** Parts that the provider has lost. */
  gone: boolean;
  erased: boolean;
}

/** A create call from the moment its first byte left. */
export interface CreateCall {
  readonly account: string;
  readonly ids: readonly string[];
  readonly mark: string;
  readonly fileId: string | null;
  readonly leftMs: number;
  /** What the caller was told; null: nothing that helps. */
  told: "created" | "refused" | null;
  batch: ServedBatch | null;
}

/** What happened at the far side, for faults to be counted by. */
export const BATCH_FAULTS = [
  "batchesMade",
  "createsLost",
  "createsAnswerLost",
  "createsLate",
  "createsFenced",
  "createsRefused",
  "batchesRefused",
  "batchesExpired",
  "batchesCancelled",
  "unlisted",
  "oddWords",
  "linesUntold",
  "linesTwice",
  "linesGarbled",
  "linesUnknown",
  "partsGone",
  "readsBroken",
  "readsReordered",
] as const;
export type BatchFault = (typeof BATCH_FAULTS)[number];

/** What all batch providers wrote down, and who wants to know it at once. */
export class BatchBooks {
  readonly creates: CreateCall[] = [];
  readonly batches = new Map<string, ServedBatch>();
  readonly files = new Map<string, ServedFile>();
  readonly seen = new Map<BatchFault, number>();
  /** Creates that will arrive. */
  onTheWay = 0;
  onCreate: (call: CreateCall) => void = () => undefined;
  onMade: (batch: ServedBatch) => void = () => undefined;

  count(fault: BatchFault): void {
    this.seen.set(fault, (this.seen.get(fault) ?? 0) + 1);
  }
}

interface ServiceParts {
  readonly account: string;
  readonly rules: BatchRules;
  readonly world: World;
  readonly bill: ProviderBooks["bill"];
  readonly books: BatchBooks;
  readonly trouble: () => number;
  readonly late: { readonly minMs: number; readonly maxMs: number };
}

/** What a create asks for. */
export interface CreateOrder {
  readonly mark: string | null;
  readonly fileId: string | null;
  readonly model: string | null;
  readonly lines: readonly string[];
}

export class BatchService {
  readonly rules: BatchRules;
  readonly account: string;
  readonly parts: ServiceParts;
  #number = 0;

  constructor(parts: ServiceParts) {
    this.parts = parts;
    this.account = parts.account;
    this.rules = parts.rules;
  }

  get isFenced(): boolean {
    return this.rules.ways[0]?.fence === "delete_file";
  }

  /** Creates that are not answered arrive when they have been given up. */
  get comesWhenGivenUp(): boolean {
    return !this.isFenced && this.parts.late.minMs >= INLINE_GRACE_MS;
  }

  store(name: string, lines: readonly string[]): ServedFile {
    const { world, books } = this.parts;
    const createdMs = world.nowMs;
    const file: ServedFile = {
      id: this.#nextId("file"),
      name,
      lines,
      createdMs,
      visibleMs: createdMs + this.#lag(),
      readyMs: createdMs + (world.random.chance(this.parts.trouble() / 2) ? world.random.between(100, 2000) : 0),
      deleted: false,
    };
    books.files.set(file.id, file);
    return file;
  }

  /** How long a create that is cut off on its way may still take. */
  lateMs(): number {
    const { minMs, maxMs } = this.isFenced ? FENCED_LATE_MS : this.parts.late;
    return this.parts.world.random.between(minMs, maxMs);
  }

  /** A create arrives. @returns why it makes no batch, or the batch. */
  make(order: CreateOrder): ServedBatch | BatchRefusal {
    const { world, books } = this.parts;
    const file = order.fileId === null ? null : books.files.get(order.fileId);
    if (file === undefined || file?.deleted === true) return refusal("file_gone");
    if (file !== null && file.readyMs > world.nowMs) return refusal("file_not_ready");
    const lines = (file?.lines ?? order.lines).map((line) => this.#lineOf(line));
    const poisoned = lines.flatMap(({ prompt }, at) => (prompt.includes(POISON) ? [at + 1] : []));
    if (!this.isFenced && poisoned.length > 0) return this.#badLine(poisoned);
    const batch: ServedBatch = {
      id: this.#nextId("batch"),
      account: this.account,
      mark: this.rules.markCharactersMax === null ? null : order.mark,
      fileId: order.fileId,
      model: order.model,
      createdMs: world.nowMs,
      visibleMs: world.nowMs + this.#lag(),
      lines,
      state: "accepted",
      endedMs: null,
      refusal: null,
      parts: [],
      texts: [],
      gone: false,
      erased: false,
    };
    books.batches.set(batch.id, batch);
    books.count("batchesMade");
    if (batch.visibleMs > batch.createdMs) books.count("unlisted");
    books.onMade(batch);
    this.#run(batch, poisoned);
    return batch;
  }

  /** The owner asks to stop. */
  cancel(batch: ServedBatch): void {
    const { world, books } = this.parts;
    if (batch.endedMs !== null || batch.state === "cancelling") return;
    batch.state = "cancelling";
    world.at(world.random.between(50, 3000), "batch cancelled", null, () => {
      if (batch.endedMs !== null) return;
      books.count("batchesCancelled");
      for (const line of batch.lines) if (line.outcome === "waiting") line.outcome = "cancelled";
      this.#end(batch, "cancelled");
    });
  }

  /** As the owner is told of it. */
  view(batch: ServedBatch): ProviderBatch {
    const { world, books, trouble } = this.parts;
    const odd = world.random.chance(trouble() / 2);
    if (odd) books.count("oddWords");
    const backward = odd && world.random.chance(0.5);
    const state = odd ? (backward ? "accepted" : "running") : batch.state;
    const isTold = !odd && batch.endedMs !== null;
    return {
      batchId: batch.id,
      state,
      unknownWord: odd && !backward ? "pondering" : null,
      mark: batch.mark,
      fileId: batch.fileId,
      model: batch.model,
      counts: {
        total: batch.lines.length,
        waiting: null,
        succeeded: world.random.chance(trouble() / 2) ? 99 : batch.lines.filter(isAnswered).length,
        failed: null,
        expired: null,
        cancelled: null,
      },
      // Providers tell whole seconds.
      createdAtMs: Math.floor(batch.createdMs / 1000) * 1000,
      endedAtMs: isTold ? Math.floor((batch.endedMs ?? 0) / 1000) * 1000 : null,
      expiresAtMs: batch.createdMs + this.rules.windowMs,
      results: isTold ? batch.parts : [],
      refusal: isTold ? batch.refusal : null,
    };
  }

  #nextId(what: string): string {
    this.#number += 1;
    return `${what}-${this.account}-${String(this.#number)}`;
  }

  #lag(): number {
    const { world, trouble } = this.parts;
    return world.random.chance(trouble()) ? world.random.between(100, LAG_MAX_MS) : 0;
  }

  #lineOf(text: string): ServedLine {
    const { world, trouble } = this.parts;
    const line = JSON.parse(text) as {
      custom_id: string;
      body: { messages: readonly [{ content: string }] };
    }; // the adapter's own encoding
    const troubled = world.random.chance(trouble() / 3);
    const odd = world.random.chance(trouble() / 3);
    return {
      customId: line.custom_id,
      prompt: line.body.messages[0].content,
      fate: troubled ? world.random.pick(["overloaded", "overloaded", "refused", "bad_response"]) : "answered",
      telling: odd ? world.random.pick(["never", "twice", "garbled", "another_answer"]) : "once",
      outcome: "waiting",
      outputTokens: world.random.between(1, 40),
    };
  }

  #badLine(poisoned: readonly number[]): BatchRefusal {
    // Some providers name the line, others don't.
    const named = this.parts.world.random.chance(0.5) ? poisoned : [];
    return { ...refusal("bad_line"), lines: named.map((lineNumber) => ({ lineNumber, code: "invalid" })) };
  }

  #run(batch: ServedBatch, poisoned: readonly number[]): void {
    const { world, books, trouble } = this.parts;
    const { random } = world;
    const checkedMs = random.between(20, 1500);
    if (poisoned.length > 0) {
      world.at(checkedMs, "batch refused", null, () => {
        if (batch.endedMs !== null) return;
        books.count("batchesRefused");
        batch.refusal = this.#badLine(poisoned);
        batch.state = "failed";
        batch.endedMs = world.nowMs;
      });
      return;
    }
    const isStuck = random.chance(trouble() / 4);
    const takesMs = isStuck ? 2 * this.rules.windowMs : random.between(500, random.chance(0.3) ? 20_000 : 5000);
    world.at(checkedMs, "batch runs", null, () => {
      if (batch.state === "accepted") batch.state = "running";
    });
    for (const line of batch.lines)
      world.at(checkedMs + random.next() * takesMs, "batch line", null, () => {
        this.#runLine(batch, line);
      });
    world.at(checkedMs + takesMs, "batch ends", null, () => {
      if (batch.endedMs === null && batch.state !== "cancelling") this.#end(batch, "completed");
    });
    world.at(this.rules.windowMs, "batch window", null, () => {
      if (batch.endedMs !== null) return;
      books.count("batchesExpired");
      for (const line of batch.lines) if (line.outcome === "waiting") line.outcome = "expired";
      this.#end(batch, "expired");
    });
  }

  #runLine(batch: ServedBatch, line: ServedLine): void {
    if (batch.endedMs !== null || line.outcome !== "waiting") return;
    line.outcome = line.fate;
  }

  /** With the batch's end. A line that an interrupted batch says nothing of has not run. */
  #bill(line: ServedLine, state: ProviderBatchState): void {
    if (!isAnswered(line) || (line.telling === "never" && state !== "completed")) return;
    this.parts.bill.push({ attemptId: line.customId, account: this.account, nanoUsd: priceOf(line) });
  }

  #end(batch: ServedBatch, state: ProviderBatchState): void {
    const { world, books, trouble } = this.parts;
    batch.state = state;
    batch.endedMs = world.nowMs;
    for (const line of batch.lines) this.#bill(line, state);
    const told = batch.lines.filter(({ telling }) => telling !== "never");
    for (const { telling } of batch.lines) {
      if (telling === "never") books.count("linesUntold");
      if (telling === "twice" || telling === "another_answer") books.count("linesTwice");
      if (telling === "garbled") books.count("linesGarbled");
    }
    const strangers = world.random.chance(trouble() / 4) ? [STRANGER] : [];
    if (strangers.length > 0) books.count("linesUnknown");
    const good = shuffled(world, [...told.filter(isAnswered).flatMap(textsOf), ...strangers]);
    const bad = shuffled(world, told.filter((line) => !isAnswered(line)).flatMap(textsOf));
    const parts: { readonly part: ResultPart; readonly lines: readonly string[] }[] = this.isFenced
      ? [
          { part: { part: "results", ref: `${batch.id}-results` }, lines: good },
          { part: { part: "errors", ref: `${batch.id}-errors` }, lines: bad },
        ]
      : [{ part: { part: "inline", ref: batch.id }, lines: shuffled(world, [...good, ...bad]) }];
    // A file that would be empty is none.
    const kept = parts.filter(({ part, lines }) => part.part === "inline" || lines.length > 0);
    batch.parts = kept.map(({ part }) => part);
    batch.texts = kept.map(({ lines }) => lines);
    batch.gone = world.random.chance(trouble() / 20);
    if (batch.gone) books.count("partsGone");
  }
}

export function isAnswered({ outcome }: ServedLine): boolean {
  return outcome === "answered";
}

/** A line that nobody asked for. */
const STRANGER = JSON.stringify({ custom_id: "nobody-knows", failure: { outcome: "refused", billed: "by_rule" } });

const FAILURES: Readonly<Record<string, AttemptOutcome>> = {
  overloaded: "overloaded",
  refused: "refused",
  bad_response: "bad_response",
  expired: "line_expired",
  cancelled: "cancelled",
};

/** How a line stands in the results. */
function textsOf(line: ServedLine): string[] {
  const text = textOf(line);
  if (line.telling === "garbled") return [`${text.slice(0, -9)} §`];
  if (line.telling === "another_answer") return [text, textOf(line, { again: true })];
  return line.telling === "twice" ? [text, text] : [text];
}

function textOf(line: ServedLine, more: object = {}): string {
  const { customId, prompt, outcome, outputTokens } = line;
  if (!isAnswered(line))
    return JSON.stringify({ custom_id: customId, failure: { outcome: FAILURES[outcome] ?? "unclassified" } });
  const body = { digest: digestOf(prompt), by: customId, ...more };
  return JSON.stringify({ custom_id: customId, answer: { body, inputTokens: inputTokensOf(line), outputTokens } });
}

export function inputTokensOf({ prompt }: ServedLine): number {
  return 10 + prompt.length;
}

/** The bill's own arithmetic, not the gateway's. */
function priceOf(line: ServedLine): bigint {
  return (
    BigInt(inputTokensOf(line)) * BATCH_INPUT_NANO_PER_TOKEN + BigInt(line.outputTokens) * BATCH_OUTPUT_NANO_PER_TOKEN
  );
}

export function refusal(because: BatchRefusal["because"], retryAfterMs: number | null = null): BatchRefusal {
  return {
    because,
    message: because,
    lines: [],
    retryAfterMs,
    provider: { status: 400, code: because, requestId: null },
  };
}

export function isRefusal(made: ServedBatch | BatchRefusal): made is BatchRefusal {
  return "because" in made;
}

export function shuffled<Item>(world: World, items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: world.random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
