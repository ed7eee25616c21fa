import type { BillRow } from "./bill-row.js";
import { checkBatches } from "./check-batches.js";
import { checkListPrices } from "./check-list-prices.js";
import type { ListPrices, ServedJob } from "./check-list-prices.js";
import { jobKey } from "./check-results.js";
import { parseCost } from "./cost-record.js";
import type { CostRecord } from "./cost-record.js";
import type { Finding } from "./finding.js";
import type { ResultRecord } from "./result-record.js";
import { base64OrNull, placeOf } from "./topic-record.js";
import type { TopicRecord } from "./topic-record.js";

/** An attempt whose cost nobody knows: its answer was never stored. `billedNanoUsd` is what the bill says, null when never billed. */
export interface DoubtfulAttempt {
  readonly attemptId: string;
  readonly jobId: string | null;
  readonly maxNanoUsd: bigint | null;
  readonly billedNanoUsd: bigint | null;
}

/** What the costs topic says, held against the bill and the results. Money in nano-dollars. */
export interface CostsReport {
  readonly findings: readonly Finding[];
  readonly costNanoUsd: bigint;
  /** Null: there is no bill to be seen. */
  readonly billNanoUsd: bigint | null;
  readonly listNanoUsd: bigint;
  /** List price of jobs that joined somebody else's call. */
  readonly savedBySharingNanoUsd: bigint;
  /** List price of jobs that were served from an earlier answer. */
  readonly savedByCacheNanoUsd: bigint;
  /** List price less what was paid for jobs that were served by a line of a batch of their own. */
  readonly savedByBatchNanoUsd: bigint;
  /** Batches that the bill has a line of. */
  readonly batches: number;
  readonly inDoubt: readonly DoubtfulAttempt[];
  readonly inDoubtBilledNanoUsd: bigint;
  readonly costRepeats: number;
}

/** Bills that settled: the record that says what a job's answer cost its tenant. */
const SERVING = new Set(["charged", "shared", "cached"]);

/**
 * Holds the cost records against the provider's bill, attempt by attempt, and against the answered jobs.
 * @param bill null: there is none to be seen.
 * @param list null: list prices are believed.
 */
export function checkCosts(
  records: readonly TopicRecord[],
  bill: readonly BillRow[] | null,
  answered: ReadonlyMap<string, ResultRecord>,
  list: ListPrices | null,
): CostsReport {
  const findings: Finding[] = [];
  const { costs, costRepeats } = distinctCosts(records, findings);
  const jobs = checkJobs(costs, answered);
  findings.push(...jobs.findings, ...checkBatches(costs));
  if (list !== null) findings.push(...checkListPrices({ served: jobs.served, answered, costs, bill }, list));
  const { inDoubt } = checkAttempts(costs, bill, findings);
  const costNanoUsd = sum(costs, (cost) => cost.nanoUsd ?? 0n);
  const billNanoUsd = bill === null ? null : sum(bill, (row) => row.nanoUsd);
  const inDoubtBilledNanoUsd = sum(inDoubt, (attempt) => attempt.billedNanoUsd ?? 0n);
  if (billNanoUsd !== null && costNanoUsd + inDoubtBilledNanoUsd !== billNanoUsd) {
    const detail = `costs ${String(costNanoUsd)} + in doubt ${String(inDoubtBilledNanoUsd)}, but the bill is ${String(billNanoUsd)} nano-dollars`;
    findings.push({ kind: "sums_differ", jobId: null, detail });
  }
  return {
    findings,
    costNanoUsd,
    billNanoUsd,
    listNanoUsd: sum(costs, (cost) => cost.listNanoUsd),
    savedBySharingNanoUsd: sum(costs, (cost) => (cost.billing === "shared" ? cost.listNanoUsd : 0n)),
    savedByCacheNanoUsd: sum(costs, (cost) => (cost.billing === "cached" ? cost.listNanoUsd : 0n)),
    savedByBatchNanoUsd: sum(costs, savedByBatch),
    batches: new Set((bill ?? []).flatMap((row) => (row.batch === null ? [] : [row.batch]))).size,
    inDoubt,
    inDoubtBilledNanoUsd,
    costRepeats,
  };
}

/** The list price stands on records that served a job; a line that served nobody has saved nothing. */
function savedByBatch({ mode, billing, nanoUsd, listNanoUsd }: CostRecord): bigint {
  const served = mode === "batch" && billing === "charged" && listNanoUsd > 0n;
  return served && nanoUsd !== null ? listNanoUsd - nanoUsd : 0n;
}

