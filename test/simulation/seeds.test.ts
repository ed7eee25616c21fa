import { describe, expect, test } from "@jest/globals";
import { simulate, type SimulationResult } from "../support/simulation/simulation.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 300);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
const TWICE = 50;
const TIMEOUT_MS = Math.max(120_000, SEEDS * 200);

function told({ seed, violation, history }: SimulationResult): string {
  return violation === null
    ? `seed ${String(seed)} holds`
    : `seed ${String(seed)}: ${violation.checker}: ${violation.message}\n${history}`;
}

describe("the stages on a simulated clock, broker, ledger and providers", () => {
  test(
    `keep every promise with ${String(SEEDS)} seeds`,
    async () => {
      const sums = { kills: 0, freezes: 0, fences: 0, inDoubt: 0 };
      for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
        // Serial: one world at a time.
        const result = await simulate(seed);
        expect(told(result)).toBe(`seed ${String(seed)} holds`);
        sums.kills += result.kills;
        sums.freezes += result.freezes;
        sums.fences += result.fences;
        sums.inDoubt += result.inDoubt;
      }
      // A run in which nothing was broken would prove nothing.
      expect(sums.kills).toBeGreaterThan(SEEDS / 2);
      expect(sums.freezes).toBeGreaterThan(SEEDS / 3);
      expect(sums.fences).toBeGreaterThan(SEEDS / 10);
      expect(sums.inDoubt).toBeGreaterThan(SEEDS);
    },
    TIMEOUT_MS,
  );

  test(
    "give the same trace of events when a seed is run again",
    async () => {
      const traces = new Set<string>();
      for (let seed = FIRST; seed < FIRST + TWICE; seed += 1) {
        const first = await simulate(seed);
        const second = await simulate(seed);
        expect({ seed, hash: second.traceHash, events: second.events }).toEqual({
          seed,
          hash: first.traceHash,
          events: first.events,
        });
        traces.add(first.traceHash);
      }
      expect(traces.size).toBe(TWICE);
    },
    TIMEOUT_MS,
  );
});
