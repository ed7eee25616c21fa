import type { Evidence, OffsetSample, Violation } from "../evidence/evidence.js";
import { groupBy } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** What Kafka has as committed is never ahead of what is durable in the ledger, and neither ever goes back. */
export function checkOffsets({ samples, ledger }: Evidence): readonly Violation[] {
  const found = new Violations("offsets");
  const byPartition = groupBy(samples.offsets, ({ topic, partition }) => `${topic}/${String(partition)}`);
  if (byPartition.size === 0) found.add("never_looked", NOBODY, "no sample of offsets was taken");
  for (const [partition, looks] of byPartition) {
    for (const look of looks) checkLook(partition, look, found);
    checkOrder(partition, looks, found);
    const [last] = looks.slice(-1);
    const row = ledger.positions.find(
      ({ topic, partition: number }) => topic === last?.topic && number === last.partition,
    );
    if (last?.ledgerNext !== undefined && last.ledgerNext !== null && BigInt(row?.next ?? 0) < BigInt(last.ledgerNext))
      found.add(
        "went_back",
        NOBODY,
        `${partition}: the ledger was at ${last.ledgerNext} and is at ${row?.next ?? "nothing"} in the end`,
      );
  }
  return found.list;
}

function checkLook(partition: string, { committed, ledgerNext, logEnd, atMs }: OffsetSample, found: Violations): void {
  const at = `${partition} at ${new Date(atMs).toISOString()}`;
  if (committed !== null && BigInt(committed) > BigInt(ledgerNext ?? 0))
    found.add(
      "ahead_of_ledger",
      NOBODY,
      `${at}: ${committed} is committed, the ledger accepted up to ${ledgerNext ?? "nothing"}`,
    );
  if (ledgerNext !== null && BigInt(ledgerNext) > BigInt(logEnd))
    found.add("beyond_log", NOBODY, `${at}: the ledger accepted up to ${ledgerNext}, the log ends at ${logEnd}`);
}

function checkOrder(partition: string, looks: readonly OffsetSample[], found: Violations): void {
  for (const name of ["committed", "ledgerNext"] as const) {
    let before = 0n;
    for (const look of looks) {
      const value = look[name];
      if (value === null) continue;
      const now = BigInt(value);
      if (now < before)
        found.add(
          "went_back",
          NOBODY,
          `${partition} at ${new Date(look.atMs).toISOString()}: ${name} went from ${String(before)} to ${value}`,
        );
      before = now;
    }
  }
}
