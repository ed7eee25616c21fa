import type { EpochMs } from "../ids.js";
import { budgetKey, type Budget, type BudgetPlace } from "./budget.js";
import { windowAt } from "./budget-window.js";

/** The job that pays for a call: what decides which budgets of its tenant hold it. */
export interface Payer {
  readonly tenant: string;
  /** Of its labels. */
  readonly department: string | null;
  readonly application: string | null;
}

/** A payer by the labels of its job. */
export function payerOf(tenant: string, labels: Readonly<Record<string, string>>): Payer {
  return { tenant, department: labels["department"] ?? null, application: labels["application"] ?? null };
}

/** Who pays for a call, and at which account it is made. */
export interface Spender extends Payer {
  readonly account: string;
}

/** The budgets of a config: which of them guard a call, and the windows they are in. */
export class BudgetLevels {
  readonly #byTenant = new Map<string, Guard[]>();
  readonly #byAccount = new Map<string, Guard[]>();
  readonly #labelled = new Set<string>();
  readonly #all: readonly Guard[];

  /** @param budgets no two of the same level and window. */
  constructor(budgets: readonly Budget[]) {
    this.#all = budgets.map((budget) => new Guard(budget));
    for (const guard of this.#all) {
      const { level } = guard.budget;
      if (level.of === "account") add(this.#byAccount, level.account, guard);
      else add(this.#byTenant, level.tenant, guard);
      if (level.of === "tenant" && (level.department !== null || level.application !== null))
        this.#labelled.add(level.tenant);
    }
  }

  get any(): boolean {
    return this.#byTenant.size > 0 || this.#byAccount.size > 0;
  }

  /** Whether what a call of this tenant may do depends on money, wherever it is made. */
  guardsTenant(tenant: string): boolean {
    return this.#byAccount.size > 0 || this.#byTenant.has(tenant);
  }

  /** Whether the labels of a payer of this tenant decide anything. */
  asksForLabels(tenant: string): boolean {
    return this.#labelled.has(tenant);
  }

  guards({ tenant, account }: Pick<Spender, "tenant" | "account">): boolean {
    return this.#byTenant.has(tenant) || this.#byAccount.has(account);
  }

  /** The budgets that a call counts in, each in the window that is. */
  placesOf(spender: Spender, nowMs: EpochMs): readonly BudgetPlace[] {
    const own = this.#byTenant.get(spender.tenant)?.filter((guard) => guard.holds(spender)) ?? [];
    return [...own, ...(this.#byAccount.get(spender.account) ?? [])].map((guard) => guard.at(nowMs));
  }

  /** The budgets that calls of these payers may count in, wherever they are made. */
  placesAround(payers: readonly Payer[], nowMs: EpochMs): readonly BudgetPlace[] {
    const found = new Set<Guard>([...this.#byAccount.values()].flat());
    for (const payer of payers)
      for (const guard of this.#byTenant.get(payer.tenant) ?? []) if (guard.holds(payer)) found.add(guard);
    return [...found].map((guard) => guard.at(nowMs));
  }

  /** All of them, in the order given. */
  all(nowMs: EpochMs): readonly BudgetPlace[] {
    return this.#all.map((guard) => guard.at(nowMs));
  }
}

function add(guards: Map<string, Guard[]>, name: string, guard: Guard): void {
  const known = guards.get(name);
  if (known === undefined) guards.set(name, [guard]);
  else known.push(guard);
}

/** A budget with the window that was asked for last: to find one on a calendar costs far more than to see that it is still the same. */
class Guard {
  readonly budget: Budget;
  readonly #key: string;
  #place: BudgetPlace | null = null;

  constructor(budget: Budget) {
    this.budget = budget;
    this.#key = budgetKey(budget);
  }

  holds({ department, application }: Payer): boolean {
    const { level } = this.budget;
    if (level.of === "account") return true;
    return (
      (level.department === null || level.department === department) &&
      (level.application === null || level.application === application)
    );
  }

  at(nowMs: EpochMs): BudgetPlace {
    const last = this.#place;
    if (last !== null && last.sinceMs <= nowMs && (last.untilMs === null || nowMs < last.untilMs)) return last;
    const span = windowAt(this.budget.window, this.budget.timeZone, nowMs);
    this.#place = { ...span, budget: this.budget, key: this.#key, row: rowKey(this.#key, span.sinceMs) };
    return this.#place;
  }
}

export function rowKey(key: string, sinceMs: EpochMs): string {
  return `${key}@${String(sinceMs)}`;
}
