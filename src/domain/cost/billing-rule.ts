import { chargeNanoUsd, type Charge } from "./charge.js";
import type { ModelPrice } from "./price.js";
import type { Usage } from "./usage.js";

/**
 * What a provider charges for work that did not end with a full answer, as data: one rule a kind of provider, from its own pages. The
 * ledger books by this rule, whatever the outcome is to us.
 */
export interface BillingRule {
  /** An error status in the place of an answer. */
  readonly error: Billed;
  /** An answer of status 200 that is a refusal, was cut by a filter, or says that the prompt was blocked. */
  readonly refused: Billed;
  /** A line of a batch that failed, that the window ran out for, that was cancelled before it ran. */
  readonly line: { readonly failed: Billed; readonly expired: Billed; readonly cancelled: Billed };
  /** Where it is said, and when it was read. */
  readonly source: string;
}

/** `by_usage`: the tokens it reports, at the model's price; `unknown`: nothing is said, so the cost stays open within its bound. */
export type Billed = "by_usage" | "free" | "unknown";

/** The charge by one entry of a rule. Usage that is not reported leaves a charge by usage suspect. */
export function chargeBy(billed: Billed, usage: Usage, price: ModelPrice): Charge {
  switch (billed) {
    case "by_usage":
      return chargeNanoUsd(usage, price);
    case "free":
      return { kind: "charged", nanoUsd: 0n };
    case "unknown":
      return { kind: "suspect", because: "the provider does not say whether it charges for this" };
  }
}
