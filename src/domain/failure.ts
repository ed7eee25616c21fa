/**
 * What can go wrong with a job, in three closed lists, and the one table that says what follows.
 *
 * An *outcome* is what one attempt came to; an *error code* is what the job's result says; an *error class* is the
 * group that consumers branch on (contract.md, "Error codes").
 */

/** What one attempt at a provider came to. Readers outside must take an unknown word as "other". */
export const ATTEMPT_OUTCOMES = [
  "succeeded",
  "rate_limited",
  "overloaded",
  "timed_out",
  "connection_failed",
  "bad_response",
  "bad_answer",
  "refused",
  "content_refused",
  "context_too_long",
  "auth_failed",
  "quota_exhausted",
  "line_expired",
  "line_missing",
  "cancelled",
  "in_doubt",
  "unclassified",
] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

export type ErrorClass =
  "rejected" | "caller" | "budget" | "deadline" | "capacity" | "provider" | "in_doubt" | "cancelled" | "internal";

/**
 * Each code with its class, whether an operator may replay a job that ended so, and what is published for it: a failed result (`result`), a dead
 * letter (`deadLetter`), or both.
 */
export interface ErrorCodeFacts {
  readonly class: ErrorClass;
  readonly result: boolean;
  readonly deadLetter: boolean;
  readonly replayable: boolean;
}

const deadLetterOnly = (errorClass: ErrorClass): ErrorCodeFacts =>
  ({ class: errorClass, result: false, deadLetter: true, replayable: false }) as const;
const both = (errorClass: ErrorClass, replayable: boolean): ErrorCodeFacts =>
  ({ class: errorClass, result: true, deadLetter: true, replayable }) as const;

/** Without a letter there is nothing to replay. */
const resultOnly = (errorClass: ErrorClass): ErrorCodeFacts =>
  ({ class: errorClass, result: true, deadLetter: false, replayable: false }) as const;

export const ERROR_CODES = {
  TENANT_MISMATCH: deadLetterOnly("rejected"),
  BAD_SIGNATURE: deadLetterOnly("rejected"),
  ID_CONFLICT: deadLetterOnly("rejected"),
  REPLY_NOT_ALLOWED: deadLetterOnly("rejected"),
  BAD_JSON: deadLetterOnly("caller"),
  BAD_AVRO: deadLetterOnly("caller"),
  BAD_UTF8: deadLetterOnly("caller"),
  BAD_UNICODE: deadLetterOnly("caller"),
  NULL_VALUE: deadLetterOnly("caller"),
  TOO_LARGE: deadLetterOnly("caller"),
  TOO_DEEP: deadLetterOnly("caller"),
  UNKNOWN_SCHEMA: deadLetterOnly("caller"),
  BAD_JOB: both("caller", false),
  BAD_DEADLINE: both("caller", false),
  UNKNOWN_MODEL: both("caller", false),
  NO_ROUTE: both("caller", true),
  CONTEXT_TOO_LONG: both("caller", true),
  CONTENT_REFUSED: both("caller", true),
  PROVIDER_REFUSED: both("caller", true),
  BUDGET_EXCEEDED: both("budget", true),
  DEADLINE_EXCEEDED: both("deadline", true),
  NO_ROUTE_IN_TIME: both("deadline", true),
  PROVIDER_UNAVAILABLE: both("capacity", true),
  RESULT_TOO_LARGE: resultOnly("capacity"),
  PROVIDER_BAD_RESPONSE: both("provider", true),
  PROVIDER_LOST: both("provider", true),
  BAD_ANSWER: both("provider", true),
  IN_DOUBT: both("in_doubt", true),
  CANCELLED: resultOnly("cancelled"),
  NO_PRICE: both("internal", true),
  CRASH_SUSPECT: both("internal", true),
  INTERNAL: both("internal", true),
  REPLY_UNDELIVERABLE: { class: "internal", result: false, deadLetter: true, replayable: true },
} as const satisfies Record<string, ErrorCodeFacts>;
export type ErrorCode = keyof typeof ERROR_CODES;

/** Why a job failed, as its result and dead letter tell it. `message` says what was expected, what came, what to do. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly provider: ProviderError | null;
  readonly retryAtMs: number | null;
}

/** Of a job whose execution was dropped as one that nobody waits for. That is a bug, and no reason to let the job wait for ever. */
export const LEFT_BEHIND: Failure = {
  code: "INTERNAL",
  message: "the gateway lost sight of the job while it waited, so there is no answer; it can be replayed",
  provider: null,
  retryAtMs: null,
};

