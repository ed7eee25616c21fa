import { describe, expect, test } from "@jest/globals";
import { planKills } from "../../src/demo/kill-plan.js";
import type { PlannedKill } from "../../src/demo/kill-plan.js";
import { PublishingPace } from "../../src/demo/publishing-pace.js";
import { seededRandom } from "../../src/demo/seeded-random.js";

const MIXED = { jobs: 3000, kills: 50, mix: "mixed" } as const;
const PLAIN = { jobs: 5000, kills: 10, mix: "plain" } as const;

describe("the plan of kills", () => {
  test("is the same for the same seed and another for another seed", () => {
    expect(planKills(MIXED, seededRandom(1))).toEqual(planKills(MIXED, seededRandom(1)));
    expect(planKills(MIXED, seededRandom(1))).not.toEqual(planKills(MIXED, seededRandom(2)));
  });

  test("has as many kills as asked, in threes where there are batches", () => {
    expect(planKills(MIXED, seededRandom(1)).map((round) => round.length)).toEqual([
      ...Array.from({ length: 16 }, () => 3),
      2,
    ]);
    expect(planKills(PLAIN, seededRandom(1)).map((round) => round.length)).toEqual(Array.from({ length: 10 }, () => 1));
    expect(planKills({ ...MIXED, kills: 0 }, seededRandom(1))).toEqual([]);
  });

  test("begins each round with calls of a router that reads", () => {
    for (const [first] of planKills({ ...PLAIN, jobs: 100_000, kills: 200 }, seededRandom(3))) {
      if (first.aim !== "calls") throw new Error("expected a kill at calls");
      expect(first.openCallsAtLeast).toBeGreaterThanOrEqual(3);
      // Jobs flow for 4.5 s.
      expect(first.delayMs).toBeGreaterThanOrEqual(1500);
      expect(first.delayMs).toBeLessThan(4000);
    }
  });

  test("aims the others at every state of a batch, in the order of its life", () => {
    const states = (place: number): readonly string[] =>
      planKills(MIXED, seededRandom(1)).flatMap((round) => stateOf(round[place]));
    expect(new Set(states(1))).toEqual(new Set(["building", "sealed", "uploading", "uploaded", "creating"]));
    expect(new Set(states(2))).toEqual(new Set(["submitted", "ingesting"]));
  });

  test("asks for fewer calls at once when there are few jobs around each kill", () => {
    const wished = (jobs: number, kills: number): readonly (number | null)[] =>
      planKills({ ...PLAIN, jobs, kills }, seededRandom(3)).map(([first]) =>
        first.aim === "calls" ? first.openCallsAtLeast : null,
      );
    expect(wished(400, 3)).toEqual([2, 2, 2]);
    expect(wished(20, 3)).toEqual([1, 1, 1]);
  });
});

function stateOf(kill: PlannedKill | undefined): readonly string[] {
  return kill?.aim === "batch" ? [kill.state] : [];
}

describe("publishing around kills", () => {
  test("is free without kills", () => {
    expect(new PublishingPace(1000, 0).allowedJobs(0)).toBe(1000);
  });

  test("is a few jobs, then an equal portion over 4.5 s, and not beyond that however long the kill takes", () => {
    const pace = new PublishingPace(1004, 4);
    expect(pace.allowedJobs(0)).toBe(0);
    pace.go("pilot", 0);
    expect(pace.allowedJobs(3_600_000)).toBe(4);
    pace.go("flow", 10_000);
    expect(pace.allowedJobs(10_000)).toBe(4);
    expect(pace.allowedJobs(12_250)).toBe(104);
    expect(pace.allowedJobs(3_600_000)).toBe(204);
  });

  test("is held from the first kill of a round on; what was held back is for later", () => {
    const pace = new PublishingPace(1004, 4);
    pace.go("pilot", 0);
    pace.go("flow", 0);
    pace.go("nothing", 2250);
    expect(pace.allowedJobs(60_000)).toBe(104);
    pace.go("pilot", 60_000);
    pace.go("flow", 70_000);
    // 896 for three rounds and the time after them.
    expect(pace.allowedJobs(80_000)).toBe(108 + 224);
  });

  test("ends with all jobs, also when there are fewer than pilots", () => {
    const pace = new PublishingPace(5, 3);
    for (const startMs of [0, 10_000, 20_000]) {
      pace.go("pilot", startMs);
      pace.go("flow", startMs);
      expect(pace.allowedJobs(startMs + 5000)).toBeLessThanOrEqual(5);
      pace.go("nothing", startMs + 5000);
    }
    pace.go("rest", 30_000);
    expect(pace.allowedJobs(30_000)).toBe(5);
  });
});
