import type { AttemptOutcome } from "../domain/failure.js";
import type { RequestFormat } from "../domain/job/job.js";
import type { ProviderKind } from "../domain/route/route.js";
import type { ProviderAnswer } from "../ports/provider.js";
import type { FaultRule } from "./simulated.js";

/** A provider as the matrix calls it: its simulated server, and models of it that can do what the rows ask for. */
export interface MatrixProvider {
  readonly name: string;
  readonly kind: ProviderKind;
  readonly model: string;
  /** Null: it embeds nothing. */
  readonly embeddingModel: string | null;
  /** Formats of chats, its own first. */
  readonly chatFormats: readonly RequestFormat[];
  readonly embeddingFormats: readonly RequestFormat[];
}

/** What an answer must be. Left out: not looked at. */
export interface AnsweredExpectation {
  readonly kind: "answered";
  readonly finishReason?: ProviderAnswer["finishReason"];
  /** The prompt's texts: the answer must hold their digest, so each of them has reached the provider unchanged and in order. */
  readonly promptTexts?: readonly string[];
  /** The tool that must be called, with arguments that hold these members of these types. */
  readonly tool?: { readonly name: string; readonly members: Readonly<Record<string, "string" | "number">> };
  /** Members, of these types, of the JSON value that the answer's text must be. */
  readonly json?: Readonly<Record<string, "string" | "number">>;
  readonly vectors?: { readonly count: number; readonly dimensions: number };
  readonly suspect?: boolean;
  readonly empty?: boolean;
  /** Whether the provider's own id of the request must be known. */
  readonly requestId?: true;
}

export interface FailedExpectation {
  readonly kind: "failed";
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly sent?: "no" | "perhaps" | "answered";
  /** Milliseconds, give or take a second for dates; null: none may be told. */
  readonly retryAfterMs?: number | null;
}

export interface DirectRow {
  readonly name: string;
  readonly format: RequestFormat;
  readonly model: string;
  readonly body: unknown;
  readonly faults: readonly FaultRule[];
  readonly expected: AnsweredExpectation | FailedExpectation;
  /** Rows of the provider's bill that the call must leave. */
  readonly billedRows: 0 | 1;
  readonly timeoutMs?: number;
}

/** What became of a batch's lines, by the ids a to e of its five lines. */
export interface BatchRow {
  readonly name: string;
  readonly way: "inline" | "file";
  readonly faults: readonly FaultRule[];
  /** Ids of lines whose body the provider refuses. */
  readonly badLines?: readonly string[];
  readonly cancel?: boolean;
  readonly expected: BatchExpectation;
}

export interface BatchExpectation {
  /** Null: the creation itself must be refused, or its answer lost. */
  readonly state: "completed" | "failed" | "expired" | "cancelled" | null;
  readonly created?: "refused" | "unclear";
  readonly refusedBecause?: string;
  /** Ids with an answer, ids that failed with this outcome. The other lines must be missing from the results. Null: only that each line came to one end. */
  readonly answered: readonly string[] | null;
  readonly failed?: Readonly<Record<string, Exclude<AttemptOutcome, "succeeded">>>;
  /** Items of the results that are no line of ours, by kind, at least. */
  readonly odd?: Readonly<Partial<Record<"malformed" | "gone" | "repeated" | "unknown", number>>>;
  /** Words of a state that this version must not know. */
  readonly unknownWord?: boolean;
}

export interface RowResult {
  readonly provider: string;
  readonly row: string;
  /** Empty: it holds. */
  readonly problems: readonly string[];
}
