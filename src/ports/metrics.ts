import type { Stage } from "../domain/stage.js";

/**
 * What the gateway counts, by name and labels. Label values are bounded: topics and accounts by the config, the rest by closed lists;
 * tenants beyond a number are counted as `other`. Never a job id, an offset or a message text. The one list with help texts and
 * buckets is in the adapter, which does not compile when it misses a name of these.
 */

export type RecordResult = "accepted" | "duplicate" | "refused" | "cancel" | "redelivered";
/** What became of a batch. `absent`: its creation was given up; `orphan`: such a one turned up. */
export type BatchBecame = "submitted" | "adopted" | "refused" | "absent" | "orphan" | "ended" | "done";
export type QuarantineReason = "unknown_id" | "repeated" | "conflict" | "malformed";
export type BackpressureReason = "pending_jobs" | "pending_bytes" | "outbox_rows";

/** Only ever grow; the number given is added. */
export interface CounterLabels {
  readonly sluice_records_total: { readonly topic: string; readonly result: RecordResult };
  readonly sluice_jobs_accepted_total: { readonly tenant: string };
  readonly sluice_jobs_ended_total: { readonly status: "succeeded" | "failed" | "expired" | "cancelled" };
  readonly sluice_attempts_total: { readonly account: string; readonly outcome: string };
  readonly sluice_outbox_records_total: { readonly topic: string };
  readonly sluice_dead_letters_total: { readonly code: string };
  readonly sluice_cost_nano_usd_total: { readonly tenant: string };
  readonly sluice_coalesced_total: NoLabels;
  readonly sluice_cache_answers_total: NoLabels;
  readonly sluice_in_doubt_total: { readonly account: string };
  readonly sluice_other_model_total: { readonly account: string };
  readonly sluice_schemas_unusable_total: { readonly because: string };
  readonly sluice_refused_outcomes_total: { readonly account: string };
  readonly sluice_unwritten_attempts_total: { readonly account: string };
  readonly sluice_executions_set_aside_total: NoLabels;
  readonly sluice_headers_dropped_total: NoLabels;
  readonly sluice_consumer_restarts_total: NoLabels;
  readonly sluice_batches_total: { readonly account: string; readonly became: BatchBecame };
  readonly sluice_batch_lines_total: { readonly account: string; readonly outcome: string };
  readonly sluice_batch_quarantined_total: { readonly account: string; readonly because: QuarantineReason };
  readonly sluice_rescues_total: { readonly account: string };
  readonly sluice_relay_failures_total: { readonly topic: string };
  readonly sluice_alert_notices_total: { readonly outcome: "delivered" | "failed" | "given_up" };
  readonly sluice_breaker_openings_total: { readonly account: string };
}

/** Go up and down; the number given replaces the last. */
export interface GaugeLabels {
  readonly sluice_unanswered_jobs: NoLabels;
  readonly sluice_pending_jobs: NoLabels;
  readonly sluice_pending_bytes: NoLabels;
  readonly sluice_outbox_rows: NoLabels;
  readonly sluice_oldest_runnable_seconds: NoLabels;
  readonly sluice_free_slots: { readonly account: string };
  readonly sluice_backpressure: { readonly reason: BackpressureReason };
  readonly sluice_batches: { readonly account: string; readonly state: string };
  readonly sluice_batch_waiting_lines: { readonly account: string };
  readonly sluice_live_routers: NoLabels;
  readonly sluice_alerts: { readonly rule: string };
  readonly sluice_limits_shared: NoLabels;
  readonly sluice_breaker_state: { readonly account: string; readonly model: string };
  readonly sluice_build_info: { readonly version: string };
}

/** Distributions; the number given is one observation. */
export interface HistogramLabels {
  readonly sluice_group_size: { readonly stage: Stage };
  readonly sluice_group_seconds: { readonly stage: Stage };
  readonly sluice_call_seconds: { readonly account: string };
  readonly sluice_job_seconds: NoLabels;
  readonly sluice_batch_turnaround_seconds: { readonly account: string };
}

export type NoLabels = Readonly<Record<string, never>>;

/** Cheap enough for the hot path when it is given a group's sums instead of each job. Never throws. */
export interface Metrics {
  /** Adds `by`, at least 0; 1 when left out. */
  count<Name extends keyof CounterLabels>(name: Name, labels: CounterLabels[Name], by?: number): void;
  set<Name extends keyof GaugeLabels>(name: Name, labels: GaugeLabels[Name], value: number): void;
  /** Seconds for `_seconds`, a number of jobs for `_size`. */
  observe<Name extends keyof HistogramLabels>(name: Name, labels: HistogramLabels[Name], value: number): void;
}
