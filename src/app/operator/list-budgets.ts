import { budgetLines, type BudgetLine } from "../../adapters/postgres/operator/budget-rows.js";
import type { Operator } from "./open-operator.js";

/** The budgets of the config as they stand in the ledger, in the config's order. */
export function listBudgets(operator: Operator, tenant: string | null): Promise<readonly BudgetLine[]> {
  const { budgets } = operator.config;
  const asked = tenant === null ? budgets : budgets.filter((budget) => budget.tenant === tenant);
  return budgetLines(operator.pools.durable, asked);
}
