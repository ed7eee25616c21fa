import { describe, expect, test } from "@jest/globals";
import {
  askBudgets,
  budgetKey,
  grantWithin,
  levelText,
  roomIn,
  settlementOf,
  SPENT_LOOK_AGAIN_MS,
  waitForBudget,
  type Budget,
  type BudgetPlace,
  type BudgetStanding,
} from "../../src/domain/budget/budget.js";
import { accountBudget, tenantBudget } from "../support/budgets.js";

const BUDGET = tenantBudget("shop", 100n);
const standing = (settledNanoUsd: bigint, reservedNanoUsd: bigint) => ({ settledNanoUsd, reservedNanoUsd });

/** A budget in a window that ends at 60 s, by a name of its own. */
function placeOf(budget: Budget, row = budgetKey(budget)): BudgetPlace {
  return { budget, key: budgetKey(budget), row, sinceMs: 0, untilMs: 60_000 };
}

/** The answer of one budget that stands so. */
function ask(budget: Budget, at: BudgetStanding, maxNanoUsd: bigint, nowMs = 1000) {
  const place = placeOf(budget);
  return askBudgets([place], new Map([[place.row, at]]), maxNanoUsd, nowMs);
}

/** Wishes for so much each, numbered from 1, in the places given. */
function grant(places: readonly BudgetPlace[], at: readonly BudgetStanding[], maxima: readonly bigint[]) {
  const wishes = maxima.map((maxNanoUsd, index) => ({ attemptNo: index + 1, maxNanoUsd, places }));
  const standings = new Map(places.map(({ row }, index) => [row, at[index] ?? standing(0n, 0n)]));
  const { granted, refused } = grantWithin(wishes, standings);
  return { granted: granted.map(({ attemptNo }) => attemptNo), refused };
}

describe("room", () => {
  test("is the limit without what was spent and what is held", () => {
    expect(roomIn(BUDGET, standing(30n, 50n))).toBe(20n);
  });

  test("[I1] is below nothing when the limit was lowered beneath that: nothing new begins", () => {
    expect(roomIn(BUDGET, standing(90n, 50n))).toBe(-40n);
    expect(grant([placeOf(BUDGET)], [standing(90n, 50n)], [1n]).granted).toEqual([]);
  });

  test.each([
    ["all of it, to the last nano-dollar", [60n, 40n], [1, 2]],
    ["nothing beyond it", [101n], []],
    ["a smaller one behind one that does not fit", [60n, 41n, 40n, 1n], [1, 3]],
  ] as const)("is given in the order of asking: %s", (_name, maxima, granted) => {
    expect(grant([placeOf(BUDGET)], [], maxima).granted).toEqual(granted);
  });

  test("is needed in each of several budgets: what one refuses takes nothing of another", () => {
    const [wide, narrow] = [placeOf(BUDGET), placeOf(tenantBudget("shop", 50n, { department: "risk" }))];
    const { granted, refused } = grant([wide, narrow], [standing(0n, 0n), standing(10n, 0n)], [41n, 40n, 1n]);
    expect(granted).toEqual([2]);
    expect([...refused].map(([no, { key }]) => [no, key])).toEqual([
      [1, narrow.key],
      [3, narrow.key],
    ]);
    // The one that was refused left 60 to others of the tenant.
    const others = grantWithin(
      [
        { attemptNo: 1, maxNanoUsd: 41n, places: [wide, narrow] },
        { attemptNo: 2, maxNanoUsd: 100n, places: [wide] },
      ],
      new Map([[narrow.row, standing(10n, 0n)]]),
    );
    expect(others.granted.map(({ attemptNo }) => attemptNo)).toEqual([2]);
  });

  test("is told as it is with what was granted", () => {
    const [place, other] = [placeOf(BUDGET), placeOf(tenantBudget("other", 100n))];
    const wishes = [60n, 41n, 40n].map((maxNanoUsd, index) => ({ attemptNo: index, maxNanoUsd, places: [place] }));
    const before = new Map([[other.row, standing(1n, 2n)]]);
    expect(grantWithin(wishes, before).standings).toEqual(
      new Map([
        [other.row, standing(1n, 2n)],
        [place.row, standing(0n, 100n)],
      ]),
    );
  });

  test("is not asked for by a soft budget, which counts all the same", () => {
    const soft = placeOf(tenantBudget("shop", 10n, { kind: "soft" }));
    expect(grant([soft], [standing(90n, 90n)], [1n, 500n]).granted).toEqual([1, 2]);
    expect(ask(soft.budget, standing(90n, 0n), 500n)).toEqual({ kind: "fits" });
  });

  test("ends for an account at the part of its day where others are to take over", () => {
    const place = placeOf(accountBudget("main", 100n, 95n));
    expect(grant([place], [standing(0n, 94n)], [6n, 1n]).granted).toEqual([1]);
    expect(grant([place], [standing(0n, 95n)], [1n]).granted).toEqual([]);
  });
});

