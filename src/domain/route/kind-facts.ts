import type { BatchRules } from "../batch/batch-rules.js";
import type { BillingRule } from "../cost/billing-rule.js";
import type { RequestFormat } from "../job/job.js";
import type { ModelRule } from "./model-rule.js";
import type { RefusedMembers } from "./refused-members.js";
import type { ProviderKind, UnseenTokens } from "./route.js";

/** What is true of every account of one kind of provider. The adapters' registry holds one of these for each. */
export interface KindFacts {
  /** Its word in the config, the price table, results and cost records. */
  readonly kind: ProviderKind;
  /** Formats that it speaks without translation, at most one of a family. */
  readonly formats: readonly RequestFormat[];
  /** A server of one's own: it has no listed prices and no address of its own, and its key may be left out. */
  readonly selfHosted: boolean;
  readonly unseen: UnseenTokens;
  readonly sampling: SamplingFacts;
  /** In what its models differ. */
  readonly models: readonly ModelRule[];
  /** What it refuses of its format from any model; left out: nothing. */
  readonly refuses?: RefusedMembers;
  readonly billing: BillingRule;
  /** What its batch API demands; left out: it has none, or its adapter has no batch side yet. */
  readonly batch?: BatchRules;
}

/** How its models that take no sampling parameters behave. */
export interface SamplingFacts {
  /** Whether they take the values that change nothing, such as a temperature of 1. */
  readonly neutralTaken: boolean;
  /** Whether reasoning models are among them though the price table doesn't say so. */
  readonly reasoningRefuses: boolean;
}
