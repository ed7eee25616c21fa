/** Whose turn it is among tenants with waiting jobs. */
import { expect, test } from "@jest/globals";
import { QueueTurns } from "../../src/domain/limit/queue-turns.js";
import { TenantTurns } from "../../src/domain/limit/tenant-turns.js";

const WEIGHTS = new Map([["big", 3]]);
const weightOf = (tenant: string): number => WEIGHTS.get(tenant) ?? 1;

/** Serves so often, one or more places at a time. @returns how often each was served. */
function serve(turns: TenantTurns, tenants: readonly string[], times: number, places = 1): Record<string, number> {
  const served: Record<string, number> = {};
  for (let time = 0; time < times; time += 1) {
    const shares = turns.share(tenants, places);
    for (const [tenant, most] of shares) served[tenant] = (served[tenant] ?? 0) + most;
    turns.took(
      shares,
      tenants.filter((tenant) => !shares.has(tenant)),
    );
  }
  return served;
}

test("one alone has all places", () => {
  expect(serve(new TenantTurns(weightOf), ["a"], 3, 7)).toEqual({ a: 21 });
});

test("equal ones share evenly, also one place at a time", () => {
  expect(serve(new TenantTurns(weightOf), ["a", "b"], 10)).toEqual({ a: 5, b: 5 });
  expect(serve(new TenantTurns(weightOf), ["a", "b"], 2, 5)).toEqual({ a: 5, b: 5 });
});

test("weights hold, also one place at a time", () => {
  expect(serve(new TenantTurns(weightOf), ["a", "big"], 400)).toEqual({ a: 100, big: 300 });
});

test("a flood before gives no debt, and an idle tenant saves nothing up", () => {
  const turns = new TenantTurns(weightOf);
  serve(turns, ["flood"], 50, 100);
  expect(serve(turns, ["flood", "late"], 10, 4)).toEqual({ flood: 20, late: 20 });
  serve(turns, ["flood"], 50, 100);
  expect(serve(turns, ["flood", "late"], 10, 4)).toEqual({ flood: 20, late: 20 });
});

test("what was not taken is not counted", () => {
  const turns = new TenantTurns(weightOf);
  expect(turns.share(["a", "b"], 4)).toEqual(
    new Map([
      ["a", 2],
      ["b", 2],
    ]),
  );
  turns.took(new Map([["a", 2]]), []);
  expect(turns.share(["a", "b"], 2).get("b")).toBeGreaterThanOrEqual(1);
});

test("each part of the queue has turns of its own", () => {
  const turns = new QueueTurns(weightOf);
  const parts = [
    { limit: "", tenant: "a" },
    { limit: "acme", tenant: "a" },
    { limit: "acme", tenant: "b" },
  ];
  expect(turns.share(parts, { limit: 2, limits: new Map([["acme", 2]]) })).toEqual([
    { limit: "", tenant: "a", most: 2 },
    { limit: "acme", tenant: "a", most: 1 },
    { limit: "acme", tenant: "b", most: 1 },
  ]);
});
