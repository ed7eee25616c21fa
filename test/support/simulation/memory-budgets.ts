import {
  askBudgets,
  BUDGET_PASSED_ON,
  grantWithin,
  settlementOf,
  UNTOUCHED,
  type BudgetPlace,
  type LevelStanding,
  type PlacedWish,
  type Standings,
} from "../../../src/domain/budget/budget.js";
import { BudgetLevels, payerOf, type Payer, type Spender } from "../../../src/domain/budget/budget-levels.js";
import type { Failure } from "../../../src/domain/failure.js";
import type { WaitingExecution } from "../../../src/domain/execution/execution.js";
import { parseEnvelope } from "../../../src/domain/result/envelope.js";
import type {
  AskBudget,
  AttemptWish,
  BudgetStore,
  Reserved,
  SeenStanding,
  Settled,
  Woken,
} from "../../../src/ports/budget-store.js";
import type { ClaimVerdict } from "../../../src/ports/ledger.js";
import type { MemoryContext } from "./memory-context.js";
import type { Transaction } from "./memory-database.js";
import type { AttemptRow, BudgetRow, ReservationRow } from "./memory-rows.js";

const NONE: Reserved = { refused: new Map() };

/** An attempt that goes on under another number. */
interface RenumberedAttempt {
  readonly from: number;
  readonly to: number;
}

/** The budgets of the ledger in memory: what attempts have reserved is kept apart from them, by their numbers. */
export class MemoryBudgets implements BudgetStore<Transaction, number> {
  readonly #context: MemoryContext;
  readonly #levels: BudgetLevels;
  readonly #seen: SeenStanding | undefined;

  constructor(context: MemoryContext, seen?: SeenStanding) {
    this.#context = context;
    this.#seen = seen;
    this.#levels = new BudgetLevels(context.database.limits);
  }

  guards(spender: Pick<Spender, "tenant" | "account">): boolean {
    return this.#levels.guards(spender);
  }

  guardsTenant(tenant: string): boolean {
    return this.#levels.guardsTenant(tenant);
  }

  async look(transaction: Transaction, payers: readonly Payer[], nowMs: number): Promise<AskBudget> {
    const windowMs = this.#context.database.nowMs();
    const places = this.#levels.placesAround(payers, windowMs);
    if (places.length === 0) return () => ({ kind: "fits" });
    await this.#context.statement(transaction, "budgets-look");
    const seen = this.#standings(transaction, places);
    return (spender, maxNanoUsd) => askBudgets(this.#levels.placesOf(spender, windowMs), seen, maxNanoUsd, nowMs);
  }

  async reserve(transaction: Transaction, wishes: readonly AttemptWish[]): Promise<Reserved> {
    const windowMs = this.#context.database.nowMs();
    const guarded = wishes.flatMap(({ spender, attemptNo, maxNanoUsd }): PlacedWish[] => {
      const places = this.#levels.placesOf(spender, windowMs);
      return maxNanoUsd === 0n || places.length === 0 ? [] : [{ attemptNo, maxNanoUsd, places }];
    });
    if (guarded.length === 0) return NONE;
    const { database, rules } = this.#context;
    const places = [...new Set(guarded.flatMap((wish) => wish.places))].sort((a, b) => (a.row < b.row ? -1 : 1));
    const before = rules.locksBudgets ? null : await this.#unlocked(transaction, places);
    await this.#context.statement(transaction, "budgets-lock");
    for (const { key, row, sinceMs } of places) {
      // Serial: in the order of their keys.
      await transaction.lock(database.budgets, [row], "exclusive");
      if (transaction.get(database.budgets, row) === undefined)
        transaction.insert(database.budgets, row, { key, sinceMs, ...UNTOUCHED });
    }
    const { granted, refused, standings } = grantWithin(guarded, before ?? this.#read(transaction, places));
    this.#told(places, standings);
    for (const wish of granted) this.#keep(transaction, wish);
    return { refused: new Map([...refused].map(([attemptNo, { key }]) => [attemptNo, key])) };
  }

  #keep(transaction: Transaction, { attemptNo, maxNanoUsd, places }: PlacedWish): void {
    const { database, rules } = this.#context;
    for (const { key, row } of rules.reservesIn(places)) {
      const standing = transaction.get(database.budgets, row) ?? UNTOUCHED;
      transaction.update(database.budgets, row, { reservedNanoUsd: standing.reservedNanoUsd + maxNanoUsd });
      transaction.insert(database.reservations, `${String(attemptNo)}:${key}`, { attemptNo, budget: row, maxNanoUsd });
    }
  }

  /** What they had reserved before they were given back, within the limits or not. */
  async reserveAgain(transaction: Transaction, attempts: readonly AttemptRow[]): Promise<void> {
    const { attempts: rows, budgets, reservations } = this.#context.database;
    await this.#context.statement(transaction, "budgets-reserve-again");
    for (const budget of [...new Set(attempts.flatMap(({ countedIn }) => countedIn ?? []))].sort())
      await transaction.lock(budgets, [budget], "exclusive"); // serial: in the order of their keys
    for (const { intent, countedIn = [] } of attempts) {
      for (const budget of countedIn) {
        const standing = transaction.get(budgets, budget);
        if (standing === undefined) throw new Error(`a reservation without its budget ${budget}`);
        const row = { attemptNo: intent.no, budget, maxNanoUsd: intent.maxNanoUsd };
        transaction.update(budgets, budget, { reservedNanoUsd: standing.reservedNanoUsd + intent.maxNanoUsd });
        transaction.insert(reservations, keyOf(row, standing), row);
      }
      transaction.update(rows, intent.no, { countedIn: [] });
    }
  }

  #standings(transaction: Transaction, places: readonly BudgetPlace[]): Standings {
    return this.#told(places, this.#read(transaction, places));
  }

