import type { Budget } from "../../../src/domain/budget/budget.js";
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
    const { tenant, limitNanoUsd } = budget;
    const own = [...this.#database.attempts.committed.values()].filter((row) => this.#tenantOf(row) === tenant);
    const ended = own.filter(({ state }) => state === "answered" || state === "failed");
    const holding = new Map(
      own.filter(({ state }) => HOLDING.has(state)).map(({ intent }) => [intent.no, intent.maxNanoUsd]),
    );
    const rows = [...this.#database.budgets.committed.values()].filter((row) => row.tenant === tenant);
    const settled = sum(rows.map(({ settledNanoUsd }) => settledNanoUsd));
    const reserved = sum(rows.map(({ reservedNanoUsd }) => reservedNanoUsd));
    if (settled + reserved > limitNanoUsd)
      this.#report(
        "budget_holds",
        `${tenant} has ${String(limitNanoUsd)}; ${String(settled)} are settled and ${String(reserved)} reserved`,
        null,
      );
    const held = [...this.#database.reservations.committed.values()].filter(({ budget: key }) =>
      key.startsWith(`${tenant}:`),
    );
    const wrong =
      held.find(({ attemptNo, maxNanoUsd }) => holding.get(attemptNo) !== maxNanoUsd)?.attemptNo ??
      [...holding.keys()].find((no) => !held.some(({ attemptNo }) => attemptNo === no));
    if (wrong !== undefined || sum(held.map(({ maxNanoUsd }) => maxNanoUsd)) !== reserved)
      this.#report(
        "reservations_are_true",
        `${tenant} has ${String(reserved)} reserved by ${String(held.length)} reservations, ${String(holding.size)} attempts have no outcome; see attempt ${String(wrong)}`,
        null,
      );
    const cost = sum(ended.map(({ nanoUsd, intent }) => nanoUsd ?? intent.maxNanoUsd));
    if (cost !== settled)
      this.#report(
        "settled_is_true",
        `${tenant} has ${String(settled)} settled, its ended attempts cost ${String(cost)}`,
        null,
      );
  }

  #tenantOf({ execution }: AttemptRow): string | undefined {
    return this.#database.executions.committed.get(execution.no)?.tenant;
  }
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((all, amount) => all + amount, 0n);
}
