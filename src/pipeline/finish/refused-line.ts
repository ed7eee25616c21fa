import { NO_USAGE } from "../../domain/cost/usage.js";
import type { FinishedCall } from "../../ports/ledger.js";

/**
 * A line of a batch whose row the ledger refuses, without anything that the provider sent. It was answered, so it is no doubt that could
 * be settled: its cost stays open within its bound, and its jobs fail.
 */
export function asUnreadable(line: FinishedCall): FinishedCall {
  return {
    ...line,
    outcome: "bad_response",
    requestId: null,
    modelVersion: null,
    usage: NO_USAGE,
    nanoUsd: null,
    summary: { ...line.summary, outcome: "bad_response", providerRequestId: null },
    verdict: {
      kind: "fail",
      failure: {
        code: "PROVIDER_BAD_RESPONSE",
        message: "the answer came and could not be stored",
        provider: null,
        retryAtMs: null,
      },
      answer: null,
      givenTime: null,
    },
  };
}