function distinctCosts(
  records: readonly TopicRecord[],
  findings: Finding[],
): { readonly costs: readonly CostRecord[]; readonly costRepeats: number } {
  const byId = new Map<string, CostRecord>();
  let costRepeats = 0;
  for (const record of records) {
    const cost = parseCost(record);
    if (cost === null) {
      findings.push({ kind: "unreadable_cost", jobId: null, detail: placeOf(record) });
      continue;
    }
    const first = byId.get(cost.costId);
    if (first === undefined) byId.set(cost.costId, cost);
    else if (base64OrNull(first.record.value) === base64OrNull(record.value)) costRepeats += 1;
    else
      findings.push({
        kind: "conflicting_cost",
        jobId: cost.jobId,
        detail: `${placeOf(record)} differs from ${placeOf(first.record)}`,
      });
    if (record.key?.toString("utf8") !== cost.tenant) {
      findings.push({
        kind: "wrong_cost_key",
        jobId: cost.jobId,
        detail: `${placeOf(record)}: the key is not the tenant ${cost.tenant}`,
      });
    }
  }
  return { costs: [...byId.values()], costRepeats };
}

function checkJobs(
  costs: readonly CostRecord[],
  answered: ReadonlyMap<string, ResultRecord>,
): { readonly findings: readonly Finding[]; readonly served: readonly ServedJob[] } {
  const servedBy = new Map<string, CostRecord[]>();
  for (const cost of costs) {
    if (cost.kind !== "charge" || !SERVING.has(cost.billing) || cost.jobId === null) continue;
    const key = JSON.stringify([jobKey(cost.tenant, cost.jobId), cost.generation]);
    servedBy.set(key, [...(servedBy.get(key) ?? []), cost]);
  }
  const findings: Finding[] = [];
  const served: ServedJob[] = [];
  for (const [key, result] of answered) {
    if (result.status !== "succeeded") continue;
    const found = servedBy.get(JSON.stringify([key, result.generation])) ?? [];
    findings.push(...checkJob(result, found));
    const [cost, second] = found;
    if (cost !== undefined && second === undefined) served.push({ key, result, cost });
  }
  return { findings, served };
}

function checkJob(result: ResultRecord, costs: readonly CostRecord[]): readonly Finding[] {
  const [cost, second] = costs;
  if (cost === undefined)
    return [{ kind: "missing_cost", jobId: result.jobId, detail: "served, but no cost record names the job" }];
  if (second !== undefined) {
    return [
      {
        kind: "second_cost",
        jobId: result.jobId,
        detail: `cost records ${cost.costId} and ${second.costId} both served the job`,
      },
    ];
  }
  if (result.costId !== cost.costId) {
    const detail = `the result names cost ${result.costId ?? "none"}, the costs topic has ${cost.costId}`;
    return [{ kind: "missing_cost", jobId: result.jobId, detail }];
  }
  if (result.mode !== cost.mode || result.batchId !== cost.batchId) {
    const detail = `the result says ${modeText(result)}, its cost record ${modeText(cost)}`;
    return [{ kind: "wrong_mode", jobId: result.jobId, detail }];
  }
  if (result.costNanoUsd === cost.nanoUsd) return [];
  const detail = `the result says ${moneyText(result.costNanoUsd)}, its cost record ${moneyText(cost.nanoUsd)} nano-dollars`;
  return [{ kind: "wrong_cost", jobId: result.jobId, detail }];
}

/** Everything the costs topic says about one attempt. */
interface AttemptCosts {
  readonly charges: CostRecord[];
  readonly adjustments: CostRecord[];
}

function checkAttempts(
  costs: readonly CostRecord[],
  bill: readonly BillRow[] | null,
  findings: Finding[],
): { readonly inDoubt: readonly DoubtfulAttempt[] } {
  const attempts = costsByAttempt(costs, findings);
  const rows = rowsByAttempt(bill ?? [], attempts, findings);
  const inDoubt: DoubtfulAttempt[] = [];
  for (const [attemptId, { charges, adjustments }] of attempts) {
    const [charge, second] = charges;
    if (charge === undefined) continue; // adjustments alone: their attempt has no charge, so its bill row stays unclaimed
    if (second !== undefined) {
      findings.push({
        kind: "second_charge",
        jobId: charge.jobId,
        detail: `attempt ${attemptId}: ${charge.costId} and ${second.costId}`,
      });
    }
    const row = rows.get(attemptId) ?? null;
    if (charge.nanoUsd === null && adjustments.length === 0)
      inDoubt.push(openAttempt(attemptId, charge, row, findings));
    else if (bill !== null) findings.push(...checkSettled(attemptId, charge, adjustments, row));
  }
  return { inDoubt };
}

function costsByAttempt(costs: readonly CostRecord[], findings: Finding[]): ReadonlyMap<string, AttemptCosts> {
  const attempts = new Map<string, AttemptCosts>();
  const attemptOfCost = new Map(costs.map((cost) => [cost.costId, cost.attemptId]));
  for (const cost of costs) {
    if (cost.billing === "shared" || cost.billing === "cached") {
      if (cost.nanoUsd === 0n) continue;
      findings.push({
        kind: "wrong_cost",
        jobId: cost.jobId,
        detail: `${cost.costId}: ${cost.billing}, but not zero: ${moneyText(cost.nanoUsd)}`,
      });
    }
    const attemptId = cost.attemptId ?? attemptOfCost.get(cost.correctsCostId ?? "") ?? null;
    if (attemptId === null) {
      findings.push({
        kind: "charge_without_attempt",
        jobId: cost.jobId,
        detail: `cost ${cost.costId} names no attempt`,
      });
      continue;
    }
    const known = attempts.get(attemptId) ?? { charges: [], adjustments: [] };
    (cost.kind === "adjustment" ? known.adjustments : known.charges).push(cost);
    attempts.set(attemptId, known);
  }
  return attempts;
}

