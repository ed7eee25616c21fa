import { describe, expect, test } from "@jest/globals";
import { simulate, type SimulationResult } from "../support/simulation/simulation.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 300);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
const TWICE = 50;
/** How often each fault is to be seen, a seed. */
const AT_LEAST: Readonly<Record<keyof SimulationResult["faults"], number>> = {
  kills: 0.5,
  freezes: 0.33,
  fences: 0.1,
  inDoubt: 1,
  express: 0.03,
  outlived: 0.1,
  clockJumps: 0.3,
  pauses: 0.3,
  bytePauses: 0.2,
  resumes: 0.3,
  registryAway: 0.5,
  recordsRefused: 0.3,
  topicRefused: 0.3,
  undeliverable: 0.3,
  framed: 1,
  replaysQueued: 0.3,
  replaysJoined: 0.03,
  replaysCached: 0.03,
  redelivered: 0.1,
  answersBrought: 0.05,
};
const TIMEOUT_MS = Math.max(600_000, SEEDS * 200);

function told({ seed, violation, history }: SimulationResult): string {
  return violation === null
    ? `seed ${String(seed)} holds`
    : `seed ${String(seed)}: ${violation.checker}: ${violation.message}\n${history}`;
}

describe("the stages on a simulated clock, broker, ledger and providers", () => {
  test(
    `keep every promise with ${String(SEEDS)} seeds`,
    async () => {
      const sums = new Map<string, number>();
      for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
        // Serial: one world at a time.
        const result = await simulate(seed);
        expect(told(result)).toBe(`seed ${String(seed)} holds`);
        for (const [name, count] of Object.entries(result.faults)) sums.set(name, (sums.get(name) ?? 0) + count);
      }
      process.stdout.write(`faults: ${[...sums].map(([name, count]) => `${name} ${String(count)}`).join(", ")}\n`);
      // A run in which nothing was broken would prove nothing.
      const tooFew = Object.entries(AT_LEAST).filter(([name, share]) => (sums.get(name) ?? 0) < SEEDS * share);
      expect(tooFew).toEqual([]);
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
