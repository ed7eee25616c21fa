import type { BillRow, CostRecord, Evidence, ResultRecord, Violation } from "../evidence/evidence.js";
import { numberInId } from "../evidence/attempt-number.js";
import { placeOf } from "../evidence/record.js";
import { attemptsByNo, executionsByNo, generationKey, groupBy, resultsByGeneration } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** Bills that say what a job's answer cost its tenant. */
const SERVING: ReadonlySet<string> = new Set(["charged", "shared", "cached", "suspect"]);

/**
 * Ledger = bill: every row of the bill is one attempt's, every attempt that costs anything has one row, with equal tokens and money, and the
 * sums agree in total, by tenant and by batch. Before `costs reconcile` the bill may lie between what is known and that plus the maximum of
 * what is open.
 */
export function checkMoney(evidence: Evidence): readonly Violation[] {
  const found = new Violations("money");
  const costs = distinctCosts(evidence, found);
  const booked = bookedByAttempt(costs, found);
  checkRows(evidence, booked, found);
  checkSums(evidence, costs, booked, found);
  checkLedger(evidence, costs, found);
  checkResults(evidence, costs, found);
  return found.list;
}

function distinctCosts({ topics }: Evidence, found: Violations): readonly CostRecord[] {
  const byId = new Map<string, CostRecord>();
  for (const cost of topics.costs) {
    const first = byId.get(cost.costId);
    if (first === undefined) byId.set(cost.costId, cost);
    else if (first.record.value?.equals(cost.record.value ?? Buffer.alloc(0)) !== true)
      found.add(
        "conflicting_cost",
        cost,
        `${placeOf(cost.record)} differs from ${placeOf(first.record)}, with the same costId`,
      );
    if (cost.record.key?.toString("utf8") !== cost.tenant)
      found.add("wrong_key", cost, `${placeOf(cost.record)}: the key is not the tenant ${cost.tenant}`);
  }
  return [...byId.values()];
}

/** Everything that the costs topic says of one attempt. */
interface Booked {
  readonly charges: CostRecord[];
  readonly adjustments: CostRecord[];
}

function bookedByAttempt(costs: readonly CostRecord[], found: Violations): ReadonlyMap<number, Booked> {
  const attempts = new Map<number, Booked>();
  for (const cost of costs) {
    if (cost.billing === "shared" || cost.billing === "cached") {
      if (cost.nanoUsd !== 0n || cost.attemptId !== null)
        found.add("shared_costs", cost, `${cost.costId}: ${cost.billing}, and it names money or an attempt`);
      continue;
    }
    const no = numberInId(cost.attemptId);
    if (no === null) {
      found.add("cost_without_attempt", cost, `${cost.costId} names no attempt: ${cost.attemptId ?? "none"}`);
      continue;
    }
    const known = attempts.get(no) ?? { charges: [], adjustments: [] };
    (cost.kind === "adjustment" ? known.adjustments : known.charges).push(cost);
    attempts.set(no, known);
  }
  return attempts;
}

function checkRows(evidence: Evidence, attempts: ReadonlyMap<number, Booked>, found: Violations): void {
  const rows = new Map<number, BillRow>();
  for (const row of evidence.bill) {
    const no = numberInId(row.attempt);
    if (no === null || !attempts.has(no))
      found.add(
        "unclaimed_bill_row",
        NOBODY,
        `${rowName(row)}: no cost record for attempt ${row.attempt ?? "(not named)"}`,
      );
    else rows.set(no, row); // a second row of an attempt is what `no_line_twice` looks for, and the sums
  }
  for (const [no, { charges, adjustments }] of attempts) {
    const [charge, second] = charges;
    if (charge === undefined) {
      found.add("adjustment_alone", adjustments[0] ?? NOBODY, `attempt ${String(no)} has an adjustment and no charge`);
      continue;
    }
    if (second !== undefined)
      found.add("charged_twice", charge, `attempt ${String(no)}: ${charge.costId} and ${second.costId}`);
    checkAttempt(evidence, charge, adjustments, rows.get(no) ?? null, found);
  }
}

