import { describe, expect, test } from "@jest/globals";
import { sessionNo } from "../../src/domain/ids.js";
import { GiveBack } from "../../src/pipeline/dispatch/give-back.js";
import type { Clock } from "../../src/ports/system.js";
import { logInto, metricsInto, workOf } from "../support/work.js";

class Away extends Error {}

/** A clock that a test moves by sleeping: each sleep takes its time at once, after everything that was due before it. */
class SteppedClock implements Clock {
  now = 1000;
  readonly slept: number[] = [];
  nowMs = (): number => this.now;
  monotonicMs = (): number => this.now;
  async sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    this.now += ms;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** @param writes answers to each write in turn: null stores it, an error is thrown. Given the numbers of the group. */
function bench(writes: (nos: readonly number[]) => Error | null) {
  const clock = new SteppedClock();
  const groups: number[][] = [];
  const closed: number[] = [];
  const released: string[] = [];
  const lines: string[] = [];
  const counted = new Map<string, number>();
  const ended: string[] = [];
  const stop = new AbortController();
  const giveBack = new GiveBack({
    ledger: {
      giveBack: (_session, attempts) => {
        const nos = attempts.map(({ attempt }) => attempt.no);
        groups.push(nos);
        const error = writes(nos);
        return error === null ? Promise.resolve() : Promise.reject(error);
      },
    },
    session: sessionNo(1),
    slots: { release: (account, answered) => released.push(`${account} ${String(answered)}`) },
    numbers: { close: (no) => closed.push(no) },
    clock,
    log: logInto(lines),
    metrics: metricsInto(counted),
    groupSizeMax: 3,
    mendable: (error) => error instanceof Away,
    endSession: (reason) => {
      ended.push(reason);
      stop.abort();
    },
  });
  const add = (...nos: number[]): void => {
    for (const no of nos) giveBack.add(workOf(no, clock.now));
  };
  return { giveBack, clock, groups, closed, released, lines, counted, ended, stop, add };
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe("intents that are given back", () => {
  test("are written together, and only then have their places and numbers free", async () => {
    let released: string[] = [];
    const one = bench(() => {
      expect(released).toEqual([]);
      return null;
    });
    ({ released } = one);
    const { stop } = one;
    const running = one.giveBack.run(stop.signal);
    one.add(7, 8, 9);
    await settle();
    expect(one.groups).toEqual([[7, 8, 9]]);
    expect([one.closed, one.released]).toEqual([
      [7, 8, 9],
      ["alpha false", "alpha false", "alpha false"],
    ]);
    expect(one.giveBack.waiting).toBe(0);
    stop.abort();
    await running;
  });

  test("are written in groups of a bounded size", async () => {
    const one = bench(() => null);
    const running = one.giveBack.run(one.stop.signal);
    one.add(1, 2, 3, 4, 5, 6, 7);
    await settle();
    expect(one.groups).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
    one.stop.abort();
    await running;
  });

  test("are kept while the ledger is away, and tried again after ever longer waits", async () => {
    let failures = 8;
    const one = bench(() => (failures-- > 0 ? new Away("gone") : null));
    const { stop } = one;
    const running = one.giveBack.run(stop.signal);
    one.add(7, 8);
    await settle();
    expect(one.groups).toEqual(Array.from({ length: 9 }, () => [7, 8]));
    expect(one.clock.slept.slice(0, 9)).toEqual([100, 200, 400, 800, 1600, 3200, 3200, 3200, 3200]);
    expect([one.giveBack.waiting, one.closed]).toEqual([0, [7, 8]]);
    stop.abort();
    await running;
  });

  test("that came during a write are written by the next", async () => {
    const one = bench((nos) => {
      if (nos.includes(7)) one.add(8);
      return null;
    });
    const { stop } = one;
    const running = one.giveBack.run(stop.signal);
    one.add(7);
    await settle();
    expect([one.groups, one.closed]).toEqual([
      [[7], [8]],
      [7, 8],
    ]);
    stop.abort();
    await running;
  });

  test("do not wait for one that the ledger refuses; after three refusals the session ends and its number stays open", async () => {
    const one = bench((nos) => (nos.includes(8) ? new Error("refused") : null));
    const running = one.giveBack.run(one.stop.signal);
    one.add(7, 8, 9);
    await running;
    expect(one.closed).toEqual([7, 9]);
    expect(one.ended).toEqual(["an intent can't be taken back"]);
    expect(one.lines.filter((line) => line === "error dispatch.give_back_refused")).toHaveLength(3);
    expect(one.counted.get("sluice_unwritten_attempts_total alpha")).toBe(1);
    expect(one.giveBack.waiting).toBe(1);
  });
});

describe("the drain at shutdown", () => {
  test("goes on until everything is written", async () => {
    let failures = 3;
    const one = bench(() => (failures-- > 0 ? new Away("gone") : null));
    one.add(7, 8);
    await one.giveBack.drain(10_000);
    expect([one.groups.length, one.closed, one.giveBack.waiting]).toEqual([4, [7, 8], 0]);
    expect(one.lines).not.toContain("error dispatch.give_back_given_up");
  });

  test("tries once when there is no time left, and says what it leaves", async () => {
    const one = bench(() => new Away("gone"));
    one.add(7);
    await one.giveBack.drain(0);
    expect([one.groups, one.closed]).toEqual([[[7]], []]);
    expect(one.lines).toContain("error dispatch.give_back_given_up");
  });

  test("ends with its time while the ledger stays away", async () => {
    const one = bench(() => new Away("gone"));
    one.add(7);
    const startedMs = one.clock.now;
    await one.giveBack.drain(1000);
    expect(one.clock.now - startedMs).toBe(1000);
    expect(one.groups.length).toBeGreaterThan(2);
  });
});