/** The provider's own words beside ours, for its support desk. `code` is its error type or code, never a message text. */
export interface ProviderError {
  readonly status: number | null;
  readonly code: string | null;
  readonly requestId: string | null;
}

/**
 * What follows an attempt that did not succeed.
 * - `next_route`: the next candidate of the alias at once, and when none is left the same ones again after a wait
 * - `next_or_wait`: the same, but when none is left this candidate again after its Retry-After, else backoff
 * - `wider_route`: the next candidate with a larger context window; the end when there is none
 * - `same_route`: this one again at once: its batch ended without it, and whether in a batch or by a call is decided anew
 * - `same_route_once`: the same, but the end when it came to the same before
 * - `by_policy`: the end, or the next candidate at another account, as the config says
 * - `stop`: the job fails now: sending the same request again can't help
 * - `doubt`: the attempt may have been billed; it is settled after the grace (design.md, "Doubt ends")
 */
export type AfterFailure =
  "next_route" | "next_or_wait" | "wider_route" | "same_route" | "same_route_once" | "by_policy" | "stop" | "doubt";

export type FaultOf = "account" | "model";

export interface FailurePolicy {
  readonly then: AfterFailure;
  /**
   * Whose fault it is, where the status says nothing else (`faultOf`): after one of the account, no other model of that account is tried
   * for the same cause, unless nothing else is left and after a wait.
   */
  readonly of: FaultOf;
  /** Only there when true: the account, or the model, serves no call before a person has done something. */
  readonly bars?: true;
  /** What the job's result says when this was the last attempt. */
  readonly code: ErrorCode;
  readonly log: "debug" | "info" | "warn" | "error";
}

/** The one table: an outcome without a decision does not compile. No default arm. */
export const FAILURE_POLICY = {
  rate_limited: { then: "next_or_wait", of: "account", code: "PROVIDER_UNAVAILABLE", log: "info" },
  overloaded: { then: "next_route", of: "account", code: "PROVIDER_UNAVAILABLE", log: "warn" },
  timed_out: { then: "doubt", of: "account", code: "IN_DOUBT", log: "warn" },
  connection_failed: { then: "next_route", of: "account", code: "PROVIDER_UNAVAILABLE", log: "warn" },
  bad_response: { then: "doubt", of: "account", code: "PROVIDER_BAD_RESPONSE", log: "warn" },
  bad_answer: { then: "next_route", of: "model", code: "BAD_ANSWER", log: "info" },
  refused: { then: "stop", of: "model", code: "PROVIDER_REFUSED", log: "info" },
  content_refused: { then: "by_policy", of: "account", code: "CONTENT_REFUSED", log: "info" },
  context_too_long: { then: "wider_route", of: "model", code: "CONTEXT_TOO_LONG", log: "info" },
  auth_failed: { then: "next_route", of: "account", bars: true, code: "PROVIDER_UNAVAILABLE", log: "error" },
  quota_exhausted: { then: "next_route", of: "account", bars: true, code: "PROVIDER_UNAVAILABLE", log: "error" },
  line_expired: { then: "same_route", of: "model", code: "PROVIDER_UNAVAILABLE", log: "info" },
  line_missing: { then: "same_route_once", of: "model", code: "PROVIDER_LOST", log: "error" },
  cancelled: { then: "same_route", of: "model", code: "PROVIDER_UNAVAILABLE", log: "info" },
  in_doubt: { then: "doubt", of: "account", code: "IN_DOUBT", log: "warn" },
  unclassified: { then: "next_route", of: "account", code: "PROVIDER_BAD_RESPONSE", log: "error" },
} as const satisfies Record<Exclude<AttemptOutcome, "succeeded">, FailurePolicy>;

const OF_ONE_MODEL: ReadonlySet<number | null> = new Set([403, 404, 501]);

/**
 * Whose fault the outcome of a call is: the table's word, corrected by the status of the answer (null: none). A key that may not use one
 * model (403), or a model or path that is not there (404, 501), says nothing of the account's other models.
 */
export function faultOf(outcome: Exclude<AttemptOutcome, "succeeded">, httpStatus: number | null): FaultOf {
  return outcome === "auth_failed" && OF_ONE_MODEL.has(httpStatus) ? "model" : FAILURE_POLICY[outcome].of;
}