  #read(transaction: Transaction, places: readonly BudgetPlace[]): Standings {
    const { budgets } = this.#context.database;
    return new Map(places.map(({ row }) => [row, transaction.get(budgets, row) ?? UNTOUCHED]));
  }

  #told(places: readonly BudgetPlace[], standings: Standings): Standings {
    if (this.#seen !== undefined) for (const place of places) this.#seen(place, standings.get(place.row) ?? UNTOUCHED);
    return standings;
  }

  /** What a ledger that doesn't lock would go by. */
  async #unlocked(transaction: Transaction, places: readonly BudgetPlace[]): Promise<Standings> {
    await this.#context.statement(transaction, "budgets-read");
    const standings = this.#read(transaction, places);
    await this.#context.statement(transaction, "budgets-decided");
    return standings;
  }

  async settle(transaction: Transaction, attempts: readonly Settled<number>[], nowMs: number): Promise<Woken> {
    const { database, rules } = this.#context;
    if (database.limits.length === 0 || attempts.length === 0) return woke(0);
    await this.#context.statement(transaction, "reservations-end");
    const ended = attempts.flatMap(({ attempt, nanoUsd }) =>
      rules.settlesIn(this.#reservationsOf(transaction, attempt)).map((row) => ({ ...row, nanoUsd })),
    );
    for (const { attemptNo } of ended)
      for (const row of this.#reservationsOf(transaction, attemptNo))
        transaction.remove(database.reservations, keyOf(row, transaction.get(database.budgets, row.budget)));
    if (ended.length === 0) return woke(0);
    for (const { attemptNo } of ended) {
      const countedIn = ended.filter((one) => one.attemptNo === attemptNo).map(({ budget }) => budget);
      transaction.update(database.attempts, attemptNo, { countedIn });
    }
    await this.#context.statement(transaction, "budgets-move");
    const rows = new Map<string, typeof ended>();
    for (const one of ended) rows.set(one.budget, [...(rows.get(one.budget) ?? []), one]);
    const levels = new Set<string>();
    for (const [row, own] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
      // Serial: in the order of their keys.
      await transaction.lock(database.budgets, [row], "exclusive");
      const standing = transaction.get(database.budgets, row);
      if (standing === undefined) throw new Error(`a reservation without its budget ${row}`);
      const by = settlementOf(own);
      transaction.update(database.budgets, row, {
        settledNanoUsd: standing.settledNanoUsd + by.settledNanoUsd,
        reservedNanoUsd: standing.reservedNanoUsd + by.reservedNanoUsd,
      });
      levels.add(standing.key);
    }
    return this.#wake(transaction, levels, Math.max(...[...rows.values()].map((own) => own.length)), nowMs);
  }

  /** What is settled for an attempt in these of its budgets moves. */
  async correct(
    transaction: Transaction,
    countedIn: readonly string[],
    byNanoUsd: bigint,
    nowMs: number,
  ): Promise<Woken> {
    if (countedIn.length === 0 || byNanoUsd === 0n) return woke(0);
    const { budgets } = this.#context.database;
    await this.#context.statement(transaction, "budgets-correct");
    const levels = new Set<string>();
    for (const row of [...countedIn].sort()) {
      // Serial: in the order of their keys.
      await transaction.lock(budgets, [row], "exclusive");
      const { key, settledNanoUsd } = transaction.get(budgets, row) ?? { key: row, settledNanoUsd: 0n };
      const settled = settledNanoUsd + byNanoUsd;
      transaction.update(budgets, row, { settledNanoUsd: settled > 0n ? settled : 0n });
      levels.add(key);
    }
    return byNanoUsd < 0n ? this.#wake(transaction, levels, 1, nowMs) : woke(0);
  }

  #reservationsOf(transaction: Transaction, attemptNo: number): ReservationRow[] {
    return transaction.all(this.#context.database.reservations).filter((row) => row.attemptNo === attemptNo);
  }

  /** They keep what they reserved. */
  async renumber(transaction: Transaction, attempts: readonly RenumberedAttempt[]): Promise<void> {
    const { limits, reservations, budgets } = this.#context.database;
    if (limits.length === 0 || attempts.length === 0) return;
    await this.#context.statement(transaction, "reservations-renumber");
    for (const { from, to } of attempts) {
      for (const row of this.#reservationsOf(transaction, from)) {
        const budget = transaction.get(budgets, row.budget);
        const moved = { ...row, attemptNo: to };
        transaction.remove(reservations, keyOf(row, budget));
        transaction.insert(reservations, keyOf(moved, budget), moved);
      }
    }
  }

  async release(transaction: Transaction, attemptNos: readonly number[], nowMs: number): Promise<Woken> {
    if (!this.#context.rules.releasesUnsent) return woke(0);
    return this.settle(
      transaction,
      attemptNos.map((attempt) => ({ attempt, nanoUsd: 0n })),
      nowMs,
    );
  }

  async passOn(transaction: Transaction, levels: readonly string[], nowMs: number): Promise<Woken> {
    if (levels.length === 0) return woke(0);
    return this.#wake(transaction, new Set(levels), levels.length * BUDGET_PASSED_ON, nowMs);
  }

  async #wake(transaction: Transaction, levels: ReadonlySet<string>, limit: number, nowMs: number): Promise<Woken> {
    const { ready } = this.#context.database;
    await this.#context.statement(transaction, "ready-wake-budget");
    let count = 0;
    for (const level of levels) {
      const waiting = transaction
        .all(ready)
        .filter((row) => row.waitsFor === "budget" && row.level === level && row.runAtMs > nowMs)
        .sort((a, b) => a.key.no - b.key.no)
        .slice(0, limit);
      for (const { key } of waiting) {
        if (!transaction.tryLock(ready, key.no, "exclusive")) continue;
        transaction.update(ready, key.no, { runAtMs: nowMs });
        count += 1;
      }
    }
    return woke(count);
  }

  standings(transaction: Transaction): readonly LevelStanding[] {
    const { budgets, nowMs } = this.#context.database;
    return this.#levels.all(nowMs()).map((place) => {
      const standing = transaction.get(budgets, place.row) ?? UNTOUCHED;
      this.#seen?.(place, standing);
      const { settledNanoUsd, reservedNanoUsd } = standing;
      return { ...place, settledNanoUsd, reservedNanoUsd };
    });
  }
}

