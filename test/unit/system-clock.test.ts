import { describe, expect, test } from "@jest/globals";
import { systemClock } from "../../src/adapters/system/system-clock.js";
import { systemIds, systemRandom } from "../../src/adapters/system/system-random.js";

describe("the system's clock", () => {
  test("sleeps as long as it was told, by the clock that never jumps", async () => {
    const start = systemClock.monotonicMs();
    await systemClock.sleep(20);
    expect(systemClock.monotonicMs() - start).toBeGreaterThanOrEqual(19);
  });

  test("a sleep of nothing lets what waits have its turn, and takes no time of its own", async () => {
    const turns: string[] = [];
    setImmediate(() => turns.push("another's"));
    const start = systemClock.monotonicMs();
    for (let turn = 0; turn < 200; turn += 1) await systemClock.sleep(0);
    turns.push("back");
    expect(turns).toEqual(["another's", "back"]);
    expect(systemClock.monotonicMs() - start).toBeLessThan(150); // a timer would need 200
  });

  test("wakes at once when the sleep is called off, before or during it", async () => {
    const stopping = new AbortController();
    const sleeping = systemClock.sleep(600_000, stopping.signal);
    stopping.abort();
    await sleeping;
    await systemClock.sleep(600_000, stopping.signal);
    expect(stopping.signal.aborted).toBe(true);
  });
});

describe("the system's ids", () => {
  test("differ and sort by the time they were made at", () => {
    let nowMs = 1_700_000_000_000;
    const ids = systemIds({ ...systemClock, nowMs: () => (nowMs += 1) });
    const made = Array.from({ length: 1000 }, () => ids.next());
    expect(new Set(made).size).toBe(1000);
    expect([...made].sort()).toEqual(made);
    expect(made[0]).toMatch(/^018bcfe5-6801-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

test("the system's randomness lies in [0, 1)", () => {
  const drawn = Array.from({ length: 1000 }, () => systemRandom.next());
  expect(drawn.filter((value) => value < 0 || value >= 1)).toEqual([]);
  expect(new Set(drawn).size).toBeGreaterThan(990);
});
