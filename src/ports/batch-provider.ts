import type { BatchRules, BatchWay } from "../domain/batch/batch-rules.js";
import type { BatchRefusal, ProviderBatch, ResultPart, ResultsCursor } from "../domain/batch/provider-batch.js";
import type { AttemptOutcome, ProviderError } from "../domain/failure.js";
import type { RequestFormat } from "../domain/job/job.js";
import type { ProviderAnswer } from "./provider.js";

/**
 * Batches at one provider account: work that may wait, grouped, at a lower price.
 *
 * Nothing is sent again in here: what may be repeated (everything but `create`) is repeated by the caller, who knows the deadlines. No method
 * throws for provider trouble; what is thrown comes from the caller's own source of lines. Files are streamed both ways: memory does not
 * grow with a batch.
 */
export interface BatchProvider {
  readonly account: string;
  readonly rules: BatchRules;

  /** Pure. The body inside the line is the one that a direct call of the same job would send. */
  encodeLine(line: BatchLineRequest, way: BatchWay): EncodedLine;

  /** Idempotent in effect: files cost nothing, and one that nobody names is deleted by its name. */
  upload(upload: BatchUpload, limits: CallLimits, signal: AbortSignal): Promise<UploadReply>;
  /** Files that were uploaded under this name since then. Right after an upload the provider may not show it yet. */
  findFiles(
    file: { readonly name: string; readonly sinceMs: number },
    limits: CallLimits,
    signal: AbortSignal,
  ): Promise<FilesReply>;
  /** The fence where `delete_file` is one: after `deleted`, a create that is still on its way must fail. Idempotent. */
  deleteFile(fileId: string, limits: CallLimits, signal: AbortSignal): Promise<DeletedReply>;

  /**
   * Not idempotent (but see `BatchFence`), never repeated in here. Call it after the intent is durable, and once per intent; after `unclear`
   * look with `list` before anything else.
   */
  create(batch: BatchCreate, limits: SendLimits, signal: AbortSignal): Promise<CreateReply>;
  /**
   * One page of the account's batches, newest first, down to `sinceMs`. A fresh batch may be missing for a while: its absence proves
   * nothing before the grace is over.
   */
  list(request: ListRequest, limits: CallLimits, signal: AbortSignal): Promise<ListReply>;
  /** `absent` is no proof either while the batch is young. */
  get(batchId: string, limits: CallLimits, signal: AbortSignal): Promise<GetReply>;
  /** Asks the provider to stop; lines that are done stay and are charged. Idempotent: a batch that has ended is `ended`. */
  cancel(batchId: string, limits: CallLimits, signal: AbortSignal): Promise<CancelReply>;

  /**
   * The lines of an ended batch, in any order, each with a cursor behind it. The last item is `end`, or `broken` when the rest has to be
   * fetched again from its cursor. Lines may repeat after `restarted`, and a provider may repeat or leave out lines: match by id only, the
   * first outcome of an id stands, and a line is missing only when a read from the start has not shown it.
   */
  results(request: ResultsRequest, limits: CallLimits, signal: AbortSignal): AsyncIterable<ResultItem>;
  /** Pure. The answer of a line in the format of its job, or with `unfit` when that can't say it. */
  answerIn(job: JobBody, answer: LineAnswer): ProviderAnswer;

  /** Deletes what the provider keeps of an ended batch: input, results and the batch itself as far as it can be deleted. Idempotent. */
  erase(batch: EraseRequest, limits: CallLimits, signal: AbortSignal): Promise<EraseReply>;
  /** Cuts what is in the air. */
  close(): Promise<void>;
}

export interface CallLimits {
  /** Total time from now until the call is given up, waiting for a socket included; for `results` until the last item, the reader's own time included. */
  readonly timeoutMs: number;
}

export interface SendLimits extends CallLimits {
  /** A create whose first byte has not left this long from now is given up as not sent. */
  readonly sendWithinMs: number;
  /** Asked right before the first byte leaves; false: the create is given up as not sent. */
  readonly maySend: () => boolean;
}

/** What the caller sent. */
export interface JobBody {
  readonly format: RequestFormat;
  readonly bodyText: string;
}

/** One job as a line: its body is translated where the provider speaks another format, and gets model and output cap put in. */
export interface BatchLineRequest extends JobBody {
  /** The line's id at the provider. */
  readonly attemptId: string;
  readonly model: string;
  readonly maxOutputTokensDefault: number;
}

export type EncodedLine =
  | {
      readonly kind: "encoded";
      /** UTF-8 without a line break. What it adds to the batch is one byte more. */
      readonly bytes: Buffer;
      /** Its format at the provider, for `BatchRules.alike`. */
      readonly lineFormat: RequestFormat;
      /** Texts to embed; 0 for all other lines. */
      readonly embeddingInputs: number;
    }
  /** In words, for a routing reason. */
  | { readonly kind: "not_carried"; readonly reasons: readonly string[] };

export interface BatchUpload {
  /** 1 to 40 of `[a-z0-9-]`, no hyphen at either end. Ours alone and new for each upload: the file is found again by it. */
  readonly name: string;
  /** What `encodeLine` made, in order. Pulled as fast as the provider takes it; abort it by the same signal. */
  readonly lines: AsyncIterable<Uint8Array>;
  /** Sum over the lines of (bytes + 1). @throws RangeError out of `upload` and `create` when the lines come to something else. */
  readonly linesBytes: number;
}

