import type { BillRow, BudgetLimit, BudgetSample, CostRow, Evidence, PublishedRecord, ResultRecord } from "../evidence/evidence.js";

/** The headline figures, counted from the evidence by nothing but comparison and addition. Money in nano-dollars. */
export interface RunFigures {
  /** Jobs that were published and have no result in the topic. */
  readonly lost: number;
  /** Generations of a job with results of different bytes. */
  readonly answeredTwice: number;
  /** Attempts that the bill has more than one row of. */
  readonly submittedTwice: number;
  readonly costNanoUsd: bigint;
  readonly billNanoUsd: bigint;
  /** Every cost known, and their sum that of the bill. */
  readonly ledgerEqualsBill: boolean;
  readonly budgetOverrunNanoUsd: bigint;
  readonly results: number;
  readonly resultsByStatus: Readonly<Record<string, number>>;
  readonly calls: number;
  readonly batchLines: number;
}

export function figuresOf(evidence: Evidence): RunFigures {
  const { published, topics, ledger, bill, run, samples } = evidence;
  const costNanoUsd = sum(ledger.costs.map(({ nanoUsd }) => nanoUsd ?? 0n));
  const billNanoUsd = sum(bill.map(({ nanoUsd }) => nanoUsd));
  const answered = answeredJobs(topics.results);
  return {
    lost: jobsOf(published).filter((job) => !answered.has(job)).length,
    answeredTwice: generationsWithSeveralAnswers(topics.results),
    submittedTwice: attemptsBilledTwice(bill),
    costNanoUsd,
    billNanoUsd,
    ledgerEqualsBill: costNanoUsd === billNanoUsd && openCosts(ledger.costs) === 0,
    budgetOverrunNanoUsd: overrun(samples.budgets, run.budgets),
    results: answered.size,
    resultsByStatus: counted(topics.results.map(({ status }) => status)),
    calls: bill.filter(({ batch }) => batch === null).length,
    batchLines: bill.filter(({ batch }) => batch !== null).length,
  };
}

/** A second request under a known id, and one that is refused at the door, are no jobs. */
function jobsOf(published: readonly PublishedRecord[]): readonly string[] {
  return published.filter(({ kind, place }) => kind === "job" && place !== null).map(({ tenant, jobId }) => keyOf(tenant, jobId));
}

function answeredJobs(results: readonly ResultRecord[]): ReadonlySet<string> {
  return new Set(
    results.filter(({ generation }) => generation >= 0).map(({ tenant, jobId }) => keyOf(tenant, jobId)),
  );
}

function generationsWithSeveralAnswers(results: readonly ResultRecord[]): number {
  const first = new Map<string, Buffer | null>();
  const differing = new Set<string>();
  for (const { tenant, jobId, generation, record } of results) {
    if (generation < 0) continue;
    const key = JSON.stringify([tenant, jobId, generation]);
    const known = first.get(key);
    if (known === undefined) first.set(key, record.value);
    else if (!sameBytes(known, record.value)) differing.add(key);
  }
  return differing.size;
}

function sameBytes(one: Buffer | null, other: Buffer | null): boolean {
  return one === null || other === null ? one === other : one.equals(other);
}

function attemptsBilledTwice(bill: readonly BillRow[]): number {
  const rows = counted(bill.flatMap(({ attempt }) => (attempt === null ? [] : [attempt])));
  return Object.values(rows).filter((count) => count > 1).length;
}

/** An unknown cost is settled by an adjustment of its attempt. */
function openCosts(costs: readonly CostRow[]): number {
  const adjusted = new Set(costs.flatMap(({ kind, attemptNo }) => (kind === "adjustment" ? [attemptNo] : [])));
  return costs.filter(({ nanoUsd, attemptNo }) => nanoUsd === null && !adjusted.has(attemptNo)).length;
}

function overrun(samples: readonly BudgetSample[], limits: readonly BudgetLimit[]): bigint {
  const limitOf = new Map(limits.map(({ level, limitNanoUsd }) => [level, limitNanoUsd]));
  const most = samples.map(({ level, settledNanoUsd, reservedNanoUsd }) => {
    const limit = limitOf.get(level);
    return limit === undefined ? 0n : settledNanoUsd + reservedNanoUsd - limit;
  });
  return most.reduce((highest, one) => (one > highest ? one : highest), 0n);
}

export function counted(words: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([one], [other]) => (one < other ? -1 : 1)));
}

function keyOf(tenant: string, jobId: string | null): string {
  return JSON.stringify([tenant, jobId]);
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}