/** As an outcome says it. */
export async function wokenOf({ executions }: Woken): Promise<{ readonly woken?: number }> {
  const count = await executions;
  return count === 0 ? {} : { woken: count };
}

function woke(count: number): Woken {
  return { executions: Promise.resolve(count) };
}

function keyOf({ attemptNo }: ReservationRow, budget: BudgetRow | undefined): string {
  return `${String(attemptNo)}:${budget?.key ?? ""}`;
}

/** Jobs that wait for the same execution and stand for each other when it comes to money. */
interface PayingJobs {
  readonly payer: Payer;
  readonly jobs: number;
}

/** Who may pay for the next call of an execution, in turn: who opened it, then the others that wait; equal labels stand for each other. */
export function payersOfExecution(
  { database }: MemoryContext,
  transaction: Transaction,
  executionNo: number,
  tenant: string,
): readonly [PayingJobs, ...PayingJobs[]] {
  const waiting = transaction
    .all(database.jobs)
    .filter((job) => job.execution?.no === executionNo && job.state === "active")
    .sort((a, b) => Number(b.key.no === executionNo) - Number(a.key.no === executionNo) || a.key.no - b.key.no)
    .map((job) => payerOf(tenant, parseEnvelope(job.envelope).labels));
  const [first = { payer: payerOf(tenant, {}), jobs: 0 }, ...others] = waiting
    .filter((payer, index) => waiting.findIndex((other) => samePayer(payer, other)) === index)
    .map((payer) => ({ payer, jobs: waiting.filter((other) => samePayer(payer, other)).length }));
  return [first, ...others];
}

