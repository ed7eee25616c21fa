import { beforeAll, describe, expect, test } from "@jest/globals";
import { seenTooSeldom, summed, told } from "../support/simulation/seed-report.js";
import { countsOf, SEEN_AT_LEAST } from "../support/simulation/seen-at-least.js";
import { simulateSeeds } from "../support/simulation/simulate-seeds.js";
import type { SimulationResult } from "../support/simulation/simulation.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 300);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
const TWICE = 2;
/** A bound for a run that hangs. */
const TIMEOUT_MS = Math.max(600_000, SEEDS * 4000);

/** All seeds in order, and then some of them again. */
const results: SimulationResult[] = [];

beforeAll(async () => {
  const seeds = Array.from({ length: SEEDS }, (_unused, index) => FIRST + index);
  await simulateSeeds([...seeds, ...seeds.slice(0, TWICE)], "mixed", (result) => {
    results.push(result);
    return result.violation === null;
  });
}, TIMEOUT_MS);

describe("batches on simulated batch APIs, with routers killed at any moment", () => {
  test(`keep every promise with ${String(SEEDS)} seeds`, () => {
    for (const result of results.slice(0, SEEDS)) expect(told(result)).toBe(`seed ${String(result.seed)} holds`);
    const sums = summed(results.slice(0, SEEDS).map((result) => countsOf("mixed", result)));
    expect(results.length).toBeGreaterThanOrEqual(SEEDS);
    process.stdout.write(`batches: ${[...sums].map(([name, count]) => `${name} ${String(count)}`).join(", ")}\n`);
    expect(seenTooSeldom(sums, SEEN_AT_LEAST.mixed, SEEDS)).toEqual([]);
  });

  test("[H15] change once when two sessions see a completion together", () => {
    // The second one's change is refused; that it had no effect, the bill and the outcomes of all lines tell.
    const second = results.filter(({ batchFaults }) => batchFaults.savesSecond > 0);
    expect(second.length).toBeGreaterThan(0);
    expect(second.map(told)).toEqual(second.map(({ seed }) => `seed ${String(seed)} holds`));
  });

  test("give the same trace of events when a seed is run again", () => {
    const traces = results.map(({ seed, traceHash, events }) => `${String(seed)}: ${String(events)}, ${traceHash}`);
    const again = traces.slice(SEEDS);
    expect(again).toHaveLength(Math.min(SEEDS, TWICE));
    expect(again).toEqual(traces.slice(0, again.length));
  });
});
