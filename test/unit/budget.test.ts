import { describe, expect, test } from "@jest/globals";
import {
  askBudget,
  grantWithin,
  roomIn,
  settlementOf,
  waitForBudget,
  windowSince,
  type Budget,
} from "../../src/domain/budget/budget.js";

const BUDGET: Budget = { tenant: "shop", limitNanoUsd: 100n, window: "total" };
const standing = (settledNanoUsd: bigint, reservedNanoUsd: bigint) => ({ settledNanoUsd, reservedNanoUsd });

describe("a window begins", () => {
  const dayOf = (iso: string): number => Date.parse(`${iso}T00:00:00Z`) / 86_400_000;
  test.each([
    ["total", "2026-11-26", "1970-01-01"],
    ["day", "2026-11-26", "2026-11-26"],
    ["month", "2026-11-26", "2026-11-01"],
    ["month", "2026-11-01", "2026-11-01"],
    ["month", "2026-12-31", "2026-12-01"],
    ["month", "2028-02-29", "2028-02-01"],
    ["month", "2027-01-01", "2027-01-01"],
  ] as const)("%s: on %s it began on %s", (window, day, since) => {
    expect(windowSince(window, dayOf(day))).toBe(dayOf(since));
  });
});

describe("room", () => {
  test("is the limit without what was spent and what is held", () => {
    expect(roomIn(BUDGET, standing(30n, 50n))).toBe(20n);
  });

  test("[I1] is below nothing when the limit was lowered beneath that: nothing new begins", () => {
    expect(roomIn(BUDGET, standing(90n, 50n))).toBe(-40n);
    expect(grantWithin(BUDGET, standing(90n, 50n), [{ attemptNo: 1, maxNanoUsd: 1n }])).toEqual([]);
  });

  test.each([
    ["all of it, to the last nano-dollar", [60n, 40n], [1, 2]],
    ["nothing beyond it", [101n], []],
    ["a smaller one behind one that does not fit", [60n, 41n, 40n, 1n], [1, 3]],
  ] as const)("is given in the order of asking: %s", (_name, wishes, granted) => {
    const asked = wishes.map((maxNanoUsd, index) => ({ attemptNo: index + 1, maxNanoUsd }));
    expect(grantWithin(BUDGET, standing(0n, 0n), asked).map(({ attemptNo }) => attemptNo)).toEqual(granted);
  });
});

describe("a call that may cost 40 of 100", () => {
  test.each([
    ["fits beside 60", 20n, 40n, "fits"],
    ["waits beside 61 of which some are only held", 20n, 41n, "wait"],
    ["waits as long as what is spent leaves enough", 60n, 40n, "wait"],
    ["fails when that leaves too little", 61n, 0n, "fail"],
  ] as const)("%s", (_name, settled, reserved, kind) => {
    expect(askBudget(BUDGET, standing(settled, reserved), 40n, 1000).kind).toBe(kind);
  });

  test("says what is missing when it fails", () => {
    expect(askBudget(BUDGET, standing(61n, 0n), 40n, 1000)).toMatchObject({
      failure: {
        code: "BUDGET_EXCEEDED",
        message: expect.stringMatching(
          /may cost 40 nano-dollars, the budget of tenant shop \(in all\) has 100 of which 61 are spent/,
        ),
      },
    });
  });

  test("fits always when it can cost nothing", () => {
    expect(askBudget(BUDGET, standing(200n, 0n), 0n, 1000)).toEqual({ kind: "fits" });
  });

  test("waits for a bounded time", () => {
    expect(waitForBudget(1000)).toEqual({ kind: "wait", runAtMs: 16_000, waitsFor: "budget" });
  });
});

test("reservations that end give way to what was spent, an unknown cost counts as the maximum", () => {
  const ended = [
    { maxNanoUsd: 40n, nanoUsd: 7n },
    { maxNanoUsd: 30n, nanoUsd: 0n },
    { maxNanoUsd: 20n, nanoUsd: null },
  ];
  expect(settlementOf(ended)).toEqual(standing(27n, -90n));
});