export function samePayer(a: Payer, b: Payer): boolean {
  return a.department === b.department && a.application === b.application;
}

/** A payer who can't pay any more, while others wait for the same execution. */
export interface LeftPayer {
  readonly execution: WaitingExecution;
  readonly payer: Payer;
  readonly failure: Failure;
  /** Of the payer's jobs so many end now. */
  readonly limit: number;
}

export interface WithinBudgets {
  readonly decide: (execution: WaitingExecution) => ClaimVerdict;
  readonly payerOf: (execution: WaitingExecution) => Payer;
  readonly left: readonly LeftPayer[];
}

/** `decide` in view of the money, as the real ledger does it. */
export async function withinBudgets(
  context: MemoryContext,
  transaction: Transaction,
  waiting: readonly WaitingExecution[],
  nowMs: number,
  decide: (execution: WaitingExecution) => ClaimVerdict,
): Promise<WithinBudgets> {
  const { budgets } = context;
  const payers = new Map(
    waiting.flatMap(({ key, tenant }) =>
      budgets.guardsTenant(tenant) ? [[key.no, payersOfExecution(context, transaction, key.no, tenant)] as const] : [],
    ),
  );
  const left: LeftPayer[] = [];
  const paying = new Map<number, Payer>();
  const payerOfOne = ({ key, tenant }: WaitingExecution): Payer =>
    paying.get(key.no) ?? payers.get(key.no)?.[0].payer ?? payerOf(tenant, {});
  if (payers.size === 0) return { decide, left, payerOf: payerOfOne };
  const asked = [...payers.values()].flatMap((own) => own.map(({ payer }) => payer));
  const ask = await budgets.look(transaction, asked, nowMs);
  let room = payers.size + context.rules.waitersMax;
  const within = (execution: WaitingExecution): ClaimVerdict => {
    const verdict = decide(execution);
    const own = payers.get(execution.key.no);
    if (own === undefined || (verdict.kind !== "start" && verdict.kind !== "pool")) return verdict;
    const { account, maxNanoUsd } = verdict.kind === "start" ? verdict.intent : verdict.pooled.line;
    const answers = own.map(({ payer, jobs }) => ({ payer, jobs, answer: ask({ ...payer, account }, maxNanoUsd) }));
    const able = execution.line === undefined ? answers.findIndex(({ answer }) => answer.kind !== "fail") : 0;
    const place = able < 0 ? answers.length - 1 : able;
    for (const { payer, jobs, answer } of answers.slice(0, place)) {
      if (answer.kind !== "fail") continue;
      const limit = Math.min(jobs, room);
      room -= limit;
      if (limit > 0) left.push({ execution, payer, failure: answer.failure, limit });
      if (limit < jobs) return { kind: "wait", runAtMs: execution.dueAtMs, waitsFor: execution.waitedFor };
    }
    const { payer, answer } = answers[place] ?? { payer: own[0].payer, answer: { kind: "fits" as const } };
    paying.set(execution.key.no, payer);
    if (answer.kind === "fits") return verdict;
    if (answer.kind === "wait" && verdict.kind === "start" && answer.because === "held") return verdict;
    if (execution.line !== undefined) return { kind: "line" };
    if (answer.kind === "fail" || verdict.kind === "pool" || execution.doubtful === null) return answer;
    return { ...answer, afterDoubt: verdict.intent.routeIndex };
  };
  return { decide: within, left, payerOf: payerOfOne };
}
