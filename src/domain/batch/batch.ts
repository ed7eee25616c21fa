import type { EpochMs } from "../ids.js";
import type { RequestFormat } from "../job/job.js";
import type { ProviderKind } from "../route/route.js";
import type { BatchWay } from "./batch-rules.js";
import type { BatchCounts, BatchRefusal, ProviderBatchState, ResultPart, ResultsCursor } from "./provider-batch.js";

/**
 * States of a batch of ours. The row is changed before what it announces is done, so that whoever finds it after a kill knows what may have
 * happened at the provider. The database refuses every change that is not listed. A group (way `calls`) goes from `sealed` to `submitted`,
 * where its lines may be called, and when the last of them has ended to `done`.
 * - `building`: lines are being bound. A crash leaves what is bound: sealed as it is
 * - `sealed`: its lines are fixed, the provider knows nothing of it (any more)
 * - `uploading`: its file may be at the provider, in whole, in part or not at all
 * - `uploaded`: the file is there
 * - `creating`: the create call may have been made; found again by list, mark or size, never repeated before that is proved to be absent
 * - `submitted`: the provider has it
 * - `cancelling`: it was asked to stop; what is done is kept
 * - `ended`: the provider's last word is there, nothing of its results is stored
 * - `ingesting`: its lines get their outcomes, up to the cursor
 * - `done`: each line has an outcome; its files are deleted when their retention is over
 * - `failed`: refused as a whole or given up before it ran: nothing of it is billed, its lines go back to be decided anew. One whose creation
 *   was given up as absent may turn up all the same: then it is `submitted`, and stopped
 */
export const BATCH_TRANSITIONS = {
  building: ["sealed", "failed"],
  sealed: ["uploading", "creating", "submitted", "failed"],
  uploading: ["uploaded", "sealed", "failed"],
  uploaded: ["creating", "sealed", "failed"],
  creating: ["submitted", "sealed", "failed"],
  submitted: ["cancelling", "ended", "done", "failed"],
  cancelling: ["ended", "done", "failed"],
  ended: ["ingesting"],
  ingesting: ["done"],
  done: [],
  failed: ["submitted"],
} as const satisfies Record<string, readonly string[]>;
export type BatchState = keyof typeof BATCH_TRANSITIONS;

/** States in which lines and tokens of a batch count at its account. */
export const LIVE_BATCH_STATES = [
  "building",
  "sealed",
  "uploading",
  "uploaded",
  "creating",
  "submitted",
  "cancelling",
] as const satisfies readonly BatchState[];

/** Attempts grouped for a provider's batch API, as the ledger holds it. Times are the ledger's; null: not so far. */
export interface Batch {
  readonly no: number;
  /** Raised by each change: a change on condition of it is made once, whoever else works on the batch. */
  readonly version: number;
  readonly state: BatchState;
  readonly account: string;
  readonly provider: ProviderKind;
  readonly pool: string;
  readonly way: BatchWay;
  readonly lineFormat: RequestFormat;
  /** Of all lines; null where they may differ. */
  readonly model: string | null;
  /** Bound to it when it was sealed; later refusals of single lines don't change it. */
  readonly lines: number;
  /** Sum over the lines of (bytes + 1). */
  readonly linesBytes: number;
  /** Estimated prompt tokens. */
  readonly tokens: number;
  readonly createdAtMs: EpochMs;
  readonly sealedAtMs: EpochMs | null;
  readonly submittedAtMs: EpochMs | null;
  /** When it should have ended, by the turnaround that was expected at its submission. */
  readonly expectedAtMs: EpochMs | null;
  readonly endedAtMs: EpochMs | null;
  readonly doneAtMs: EpochMs | null;
  /** When somebody looks at it again; null: nothing is left to be done. */
  readonly nextAtMs: EpochMs | null;
  /** Failures in a row of the present step, for the backoff. */
  readonly tries: number;
  /** What the last of them was, for people. */
  readonly trouble: string | null;
  /** Names given to files so far: each upload has one of its own. */
  readonly uploads: number;
  readonly fileId: string | null;
  /** Create intents so far, and when the last one was stored. */
  readonly creates: number;
  readonly createAtMs: EpochMs | null;
  readonly providerBatchId: string | null;
  /** Only there when true: it was adopted by its size and time, and its results have yet to show a line of ours. */
  readonly unproven?: true;
  /** What the provider said last. */
  readonly seen: SeenBatch | null;
  readonly parts: readonly ResultPart[];
  readonly cursor: ResultsCursor | null;
  /** Whole reads of the results. */
  readonly passes: number;
  readonly cancelAskedAtMs: EpochMs | null;
  readonly refusal: BatchRefusal | null;
  /** Lines that ended, by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly erasedAtMs: EpochMs | null;
}

export interface SeenBatch {
  readonly state: ProviderBatchState;
  /** The provider's word when this version does not know it. */
  readonly unknownWord: string | null;
  readonly counts: BatchCounts;
  readonly atMs: EpochMs;
}

/** A batch before its first line is bound. Due at once: whoever finds it after a kill seals what is bound. `lines` and `tokens` are what it may get. */
export function newBatch(
  wanted: Pick<
    Batch,
    "no" | "account" | "provider" | "pool" | "way" | "lineFormat" | "model" | "createdAtMs" | "lines" | "tokens"
  >,
): Batch {
  const { no, account, provider, pool, way, lineFormat, model, createdAtMs, lines, tokens } = wanted;
  return {
    ...{ no, account, provider, pool, way, lineFormat, model, createdAtMs, lines, tokens },
    version: 0,
    state: "building",
    linesBytes: 0,
    sealedAtMs: null,
    submittedAtMs: null,
    expectedAtMs: null,
    endedAtMs: null,
    doneAtMs: null,
    nextAtMs: createdAtMs,
    tries: 0,
    trouble: null,
    uploads: 0,
    fileId: null,
    creates: 0,
    createAtMs: null,
    providerBatchId: null,
    seen: null,
    parts: [],
    cursor: null,
    passes: 0,
    cancelAskedAtMs: null,
    refusal: null,
    outcomes: {},
    erasedAtMs: null,
  };
}

/** How people and records name a batch. */
export function batchId(no: number): string {
  return `b-${String(no)}`;
}

/** The number in such a name; null for any other text. */
export function parseBatchId(text: string): number | null {
  const no = /^b-([1-9]\d{0,15})$/.exec(text)?.[1];
  return no === undefined || !Number.isSafeInteger(Number(no)) ? null : Number(no);
}

/** The mark of the last create intent at the provider. With the batch's time in it, so that another ledger's batch of this number has another. */
export function batchMark({ no, createdAtMs, creates }: Pick<Batch, "no" | "createdAtMs" | "creates">): string {
  return `sluice-${String(no)}-${createdAtMs.toString(36)}-${String(creates)}`;
}

/** The name of the last upload's file: 1 to 40 of `[a-z0-9-]`. */
export function batchFileName({ no, createdAtMs, uploads }: Pick<Batch, "no" | "createdAtMs" | "uploads">): string {
  return `sluice-${String(no)}-${createdAtMs.toString(36)}-${String(uploads)}`;
}
