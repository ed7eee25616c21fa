import {
  askBudget,
  BUDGET_PASSED_ON,
  grantWithin,
  settlementOf,
  UNTOUCHED,
  windowSince,
  type Budget,
  type BudgetStanding,
} from "../../../src/domain/budget/budget.js";
import type { WaitingExecution } from "../../../src/domain/execution/execution.js";
import type {
  AskBudget,
  AttemptWish,
  BudgetStore,
  RenumberedAttempt,
  SettledAttempt,
} from "../../../src/ports/budget-store.js";
import type { ClaimVerdict } from "../../../src/ports/ledger.js";
import type { MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { BudgetRow } from "./memory-rows.js";

const NONE: ReadonlySet<number> = new Set();

/** The budgets of the ledger in memory, statement by statement as in the real one. */
export class MemoryBudgets implements BudgetStore<Transaction> {
  readonly #context: MemoryContext;

  constructor(context: MemoryContext) {
    this.#context = context;
  }

  guards(tenant: string): boolean {
    return this.#budgetOf(tenant) !== undefined;
  }

  async look(transaction: Transaction, tenants: readonly string[], nowMs: number): Promise<AskBudget> {
    if (!tenants.some((tenant) => this.guards(tenant))) return () => ({ kind: "fits" });
    await this.#context.statement(transaction, "budgets-look");
    const { budgets } = this.#context.database;
    const seen = new Map<string, BudgetStanding>();
    for (const tenant of tenants) {
      const budget = this.#budgetOf(tenant);
      if (budget !== undefined) seen.set(tenant, transaction.get(budgets, this.#keyOf(budget)) ?? UNTOUCHED);
    }
    return (tenant, maxNanoUsd) => {
      const budget = this.#budgetOf(tenant);
      if (budget === undefined) return { kind: "fits" };
      return askBudget(budget, seen.get(tenant) ?? UNTOUCHED, maxNanoUsd, nowMs);
    };
  }

  async reserve(transaction: Transaction, wishes: readonly AttemptWish[]): Promise<ReadonlySet<number>> {
    const guarded = wishes.filter(({ tenant, maxNanoUsd }) => maxNanoUsd > 0n && this.guards(tenant));
    if (guarded.length === 0) return NONE;
    const { database, rules } = this.#context;
    const refused = new Set<number>();
    const tenants = [...new Set(guarded.map(({ tenant }) => tenant))].sort();
    const before = rules.locksBudgets ? null : await this.#unlocked(transaction, tenants);
    await this.#context.statement(transaction, "budgets-lock");
    for (const tenant of tenants) {
      const budget = this.#budgetOf(tenant);
      if (budget === undefined) continue;
      const key = this.#keyOf(budget);
      // Serial: in the order of their keys.
      await transaction.lock(database.budgets, [key], "exclusive");
      const row = transaction.get(database.budgets, key) ?? this.#begin(transaction, tenant, key);
      const own = guarded.filter((wish) => wish.tenant === tenant);
      const granted = grantWithin(budget, before?.get(tenant) ?? row, own);
      for (const { attemptNo, maxNanoUsd } of granted)
        transaction.insert(database.reservations, attemptNo, { attemptNo, budget: key, maxNanoUsd });
      const sum = granted.reduce((all, { maxNanoUsd }) => all + maxNanoUsd, 0n);
      transaction.update(database.budgets, key, { reservedNanoUsd: row.reservedNanoUsd + sum });
      const kept = new Set(granted.map(({ attemptNo }) => attemptNo));
      for (const { attemptNo } of own) if (!kept.has(attemptNo)) refused.add(attemptNo);
    }
    return refused;
  }

  /** What a ledger that doesn't lock would go by. */
  async #unlocked(transaction: Transaction, tenants: readonly string[]): Promise<Map<string, BudgetStanding>> {
    await this.#context.statement(transaction, "budgets-read");
    const standings = tenants.map((tenant): [string, BudgetStanding] => {
      const budget = this.#budgetOf(tenant);
      const row = budget && transaction.get(this.#context.database.budgets, this.#keyOf(budget));
      return [tenant, row ?? UNTOUCHED];
    });
    await this.#context.statement(transaction, "budgets-decided");
    return new Map(standings);
  }

  async settle(transaction: Transaction, attempts: readonly SettledAttempt[], nowMs: number): Promise<void> {
    const { database } = this.#context;
    if (database.limits.length === 0 || attempts.length === 0) return;
    await this.#context.statement(transaction, "reservations-end");
    const ended = attempts.flatMap(({ attemptNo, nanoUsd }) => {
      const row = transaction.get(database.reservations, attemptNo);
      if (row === undefined) return [];
      transaction.remove(database.reservations, attemptNo);
      return [{ ...row, nanoUsd }];
    });
    if (ended.length === 0) return;
    await this.#context.statement(transaction, "budgets-move");
    for (const key of [...new Set(ended.map(({ budget }) => budget))].sort()) {
      // Serial: in the order of their keys.
      await transaction.lock(database.budgets, [key], "exclusive");
      const row = transaction.get(database.budgets, key);
      if (row === undefined) throw new Error(`a reservation without its budget ${key}`);
      const by = settlementOf(ended.filter(({ budget }) => budget === key));
      transaction.update(database.budgets, key, {
        settledNanoUsd: row.settledNanoUsd + by.settledNanoUsd,
        reservedNanoUsd: row.reservedNanoUsd + by.reservedNanoUsd,
      });
      await this.#wake(transaction, row.tenant, ended.length, nowMs);
    }
  }

  async renumber(transaction: Transaction, attempts: readonly RenumberedAttempt[]): Promise<void> {
    const { limits, reservations } = this.#context.database;
    if (limits.length === 0 || attempts.length === 0) return;
    await this.#context.statement(transaction, "reservations-renumber");
    for (const { from, to } of attempts) {
      const row = transaction.get(reservations, from);
      if (row === undefined) continue;
      transaction.remove(reservations, from);
      transaction.insert(reservations, to, { ...row, attemptNo: to });
    }
  }

  async release(transaction: Transaction, attemptNos: readonly number[], nowMs: number): Promise<void> {
    if (!this.#context.rules.releasesUnsent) return;
    await this.settle(
      transaction,
      attemptNos.map((attemptNo) => ({ attemptNo, nanoUsd: 0n })),
      nowMs,
    );
  }

  async passOn(transaction: Transaction, tenants: readonly string[], nowMs: number): Promise<void> {
    for (const tenant of new Set(tenants))
      if (this.guards(tenant)) await this.#wake(transaction, tenant, tenants.length * BUDGET_PASSED_ON, nowMs);
  }

  async #wake(transaction: Transaction, tenant: string, limit: number, nowMs: number): Promise<void> {
    const { ready, executions } = this.#context.database;
    await this.#context.statement(transaction, "ready-wake-budget");
    const waiting = transaction
      .all(ready)
      .filter(({ key, waitsFor, runAtMs }) => {
        if (waitsFor !== "budget" || runAtMs <= nowMs) return false;
        return transaction.get(executions, key.no)?.tenant === tenant;
      })
      .sort((a, b) => a.key.no - b.key.no)
      .slice(0, limit);
    for (const { key } of waiting)
      if (transaction.tryLock(ready, key.no, "exclusive")) transaction.update(ready, key.no, { runAtMs: nowMs });
  }

  #begin(transaction: Transaction, tenant: string, key: string): BudgetRow {
    const row = { tenant, ...UNTOUCHED };
    transaction.insert(this.#context.database.budgets, key, row);
    return row;
  }

  #budgetOf(tenant: string): Budget | undefined {
    return this.#context.database.limits.find((budget) => budget.tenant === tenant);
  }

  #keyOf({ tenant, window }: Budget): string {
    return `${tenant}:${String(windowSince(window, this.#context.today()))}`;
  }
}

/** `decide` in view of the money, as the real ledger does it. */
export async function withinBudgets(
  { budgets }: MemoryContext,
  transaction: Transaction,
  waiting: readonly WaitingExecution[],
  nowMs: number,
  decide: (execution: WaitingExecution) => ClaimVerdict,
): Promise<(execution: WaitingExecution) => ClaimVerdict> {
  const ask = await budgets.look(
    transaction,
    waiting.map(({ tenant }) => tenant),
    nowMs,
  );
  return (execution) => {
    const verdict = decide(execution);
    if (verdict.kind !== "start" && verdict.kind !== "pool") return verdict;
    const maxNanoUsd = verdict.kind === "start" ? verdict.intent.maxNanoUsd : verdict.pooled.line.maxNanoUsd;
    const answer = ask(execution.tenant, maxNanoUsd);
    if (answer.kind === "fits" || (answer.kind === "wait" && verdict.kind === "start")) return verdict;
    return execution.line === undefined ? answer : { kind: "line" };
  };
}
