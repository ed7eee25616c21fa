import { describe, expect, test } from "@jest/globals";
import { allowedJobs, conductKills, planKills } from "../../src/demo/conductor.js";
import type { KillStage, KillTally } from "../../src/demo/conductor.js";
import { seededRandom } from "../../src/demo/seeded-random.js";

describe("the plan of kills", () => {
  test("is the same for the same seed and another for another seed", () => {
    expect(planKills(5000, 10, seededRandom(1))).toEqual(planKills(5000, 10, seededRandom(1)));
    expect(planKills(5000, 10, seededRandom(1))).not.toEqual(planKills(5000, 10, seededRandom(2)));
  });

  test("lets a new router read before it is killed, and asks for calls in flight", () => {
    for (const kill of planKills(100_000, 200, seededRandom(3))) {
      // A killed router's partitions stay unread for about 5 s.
      expect(kill.gapMs).toBeGreaterThanOrEqual(6000);
      expect(kill.gapMs).toBeLessThan(8000);
      expect(kill.openCallsAtLeast).toBeGreaterThanOrEqual(3);
      // Publishing before a kill goes on for 9 s.
      expect(kill.gapMs + kill.delayMs).toBeLessThan(9000);
    }
  });

  test("asks for fewer calls at once when there are few jobs around each kill", () => {
    for (const kill of planKills(400, 3, seededRandom(3))) expect(kill.openCallsAtLeast).toBe(2);
    for (const kill of planKills(20, 3, seededRandom(3))) expect(kill.openCallsAtLeast).toBe(1);
  });

  test("of ten kills leaves time for doubt to end within the four minutes of a run", () => {
    const killsMs = planKills(5000, 10, seededRandom(4)).reduce((total, kill) => total + kill.gapMs + kill.delayMs, 0);
    const sessionDeathAndGraceMs = 15_000 + 30_000;
    expect(killsMs + sessionDeathAndGraceMs).toBeLessThan(180_000);
  });
});

describe("publishing around kills", () => {
  test("is free without kills and after the last", () => {
    expect(allowedJobs(1000, 0, 0, [], 0)).toBe(1000);
    expect(allowedJobs(1000, 2, 0, [5000, 10_000], 10_000)).toBe(1000);
  });

  test("never goes beyond the portion before the next kill, however long that takes", () => {
    expect(allowedJobs(1000, 4, 0, [], 3_600_000)).toBe(200);
    expect(allowedJobs(1000, 4, 0, [7000], 3_600_000)).toBe(400);
  });

  test("is spread, so that work goes on until the kill comes", () => {
    expect(allowedJobs(1000, 4, 0, [], 0)).toBe(0);
    expect(allowedJobs(1000, 4, 0, [], 4500)).toBe(100);
    expect(allowedJobs(1000, 4, 0, [20_000], 20_000)).toBe(200);
  });
});

/** A router and a provider on paper, with a clock that only `sleep` moves. `openCalls` is asked for each moment. */
function stageWith(openCalls: (nowMs: number) => number): { readonly stage: KillStage; readonly log: string[] } {
  let nowMs = 0;
  const log: string[] = [];
  const stage: KillStage = {
    nowMs: () => nowMs,
    sleep: (ms) => {
      nowMs += ms;
      return Promise.resolve();
    },
    openCalls: () => Promise.resolve(openCalls(nowMs)),
    callsInAir: (ms) => {
      log.push(`count ${String(ms)}`);
      return Promise.resolve(openCalls(nowMs));
    },
    openBatches: () => Promise.resolve(0),
    stopRouter: () => log.push(`stop ${String(nowMs)}`),
    killRouter: () => {
      log.push("kill");
      return Promise.resolve();
    },
    startRouter: () => log.push("start"),
    onKill: (tally: KillTally) => log.push(`tally ${JSON.stringify(Object.values(tally))}`),
  };
  return { stage, log };
}

describe("the conductor", () => {
  const kill = { gapMs: 6000, openCallsAtLeast: 5, delayMs: 100 };

  test("stops the router, counts what is in the air at that moment, kills it and starts the next at once", async () => {
    const { stage, log } = stageWith(() => 7);
    const tally = await conductKills([kill, kill], stage);
    expect(tally).toEqual({ kills: 2, killsWithWorkInFlight: 2, callsInAirAtKills: 14 });
    // Answers of the last 50 ms before the stop, and what passed since the stop.
    expect(log).toEqual([
      ...["stop 6100", "count 70", "kill", "start", "tally [1,1,7]"],
      ...["stop 12220", "count 70", "kill", "start", "tally [2,2,14]"],
    ]);
  });

  test("waits for the calls it wants", async () => {
    const { stage, log } = stageWith((nowMs) => (nowMs < 7000 ? 4 : 5));
    await conductKills([kill], stage);
    expect(log[0]).toBe("stop 7100");
  });

  test("kills when a call is open, not in a lull that the delay led into", async () => {
    // The calls that were waited for end at 6000; the next one is there from 6600 on.
    const { stage, log } = stageWith((nowMs) => (nowMs <= 6000 ? 5 : nowMs < 6600 ? 0 : 1));
    expect(await conductKills([kill], stage)).toMatchObject({ killsWithWorkInFlight: 1 });
    expect(log[0]).toBe("stop 6600");
  });

  test("is content with one call after a while, and says truly when there is none at all", async () => {
    const few = stageWith(() => 1);
    expect(await conductKills([kill], few.stage)).toEqual({ kills: 1, killsWithWorkInFlight: 1, callsInAirAtKills: 1 });
    const idle = stageWith(() => 0);
    expect(await conductKills([kill], idle.stage)).toEqual({
      kills: 1,
      killsWithWorkInFlight: 0,
      callsInAirAtKills: 0,
    });
  });

  test("takes batches that the provider works on for work in flight, but not for calls in the air", async () => {
    const { stage } = stageWith(() => 0);
    expect(await conductKills([kill], { ...stage, openBatches: () => Promise.resolve(3) })).toEqual({
      kills: 1,
      killsWithWorkInFlight: 1,
      callsInAirAtKills: 0,
    });
  });

  test("never leaves a stopped router behind when the count fails", async () => {
    const { stage, log } = stageWith(() => 7);
    const failing = { ...stage, callsInAir: () => Promise.reject(new Error("no answer")) };
    await expect(conductKills([kill], failing)).rejects.toThrow("no answer");
    expect(log).toEqual(["stop 6100", "kill"]);
  });
});
