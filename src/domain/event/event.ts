import type { EpochMs } from "../ids.js";

export type EventSeverity = "info" | "warning" | "critical";

/** The kinds of events and how loud each is. A closed list here; readers outside must take an unknown word as "other". */
export const EVENT_KINDS = {
  /** A call that may have been billed and whose outcome nobody knows. */
  "attempt.in_doubt": "warning",
  /** Such a doubt ended by policy; the cost stays open until it is reconciled. */
  "attempt.settled": "warning",
  /** A record with a known job id and another body. */
  "job.id_conflict": "warning",
  "position.truncated": "critical",
  "position.other_topic": "critical",
  "position.gap": "critical",
  "batch.submitted": "info",
  "batch.ended": "info",
  /** The provider takes it not at all; its lines are decided anew. */
  "batch.refused": "warning",
  /** Its creation was sent and not answered. */
  "batch.doubt": "warning",
  /** It was found at the provider after such a doubt. */
  "batch.adopted": "warning",
  /** More than one batch at the provider may be it: a person has to look. */
  "batch.held": "critical",
  /** It should have ended long ago, is no longer there, or says what this version does not know. */
  "batch.stuck": "critical",
  /** A result that nobody asked for. */
  "batch.unknown_line": "critical",
  /** Calls were made beside lines of it, for deadlines that it may miss. */
  "batch.rescued": "warning",
  /** Lines whose results the provider has lost. */
  "batch.lines_lost": "critical",
  /** A batch whose creation was given up turned up all the same. */
  "batch.orphan_found": "critical",
  /** Two different results for one line; the first stands. */
  "result.conflict": "critical",
  /** No call goes to a model at an account, or to a whole account, for now. */
  "breaker.opened": "warning",
  "breaker.closed": "info",
  "operator.cancelled": "info",
  "operator.replayed": "info",
  "operator.discarded": "info",
  "operator.resolved": "info",
  "operator.adopted": "info",
  /** Says its own severity; each alert once, until it has recovered. */
  "alert.raised": "warning",
  "alert.recovered": "info",
} as const satisfies Record<string, EventSeverity>;
export type EventKind = keyof typeof EVENT_KINDS;

/** What somebody must notice. Null: unknown, or not about one. */
export interface GatewayEvent {
  readonly kind: EventKind;
  /** Only there when it is not the kind's own. */
  readonly severity?: EventSeverity;
  /** A sentence for people; never holds a prompt or an answer. */
  readonly message: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly generation: number | null;
  /** Only there when it is about a batch: our name for it. */
  readonly batchId?: string;
  readonly provider: string | null;
  readonly account: string | null;
  /** Facts as text: numbers decimal, times ISO 8601. */
  readonly details: Readonly<Record<string, string>>;
  readonly atMs: EpochMs;
}

/** The job that an event is about, as far as it is known. */
export interface EventSubject {
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly generation: number | null;
}

export const NO_SUBJECT: EventSubject = { tenant: null, jobId: null, generation: null };

/** Of an execution: its tenant, and the job that opened it. */
export function subjectOf(opened: {
  readonly tenant: string;
  readonly payer: { readonly jobId: string; readonly generation: number } | null;
}): EventSubject {
  const { tenant, payer } = opened;
  return { tenant, jobId: payer?.jobId ?? null, generation: payer?.generation ?? null };
}
