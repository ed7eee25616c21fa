import { describe, expect, test } from "@jest/globals";
import type { Budget } from "../../src/domain/budget/budget.js";
import { BudgetLevels } from "../../src/domain/budget/budget-levels.js";
import { SpentAccounts } from "../../src/pipeline/budget/spent-accounts.js";
import { accountBudget, commitmentOf } from "../support/budgets.js";

const NOW_MS = Date.UTC(2026, 10, 27, 12);
const NEXT_DAY_MS = Date.UTC(2026, 10, 28);
const NEXT_MONTH_MS = Date.UTC(2026, 11, 1);

/** Where budgets stand: settled, reserved. */
function knowing(...told: readonly (readonly [Budget, bigint, bigint])[]): SpentAccounts {
  const accounts = new SpentAccounts();
  for (const [budget, settledNanoUsd, reservedNanoUsd] of told) {
    const [place] = new BudgetLevels([budget]).all(NOW_MS);
    if (place === undefined) throw new Error("expected a place");
    accounts.seen(place, { settledNanoUsd, reservedNanoUsd });
  }
  return accounts;
}

describe("what is known of accounts' money", () => {
  test("is nothing before a budget was looked at", () => {
    expect(new SpentAccounts().spent("main", NOW_MS)).toBeNull();
    expect(new SpentAccounts().committedLeft("main", NOW_MS)).toBeNull();
  });

  test("is what is neither used nor reserved of a commitment, of that account, until the month is over", () => {
    const accounts = knowing([commitmentOf("main", 1_000n), 300n, 200n]);
    expect(accounts.committedLeft("main", NOW_MS)).toBe(500n);
    expect(accounts.committedLeft("main", NEXT_MONTH_MS - 1)).toBe(500n);
    expect(accounts.committedLeft("main", NEXT_MONTH_MS)).toBeNull();
    expect(accounts.committedLeft("other", NOW_MS)).toBeNull();
  });

  test("is nothing left of a commitment that is used up, which is no reason to leave the account alone", () => {
    const accounts = knowing([commitmentOf("main", 1_000n), 900n, 200n]);
    expect(accounts.committedLeft("main", NOW_MS)).toBe(0n);
    expect(accounts.spent("main", NOW_MS)).toBeNull();
  });

  test("is told apart: a day that is spent says nothing of the month's commitment, and the other way round", () => {
    const day = accountBudget("main", 100n, 95n);
    const spent = knowing([commitmentOf("main", 1_000n), 96n, 0n], [day, 96n, 0n]);
    expect(spent.committedLeft("main", NOW_MS)).toBe(904n);
    expect(spent.spent("main", NOW_MS)).toBe("it has spent or reserved 96 % of what it may spend a day");
    expect(spent.spent("main", NEXT_DAY_MS)).toBeNull();
    expect(knowing([day, 96n, 0n], [commitmentOf("main", 1_000n), 0n, 0n]).spent("main", NOW_MS)).not.toBeNull();
    expect(knowing([day, 96n, 0n]).committedLeft("main", NOW_MS)).toBeNull();
  });
});