function checkAttempt(
  { run }: Evidence,
  charge: CostRecord,
  adjustments: readonly CostRecord[],
  row: BillRow | null,
  found: Violations,
): void {
  const name = `attempt ${charge.attemptId ?? ""}`;
  const billed = row?.nanoUsd ?? 0n;
  if (charge.nanoUsd === null && adjustments.length === 0) {
    if (run.reconciled)
      found.add("open_after_reconcile", charge, `${name}: ${charge.billing}, and nobody said what it cost`);
    if (charge.maxNanoUsd === null || billed > charge.maxNanoUsd)
      found.add(
        "above_maximum",
        charge,
        `${name}: billed ${String(billed)}, its maximum is ${money(charge.maxNanoUsd)}`,
      );
    return;
  }
  const booked = sum([charge, ...adjustments], ({ nanoUsd }) => nanoUsd ?? 0n);
  if (booked !== billed) {
    const bill = row === null ? "not on the bill" : `billed ${String(billed)}`;
    found.add(
      row === null ? "charge_without_bill" : "wrong_amount",
      charge,
      `${name}: booked ${String(booked)}, ${bill}`,
    );
  }
  if (row !== null) checkFacts(charge, row, name, found);
}

function checkFacts(charge: CostRecord, row: BillRow, name: string, found: Violations): void {
  for (const tokens of ["inputTokens", "cachedInputTokens", "outputTokens"] as const)
    if (charge[tokens] !== null && charge[tokens] !== row[tokens])
      found.add("wrong_tokens", charge, `${name}: ${tokens} ${String(charge[tokens])}, billed ${String(row[tokens])}`);
  if (charge.mode !== row.mode)
    found.add("wrong_mode", charge, `${name}: booked as ${charge.mode ?? "none"}, billed as ${row.mode ?? "none"}`);
  if (charge.providerBatchId !== null && charge.providerBatchId !== row.batch)
    found.add("wrong_batch", charge, `${name}: booked in ${charge.providerBatchId}, billed in ${row.batch ?? "none"}`);
}

function checkSums(
  evidence: Evidence,
  costs: readonly CostRecord[],
  booked: ReadonlyMap<number, Booked>,
  found: Violations,
): void {
  const open = [...booked.values()].flatMap(({ charges, adjustments }) =>
    adjustments.length === 0 ? charges.filter(({ nanoUsd }) => nanoUsd === null) : [],
  );
  compare(evidence, { name: "in total", costs, open, bill: evidence.bill }, found);
  const tenants = new Set([
    ...costs.map(({ tenant }) => tenant),
    ...evidence.bill.map((row) => tenantOf(evidence, row)),
  ]);
  const [costsOf, openOf] = [costs, open].map((list) => groupBy(list, ({ tenant }) => tenant));
  const billOf = groupBy(evidence.bill, (row) => tenantOf(evidence, row));
  for (const tenant of tenants)
    compare(
      evidence,
      {
        name: `of tenant ${tenant}`,
        costs: costsOf?.get(tenant) ?? [],
        open: openOf?.get(tenant) ?? [],
        bill: billOf.get(tenant) ?? [],
      },
      found,
    );
  checkBatches(evidence, costs, open, found);
}

/** The bill knows no tenants: whose a row is, the ledger's execution says. */
function tenantOf(evidence: Evidence, { attempt }: BillRow): string {
  const execution = attemptsByNo(evidence).get(numberInId(attempt) ?? -1)?.executionNo ?? -1;
  return executionsByNo(evidence).get(execution)?.tenant ?? "(nobody)";
}

function checkBatches(
  evidence: Evidence,
  costs: readonly CostRecord[],
  open: readonly CostRecord[],
  found: Violations,
): void {
  const batchOf = (attemptId: string | null): number | null =>
    attemptsByNo(evidence).get(numberInId(attemptId) ?? -1)?.batchNo ?? null;
  const costsOf = groupBy(costs, ({ attemptId }) => batchOf(attemptId));
  const openOf = groupBy(open, ({ attemptId }) => batchOf(attemptId));
  const billOf = groupBy(evidence.bill, ({ attempt }) => batchOf(attempt));
  for (const batch of new Set([...costsOf.keys(), ...billOf.keys()])) {
    if (batch === null) continue; // calls of their own: in the sums above
    const parts = { costs: costsOf.get(batch) ?? [], open: openOf.get(batch) ?? [], bill: billOf.get(batch) ?? [] };
    compare(evidence, { name: `of batch ${String(batch)}`, ...parts }, found);
  }
}

