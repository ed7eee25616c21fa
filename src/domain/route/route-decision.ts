/** Why a job was given to a batch or to a call of its own, with the numbers that decided. For `jobs show` and, when asked for, the result. */
export interface RouteDecision {
  readonly mode: "direct" | "batch";
  readonly account: string;
  readonly model: string;
  /** In words: "a batch is half the price and ends in time". */
  readonly because: string;
  /** Milliseconds, nano-dollars, tokens, as the names say; null: unknown. */
  readonly numbers: {
    readonly leftMs: number;
    readonly turnaroundP95Ms: number | null;
    readonly fillMs: number | null;
    readonly directMaxNanoUsd: string | null;
    readonly batchMaxNanoUsd: string | null;
    readonly tokens: number | null;
    readonly headroomTokens: number | null;
  };
}
