import { NO_USAGE } from "../../domain/cost/usage.js";
import type { FinishedCall } from "../../ports/ledger.js";

/**
 * A call whose row the ledger refuses, reduced to what can be said of it without anything that the provider sent: it may have been
 * billed, at most its maximum, and is settled like every doubt. A finish with it renders nothing and ends no job, so that neither the
 * answer nor a job can be the reason for a second refusal.
 */
export function asDoubt(call: FinishedCall, nowMs: number, graceMs: number): FinishedCall {
  return {
    ...call,
    outcome: "in_doubt",
    endedAtMs: nowMs,
    requestId: null,
    modelVersion: null,
    usage: NO_USAGE,
    nanoUsd: null,
    summary: { ...call.summary, outcome: "in_doubt", providerRequestId: null },
    earlier: [],
    verdict: { kind: "doubt", settleAtMs: nowMs + graceMs },
  };
}
