import { expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  askBudgets,
  budgetKey,
  grantWithin,
  settlementOf,
  UNTOUCHED,
  type Budget,
  type BudgetPlace,
  type BudgetStanding,
} from "../../src/domain/budget/budget.js";
import { BudgetLevels, type Spender } from "../../src/domain/budget/budget-levels.js";

/**
 * Random hierarchies of budgets and random calls, beside an oracle that keeps no sums: it holds all calls, and adds up what counts in a budget
 * each time it is asked, with windows worked out from the zones' offsets.
 */

const HOUR_MS = 3_600_000;
const START_MS = Date.parse("2026-01-30T20:17:43.123Z");
/** Zones whose clocks are never changed, and how far they are ahead. */
const ZONES = { UTC: 0, "Etc/GMT-5": 5, "Etc/GMT+3": -3, "Asia/Kolkata": 5.5 } as const;

const spender: fc.Arbitrary<Spender> = fc.record({
  tenant: fc.constantFrom("shop", "acme"),
  department: fc.constantFrom("risk", "sales", null),
  application: fc.constantFrom("kyc", null),
  account: fc.constantFrom("alpha", "beta"),
});

const tenantLevel = fc.record({
  of: fc.constant("tenant" as const),
  tenant: fc.constantFrom("shop", "acme"),
  department: fc.constantFrom("risk", "sales", null),
  application: fc.constantFrom("kyc", null),
});
const accountLevel = fc.record({ of: fc.constant("account" as const), account: fc.constantFrom("alpha", "beta") });

const budget: fc.Arbitrary<Budget> = fc
  .record({
    level: fc.oneof({ weight: 4, arbitrary: tenantLevel }, { weight: 1, arbitrary: accountLevel }),
    limitNanoUsd: fc.bigInt({ min: 0n, max: 120n }),
    window: fc.constantFrom("total", "hour", "day", "month"),
    timeZone: fc.constantFrom(...(Object.keys(ZONES) as (keyof typeof ZONES)[])),
    kind: fc.constantFrom("hard", "hard", "soft"),
    stopsAtPercent: fc.bigInt({ min: 50n, max: 100n }),
  })
  .map(({ stopsAtPercent, ...rest }) =>
    rest.level.of === "account"
      ? { ...rest, kind: "hard" as const, stopsAtNanoUsd: (rest.limitNanoUsd * stopsAtPercent) / 100n }
      : rest,
  );

type Step =
  | { readonly kind: "later"; readonly ms: number }
  | { readonly kind: "reserve"; readonly wishes: readonly { readonly spender: Spender; readonly max: bigint }[] }
  | { readonly kind: "end"; readonly place: number; readonly share: number | null };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("later" as const), ms: fc.integer({ min: 1, max: 30 * HOUR_MS }) }),
  fc.record({
    kind: fc.constant("reserve" as const),
    wishes: fc.array(fc.record({ spender, max: fc.bigInt({ min: 0n, max: 50n }) }), { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    kind: fc.constant("end" as const),
    place: fc.nat(),
    share: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }),
  }),
);

interface Call {
  readonly spender: Spender;
  readonly max: bigint;
  readonly atMs: number;
  readonly places: readonly BudgetPlace[];
  /** Undefined while it is out. */
  cost?: bigint | null;
}

/** The oracle's word for the window that a moment lies in. */
function windowOf({ window, timeZone }: Budget, atMs: number): string {
  const local = new Date(atMs + ZONES[timeZone as keyof typeof ZONES] * HOUR_MS).toISOString();
  return { total: "", hour: local.slice(0, 13), day: local.slice(0, 10), month: local.slice(0, 7) }[window];
}

function counts({ level }: Budget, by: Spender): boolean {
  if (level.of === "account") return level.account === by.account;
  if (level.tenant !== by.tenant) return false;
  if (level.department !== null && level.department !== by.department) return false;
  return level.application === null || level.application === by.application;
}

/** What counts in a budget now: settled, reserved. */
function usedOf(one: Budget, calls: readonly Call[], nowMs: number): readonly [bigint, bigint] {
  let [settled, reserved] = [0n, 0n];
  for (const call of calls) {
    if (!counts(one, call.spender) || windowOf(one, call.atMs) !== windowOf(one, nowMs)) continue;
    if (call.cost === undefined) reserved += call.max;
    else settled += call.cost ?? call.max;
  }
  return [settled, reserved];
}

