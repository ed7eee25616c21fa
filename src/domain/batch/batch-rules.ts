import type { RequestFormat } from "../job/job.js";

/**
 * What a provider's batch API demands and promises, as data: packing, reconciling and pricing read it, nobody asks which provider it is.
 * The numbers are the provider's own; an operator's lower ones are the config's.
 */

/**
 * How lines reach the provider: in a file that is uploaded first, or inside the create call; `calls`: it has no batch API, so that each line
 * is a direct call in the background (see `GROUP_WAY`).
 */
export type BatchWay = "file" | "inline" | "calls";

/**
 * What makes a second create harmless when it is not known whether the first arrived:
 * - `delete_file`: the input file is deleted, so that a late create must fail
 * - `idempotent_token`: the same token again makes no second batch
 * - `none`: nothing does; only waiting helps
 */
export type BatchFence = "delete_file" | "idempotent_token" | "none";

/** Limits of one way. A batch takes `frameBytes` + the sum over its lines of (bytes + 1), at most `bytesMax`. */
export interface BatchWayRules {
  readonly way: BatchWay;
  readonly fence: BatchFence;
  /** Null: no count is documented. */
  readonly linesMax: number | null;
  readonly bytesMax: number;
  /** Without the byte that separates lines. */
  readonly lineBytesMax: number;
  /** Most bytes around the lines. */
  readonly frameBytes: number;
  /** Most embedding inputs over all lines of a batch; null: not limited by itself. */
  readonly embeddingInputsMax: number | null;
}

export interface BatchRules {
  /** Preferred first. */
  readonly ways: readonly BatchWayRules[];
  /** Formats at the provider that may be batched. */
  readonly formats: readonly RequestFormat[];
  /** Whether all lines of a batch must have the same format at the provider, and the same model. */
  readonly alike: { readonly format: boolean; readonly model: boolean };
  /** What a line's id may look like. */
  readonly customIdForm: RegExp;
  /** Longest text of ours that the provider keeps on a batch and lists; null: it keeps none, so batches are told apart by size and time. */
  readonly markCharactersMax: number | null;
  /** What the provider's list can leave out by itself. `none`: all of it is paged through and compared here. */
  readonly listFilter: "none" | "created_after" | "mark";
  /** When a batch ends by itself at the latest. */
  readonly windowMs: number;
  /** Whether lines that were done before the window ran out are handed over. */
  readonly expiredKeepsResults: boolean;
  readonly resultsKeptMs: number;
  /** What the provider limits over all batches of an account that wait or run. */
  readonly allowance: "enqueued_tokens" | "queued_lines";
  /** Null: not limited. */
  readonly openBatchesMax: number | null;
  readonly createsPerHourMax: number | null;
  readonly discount: BatchDiscount;
}

/** Off the list price of input and output; the price table's own batch prices go before it. */
export interface BatchDiscount {
  readonly percent: number;
  /** `discounted`: the cache price gets it too; `listed`: only a model's listed batch cache price counts; `undiscounted`: the normal cache price. */
  readonly cachedInput: "discounted" | "listed" | "undiscounted";
}