function rowsByAttempt(
  bill: readonly BillRow[],
  attempts: ReadonlyMap<string, AttemptCosts>,
  findings: Finding[],
): ReadonlyMap<string, BillRow> {
  const rows = new Map<string, BillRow>();
  for (const row of bill) {
    const name = `bill row ${row.requestId ?? "without request id"}, ${String(row.nanoUsd)} nano-dollars`;
    const attempt = row.attempt;
    const charges = attempt === null ? undefined : attempts.get(attempt)?.charges;
    if (attempt === null || charges === undefined || charges.length === 0) {
      findings.push({
        kind: "unclaimed_bill_row",
        jobId: null,
        detail: `${name}: no charge for attempt ${attempt ?? "(not named)"}`,
      });
    } else if (rows.has(attempt)) {
      findings.push({
        kind: "billed_twice",
        jobId: charges[0]?.jobId ?? null,
        detail: `${name}: attempt ${attempt} has a row already`,
      });
    } else rows.set(attempt, row);
  }
  return rows;
}

function openAttempt(attemptId: string, charge: CostRecord, row: BillRow | null, findings: Finding[]): DoubtfulAttempt {
  if (charge.billing === "suspect") {
    findings.push({
      kind: "suspect_cost",
      jobId: charge.jobId,
      detail: `attempt ${attemptId}: the reported usage was not believed`,
    });
  }
  if (row !== null && (charge.maxNanoUsd === null || row.nanoUsd > charge.maxNanoUsd)) {
    const detail = `attempt ${attemptId}: billed ${String(row.nanoUsd)}, stated maximum ${moneyText(charge.maxNanoUsd)}`;
    findings.push({ kind: "doubt_above_maximum", jobId: charge.jobId, detail });
  }
  return { attemptId, jobId: charge.jobId, maxNanoUsd: charge.maxNanoUsd, billedNanoUsd: row?.nanoUsd ?? null };
}

function checkSettled(
  attemptId: string,
  charge: CostRecord,
  adjustments: readonly CostRecord[],
  row: BillRow | null,
): readonly Finding[] {
  const booked = sum([charge, ...adjustments], (cost) => cost.nanoUsd ?? 0n);
  if (row === null) {
    return [
      {
        kind: "charge_without_bill",
        jobId: charge.jobId,
        detail: `attempt ${attemptId}: booked ${String(booked)}, not on the bill`,
      },
    ];
  }
  const findings: Finding[] = [];
  if (charge.mode !== row.mode || charge.providerBatchId !== row.batch) {
    const booked = modeText({ mode: charge.mode, batchId: charge.providerBatchId });
    const detail = `attempt ${attemptId}: booked as ${booked}, billed as ${modeText({ mode: row.mode, batchId: row.batch })}`;
    findings.push({ kind: "wrong_mode", jobId: charge.jobId, detail });
  }
  if (charge.model !== row.model) {
    const detail = `attempt ${attemptId}: booked for ${charge.model ?? "no model"}, billed for ${row.model ?? "no model"}`;
    findings.push({ kind: "wrong_model", jobId: charge.jobId, detail });
  }
  if (booked !== row.nanoUsd) {
    const detail = `attempt ${attemptId}: booked ${String(booked)}, billed ${String(row.nanoUsd)} nano-dollars`;
    findings.push({ kind: "wrong_cost", jobId: charge.jobId, detail });
  }
  const tokens = adjustments.length > 0 ? null : differingTokens(charge, row);
  if (tokens !== null)
    findings.push({ kind: "wrong_tokens", jobId: charge.jobId, detail: `attempt ${attemptId}: ${tokens}` });
  return findings;
}

/** An adjustment carries only the difference, so tokens are compared where the first charge already knew them. */
function differingTokens(charge: CostRecord, row: BillRow): string | null {
  // A bill tells no short-lived write from one of an hour.
  const written = (charge.cacheWriteTokens ?? 0) + (charge.cacheWrite1hTokens ?? 0);
  for (const name of ["inputTokens", "cachedInputTokens", "cacheWriteTokens", "outputTokens"] as const) {
    // Unknown on our side is null; that agrees with a bill that counts none.
    const booked = name === "cacheWriteTokens" ? written : charge[name];
    if ((booked ?? 0) !== (row[name] ?? 0)) return `${name} ${String(booked)}, on the bill ${String(row[name])}`;
  }
  return null;
}

function sum<Item>(items: readonly Item[], amount: (item: Item) => bigint): bigint {
  return items.reduce((total, item) => total + amount(item), 0n);
}

function modeText({ mode, batchId }: { readonly mode: string | null; readonly batchId: string | null }): string {
  return batchId === null ? (mode ?? "no mode") : `${mode ?? "no mode"} in ${batchId}`;
}

function moneyText(amount: bigint | null): string {
  return amount === null ? "unknown" : String(amount);
}
