import { describe, expect, test } from "@jest/globals";
import { cutDown, minimise, type Kept } from "../support/simulation/cut-down.js";
import { SCENARIO_KINDS, scenarioOf, type Scenario } from "../support/simulation/scenario.js";

/** A seed with much in it. */
const SCENARIO = scenarioOf(12, "stormy");
const NEEDED = SCENARIO.publications[4];

/** Fails while this record is published, a router is killed and the brokers make trouble. */
function shows(scenario: Scenario): boolean {
  return (
    scenario.publications.some(({ atMs, kind }) => atMs === NEEDED?.atMs && kind === NEEDED.kind) &&
    scenario.kills.length >= 1 &&
    scenario.brokerTrouble > 0
  );
}

/** As it is, but with something of everything. */
const FULL: Scenario = { ...SCENARIO, routers: 3, kills: [100, 200, 300], brokerTrouble: 0.3, providerTrouble: 0.6 };

async function cut(runsMax: number): Promise<{ readonly kept: Kept; readonly runs: number }> {
  let runs = 0;
  const fails = (kept: Kept): Promise<boolean> => {
    runs += 1;
    return Promise.resolve(shows(cutDown(FULL, kept)));
  };
  return { kept: await minimise(FULL, fails, runsMax), runs };
}

describe("a failing seed's scenario", () => {
  test("is cut down to what its violation needs", async () => {
    const { kept } = await cut(1000);
    const small = cutDown(FULL, kept);
    expect(shows(small)).toBe(true);
    expect(small.publications.map(({ record }) => record)).toEqual([NEEDED?.record]);
    expect(small.kills).toHaveLength(1);
    expect([small.routers, small.storms, small.freezes, small.clockJumps, small.replays]).toEqual([1, [], [], [], []]);
    expect([small.brokerTrouble, small.providerTrouble, small.batches?.trouble]).toEqual([0.3, 0, 0]);
  });

  test("is cut no further than so many runs allow", async () => {
    const { kept, runs } = await cut(5);
    expect(runs).toBe(5);
    expect(shows(cutDown(FULL, kept))).toBe(true);
  });

  test("is whole when nothing is said of it", () => {
    for (const kind of SCENARIO_KINDS) {
      const scenario = scenarioOf(3001, kind);
      expect(cutDown(scenario, {})).toEqual(scenario);
    }
  });
});

describe("a sweep", () => {
  test("kills a router of one scenario at one event after another, and does nothing else to sessions", () => {
    const [one, next] = [scenarioOf(3000, "swept"), scenarioOf(3001, "swept")];
    expect([one.kills, next.kills]).toEqual([[1], [2]]);
    expect({ ...next, seed: one.seed, kills: one.kills }).toEqual(one);
    expect([one.freezes, one.terms, one.clockJumps, one.cutLedger, one.brokerTrouble]).toEqual([[], [], [], 0, 0]);
    expect(one.worldSeed).toBe(next.worldSeed);
    expect(scenarioOf(4500, "swept").worldSeed).not.toBe(one.worldSeed);
  });
});