describe("a call that may cost 40 of 100", () => {
  test.each([
    ["fits beside 60", 20n, 40n, "fits"],
    ["waits beside 61 of which some are only held", 20n, 41n, "wait"],
    ["waits as long as what is spent leaves enough", 60n, 40n, "wait"],
    ["fails when that leaves too little", 61n, 0n, "fail"],
  ] as const)("%s", (_name, settled, reserved, kind) => {
    expect(ask(BUDGET, standing(settled, reserved), 40n).kind).toBe(kind);
  });

  test("says what is missing when it fails, and when there is money again", () => {
    const message = expect.stringMatching(
      /may cost 40 nano-dollars, the budget of tenant shop, department risk \(a day\) has 100 of which 61 are spent/,
    );
    const budget = tenantBudget("shop", 100n, { department: "risk", window: "day" });
    expect(ask(budget, standing(61n, 0n), 40n)).toMatchObject({
      failure: { code: "BUDGET_EXCEEDED", message, retryAtMs: 60_000 },
    });
    expect(ask(budget, standing(61n, 0n), 101n)).toMatchObject({ failure: { retryAtMs: null } });
  });

  test("fits always when it can cost nothing", () => {
    expect(ask(BUDGET, standing(200n, 0n), 0n)).toEqual({ kind: "fits" });
  });

  test("waits for a bounded time, by the name of what keeps it out", () => {
    const key = budgetKey(BUDGET);
    const wait = { kind: "wait", because: "held", runAtMs: 16_000, waitsFor: "budget", level: key };
    expect(waitForBudget({ key }, 1000)).toEqual(wait);
  });

  test("waits for the next day where an account has spent its own, and fails only where no day is enough", () => {
    const day = accountBudget("main", 100n, 95n);
    const wait = { kind: "wait", because: "spent", waitsFor: "budget", level: '["account","main","day"]' };
    expect(ask(day, standing(61n, 0n), 40n)).toEqual({ ...wait, runAtMs: 60_000 });
    expect(ask(day, standing(95n, 0n), 1n)).toEqual({ ...wait, runAtMs: 60_000 });
    expect(ask(day, standing(95n, 0n), 1n, -SPENT_LOOK_AGAIN_MS)).toEqual({ ...wait, runAtMs: 0 });
    expect(ask(day, standing(0n, 95n), 1n)).toMatchObject({ kind: "wait", because: "held" });
    expect(ask(day, standing(0n, 0n), 101n)).toMatchObject({ kind: "fail" });
  });

  test("fails when one of its budgets fails it, whatever the others say", () => {
    const [tenant, department] = [placeOf(BUDGET), placeOf(tenantBudget("shop", 50n, { department: "risk" }))];
    const standings = new Map([
      [tenant.row, standing(0n, 61n)],
      [department.row, standing(11n, 0n)],
    ]);
    expect(askBudgets([tenant], standings, 40n, 0)).toMatchObject({ kind: "wait", level: tenant.key });
    expect(askBudgets([tenant, department], standings, 40n, 0).kind).toBe("fail");
  });
});

test("a budget's key is its level and window: a limit, a kind or a zone that changes leaves it", () => {
  const budget = tenantBudget("shop", 1n, { department: 'a"b', window: "day" });
  expect(budgetKey(budget)).toBe('["tenant","shop","a\\"b",null,"day"]');
  const changed: Budget = { ...budget, limitNanoUsd: 2n, kind: "soft", timeZone: "Asia/Tokyo" };
  expect(budgetKey(changed)).toBe(budgetKey(budget));
  expect(budgetKey(accountBudget("main", 1n))).toBe('["account","main","day"]');
  expect(levelText(tenantBudget("shop", 1n, { department: "risk", application: "kyc" }).level)).toBe(
    "tenant shop, department risk, application kyc",
  );
});

test("reservations that end give way to what was spent, an unknown cost counts as the maximum", () => {
  const ended = [
    { maxNanoUsd: 40n, nanoUsd: 7n },
    { maxNanoUsd: 30n, nanoUsd: 0n },
    { maxNanoUsd: 20n, nanoUsd: null },
  ];
  expect(settlementOf(ended)).toEqual(standing(27n, -90n));
});