function hasRoom(one: Budget, calls: readonly Call[], max: bigint, nowMs: number): boolean {
  const [settled, reserved] = usedOf(one, calls, nowMs);
  if (one.kind === "soft" || max === 0n) return true;
  if (one.stopsAtNanoUsd !== undefined && settled + reserved >= one.stopsAtNanoUsd) return false;
  return settled + reserved + max <= one.limitNanoUsd;
}

/** What must be said of a call before it is begun. */
function answerOf(own: readonly Budget[], calls: readonly Call[], max: bigint, nowMs: number): string {
  const full = own.filter((one) => !hasRoom(one, calls, max, nowMs));
  if (full.length === 0) return "fits";
  const never = full.some((one) =>
    one.level.of === "account" ? max > one.limitNanoUsd : usedOf(one, calls, nowMs)[0] + max > one.limitNanoUsd,
  );
  return never ? "fail" : "wait";
}

test("what is granted, refused and told of any hierarchy is what an oracle says that adds up all calls anew", () => {
  const seen = { granted: 0, refused: 0, severalLevels: 0, rolled: 0, fail: 0, wait: 0 };
  fc.assert(
    fc.property(
      fc.uniqueArray(budget, { minLength: 1, maxLength: 8, selector: budgetKey }),
      fc.array(step, { minLength: 1, maxLength: 40 }),
      (budgets, steps) => {
        const levels = new BudgetLevels(budgets);
        const standings = new Map<string, BudgetStanding>();
        const calls: Call[] = [];
        let nowMs = START_MS;
        const move = (row: string, by: BudgetStanding): void => {
          const { settledNanoUsd, reservedNanoUsd } = standings.get(row) ?? UNTOUCHED;
          standings.set(row, {
            settledNanoUsd: settledNanoUsd + by.settledNanoUsd,
            reservedNanoUsd: reservedNanoUsd + by.reservedNanoUsd,
          });
        };
        for (const one of steps) {
          if (one.kind === "later") {
            nowMs += one.ms;
            seen.rolled += 1;
          } else if (one.kind === "end") {
            const open = calls.filter(({ cost }) => cost === undefined);
            const call = open[one.place % Math.max(1, open.length)];
            if (call === undefined) continue;
            call.cost = one.share === null ? null : (call.max * BigInt(one.share)) / 100n;
            const by = settlementOf([{ maxNanoUsd: call.max, nanoUsd: call.cost }]);
            for (const { row } of call.places) move(row, by);
          } else {
            const wishes = one.wishes.map(({ spender: by, max }, index) => ({
              ...{ attemptNo: index, maxNanoUsd: max, spender: by },
              places: levels.placesOf(by, nowMs),
            }));
            for (const { spender: by, maxNanoUsd, places } of wishes) {
              const own = budgets.filter((each) => counts(each, by));
              expect(places.map(({ budget: each }) => budgetKey(each)).sort()).toEqual(own.map(budgetKey).sort());
              const told = askBudgets(places, standings, maxNanoUsd, nowMs).kind;
              expect(told).toBe(answerOf(own, calls, maxNanoUsd, nowMs));
              if (told !== "fits") seen[told] += 1;
            }
            const { granted, refused } = grantWithin(wishes, standings);
            for (const { attemptNo, maxNanoUsd, spender: by, places } of wishes) {
              const own = budgets.filter((each) => counts(each, by));
              const fits = own.every((each) => hasRoom(each, calls, maxNanoUsd, nowMs));
              expect(granted.some((wish) => wish.attemptNo === attemptNo)).toBe(fits);
              const full = refused.get(attemptNo)?.budget;
              if (full !== undefined) expect(hasRoom(full, calls, maxNanoUsd, nowMs)).toBe(false);
              expect(full === undefined).toBe(fits);
              seen[fits ? "granted" : "refused"] += 1;
              if (!fits) continue;
              if (places.length > 1) seen.severalLevels += 1;
              calls.push({ spender: by, max: maxNanoUsd, atMs: nowMs, places });
              for (const { row } of places) move(row, { settledNanoUsd: 0n, reservedNanoUsd: maxNanoUsd });
            }
          }
          for (const place of levels.all(nowMs)) {
            const { settledNanoUsd, reservedNanoUsd } = standings.get(place.row) ?? UNTOUCHED;
            expect([settledNanoUsd, reservedNanoUsd]).toEqual(usedOf(place.budget, calls, nowMs));
            if (place.budget.kind === "hard")
              expect(settledNanoUsd + reservedNanoUsd <= place.budget.limitNanoUsd).toBe(true);
          }
        }
      },
    ),
    { numRuns: 400 },
  );
  for (const [what, count] of Object.entries(seen)) expect([what, count > 100]).toEqual([what, true]);
});
