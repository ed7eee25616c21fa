/** What an execution in the queue waits for, in the ledger's words. */
export type WaitReason =
  "concurrency" | "batch_fill" | "retry_after" | "backoff" | "breaker" | "doubt" | "budget" | "operator";

/** The same in the words that people see (contract.md, "What people see"); null: its state says it already. */
const SEEN_WAITS = {
  concurrency: "concurrency",
  batch_fill: "batch_fill",
  retry_after: "retry_after",
  /** A wait between two tries is one thing to people, whoever set its length. */
  backoff: "retry_after",
  breaker: "breaker",
  doubt: null,
  budget: "budget",
  operator: "operator",
} as const satisfies Record<WaitReason, string | null>;
export type SeenWait = NonNullable<(typeof SEEN_WAITS)[WaitReason]>;

/** The word for what a job waits for; null when its state, `in_doubt`, says so. */
export function seenWait(reason: WaitReason): SeenWait | null {
  return SEEN_WAITS[reason];
}
