import type { CostRecord } from "./cost-record.js";
import type { Finding } from "./finding.js";

/**
 * Each batch of the gateway is one batch at the provider and each of the provider's one of the gateway: else lines were submitted twice, or
 * results of one batch were booked in another. A line billed in two batches is found beside its attempt.
 */
export function checkBatches(costs: readonly CostRecord[]): readonly Finding[] {
  const findings: Finding[] = [];
  const theirs = new Map<string, string>();
  const ours = new Map<string, string>();
  for (const { batchId, providerBatchId, billing, jobId, costId } of costs) {
    // A zero record names the batch that served it and not whose name the provider has for it.
    if (billing === "shared" || billing === "cached") continue;
    if (batchId === null && providerBatchId === null) continue;
    if (batchId === null || providerBatchId === null) {
      findings.push({
        kind: "wrong_batch",
        jobId,
        detail: `${costId}: ${batchId ?? providerBatchId ?? ""} is named alone`,
      });
      continue;
    }
    const [first, owner] = [theirs.get(batchId) ?? providerBatchId, ours.get(providerBatchId) ?? batchId];
    if (first !== providerBatchId || owner !== batchId) {
      const detail = `${costId}: ${batchId} is ${providerBatchId}, but ${owner} is ${first} in another record`;
      findings.push({ kind: "wrong_batch", jobId, detail });
    }
    theirs.set(batchId, first);
    ours.set(providerBatchId, owner);
  }
  return findings;
}
