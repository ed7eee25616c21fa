import type { AttemptOutcome, ProviderError } from "../domain/failure.js";
import type { RequestFormat } from "../domain/job/job.js";
import type { Usage } from "../domain/cost/usage.js";

/** One direct call. `bodyText` is the caller's body, number lexemes kept; the adapter puts model and output cap in. */
export interface ProviderCall {
  readonly attemptId: string;
  readonly format: RequestFormat;
  readonly model: string;
  readonly bodyText: string;
  readonly maxOutputTokensDefault: number;
  /** Total time from now until the call is given up, connect and body included. */
  readonly timeoutMs: number;
  /** A call whose first byte has not left this long from now is given up as not sent; what connects meanwhile serves a later call. */
  readonly sendWithinMs: number;
  /** Asked right before the first byte leaves; false: the call is given up as not sent. */
  readonly maySend: () => boolean;
}

/** An answer in the job's own format, as JSON text, with what the ledger needs read out of it. */
export interface ProviderAnswer {
  readonly kind: "answered";
  readonly bodyText: string;
  readonly finishReason: "stop" | "length" | "tool_calls" | "content_filter" | "refusal" | "other";
  /** The model that answered, as the provider names it; null when it said none. */
  readonly modelVersion: string | null;
  readonly usage: Usage;
  /** True when the reported usage can't be true (negative, not whole, total not the sum): the cost is then suspect. */
  readonly usageSuspect: boolean;
  readonly requestId: string | null;
  /** True when the answer carries no text, no tool call and no vector. */
  readonly empty: boolean;
  /** Only there when the job's format can't say what the provider answered: why not. Then `bodyText` is in the provider's format. */
  readonly unfit?: string;
}

/** A call that brought no usable answer. `sent` tells whether bytes may have reached the provider: only "no" is safe to repeat. */
export interface ProviderFailure {
  readonly kind: "failed";
  readonly outcome: Exclude<AttemptOutcome, "succeeded">;
  readonly sent: "no" | "perhaps" | "answered";
  readonly message: string;
  readonly retryAfterMs: number | null;
  readonly provider: ProviderError;
  /** Only there when a successful answer was longer than this and was cut off there. */
  readonly cutOffBytes?: number;
}

/** A call that was given up before its first byte left: nothing can have been billed, and nothing is known of the provider. */
export interface ProviderNotSent {
  readonly kind: "not_sent";
  /** `no_connection`: there was none within `sendWithinMs`; `stopped`: the signal or `maySend` said so. */
  readonly because: "no_connection" | "stopped";
  readonly message: string;
}

/** Direct calls to one provider account. Never throws for provider trouble; never retries by itself. */
export interface Provider {
  readonly account: string;
  call(call: ProviderCall, signal: AbortSignal): Promise<ProviderAnswer | ProviderFailure | ProviderNotSent>;
  close(): Promise<void>;
}