/** A call that did not do its work. `sent` tells whether bytes may have reached the provider. */
export interface BatchCallFailure {
  readonly kind: "failed";
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly sent: "no" | "perhaps" | "answered";
  readonly message: string;
  readonly retryAfterMs: number | null;
  readonly provider: ProviderError;
}

export interface StoredFile {
  readonly fileId: string;
  readonly name: string;
  readonly bytes: number | null;
  readonly createdAtMs: number | null;
  /** A batch can be made of a file that is `ready` only. */
  readonly state: "ready" | "processing" | "failed";
}

export type UploadReply = { readonly kind: "uploaded"; readonly file: StoredFile } | BatchCallFailure;
export type FilesReply = { readonly kind: "files"; readonly files: readonly StoredFile[] } | BatchCallFailure;
/** `absent`: the provider knows no such file, which a file that was just uploaded may be too. */
export type DeletedReply = { readonly kind: "deleted" } | { readonly kind: "absent" } | BatchCallFailure;

export interface BatchCreate {
  /** Kept on the batch where the provider can: `[\w.:-]`, at most `markCharactersMax` characters. */
  readonly mark: string;
  readonly lineFormat: RequestFormat;
  /** The model of all lines; null where they may differ. */
  readonly model: string | null;
  readonly input:
    | { readonly way: "file"; readonly fileId: string }
    /** Pulled once, see `BatchUpload`. */
    | { readonly way: "inline"; readonly lines: AsyncIterable<Uint8Array>; readonly linesBytes: number };
}

export type CreateReply =
  | { readonly kind: "created"; readonly batch: ProviderBatch }
  /** The provider said no: there is no batch. */
  | { readonly kind: "refused"; readonly refusal: BatchRefusal }
  /** There may be a batch: bytes left and no usable answer came (`perhaps`), or one that leaves it open (`answered`). */
  | { readonly kind: "unclear"; readonly failure: BatchCallFailure }
  /** No byte left. `stopped`: the signal or `maySend` said so. */
  | { readonly kind: "not_sent"; readonly because: "no_connection" | "stopped"; readonly message: string };

export interface ListRequest {
  /** Batches that were made before it need not be shown. */
  readonly sinceMs: number;
  /** Where the page before left off; null: from the newest. */
  readonly after: string | null;
}

export type ListReply =
  | {
      readonly kind: "page";
      readonly batches: readonly ProviderBatch[];
      /** Null: there is no further one, or all further ones are older than asked for. */
      readonly next: string | null;
    }
  | BatchCallFailure;

export type GetReply =
  { readonly kind: "batch"; readonly batch: ProviderBatch } | { readonly kind: "absent" } | BatchCallFailure;

/** `ended`: there was nothing left to stop; `absent`: no such batch (yet). */
export type CancelReply =
  { readonly kind: "cancelling" } | { readonly kind: "ended" } | { readonly kind: "absent" } | BatchCallFailure;

export interface ResultsRequest {
  readonly batchId: string;
  readonly lineFormat: RequestFormat;
  /** Of the ended batch, see `ProviderBatch.results`. */
  readonly parts: readonly ResultPart[];
  /** Behind the last item that was stored; null: from the start. */
  readonly cursor: ResultsCursor | null;
}

export type ResultItem =
  | {
      readonly kind: "line";
      readonly customId: string;
      readonly outcome: LineOutcome;
      readonly cursor: ResultsCursor;
    }
  | MalformedLine
  /** The part has other bytes than those before the cursor: it is read from its start again. */
  | { readonly kind: "restarted"; readonly part: number }
  /** The provider has the part no more; what it held is lost. The other parts are still read. */
  | { readonly kind: "gone"; readonly part: number; readonly failure: BatchCallFailure; readonly cursor: ResultsCursor }
  | { readonly kind: "broken"; readonly failure: BatchCallFailure; readonly cursor: ResultsCursor | null }
  | { readonly kind: "end"; readonly cursor: ResultsCursor | null };

/** Bytes of a part that are no line with an id. */
export interface MalformedLine {
  readonly kind: "malformed";
  readonly part: number;
  /** From 1, blank lines counted. */
  readonly lineNumber: number;
  readonly byteStart: number;
  /** One past the last. */
  readonly byteEnd: number;
  /** `cut`: the last line of a part, and no whole one; its cursor stands in front of it, so that it is fetched again. */
  readonly because: "cut" | "not_json" | "not_utf8" | "no_id" | "too_long";
  /** The id, where it can be made out all the same: that line was answered, and what it says is lost if fetching it again does not help. */
  readonly customId: string | null;
  readonly cursor: ResultsCursor;
}

export type LineOutcome = LineAnswer | LineFailure;

/** An answer as a direct call would have brought it, in the provider's own format. */
export interface LineAnswer extends ProviderAnswer {
  readonly format: RequestFormat;
}

export interface LineFailure {
  readonly kind: "failed";
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly message: string;
  readonly provider: ProviderError;
  /** `by_rule`: as the provider's billing rule has it for lines that end so. `perhaps`: answered with something that can't be read. */
  readonly billed: "by_rule" | "perhaps";
  /** Only there when the line was longer than this and was left out. */
  readonly cutOffBytes?: number;
}

export interface EraseRequest {
  readonly batchId: string;
  readonly fileId: string | null;
  readonly parts: readonly ResultPart[];
}

export type EraseReply = { readonly kind: "erased" } | BatchCallFailure;
