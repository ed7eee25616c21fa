import { faultOf, type AttemptOutcome } from "../failure.js";

/**
 * What the outcome of a call says of the provider's health.
 * - `answered`: it served the call
 * - `alive`: it turned the call down for what was asked, or for how much: it is there, and that is all it says
 * - `poor`: it answered, and the answer was of no use to the job
 * - `failed`: it did not serve a call that it should have served
 * - `model_barred`, `account_barred`: no call of the model, or of the account, is served until a person has done something
 * - `nothing`: the outcome is our own doing
 */
export type Blame = "answered" | "alive" | "poor" | "failed" | "model_barred" | "account_barred" | "nothing";

/** The one table: a new outcome does not compile until somebody has decided whose fault it is. `blameOf` corrects it by the wire. */
export const OUTCOME_BLAME = {
  succeeded: "answered",
  /** The limiter's matter: who opens for it would stop what may still go. */
  rate_limited: "alive",
  overloaded: "failed",
  timed_out: "failed",
  connection_failed: "failed",
  bad_response: "failed",
  bad_answer: "poor",
  refused: "alive",
  content_refused: "alive",
  context_too_long: "alive",
  auth_failed: "account_barred",
  quota_exhausted: "account_barred",
  line_expired: "nothing",
  line_missing: "nothing",
  cancelled: "nothing",
  in_doubt: "nothing",
  unclassified: "nothing",
} as const satisfies Record<AttemptOutcome, Blame>;

export interface OutcomeFacts {
  readonly outcome: AttemptOutcome;
  /** Whether bytes may have reached the provider. */
  readonly sent: "no" | "perhaps" | "answered";
  /** Status of the provider's answer; null without one. */
  readonly httpStatus: number | null;
}

/**
 * A key that may not use one model (403) says nothing of the others. A model or a path that is not there (404, 501) was asked for by name:
 * a mistake of whoever asked. Waiting in vain for a socket of our own is our own doing. An unknown status is the provider's fault from 500 on.
 */
export function blameOf({ outcome, sent, httpStatus }: OutcomeFacts): Blame {
  if (outcome === "auth_failed" && faultOf(outcome, httpStatus) === "model")
    return httpStatus === 403 ? "model_barred" : "alive";
  if (outcome === "timed_out" && sent === "no") return "nothing";
  if (outcome === "unclassified" && httpStatus !== null) return httpStatus >= 500 ? "failed" : "alive";
  return OUTCOME_BLAME[outcome];
}
