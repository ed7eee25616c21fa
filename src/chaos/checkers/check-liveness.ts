import type { Evidence, OffsetSample, Violation } from "../evidence/evidence.js";
import { groupBy } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** Once the faults are over everything ends in time, and no partition with lag stands still while nothing is wrong. */
export function checkLiveness(evidence: Evidence): readonly Violation[] {
  const found = new Violations("liveness");
  const { run, samples } = evidence;
  if (run.settledAtMs === null) found.add("never_settled", NOBODY, "the run ended before everything had settled");
  else if (run.settledAtMs - run.faultsEndedAtMs > run.limits.settleMs)
    found.add(
      "settled_late",
      NOBODY,
      `${String(run.settledAtMs - run.faultsEndedAtMs)} ms after the last fault, ${String(run.limits.settleMs)} are allowed`,
    );
  for (const [partition, looks] of groupBy(samples.offsets, ({ topic, partition: no }) => `${topic}/${String(no)}`))
    checkFrozen(evidence, partition, looks, found);
  return found.list;
}

function checkFrozen(evidence: Evidence, partition: string, looks: readonly OffsetSample[], found: Violations): void {
  const { run } = evidence;
  let since: OffsetSample | null = null;
  for (const look of looks) {
    const lags = BigInt(look.committed ?? 0) < BigInt(look.logEnd);
    if (!lags || since === null || look.committed !== since.committed || isDisturbed(evidence, since.atMs, look.atMs))
      since = lags ? look : null;
    else if (look.atMs - since.atMs > run.limits.frozenPartitionMs) {
      found.add(
        "frozen_partition",
        NOBODY,
        `${partition} stood at ${look.committed ?? "its start"} for ${String(look.atMs - since.atMs)} ms with lag, and nothing was wrong`,
      );
      since = look; // once for each such time
    }
  }
}

function isDisturbed({ faults }: Evidence, fromMs: number, toMs: number): boolean {
  return faults.some(({ atMs, untilMs }) => atMs <= toMs && (untilMs ?? atMs) >= fromMs);
}
