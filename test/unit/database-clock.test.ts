import { describe, expect, test } from "@jest/globals";
import { DatabaseClock } from "../../src/adapters/system/database-clock.js";
import type { Clock } from "../../src/ports/system.js";

/** A machine whose two clocks are set by hand, and a database that answers after `answerMs`, half of it on the way there. */
class Machine implements Clock {
  wall = 1_000_000;
  monotonic = 500;
  database = 7_000_000;
  answerMs = 0;

  nowMs(): number {
    return this.wall;
  }
  monotonicMs(): number {
    return this.monotonic;
  }
  sleep(ms: number): Promise<void> {
    this.pass(ms);
    return Promise.resolve();
  }
  pass(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
    this.database += ms;
  }
  ask(): Promise<number> {
    this.pass(this.answerMs / 2);
    const told = this.database;
    this.pass(this.answerMs / 2);
    return Promise.resolve(told);
  }
}

function opened(): { readonly machine: Machine; readonly clock: DatabaseClock } {
  const machine = new Machine();
  return { machine, clock: new DatabaseClock(machine, () => machine.ask()) };
}

describe("a clock by the database's", () => {
  test("is the machine's own before the first measurement", () => {
    const { machine, clock } = opened();
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([machine.wall, machine.monotonic]);
  });

  test.each([2, -2, 26, -26])("does not see that the machine's wall clock is set by %i hours", async (hours) => {
    const { machine, clock } = opened();
    await clock.measure();
    machine.wall += hours * 3_600_000;
    machine.pass(1234);
    expect(clock.nowMs()).toBe(machine.database);
  });

  test("takes the middle of the question's time", async () => {
    const { machine, clock } = opened();
    machine.answerMs = 80;
    await clock.measure();
    expect(clock.nowMs()).toBe(machine.database);
  });

  test("is not made worse by a slow answer", async () => {
    const { machine, clock } = opened();
    await clock.measure();
    machine.answerMs = 5000;
    machine.ask = () => {
      machine.pass(5000); // all of it on the way there
      return Promise.resolve(machine.database);
    };
    await clock.measure();
    expect(clock.nowMs()).toBe(machine.database);
  });

  test("follows a database whose clock is another by now, as after a machine's sleep", async () => {
    const { machine, clock } = opened();
    await clock.measure();
    machine.database += 3_600_000;
    await clock.measure();
    expect(clock.nowMs()).toBe(machine.database);
  });

  test("goes on by its last measurement while the database is away", async () => {
    const { machine, clock } = opened();
    await clock.measure();
    machine.ask = () => Promise.reject(new Error("away"));
    await expect(clock.measure()).rejects.toThrow("away");
    const stopping = new AbortController();
    let sleeps = 0;
    machine.sleep = (ms) => {
      machine.pass(ms);
      sleeps += 1;
      if (sleeps === 3) stopping.abort();
      return Promise.resolve();
    };
    await clock.keepMeasuring(1000, stopping.signal);
    expect(clock.nowMs()).toBe(machine.database);
  });

  test("tells whole milliseconds", async () => {
    const { machine, clock } = opened();
    machine.monotonic = 500.75;
    await clock.measure();
    machine.monotonic += 0.5;
    expect(Number.isInteger(clock.nowMs())).toBe(true);
  });
});
