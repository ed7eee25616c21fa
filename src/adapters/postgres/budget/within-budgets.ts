import type pg from "pg";
import type { BudgetAnswer } from "../../../domain/budget/budget.js";
import type { Payer } from "../../../domain/budget/budget-levels.js";
import type { WaitingExecution } from "../../../domain/execution/execution.js";
import type { Failure } from "../../../domain/failure.js";
import type { EpochMs } from "../../../domain/ids.js";
import type { AskBudget } from "../../../ports/budget-store.js";
import type { ClaimVerdict } from "../../../ports/ledger.js";
import type { LedgerContext } from "../ledger-context.js";
import { payersOf, type LeftPayer, type Payers, type PayingJobs } from "./payers.js";

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
 * line. Of payers that can't pay one transaction ends at most `waitersMax` jobs beside one for each execution: while some are left their
 * execution stays due and is not decided, since those that are left would be served at the others' expense.
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
  const asked = [...payers.values()].flatMap((own) => own.map(({ payer }) => payer));
  const ask = await budgets.look(client, asked, nowMs);
  return new Decisions(decide, payers, ask, guarded.length + context.settings.waitersMax);
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
  /** How many more jobs may end for want of money. */
  #room: number;

  constructor(
    decide: (execution: WaitingExecution) => ClaimVerdict,
    payers: Payers,
    ask: AskBudget,
    endedAtOnce: number,
  ) {
    this.#decide = decide;
    this.#payers = payers;
    this.#ask = ask;
    this.#room = endedAtOnce;
  }

  readonly payerOf = (execution: WaitingExecution): Payer =>
    this.#paying.get(execution.key.no) ?? this.#payersOf(execution)[0].payer;

  readonly decide = (execution: WaitingExecution): ClaimVerdict => {
    const verdict = this.#decide(execution);
    if (verdict.kind !== "start" && verdict.kind !== "pool") return verdict;
    const { account, maxNanoUsd } = verdict.kind === "start" ? verdict.intent : verdict.pooled.line;
    const answer = this.#answer(execution, account, maxNanoUsd);
    if (answer === "more_left") return { kind: "wait", runAtMs: execution.dueAtMs, waitsFor: execution.waitedFor };
    if (answer.kind === "fits" || (answer.kind === "wait" && verdict.kind === "start" && answer.because === "held"))
      return verdict;
    if (execution.line !== undefined) return { kind: "line" };
    if (answer.kind === "fail" || verdict.kind === "pool" || execution.doubtful === null) return answer;
    return { ...answer, afterDoubt: verdict.intent.routeIndex };
  };

  /** Of the first payer whom what is spent does not fail; of the last, when it fails all. Beside a line nobody is left out. */
  #answer(execution: WaitingExecution, account: string, maxNanoUsd: bigint): BudgetAnswer | "more_left" {
    const [first, ...others] = this.#payersOf(execution);
    let paying = first;
    let answer = this.#ask({ ...paying.payer, account }, maxNanoUsd);
    for (const next of execution.line === undefined ? others : []) {
      if (answer.kind !== "fail") break;
      if (!this.#leaves(execution, paying, answer.failure)) return "more_left";
      paying = next;
      answer = this.#ask({ ...paying.payer, account }, maxNanoUsd);
    }
    this.#paying.set(execution.key.no, paying.payer);
    return answer;
  }

  /** @returns whether all jobs of this payer end now. */
  #leaves({ key }: WaitingExecution, { payer, jobs }: PayingJobs, failure: Failure): boolean {
    const limit = Math.min(jobs, this.#room);
    this.#room -= limit;
    if (limit > 0) this.left.push({ execution: key, payer, failure, limit });
    return limit === jobs;
  }

  #payersOf(execution: WaitingExecution): readonly [PayingJobs, ...PayingJobs[]] {
    return this.#payers.get(execution.key.no) ?? [{ payer: unlabelled(execution), jobs: 0 }];
  }
}
