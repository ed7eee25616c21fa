/** No minute holds more than its limit, what is allowed is used, and nothing waits for ever: over random limits, demand and trouble. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { LIMIT_MISTAKES } from "../support/limit-mistakes.js";
import { LimitThread } from "../support/limit-thread.js";
import type { LimitRun } from "../support/limit-world.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 30);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
/** A mistake that no world of its kind shows by then would not be seen at all. */
const PLANTED_SEEDS = 120;

/** What the worlds have to hold together, a seed, for the test to be about it. */
const AT_LEAST: Readonly<Record<string, number>> = {
  calls: 300,
  embeddings: 30,
  free: 30,
  "given back": 5,
  "never fits": 0.2,
  flush: 0.3,
  lost: 0.3,
  back: 0.3,
  "clock set back": 0.1,
  "provider says less": 0.05,
  "refusals judged": 0.05,
  "rows left at the end of demand": 100,
};

const thread = new LimitThread();

afterAll(() => thread.end());

describe(`rate limits, seeds ${String(FIRST)} to ${String(FIRST + SEEDS - 1)}`, () => {
  let runs: readonly LimitRun[] = [];

  beforeAll(async () => {
    runs = await thread.runs(FIRST, SEEDS);
  }, 1_800_000);

  test("no minute holds more than a limit, what is allowed is used, a 429 counts, and nothing waits for ever", () => {
    const wrong = runs
      .filter(({ faults }) => faults.length > 0)
      .map(({ seed, kind, faults }) => ({ seed, kind, fault: faults[0] }));
    expect(runs).toHaveLength(SEEDS);
    expect(wrong).toEqual([]);
  });

  test("and the worlds hold enough of everything", () => {
    for (const [what, least] of Object.entries(AT_LEAST)) {
      const count = runs.reduce((sum, { seen }) => sum + (seen[what] ?? 0), 0);
      expect([what, count >= least * SEEDS]).toEqual([what, true]);
    }
  });
});

test.each(Object.entries(LIMIT_MISTAKES))(
  "the test sees when %s",
  async (mistake, { fault }) => {
    expect(await thread.faultOf(mistake, PLANTED_SEEDS)).toMatch(fault);
  },
  900_000,
);
