import type pg from "pg";
import type { BudgetAnswer } from "../../../domain/budget/budget.js";
import type { Payer } from "../../../domain/budget/budget-levels.js";
import type { WaitingExecution } from "../../../domain/execution/execution.js";
import type { EpochMs } from "../../../domain/ids.js";
import type { AskBudget } from "../../../ports/budget-store.js";
import type { ClaimVerdict } from "../../../ports/ledger.js";
import type { LedgerContext } from "../ledger-context.js";
import { payersOf, type LeftPayer, type Payers } from "./payers.js";

/** A claim in view of the money. */
export interface WithinBudgets {
  readonly decide: (execution: WaitingExecution) => ClaimVerdict;
  /** Of an execution that was decided about. */
  readonly payerOf: (execution: WaitingExecution) => Payer;
  /** Who can't pay any more for an execution that goes on for others; complete once all were decided about. */
  readonly left: readonly LeftPayer[];
}

/**
 * `decide` in view of the money: what is spent ends an execution, or only the jobs of a payer where others wait for the same; what is reserved
 * keeps one out of a batch. Whether a call of its own fits is left to the reservation, which knows. A line that can't be rescued goes on as a
 * line.
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
  if (guarded.length === 0) return { decide, payerOf: unlabelled, left: [] };
  const payers = await payersOf(client, context, guarded);
  const ask = await budgets.look(client, [...payers.values()].flat(), nowMs);
  return new Decisions(decide, payers, ask);
}

function unlabelled({ tenant }: WaitingExecution): Payer {
  return { tenant, department: null, application: null };
}

class Decisions implements WithinBudgets {
  readonly left: LeftPayer[] = [];
  readonly #decide: (execution: WaitingExecution) => ClaimVerdict;
  readonly #payers: Payers;
  readonly #ask: AskBudget;
  readonly #paying = new Map<number, Payer>();

  constructor(decide: (execution: WaitingExecution) => ClaimVerdict, payers: Payers, ask: AskBudget) {
    this.#decide = decide;
    this.#payers = payers;
    this.#ask = ask;
  }

  readonly payerOf = (execution: WaitingExecution): Payer =>
    this.#paying.get(execution.key.no) ?? this.#payersOf(execution)[0];

  readonly decide = (execution: WaitingExecution): ClaimVerdict => {
    const verdict = this.#decide(execution);
    if (verdict.kind !== "start" && verdict.kind !== "pool") return verdict;
    const { account, maxNanoUsd } = verdict.kind === "start" ? verdict.intent : verdict.pooled.line;
    const answer = this.#answer(execution, account, maxNanoUsd);
    if (answer.kind === "fits" || (answer.kind === "wait" && verdict.kind === "start" && answer.because === "held"))
      return verdict;
    if (execution.line !== undefined) return { kind: "line" };
    if (answer.kind === "fail" || verdict.kind === "pool" || execution.doubtful === null) return answer;
    return { ...answer, afterDoubt: verdict.intent.routeIndex };
  };

  /** Of the first payer whom what is spent does not fail; of the last, when it fails all. Beside a line nobody is left out. */
  #answer(execution: WaitingExecution, account: string, maxNanoUsd: bigint): BudgetAnswer {
    const [first, ...others] = this.#payersOf(execution);
    let payer = first;
    let answer = this.#ask({ ...payer, account }, maxNanoUsd);
    for (const next of execution.line === undefined ? others : []) {
      if (answer.kind !== "fail") break;
      this.left.push({ execution: execution.key, payer, failure: answer.failure });
      payer = next;
      answer = this.#ask({ ...payer, account }, maxNanoUsd);
    }
    this.#paying.set(execution.key.no, payer);
    return answer;
  }

  #payersOf(execution: WaitingExecution): readonly [Payer, ...Payer[]] {
    return this.#payers.get(execution.key.no) ?? [unlabelled(execution)];
  }
}
