/**
 * What a provider's batch API tells the batch engine: how to read a line of its input and how to write one of its results. The engine
 * does the rest (states over simulated time, running lines, billing, faults, restarts); the provider's operations do the wire.
 */
import type { DirectOperation, DirectRequest } from "./direct-operation.js";
import type { ProviderName } from "./price-table.js";
import type { Refusal } from "./refusal.js";

/** Where a batch stands, in OpenAI's words; each provider has its own for the wire. */
export type BatchState =
  "validating" | "in_progress" | "finalizing" | "completed" | "failed" | "expired" | "cancelling" | "cancelled";

/** Why a batch was refused as a whole. */
export type BatchProblem = {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  /** From 1. */
  readonly line: number | null;
};

/** What the engine's own checks find in an input as a whole; the provider words it. */
export type InputProblem =
  | { readonly kind: "empty" }
  | { readonly kind: "too_many_lines"; readonly linesMax: number }
  | { readonly kind: "repeated_id"; readonly customId: string; readonly line: number }
  | { readonly kind: "other_model"; readonly model: string; readonly first: string; readonly line: number }
  /** A line whose refusal refuses the batch (`refusesBatch`). */
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly line: number }
  /** The queue is full: the batch's tokens and those already enqueued are above the limit. */
  | { readonly kind: "queue_full"; readonly model: string; readonly tokensMax: number };

/** One request of a batch. */
export type BatchLine = {
  readonly customId: string;
  readonly operation: DirectOperation;
  readonly request: DirectRequest;
  /** As how many of `linesMax` it counts: 1, or the inputs of an embedding call where the provider counts those. */
  readonly units: number;
};

export type LineOutcome =
  | {
      readonly kind: "succeeded";
      readonly line: number;
      readonly customId: string;
      readonly requestId: string;
      readonly bodyText: string;
    }
  | {
      readonly kind: "refused";
      readonly line: number;
      readonly customId: string;
      readonly requestId: string;
      readonly refusal: Refusal;
    }
  | {
      readonly kind: "expired" | "cancelled";
      readonly line: number;
      readonly customId: string;
      readonly requestId: string;
    };

export type ResultFileName = "output" | "error";

export type BatchApi = {
  /** "openai.batches"; kept with each batch, so that a restarted simulator knows whose it is. */
  readonly name: string;
  readonly provider: ProviderName;
  /** Simulated milliseconds from a batch's creation to its expiry. */
  readonly windowMs: number;
  readonly linesMax: number;
  readonly oneModel: boolean;
  readonly uniqueIds: boolean;
  /** true: a line that can't be read fails the batch at validation; false: it becomes a failed line of its own. */
  readonly unreadableRefusesBatch: boolean;
  /** Whether a line that its operation refuses fails the batch at validation, rather than becoming a failed line. */
  refusesBatch(refusal: Refusal): boolean;
  /** false: an expired batch has no results at all. */
  readonly expiredKeepsResults: boolean;
  /** Reads one line of the input as it is stored; `details` are those given at the batch's creation. */
  readLine(text: string, details: BatchDetails): { readonly line: BatchLine } | { readonly unreadable: UnreadableLine };
  problemOf(problem: InputProblem): BatchProblem;
  /** The provider's error of a line that a fault fails; status 0 is none. */
  refusalFor(status: number, message: string): Refusal;
  /** The line of the results, without a line end, and the file it belongs to; null writes nothing. */
  resultOf(
    outcome: LineOutcome,
    details: BatchDetails,
  ): { readonly file: ResultFileName; readonly text: string } | null;
  /** A result file's id and details; asked for once, before it is written. */
  resultFile(file: ResultFileName, batchId: string, details: BatchDetails): ResultFileMeta;
};

export type ResultFileMeta = {
  readonly id: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** Simulated milliseconds from its creation to its end; null = it stays. */
  readonly keptMs: number | null;
  /** Whether callers find it among their files. */
  readonly listed: boolean;
};

/** The provider's own part of a batch (endpoint, metadata, display name): JSON. */
export type BatchDetails = Readonly<Record<string, unknown>>;

/** `problem` refuses the batch and `refusal` fails the line; which of them counts says `unreadableRefusesBatch`. */
export type UnreadableLine = {
  readonly customId: string | null;
  readonly problem: Omit<BatchProblem, "line">;
  readonly refusal: Refusal;
};
