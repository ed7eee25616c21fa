/** What a provider says of one of its limits beside an answer. Null: not said. */
export interface RateLimitReading {
  /** The limit's name at the provider: `requests`, `tokens`, `input-tokens`, … */
  readonly name: string;
  readonly limit: number | null;
  readonly remaining: number | null;
  /** Milliseconds until it is full again. */
  readonly resetMs: number | null;
}

/** A count of a header; null when it is none. */
export function headerCount(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
