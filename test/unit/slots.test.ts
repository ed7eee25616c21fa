import { describe, expect, test } from "@jest/globals";
import { Slots } from "../../src/pipeline/dispatch/slots.js";

/** Four places at alpha, two of them for lines of groups, and a clock that the test sets. */
function fourPlaces() {
  const clock = { ms: 0 };
  const background = { places: new Map([["alpha", 2]]), monotonicMs: () => clock.ms };
  return { clock, slots: new Slots(new Map([["alpha", 4]]), background) };
}

const takenBehind = (slots: Slots, times: number): number =>
  Array.from({ length: times }, () => slots.takeBehind("alpha")).filter(Boolean).length;

describe("places for lines of groups", () => {
  test("are as many as the account lets them have, and come back with each call", () => {
    const { slots } = fourPlaces();
    expect(takenBehind(slots, 5)).toBe(2);
    expect(slots.freeOf("alpha")).toBe(2);
    slots.release("alpha", true, true);
    expect(takenBehind(slots, 5)).toBe(1);
  });

  test("are of the account's own: a direct call's end makes none", () => {
    const { slots } = fourPlaces();
    expect([slots.take("alpha"), takenBehind(slots, 5)]).toEqual([true, 2]);
    slots.release("alpha", true);
    expect(takenBehind(slots, 5)).toBe(0);
    expect(slots.freeOf("alpha")).toBe(2);
  });

  test("are those that direct jobs leave", () => {
    const { slots } = fourPlaces();
    expect(Array.from({ length: 3 }, () => slots.take("alpha"))).toEqual([true, true, true]);
    expect(takenBehind(slots, 5)).toBe(1);
    expect(slots.freeOf("alpha")).toBe(0);
  });

  test("wait for a direct job that asked in vain, for as long as it takes to ask again", () => {
    const { slots, clock } = fourPlaces();
    for (let taken = 0; taken < 4; taken += 1) slots.take("alpha");
    clock.ms = 5_000;
    expect(slots.take("alpha")).toBe(false);
    slots.release("alpha", true);
    clock.ms = 5_999;
    expect(takenBehind(slots, 1)).toBe(0);
    expect(slots.take("alpha")).toBe(true);
    slots.release("alpha", true);
    clock.ms = 6_000;
    expect(takenBehind(slots, 1)).toBe(1);
  });

  test("are none where no account has groups", () => {
    expect(new Slots(new Map([["alpha", 4]])).takeBehind("alpha")).toBe(false);
  });
});
