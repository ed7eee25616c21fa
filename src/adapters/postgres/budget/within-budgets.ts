import type pg from "pg";
import type { Payer } from "../../../domain/budget/budget-levels.js";
import type { WaitingExecution } from "../../../domain/execution/execution.js";
import type { EpochMs } from "../../../domain/ids.js";
import type { AskBudget } from "../../../ports/budget-store.js";
import type { ClaimVerdict } from "../../../ports/ledger.js";
import type { LedgerContext } from "../ledger-context.js";
import { payersOf } from "./payers.js";

/** A claim in view of the money. */
export interface WithinBudgets {
  readonly decide: (execution: WaitingExecution) => ClaimVerdict;
  /** Of an execution of the claim. */
  readonly payerOf: (execution: WaitingExecution) => Payer;
}

/**
 * `decide` in view of the money: what is spent ends an execution, what is reserved keeps one out of a batch. Whether a call of its own fits
 * is left to the reservation, which knows. A line that can't be rescued goes on as a line.
 */
export async function withinBudgets(
  client: pg.PoolClient,
  context: LedgerContext,
  waiting: readonly { readonly execution: WaitingExecution }[],
  nowMs: EpochMs,
  decide: (execution: WaitingExecution) => ClaimVerdict,
): Promise<WithinBudgets> {
  const { budgets } = context;
  const guarded = waiting.flatMap(({ execution }) => (budgets.guardsTenant(execution.tenant) ? [execution] : []));
  if (guarded.length === 0) return { decide, payerOf: unlabelled };
  const payers = await payersOf(client, context, guarded);
  const payerOf = (execution: WaitingExecution): Payer => payers.get(execution.key.no) ?? unlabelled(execution);
  const ask = await budgets.look(client, [...payers.values()], nowMs);
  return {
    decide: (execution) => verdictWithin(decide(execution), execution, payerOf(execution), ask),
    payerOf,
  };
}

function unlabelled({ tenant }: WaitingExecution): Payer {
  return { tenant, department: null, application: null };
}

function verdictWithin(verdict: ClaimVerdict, { line }: WaitingExecution, payer: Payer, ask: AskBudget): ClaimVerdict {
  if (verdict.kind !== "start" && verdict.kind !== "pool") return verdict;
  const { account, maxNanoUsd } =
    verdict.kind === "start"
      ? verdict.intent
      : { account: verdict.pooled.line.account, maxNanoUsd: verdict.pooled.line.maxNanoUsd };
  const answer = ask({ ...payer, account }, maxNanoUsd);
  if (answer.kind === "fits" || (answer.kind === "wait" && verdict.kind === "start" && answer.because === "held"))
    return verdict;
  return line === undefined ? answer : { kind: "line" };
}
