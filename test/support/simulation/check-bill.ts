import { attemptId } from "../../../src/domain/job/ids.js";
import { isTold } from "./check-batches.js";
import type { CheckedParts, CheckerName } from "./checkers.js";

type Report = (checker: CheckerName, message: string, jobId: string | null) => void;

/** Lines whose answer stands in the results of their batch. */
function idsOfTold({ batches }: CheckedParts["batches"]): ReadonlySet<string> {
  return new Set(
    [...batches.values()].flatMap((batch) =>
      batch.lines.filter((line) => isTold(batch, line)).map(({ customId }) => customId),
    ),
  );
}

/** Each billed row belongs to one attempt and is at most its maximum; what the ledger says of an attempt is what was billed, unless it is in doubt. */
export function checkBill({ database, books, batches, broker }: CheckedParts, report: Report): void {
  const toldIds = idsOfTold(batches);
  const billed = new Map<string, bigint>();
  for (const row of books.bill) {
    if (billed.has(row.attemptId)) report("ledger_equals_bill", `attempt ${row.attemptId} was billed twice`, null);
    billed.set(row.attemptId, (billed.get(row.attemptId) ?? 0n) + row.nanoUsd);
  }
  const costs = [...database.costs.committed.values()];
  for (const { intent, execution, state } of database.attempts.committed.values()) {
    const id = attemptId(execution.day, intent.no);
    const paid = billed.get(id) ?? 0n;
    billed.delete(id);
    const own = costs.filter((cost) => cost.attemptNo === intent.no);
    const isOpen = state === "in_doubt" || state === "settled" || state === "sending";
    const booked = own.reduce((sum, cost) => sum + (cost.nanoUsd ?? 0n), 0n);
    const jobId =
      [...database.jobs.committed.values()].find((job) => job.execution?.no === execution.no)?.jobId ?? null;
    if (paid > intent.maxNanoUsd) report("maximum_holds", `attempt ${id} was billed beyond its maximum`, jobId);
    if (isOpen) {
      if (booked !== 0n) report("ledger_equals_bill", `attempt ${id} is in doubt and has a known cost`, jobId);
      if (state === "in_doubt")
        report("ledger_equals_bill", `attempt ${id} was left in doubt: nobody will settle it`, jobId);
      if (state === "settled" && !own.some((cost) => cost.billing === "in_doubt"))
        report("ledger_equals_bill", `attempt ${id} was settled without a cost record`, jobId);
    } else if (intent.batchNo !== undefined && own.some(({ nanoUsd }) => nanoUsd === null)) {
      // A line whose answer nobody could read may have been billed; how much, only the bill tells.
      if (toldIds.has(id)) report("ledger_equals_bill", `line ${id} was told, and its cost is left open`, jobId);
    } else if (booked !== paid) {
      report(
        "ledger_equals_bill",
        `attempt ${id} (${state}): the ledger says ${String(booked)}, the bill ${String(paid)}`,
        jobId,
      );
    }
  }
  for (const id of billed.keys()) report("ledger_equals_bill", `the bill has attempt ${id}, the ledger has not`, null);
  const records = new Set(
    broker.published.filter(({ record }) => record.kind === "cost").map(({ record }) => record.no),
  );
  for (const cost of costs)
    if (!records.has(cost.no))
      report("every_result_published", `cost record ${String(cost.no)} was never published`, null);
}
