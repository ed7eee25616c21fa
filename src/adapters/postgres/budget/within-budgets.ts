import type pg from "pg";
import type { WaitingExecution } from "../../../domain/execution/execution.js";
import type { EpochMs } from "../../../domain/ids.js";
import type { AskBudget } from "../../../ports/budget-store.js";
import type { ClaimVerdict } from "../../../ports/ledger.js";
import type { LedgerContext } from "../ledger-context.js";

/**
 * `decide` in view of the money: what a tenant has spent ends an execution, what is reserved keeps one out of a batch. Whether a call of
 * its own fits is left to the reservation, which knows. A line that can't be rescued goes on as a line.
 */
export async function withinBudgets(
  client: pg.PoolClient,
  { budgets }: LedgerContext,
  waiting: readonly { readonly execution: WaitingExecution }[],
  nowMs: EpochMs,
  decide: (execution: WaitingExecution) => ClaimVerdict,
): Promise<(execution: WaitingExecution) => ClaimVerdict> {
  const tenants = waiting.map(({ execution }) => execution.tenant).filter((tenant) => budgets.guards(tenant));
  if (tenants.length === 0) return decide;
  const ask = await budgets.look(client, tenants, nowMs);
  return (execution) => verdictWithin(decide(execution), execution, ask);
}

function verdictWithin(verdict: ClaimVerdict, { tenant, line }: WaitingExecution, ask: AskBudget): ClaimVerdict {
  if (verdict.kind !== "start" && verdict.kind !== "pool") return verdict;
  const answer = ask(tenant, verdict.kind === "start" ? verdict.intent.maxNanoUsd : verdict.pooled.line.maxNanoUsd);
  if (answer.kind === "fits" || (answer.kind === "wait" && verdict.kind === "start")) return verdict;
  return line === undefined ? answer : { kind: "line" };
}
