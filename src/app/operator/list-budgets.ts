import { budgetLines, type BudgetLine } from "../../adapters/postgres/operator/budget-rows.js";
import type { BudgetLevel } from "../../domain/budget/budget.js";
import { allBudgets } from "../build-domain.js";
import type { Operator } from "./open-operator.js";

/** Null: of any. */
export interface AskedBudgets {
  readonly tenant: string | null;
  readonly account: string | null;
}

/** The budgets of the config as they stand in the ledger, in the config's order. */
export function listBudgets(operator: Operator, asked: AskedBudgets): Promise<readonly BudgetLine[]> {
  const budgets = allBudgets(operator.config).filter(({ level }) => isAsked(level, asked));
  return budgetLines(operator.pools.durable, budgets, operator.nowMs);
}

function isAsked(level: BudgetLevel, { tenant, account }: AskedBudgets): boolean {
  return level.of === "account"
    ? tenant === null && (account === null || account === level.account)
    : account === null && (tenant === null || tenant === level.tenant);
}