interface Sides {
  readonly name: string;
  readonly costs: readonly CostRecord[];
  readonly open: readonly CostRecord[];
  readonly bill: readonly BillRow[];
}

function compare({ run }: Evidence, { name, costs, open, bill }: Sides, found: Violations): void {
  const known = sum(costs, ({ nanoUsd }) => nanoUsd ?? 0n);
  const most = run.reconciled ? known : known + sum(open, ({ maxNanoUsd }) => maxNanoUsd ?? 0n);
  const billed = sum(bill, ({ nanoUsd }) => nanoUsd);
  if (billed < known || billed > most)
    found.add(
      "sums_differ",
      NOBODY,
      `${name}: costs ${String(known)}${most === known ? "" : ` to ${String(most)}`}, bill ${String(billed)} nano-dollars`,
    );
}

/** Each cost of the ledger went out, with the same amount. */
function checkLedger(evidence: Evidence, costs: readonly CostRecord[], found: Violations): void {
  const rows = evidence.ledger.costs.filter(({ billing }) => billing !== "shared" && billing !== "cached");
  const records = groupBy(
    costs.filter(({ billing }) => billing !== "shared" && billing !== "cached"),
    (cost) => rowKey(cost.kind, numberInId(cost.attemptId), cost.nanoUsd),
  );
  for (const row of rows) {
    const same = records.get(rowKey(row.kind, row.attemptNo, row.nanoUsd));
    if (same?.pop() === undefined)
      found.add(
        "cost_not_published",
        { tenant: row.tenant },
        `the ledger's ${row.kind} of ${money(row.nanoUsd)} for attempt ${String(row.attemptNo)} is no record of the costs topic`,
      );
  }
  for (const [cost] of records.values())
    if (cost !== undefined)
      found.add(
        "cost_not_in_ledger",
        cost,
        `${placeOf(cost.record)}: the ledger has no such row for attempt ${cost.attemptId ?? "none"}`,
      );
}

function rowKey(kind: string, attemptNo: number | null, nanoUsd: bigint | null): string {
  return `${kind} ${String(attemptNo)} ${money(nanoUsd)}`;
}

/** A served job has one cost record that says so, and its result names that and its amount. */
function checkResults(evidence: Evidence, costs: readonly CostRecord[], found: Violations): void {
  const serving = groupBy(
    costs.filter(({ kind, billing, jobId }) => kind === "charge" && SERVING.has(billing) && jobId !== null),
    ({ tenant, jobId, generation }) => generationKey(tenant, jobId ?? "", generation ?? -1),
  );
  for (const [key, [result]] of resultsByGeneration(evidence))
    if (result?.status === "succeeded") checkServed(result, serving.get(key) ?? [], found);
}

function checkServed(result: ResultRecord, booked: readonly CostRecord[], found: Violations): void {
  // An attempt that brought nothing, as a line that was missing, may be suspect beside the one that served.
  const costs = booked.filter(({ billing, costId }) => billing !== "suspect" || costId === result.costId);
  const cost = costs.find(({ costId }) => costId === result.costId);
  if (cost === undefined)
    found.add("missing_cost", result, `it was served, and no cost record ${result.costId ?? "(none named)"} names it`);
  else if (cost.nanoUsd !== result.costNanoUsd)
    found.add(
      "wrong_amount",
      result,
      `the result says ${money(result.costNanoUsd)}, its cost record ${money(cost.nanoUsd)} nano-dollars`,
    );
  if (costs.length > 1)
    found.add(
      "served_twice",
      result,
      `cost records ${costs.map(({ costId }) => costId).join(" and ")} both say they served it`,
    );
}

function rowName({ requestId, nanoUsd }: BillRow): string {
  return `row of request ${requestId ?? "without id"}, ${String(nanoUsd)} nano-dollars`;
}

function sum<Item>(items: readonly Item[], amountOf: (item: Item) => bigint): bigint {
  return items.reduce((total, item) => total + amountOf(item), 0n);
}

function money(amount: bigint | null): string {
  return amount === null ? "unknown" : String(amount);
}
