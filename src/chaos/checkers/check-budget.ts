import type { AttemptRow, BudgetSample, Evidence, Violation } from "../evidence/evidence.js";
import { attemptsByNo, executionsByNo, groupBy } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** Attempts without an outcome that is booked: each holds its maximum. */
const UNFINISHED: ReadonlySet<string> = new Set(["sending", "batched", "in_doubt", "settled"]);

/**
 * Settled + reserved is never above a hard limit; what is reserved is the sum of the reservations, those are the attempts without an outcome,
 * and none is left once costs were reconciled; what is settled is what the ended attempts cost.
 */
export function checkBudget(evidence: Evidence): readonly Violation[] {
  const found = new Violations("budget");
  const limits = new Map(evidence.run.budgets.map(({ level, limitNanoUsd }) => [level, limitNanoUsd]));
  for (const sample of evidence.samples.budgets) checkSample(sample, limits.get(sample.level) ?? null, found);
  if (limits.size > 0 && evidence.samples.budgets.length === 0)
    found.add("never_looked", NOBODY, "there are budgets, and no sample of them was taken");
  checkRows(evidence, limits, found);
  return found.list;
}

/** How far settled + reserved was above its limit at most, over all samples, nano-dollars; 0: never. */
export function budgetOverrun({ run, samples }: Evidence): bigint {
  const limits = new Map(run.budgets.map(({ level, limitNanoUsd }) => [level, limitNanoUsd]));
  let most = 0n;
  for (const { level, settledNanoUsd, reservedNanoUsd } of samples.budgets) {
    const limit = limits.get(level);
    if (limit === undefined) continue;
    const over = settledNanoUsd + reservedNanoUsd - limit;
    if (over > most) most = over;
  }
  return most;
}

function checkSample(sample: BudgetSample, limit: bigint | null, found: Violations): void {
  const { level, atMs, settledNanoUsd, reservedNanoUsd } = sample;
  const name = `${level} at ${new Date(atMs).toISOString()}`;
  if (limit !== null && settledNanoUsd + reservedNanoUsd > limit)
    found.add(
      "overrun",
      NOBODY,
      `${name}: ${String(settledNanoUsd)} settled and ${String(reservedNanoUsd)} reserved of ${String(limit)}`,
    );
  if (sample.reservationsNanoUsd !== reservedNanoUsd)
    found.add(
      "reservations_differ",
      NOBODY,
      `${name}: ${String(reservedNanoUsd)} reserved, its reservations come to ${String(sample.reservationsNanoUsd)}`,
    );
  if (sample.reservations !== sample.unfinished)
    found.add(
      "reserved_for_nothing",
      NOBODY,
      `${name}: ${String(sample.reservations)} reservations, ${String(sample.unfinished)} of their attempts have no outcome`,
    );
}

function checkRows(evidence: Evidence, limits: ReadonlyMap<string, bigint>, found: Violations): void {
  const { ledger, run } = evidence;
  const held = groupBy(ledger.reservations, ({ level, sinceMs }) => rowKey(level, sinceMs));
  for (const { level, sinceMs, settledNanoUsd, reservedNanoUsd } of ledger.budgets) {
    const reservations = held.get(rowKey(level, sinceMs)) ?? [];
    const sum = reservations.reduce((total, { maxNanoUsd }) => total + maxNanoUsd, 0n);
    if (sum !== reservedNanoUsd)
      found.add(
        "reservations_differ",
        NOBODY,
        `${level} in the end: ${String(reservedNanoUsd)} reserved, its reservations come to ${String(sum)}`,
      );
    const limit = limits.get(level);
    if (limit !== undefined && settledNanoUsd + reservedNanoUsd > limit)
      found.add(
        "overrun",
        NOBODY,
        `${level} in the end: ${String(settledNanoUsd)} settled and ${String(reservedNanoUsd)} reserved of ${String(limit)}`,
      );
  }
  for (const { attemptNo, level, maxNanoUsd } of ledger.reservations) {
    const attempt = attemptsByNo(evidence).get(attemptNo);
    if (attempt === undefined || !UNFINISHED.has(attempt.state) || attempt.maxNanoUsd !== maxNanoUsd)
      found.add(
        "reserved_for_nothing",
        NOBODY,
        `${level}: ${String(maxNanoUsd)} for attempt ${String(attemptNo)}, which is ${attempt === undefined ? "not there" : describe(attempt)}`,
      );
  }
  if (run.reconciled && ledger.reservations.length > 0)
    found.add(
      "reserved_in_the_end",
      NOBODY,
      `${String(ledger.reservations.length)} reservations are left after costs were reconciled`,
    );
  checkSettled(evidence, found);
}

function describe({ state, maxNanoUsd }: AttemptRow): string {
  return `${state} with a maximum of ${String(maxNanoUsd)}`;
}

function rowKey(level: string, sinceMs: number): string {
  return `${level} ${String(sinceMs)}`;
}

/** A tenant's budget of all time has settled what its ended attempts cost. Once reconciled, that is what was billed. */
function checkSettled(evidence: Evidence, found: Violations): void {
  const costs = new Map<string, bigint>();
  for (const { state, executionNo, nanoUsd, maxNanoUsd } of evidence.ledger.attempts) {
    if (state !== "answered" && state !== "failed") continue;
    const tenant = executionsByNo(evidence).get(executionNo)?.tenant ?? "";
    costs.set(tenant, (costs.get(tenant) ?? 0n) + (nanoUsd ?? maxNanoUsd));
  }
  for (const { level, settledNanoUsd } of evidence.ledger.budgets) {
    const tenant = wholeTenant(level);
    if (tenant !== null && settledNanoUsd !== (costs.get(tenant) ?? 0n))
      found.add(
        "settled_differs",
        { tenant },
        `${level}: ${String(settledNanoUsd)} settled, its ended attempts cost ${String(costs.get(tenant) ?? 0n)}`,
      );
  }
}

/** The tenant of a budget of all of a tenant's calls at any time: `["tenant", name, null, null, "total"]`. */
function wholeTenant(level: string): string | null {
  const parts: unknown = JSON.parse(level);
  if (!Array.isArray(parts)) return null;
  const [of, tenant, department, application, window] = parts as readonly unknown[];
  const whole = of === "tenant" && department === null && application === null && window === "total";
  return whole && typeof tenant === "string" ? tenant : null;
}
