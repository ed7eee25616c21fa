import { beforeAll, describe, expect, test } from "@jest/globals";
import { flushAnswer } from "../../src/domain/batch/flush.js";
import { packBatch } from "../../src/domain/batch/pack.js";
import type { LinePlan } from "../../src/pipeline/batch/line-planner.js";
import { OUR_RULES, runPackingWorld, type PackingRules, type PackingRun } from "../support/packing-world.js";

const SEEDS = Number(process.env["SLUICE_SEEDS"] ?? 1_000);
const FIRST = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
/** A mistake that no world shows by then would not be seen at all. */
const PLANTED_SEEDS = 300;

/** What the worlds have to hold together, a seed, for the test to be about it. */
const AT_LEAST: Readonly<Record<string, number>> = {
  batches: 5,
  direct: 10,
  pool: 10,
  refused: 0.5,
  "decided anew": 0.3,
  "left behind": 0.5,
  "flush: oldest": 1,
  "flush: deadline": 1,
  "flush: full_lines": 1,
  "flush: full_bytes": 0.2,
  "flush: full_tokens": 0.01,
  "held: open_batches": 1,
  "held: enqueued_tokens": 0.01,
  "held: hold": 0.1,
  "oracle met": 20,
  "oracle met by batch": 3,
};

describe(`packing over random streams, seeds ${String(FIRST)} to ${String(FIRST + SEEDS - 1)}`, () => {
  const runs: PackingRun[] = [];

  beforeAll(() => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) runs.push(runPackingWorld(seed));
  });

  test("no batch is over a limit by a line or a byte, each is filled as the load allows, no deadline is missed that the oracle could meet", () => {
    const wrong = runs
      .filter(({ faults }) => faults.length > 0)
      .map(({ seed, faults }) => ({ seed, fault: faults[0] }));
    expect(wrong).toEqual([]);
  });

  test("and the worlds hold enough of everything", () => {
    const counts = Object.keys(AT_LEAST).map((what) => [
      what,
      runs.reduce((sum, { seen }) => sum + (seen[what] ?? 0), 0),
    ]);
    for (const [what, count] of counts)
      expect([what, Number(count) >= AT_LEAST[String(what)]! * SEEDS]).toEqual([what, true]);
  });
});

type Pack = PackingRules["pack"];

/** Takes no line behind the first that does not fit. */
const stopsAtFirstMiss: Pack = (request) => {
  const taken = new Set(packBatch(request).lines);
  const missed = request.lines.findIndex((line) => !taken.has(line));
  return missed === -1 ? packBatch(request) : packBatch({ ...request, lines: request.lines.slice(0, missed) });
};

const looksAtDeadline = (plan: LinePlan, deadlineMs: number): LinePlan =>
  plan.kind === "pool"
    ? { ...plan, pooled: { ...plan.pooled, line: { ...plan.pooled.line, lookAtMs: deadlineMs } } }
    : plan;

const MISSED = /is done .* the oracle had it in time/;

test.each<[string, Partial<PackingRules>, RegExp]>([
  [
    "the frame is not counted",
    { pack: (request) => packBatch({ ...request, limits: { ...request.limits, frameBytes: 0 } }) },
    /of its bytes/,
  ],
  [
    "ids are taken for a byte shorter",
    { pack: (one) => packBatch({ ...one, idBytes: one.idBytes - 1 }) },
    /of its bytes/,
  ],
  [
    "one line more than may be",
    {
      pack: (request) => {
        const { linesMax } = request.limits;
        return packBatch({
          ...request,
          limits: { ...request.limits, linesMax: linesMax === null ? null : linesMax + 1 },
        });
      },
    },
    /of its lines/,
  ],
  [
    "tokens are not counted",
    { pack: (request) => packBatch({ ...request, limits: { ...request.limits, tokensMax: null } }) },
    /of its tokens/,
  ],
  [
    "embedding inputs are not counted",
    { pack: (request) => packBatch({ ...request, limits: { ...request.limits, embeddingInputsMax: null } }) },
    /of its embedding inputs/,
  ],
  ["nothing fills what a large line leaves", { pack: stopsAtFirstMiss }, /lines in a batch that takes/],
  ["a size is used again", { pack: (request) => packBatch({ ...request, takenSizes: new Set() }) }, /another batch of/],
  [
    "open batches are not counted",
    { flush: (load, limits, room, ...more) => flushAnswer(load, limits, { ...room, batchesLeft: null }, ...more) },
    /more open batches than it may/,
  ],
  [
    "no deadline makes a pool a batch",
    { flush: (load, ...more) => flushAnswer({ ...load, nearestLookAtMs: Number.MAX_SAFE_INTEGER }, ...more) },
    MISSED,
  ],
  [
    "a line is looked at when its job is over",
    { plan: (lines, wish) => looksAtDeadline(lines.plan(wish), wish.deadlineMs) },
    MISSED,
  ],
  ["turnarounds are believed to be a tenth", { priorShare: 0.1 }, MISSED],
  [
    "time is not asked for",
    { plan: (lines, wish) => lines.plan({ ...wish, deadlineMs: wish.deadlineMs + 864_000_000 }) },
    MISSED,
  ],
  [
    "what comes up again is refused",
    { plan: (lines, wish) => (wish.again ? { kind: "refused", code: "NO_ROUTE", message: "" } : lines.plan(wish)) },
    MISSED,
  ],
])("the test sees when %s", (_mistake, mistake, fault) => {
  const rules = { ...OUR_RULES, ...mistake };
  let found: string | undefined;
  for (let seed = 1; seed <= PLANTED_SEEDS && found === undefined; seed += 1)
    found = runPackingWorld(seed, rules).faults.find((one) => fault.test(one));
  expect(found).toMatch(fault);
});
