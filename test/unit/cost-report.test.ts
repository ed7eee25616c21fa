import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { allocate } from "../../src/domain/cost/allocate.js";
import {
  addCosts,
  allocateShared,
  NO_COSTS,
  withAllocated,
  type CostSums,
  type Sharer,
} from "../../src/domain/cost/cost-report.js";

const nano = fc.bigInt({ min: 0n, max: 10n ** 18n });
const sum = (parts: readonly bigint[]): bigint => parts.reduce((total, part) => total + part, 0n);

describe("an amount in parts", () => {
  test.each([
    ["by equal weights the later parts get the odd nano-dollars", 10n, [1n, 1n, 1n], [3n, 3n, 4n]],
    ["by weights", 100n, [1n, 3n], [25n, 75n]],
    ["less than there are parts", 1n, [1n, 1n], [0n, 1n]],
    ["without any weight the first holds all", 7n, [0n, 0n], [7n, 0n]],
    ["nothing", 0n, [2n, 5n], [0n, 0n]],
  ])("%s", (_name, total, weights, expected) => {
    expect(allocate(total, weights)).toEqual(expected);
  });

  test("always adds up, and each part is within a nano-dollar of its exact share", () => {
    fc.assert(
      fc.property(nano, fc.array(nano, { minLength: 1, maxLength: 30 }), (total, weights) => {
        const parts = allocate(total, weights);
        expect(sum(parts)).toBe(total);
        const all = sum(weights);
        if (all === 0n) return;
        parts.forEach((part, place) => {
          const off = part * all - total * (weights[place] ?? 0n);
          expect(off > -all && off < all).toBe(true);
        });
      }),
    );
  });
});

const sharer = (key: string, jobs: number, list: bigint, pays = false): Sharer => ({ key, jobs, list, pays });

describe("a call that jobs shared", () => {
  test("is told to all evenly, job by job", () => {
    const sharers = [sharer("b", 2, 20n), sharer("a", 1, 10n, true)];
    expect(allocateShared(90n, sharers, "even")).toEqual([
      { key: "a", nanoUsd: -60n },
      { key: "b", nanoUsd: 60n },
    ]);
  });

  test("is told by list price", () => {
    expect(allocateShared(90n, [sharer("a", 1, 10n, true), sharer("b", 1, 80n)], "list")).toEqual([
      { key: "a", nanoUsd: -80n },
      { key: "b", nanoUsd: 80n },
    ]);
  });

  test("is told evenly where no list price is known, and stays where no payer was served", () => {
    expect(allocateShared(8n, [sharer("a", 1, 0n, true), sharer("b", 3, 0n)], "list")).toEqual([
      { key: "a", nanoUsd: -6n },
      { key: "b", nanoUsd: 6n },
    ]);
    expect(allocateShared(8n, [sharer("b", 3, 0n)], "even")).toEqual([]);
  });

  test("never changes the sum of a report, by any rule", () => {
    const member = fc.record({ key: fc.constantFrom("a", "b", "c"), jobs: fc.integer({ min: 1, max: 9 }), list: nano });
    fc.assert(
      fc.property(nano, fc.array(member, { minLength: 1 }), fc.constantFrom("even", "list"), (paid, members, by) => {
        const parts = allocateShared(
          paid,
          members.map((one, place) => ({ ...one, pays: place === 0 })),
          by,
        );
        expect(sum(parts.map(({ nanoUsd }) => nanoUsd))).toBe(0n);
        const payer = parts[0]?.nanoUsd ?? 0n;
        expect(payer <= 0n && payer >= -paid).toBe(true);
      }),
    );
  });
});

const SUMS: CostSums = {
  jobs: 3,
  calls: 2,
  paid: 50n,
  list: 120n,
  saved: { coalesced: 40n, cached: 0n, batch: 30n, promptCache: 0n, routing: 10n },
  waste: 8n,
  unlisted: 2n,
  inDoubt: { calls: 1, max: 7n },
  suspect: { calls: 0, max: 0n },
};

/** What the report promises of each line. */
const isWhole = ({ list, paid, saved, waste, unlisted }: CostSums): boolean =>
  list - paid === sum(Object.values(saved)) - waste - unlisted;

describe("sums of a report", () => {
  test("stay whole when a line is told of a shared call", () => {
    expect(isWhole(SUMS)).toBe(true);
    const told = withAllocated(SUMS, 11n);
    expect([told.paid, told.saved.coalesced, isWhole(told)]).toEqual([61n, 29n, true]);
  });

  test("add up field by field", () => {
    expect(addCosts(SUMS, NO_COSTS)).toEqual(SUMS);
    const twice = addCosts(SUMS, SUMS);
    expect([twice.jobs, twice.calls, twice.paid, twice.list, twice.waste]).toEqual([6, 4, 100n, 240n, 16n]);
    expect([twice.saved.routing, twice.inDoubt, isWhole(twice)]).toEqual([20n, { calls: 2, max: 14n }, true]);
  });
});
