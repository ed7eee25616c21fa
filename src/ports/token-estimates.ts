import type { RequestFacts } from "../domain/route/request-facts.js";
import type { Route } from "../domain/route/route.js";
import type { ModelAt } from "../domain/tokens/prompt-estimate.js";

/**
 * Estimates prompts before they are sent, and learns from what providers count. For where it matters only: a window that is near, a limit
 * of tokens. Never for money, which is reserved by the byte. Nothing waits; a prompt that was not estimated before takes a millisecond or so.
 */
export interface TokenEstimates {
  /** What any model counts at least, as good as surely; the same for the same request each time. */
  readonly atLeast: (facts: RequestFacts) => number;
  /** What this model is expected to count, by what it counted of late; a whole number from 1 up. */
  readonly promptTokens: (facts: RequestFacts, at: ModelAt & Pick<Route, "unseen">) => number;
  /** What a provider counted for a body. Does nothing for one that was not estimated lately, so it may be told of each answer. */
  readonly learn: (bodyText: string, at: ModelAt, inputTokens: number) => void;
}
