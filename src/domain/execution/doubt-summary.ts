import type { EpochMs } from "../ids.js";
import type { AttemptIntent, AttemptSummary } from "./execution.js";

/** How a doubtful attempt is listed in the history of its execution once work goes on without it. */
export function doubtSummary(attempt: AttemptIntent, nowMs: EpochMs): AttemptSummary {
  return {
    number: attempt.number,
    no: attempt.no,
    provider: attempt.provider,
    account: attempt.account,
    model: attempt.model,
    ...(attempt.batchNo === undefined
      ? { mode: "direct" }
      : { mode: "batch", batch: { no: attempt.batchNo, providerBatchId: null } }),
    outcome: "in_doubt",
    providerRequestId: null,
    startedAtMs: attempt.startedAtMs,
    ms: nowMs - attempt.startedAtMs,
    maxNanoUsd: attempt.maxNanoUsd.toString(),
  };
}
