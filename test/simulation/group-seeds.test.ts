import { beforeAll, describe, expect, test } from "@jest/globals";
import { findsPlantedBugs } from "../support/simulation/find-planted.js";
import { seenTooSeldom, summed, told } from "../support/simulation/seed-report.js";
import { countsOf, SEEN_AT_LEAST } from "../support/simulation/seen-at-least.js";
import { simulateSeeds } from "../support/simulation/simulate-seeds.js";
import type { SimulationResult } from "../support/simulation/simulation.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 100);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
/** A bound for a run that hangs. */
const TIMEOUT_MS = Math.max(600_000, SEEDS * 4000);

const results: SimulationResult[] = [];

beforeAll(async () => {
  const seeds = Array.from({ length: SEEDS }, (_unused, index) => FIRST + index);
  await simulateSeeds(seeds, "grouped", (result) => {
    results.push(result);
    return result.violation === null;
  });
}, TIMEOUT_MS);

describe("groups, for accounts whose provider has no batch API, with routers killed at any moment", () => {
  test(`keep every promise with ${String(SEEDS)} seeds`, () => {
    for (const result of results) expect(told(result)).toBe(`seed ${String(result.seed)} holds`);
    expect(results).toHaveLength(SEEDS);
    const sums = summed(results.map((result) => countsOf("grouped", result)));
    process.stdout.write(`groups: ${[...sums].map(([name, count]) => `${name} ${String(count)}`).join(", ")}\n`);
    expect(seenTooSeldom(sums, SEEN_AT_LEAST.grouped, SEEDS)).toEqual([]);
  });
});

findsPlantedBugs("grouped", 50);
