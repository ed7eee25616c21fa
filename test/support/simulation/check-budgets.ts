import { budgetKey, levelText, type Budget } from "../../../src/domain/budget/budget.js";
import { parseEnvelope } from "../../../src/domain/result/envelope.js";
import type { CheckerName } from "./checkers.js";
import type { MemoryDatabase, Transaction } from "./memory-database.js";
import type { AttemptRow } from "./memory-rows.js";

type Report = (checker: CheckerName, message: string, jobId: string | null) => void;

/** An attempt in one of these has no outcome yet: it holds what it may cost. */
const HOLDING: ReadonlySet<string> = new Set(["sending", "batched", "in_doubt", "settled"]);

/**
 * What is promised of money, at each commit: settled + reserved never above the limit; what is reserved is the sum of the reservations, and
 * those are the attempts without an outcome, each at its maximum; what is settled is what the others cost.
 */
export class BudgetChecks {
  /** Executions that waited for money at some time. */
  readonly waited = new Set<number>();
  readonly #database: MemoryDatabase;
  readonly #report: Report;

  constructor(database: MemoryDatabase, report: Report) {
    this.#database = database;
    this.#report = report;
  }

  afterCommit(transaction: Transaction): void {
    const { limits, budgets, attempts, reservations, ready } = this.#database;
    if (limits.length === 0) return;
    for (const key of transaction.touched(ready))
      if (ready.committed.get(key)?.waitsFor === "budget") this.waited.add(Number(key));
    const keys = [transaction.touched(budgets), transaction.touched(attempts), transaction.touched(reservations)];
    if (keys.some(({ length }) => length > 0)) for (const budget of limits) this.#check(budget);
  }

  #check(budget: Budget): void {
    const key = budgetKey(budget);
    const own = [...this.#database.attempts.committed.values()].filter((row) => this.#countsIn(budget, row));
    const ended = own.filter(({ state }) => state === "answered" || state === "failed");
    const holding = new Map(
      own.filter(({ state }) => HOLDING.has(state)).map(({ intent }) => [intent.no, intent.maxNanoUsd]),
    );
    const rows = [...this.#database.budgets.committed].filter(([, row]) => row.key === key);
    const settled = sum(rows.map(([, { settledNanoUsd }]) => settledNanoUsd));
    const reserved = sum(rows.map(([, { reservedNanoUsd }]) => reservedNanoUsd));
    const name = levelText(budget.level);
    // Lines of a batch that turned up after it was given up: their money was somebody else's by then, and the provider has them.
    const outAgain = own.flatMap((row) => (row.outAgain === true ? [row.intent.maxNanoUsd] : []));
    const limit = budget.limitNanoUsd + sum(outAgain);
    for (const [, row] of rows)
      if (budget.kind === "hard" && row.settledNanoUsd + row.reservedNanoUsd > limit)
        this.#report(
          "budget_holds",
          `${name} has ${String(budget.limitNanoUsd)}; ${String(row.settledNanoUsd)} are settled and ${String(row.reservedNanoUsd)} reserved`,
          null,
        );
    const names = new Set(rows.map(([row]) => row));
    const held = [...this.#database.reservations.committed.values()].filter((row) => names.has(row.budget));
    const wrong =
      held.find(({ attemptNo, maxNanoUsd }) => holding.get(attemptNo) !== maxNanoUsd)?.attemptNo ??
      [...holding.keys()].find((no) => !held.some(({ attemptNo }) => attemptNo === no));
    if (wrong !== undefined || sum(held.map(({ maxNanoUsd }) => maxNanoUsd)) !== reserved)
      this.#report(
        "reservations_are_true",
        `${name} has ${String(reserved)} reserved by ${String(held.length)} reservations, ${String(holding.size)} attempts have no outcome; see attempt ${String(wrong)}`,
        null,
      );
    const cost = sum(ended.map(({ nanoUsd, intent }) => nanoUsd ?? intent.maxNanoUsd));
    if (cost !== settled)
      this.#report(
        "settled_is_true",
        `${name} has ${String(settled)} settled, its ended attempts cost ${String(cost)}`,
        null,
      );
  }

  /** By the labels of any job of the execution: here those that share one have the same. */
  #countsIn({ level }: Budget, { intent, execution }: AttemptRow): boolean {
    if (level.of === "account") return intent.account === level.account;
    if (this.#database.executions.committed.get(execution.no)?.tenant !== level.tenant) return false;
    if (level.department === null && level.application === null) return true;
    const labels = this.#labelsOf(execution.no);
    return (
      (level.department === null || labels["department"] === level.department) &&
      (level.application === null || labels["application"] === level.application)
    );
  }

  #labelsOf(executionNo: number): Readonly<Record<string, string>> {
    for (const job of this.#database.jobs.committed.values())
      if (job.execution?.no === executionNo) return parseEnvelope(job.envelope).labels;
    return {};
  }
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((all, amount) => all + amount, 0n);
}
