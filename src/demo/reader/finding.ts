/** Everything the reader can object to. Readers of the report take an unknown word as one more objection. */
export type FindingKind =
  | "lost_result"
  | "duplicate_result"
  | "second_generation"
  | "refused_job"
  | "unknown_job"
  | "unreadable_result"
  | "unknown_status"
  | "failed_result"
  | "swapped_answer"
  | "no_digest"
  | "empty_answer"
  | "wrong_result_id"
  | "wrong_format"
  | "wrong_key"
  | "wrong_correlation"
  | "unreadable_cost"
  | "conflicting_cost"
  | "wrong_cost_key"
  | "missing_cost"
  | "second_cost"
  | "second_charge"
  | "wrong_cost"
  | "wrong_tokens"
  | "wrong_model"
  | "wrong_billing"
  | "wrong_list_price"
  | "wrong_mode"
  | "wrong_batch"
  | "charge_without_attempt"
  | "charge_without_bill"
  | "suspect_cost"
  | "doubt_above_maximum"
  | "unclaimed_bill_row"
  | "billed_twice"
  | "sums_differ"
  | "missing_dead_letter"
  | "second_dead_letter"
  | "changed_dead_letter"
  | "unexpected_dead_letter"
  | "unreadable_bill_row";

/** One objection. `jobId` is null when no job can be named. */
export interface Finding {
  readonly kind: FindingKind;
  readonly jobId: string | null;
  readonly detail: string;
}
