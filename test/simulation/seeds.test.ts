import { beforeAll, describe, expect, test } from "@jest/globals";
import { seenTooSeldom, summed, told } from "../support/simulation/seed-report.js";
import { simulateSeeds } from "../support/simulation/simulate-seeds.js";
import type { SimulationResult } from "../support/simulation/simulation.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 600);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
const TWICE = 50;
/** How often each fault is to be seen, a seed. */
const AT_LEAST: Readonly<Record<keyof SimulationResult["faults"], number>> = {
  kills: 0.5,
  freezes: 0.33,
  rivals: 0.045,
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
  deadlyReads: 0.3,
  crashSuspects: 0.08,
  remakes: 0.1,
  losses: 0.1,
  truncated: 0.06,
  otherTopic: 0.04,
  gaps: 0.05,
  adopted: 0.1,
  answersBrought: 0.01,
  unsentFound: 0.01,
  waitedForMoney: 0.05,
  overBudget: 0.03,
};
/** A bound for a run that hangs; a busy machine takes a minute. */
const TIMEOUT_MS = Math.max(600_000, SEEDS * 2000);

/** All seeds in order, and then some of them again. */
const results: SimulationResult[] = [];

beforeAll(async () => {
  const seeds = Array.from({ length: SEEDS }, (_unused, index) => FIRST + index);
  await simulateSeeds([...seeds, ...seeds.slice(0, TWICE)], "direct", (result) => {
    results.push(result);
    return result.violation === null;
  });
}, TIMEOUT_MS);

describe("the stages on a simulated clock, broker, ledger and providers", () => {
  test(`keep every promise with ${String(SEEDS)} seeds`, () => {
    for (const result of results.slice(0, SEEDS)) expect(told(result)).toBe(`seed ${String(result.seed)} holds`);
    const sums = summed(results.slice(0, SEEDS).map(({ faults }) => faults));
    expect(results.length).toBeGreaterThanOrEqual(SEEDS);
    process.stdout.write(`faults: ${[...sums].map(([name, count]) => `${name} ${String(count)}`).join(", ")}\n`);
    expect(seenTooSeldom(sums, AT_LEAST, SEEDS)).toEqual([]);
  });

  test("give the same trace of events when a seed is run again", () => {
    const traces = results.map(
      ({ seed, traceHash, events }) => `seed ${String(seed)}: ${String(events)} events, ${traceHash}`,
    );
    const again = traces.slice(SEEDS);
    expect(again).toHaveLength(Math.min(SEEDS, TWICE));
    expect(again).toEqual(traces.slice(0, again.length));
    expect(new Set(again).size).toBe(again.length);
  });
});
