import { describe, expect, test } from "@jest/globals";
import { Slots } from "../../src/pipeline/dispatch/slots.js";

/** Four places at alpha, two of them for lines of groups, and a clock that the test sets. */
function fourPlaces() {
  const clock = { ms: 0 };
  return { clock, slots: new Slots(new Map([["alpha", 4]]), () => clock.ms, new Map([["alpha", 2]])) };
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
    const { slots, clock } = fourPlaces();
    expect([slots.take("alpha"), takenBehind(slots, 5)]).toEqual([true, 2]);
    slots.release("alpha", true);
    clock.ms = 100;
    expect(takenBehind(slots, 5)).toBe(0);
    expect(slots.freeOf("alpha")).toBe(2);
  });

  test("are those that direct jobs leave", () => {
    const { slots } = fourPlaces();
    expect(Array.from({ length: 3 }, () => slots.take("alpha"))).toEqual([true, true, true]);
    expect(takenBehind(slots, 5)).toBe(1);
    expect(slots.freeOf("alpha")).toBe(0);
    expect([...slots.freeByAccount()]).toEqual([["alpha", 0]]);
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
    expect(new Slots(new Map([["alpha", 4]]), () => 0).takeBehind("alpha")).toBe(false);
  });
});

describe("places that are given out ahead", () => {
  /** Ten places, all open and all taken, at 1,000 ms, when nothing has come back for a while. */
  function allTaken() {
    const clock = { ms: 0 };
    const slots = new Slots(new Map([["alpha", 10]]), () => clock.ms, new Map([["alpha", 10]]));
    slots.take("alpha");
    slots.release("alpha", true);
    clock.ms = 1000;
    for (let taken = 0; taken < 10; taken += 1) expect(slots.take("alpha")).toBe(true);
    expect(slots.take("alpha")).toBe(false);
    return { clock, slots };
  }

  const taken = (slots: Slots, times: number): number =>
    Array.from({ length: times }, () => slots.take("alpha")).filter(Boolean).length;

  test("are as many as came free in the last 50 ms, beside those that are free", () => {
    const { clock, slots } = allTaken();
    for (let answers = 0; answers < 3; answers += 1) slots.release("alpha", true);
    expect([slots.freeOf("alpha"), slots.free]).toEqual([6, 6]);
    clock.ms = 1049;
    expect(taken(slots, 10)).toBe(6);
    clock.ms = 1060;
    slots.release("alpha", true);
    // Of the 50 ms before there were three.
    expect(taken(slots, 10)).toBe(1);
  });

  test("are more where intents take longer to be stored, and no more than for 150 ms", () => {
    const { slots } = allTaken();
    for (let stored = 0; stored < 50; stored += 1) slots.stored(100);
    slots.release("alpha", true);
    expect(taken(slots, 10)).toBe(1 + 2);
    for (let stored = 0; stored < 50; stored += 1) slots.stored(10_000);
    expect(taken(slots, 10)).toBe(1);
    // One slow group is not how long it takes.
    for (let stored = 0; stored < 50; stored += 1) slots.stored(1);
    slots.stored(150);
    slots.release("alpha", true);
    // Two answers in 50 ms, 70 ms to be stored: three ahead, and three are taken ahead already but for the one that came free.
    expect(slots.freeOf("alpha")).toBe(1);
  });

  test("are never more than are open", () => {
    const { slots } = allTaken();
    for (let round = 0; round < 3; round += 1) {
      for (let answers = 0; answers < 10; answers += 1) slots.release("alpha", true);
      taken(slots, 40);
      expect(slots.freeOf("alpha")).toBe(0);
    }
    for (let answers = 0; answers < 20; answers += 1) slots.release("alpha", true);
    expect(taken(slots, 40)).toBe(20);
  });

  test("are none where nothing has come back of late", () => {
    const { clock, slots } = allTaken();
    for (let answers = 0; answers < 3; answers += 1) slots.release("alpha", true);
    clock.ms = 1100;
    expect(taken(slots, 10)).toBe(3);
  });

  test("come of answers only, and lines of groups have none", () => {
    const { clock, slots } = allTaken();
    slots.release("alpha", false);
    expect(taken(slots, 10)).toBe(1);
    slots.release("alpha", true);
    slots.release("alpha", true);
    clock.ms = 2100;
    expect(takenBehind(slots, 10)).toBe(2);
    slots.release("alpha", true, true);
    slots.release("alpha", true, true);
    slots.take("alpha");
    slots.take("alpha");
    clock.ms = 3200;
    expect([slots.take("alpha"), takenBehind(slots, 10)]).toEqual([false, 0]);
  });

  test("are there as promised while an intent is stored, though fewer would be given out by then", () => {
    const { clock, slots } = allTaken();
    for (let answers = 0; answers < 3; answers += 1) slots.release("alpha", true);
    expect(slots.promise()).toBe(6);
    clock.ms = 1040;
    expect(taken(slots, 2)).toBe(2);
    // Nobody has answered for 100 ms, so nothing is ahead any more; what was promised at 1,060 ms is kept until 1,110 ms.
    clock.ms = 1060;
    expect(slots.promise()).toBe(4);
    clock.ms = 1100;
    expect(slots.freeOf("alpha")).toBe(1);
    expect(taken(slots, 10)).toBe(4);
    clock.ms = 1111;
    slots.release("alpha", false);
    expect(taken(slots, 10)).toBe(0);
  });
});
