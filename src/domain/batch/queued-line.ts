import type { EpochMs } from "../ids.js";
import type { RequestFormat } from "../job/job.js";
import type { ProviderKind } from "../route/route.js";
import type { BatchRules, BatchWay } from "./batch-rules.js";

/** An execution that waits for a batch, as the line that it will be. */
export interface QueuedLine {
  readonly account: string;
  readonly provider: ProviderKind;
  /** The model's name at the provider. */
  readonly model: string;
  /** Place of the route in the plan. */
  readonly routeIndex: number;
  readonly way: BatchWay;
  readonly lineFormat: RequestFormat;
  /** Encoded, without its id and the byte that separates lines: ids differ in length, and this line has none yet. */
  readonly bytes: number;
  /** Estimated prompt tokens, never null: unknown counts as a token per byte. */
  readonly tokens: number;
  readonly embeddingInputs: number;
  /** Equal for lines whose prompts begin alike: they lie side by side in a batch. A whole number of 53 bits. */
  readonly prefix: number;
  /** Upper bound of what the line may cost, nano-dollars. */
  readonly maxNanoUsd: bigint;
  /** At the latest then it has to be in a batch, else it is decided anew: later no batch would make its deadline. */
  readonly lookAtMs: EpochMs;
}

/** A line and the word for those that it may share a batch with. */
export interface PooledLine {
  readonly pool: string;
  readonly line: QueuedLine;
}

/** The account in a pool's word; names of accounts hold no bar. */
export function accountOfPool(pool: string): string {
  return pool.slice(0, pool.indexOf("|"));
}

/** What lines that may share a batch have in common, as one word; the account's rules say which of the parts count. */
export function poolOf(
  line: Pick<QueuedLine, "account" | "way" | "lineFormat" | "model">,
  alike: BatchRules["alike"],
): string {
  return [line.account, line.way, alike.format ? line.lineFormat : "*", alike.model ? line.model : "*"].join("|");
}

/** The model of all lines in a pool of this name; null where they may differ. */
export function modelOfPool(pool: string): string | null {
  const model = pool.split("|").slice(3).join("|");
  return model === "*" ? null : model;
}
