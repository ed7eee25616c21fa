/** Prices of one model at one account, integer nano-dollars per million tokens. Null: not listed, and never taken as free. */
export interface ModelPrice {
  /** Identifies the price table and entry that was used, e.g. `2026-11-24/openai/gpt-4.1-mini`. */
  readonly version: string;
  readonly inputNanoPerMillion: bigint;
  readonly outputNanoPerMillion: bigint;
  readonly cachedInputNanoPerMillion: bigint | null;
  readonly cacheWriteNanoPerMillion: bigint | null;
  readonly cacheWrite1hNanoPerMillion: bigint | null;
  /** Rates for the whole request once its input exceeds `aboveTokens`; null when the model has no such step. */
  readonly longContext: LongContextPrice | null;
}

export interface LongContextPrice {
  readonly aboveTokens: number;
  readonly inputNanoPerMillion: bigint;
  readonly outputNanoPerMillion: bigint;
  readonly cachedInputNanoPerMillion: bigint | null;
  /** True: no rates are listed beyond it; the others here are only good for a bound. */
  readonly unpriced?: boolean;
}
