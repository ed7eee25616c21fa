import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { AlertReadings } from "../../src/domain/alert/readings.js";
import type { Tally } from "../../src/domain/alert/tally.js";
import { MINUTE_MS, START_MS, Watch, type Turned } from "../unit/alert-fixture.js";

const EVERY_MS = 15_000;
const RUNS = Number(process.env["SLUICE_SEEDS"] ?? 150);

/** Anything that a look may read, missing sources and subjects that come and go included. */
const READINGS: fc.Arbitrary<Partial<AlertReadings>> = fc.record(
  {
    doubts: fc.option(fc.integer({ min: 0, max: 100 })),
    runnable: fc.option(
      fc.record({ oldestAtMs: fc.option(fc.integer({ min: START_MS, max: START_MS + 30 * MINUTE_MS })) }),
    ),
    nearestDeadlinesMs: fc.option(
      fc.oneof(
        fc.array(fc.integer({ min: START_MS, max: START_MS + 3_600_000 }), { maxLength: 30 }),
        // Many within minutes, or none of the sequences would come near a deadline often enough.
        fc.array(fc.integer({ min: START_MS, max: START_MS + 10 * MINUTE_MS }), { minLength: 10, maxLength: 30 }),
      ),
    ),
    batches: fc.option(
      fc.uniqueArray(
        fc.record({
          no: fc.integer({ min: 1, max: 4 }),
          account: fc.constantFrom("a", "b"),
          model: fc.option(fc.constant("m")),
          lines: fc.constant(3),
          submittedAtMs: fc.integer({ min: START_MS - 40_000_000, max: START_MS }),
          nearestDeadlineMs: fc.option(fc.integer({ min: START_MS, max: START_MS + 50_000_000 })),
        }),
        { selector: ({ no }) => no, maxLength: 4 },
      ),
    ),
    budgets: fc.option(
      fc.array(
        fc.record({
          budget: fc.record({
            level: fc.constant({ of: "tenant" as const, tenant: "acme", department: null, application: null }),
            window: fc.constantFrom("day" as const, "total" as const),
            limitNanoUsd: fc.constant(100n),
          }),
          settledNanoUsd: fc.bigInt({ min: 0n, max: 120n }),
          reservedNanoUsd: fc.bigInt({ min: 0n, max: 20n }),
        }),
        { maxLength: 1 },
      ),
    ),
    breakers: fc.option(
      fc.array(
        fc.record({ account: fc.constant("a"), model: fc.constant(null), open: fc.boolean(), reason: fc.constant("") }),
        {
          maxLength: 1,
        },
      ),
    ),
  },
  { requiredKeys: [] },
);
const USE = fc.record({ requests: fc.integer({ min: 0, max: 60 }), tokens: fc.integer({ min: 0, max: 600 }) });
const TALLIES: fc.Arbitrary<Partial<Tally>> = fc.record(
  {
    accounts: fc.dictionary(
      fc.constantFrom("a", "b", "c"),
      fc.integer({ min: 0, max: 60 }).chain((calls) =>
        fc.record({
          calls: fc.constant(calls),
          failed: fc.oneof(fc.constant(calls), fc.integer({ min: 0, max: calls })),
          ms: fc.dictionary(fc.constantFrom("3", "20", "40"), fc.integer({ min: 1, max: 30 })),
          used: fc.dictionary(fc.constantFrom("m", "n"), USE),
          usedByKind: fc.dictionary(fc.constantFrom("embeddings", "free"), USE),
        }),
      ),
    ),
    ended: fc.integer({ min: 0, max: 3 }),
    deadLetters: fc.integer({ min: 0, max: 300 }),
    jobMs: fc.dictionary(fc.constantFrom("3", "20", "40"), fc.integer({ min: 1, max: 30 })),
  },
  { requiredKeys: [] },
); // keys of dictionaries are digits
/** The same for a few looks: what never lasts raises nothing. Now and then a clock that jumps, either way, or a pause. */
const STRETCH = fc.record({
  readings: READINGS,
  tally: TALLIES,
  looks: fc.integer({ min: 1, max: 30 }),
  afterMs: fc.oneof({ weight: 9, arbitrary: fc.constant(EVERY_MS) }, fc.integer({ min: -600_000, max: 3_600_000 })),
});
const TIMES = fc.record({
  raiseAfterMs: fc.integer({ min: 0, max: 60_000 }),
  clearAfterMs: fc.integer({ min: 0, max: 120_000 }),
  againAfterMs: fc.integer({ min: 0, max: 300_000 }),
});

type Stretch = typeof STRETCH extends fc.Arbitrary<infer Value> ? Value : never;

function run(watch: Watch, stretches: readonly Stretch[]): void {
  for (const { readings, tally, looks, afterMs } of stretches)
    for (let look = 0; look < looks; look += 1) watch.look(readings, tally, look === 0 ? afterMs : EVERY_MS);
}

function byAlert(turns: readonly Turned[]): readonly (readonly Turned[])[] {
  const found = new Map<string, Turned[]>();
  for (const turn of turns) found.set(turn.name, [...(found.get(turn.name) ?? []), turn]);
  return [...found.values()];
}

describe("alerts over random readings", () => {
  const seen = new Set<string>();

  test("turn in strict alternation, never two raises without a recovery between", () => {
    fc.assert(
      fc.property(TIMES, fc.array(STRETCH, { maxLength: 20 }), (times, stretches) => {
        const watch = new Watch(times);
        run(watch, stretches);
        for (const turns of byAlert(watch.turns)) {
          turns.forEach(({ turn, name }, index) => {
            seen.add(name.split(":")[0] ?? "");
            expect(turn).toBe(index % 2 === 0 ? "raised" : "recovered");
          });
          const raised = watch.raised.includes(turns[0]?.name ?? "");
          expect(raised).toBe(turns.length % 2 === 1);
        }
      }),
      { numRuns: RUNS },
    );
    // Otherwise the sequences would prove little.
    for (const rule of [
      "budget",
      "error_rate",
      "rate_limit",
      "provider_down",
      "latency",
      "in_doubt",
      "dead_letters",
      "batch_slow",
      "deadlines",
    ])
      expect(seen).toContain(rule);
  });

  test("turn a bounded number of times: a raise comes at least againAfterMs after the recovery before it, and that clearAfterMs after the raise", () => {
    const steady = STRETCH.map((stretch) => ({ ...stretch, afterMs: EVERY_MS }));
    fc.assert(
      fc.property(TIMES, fc.array(steady, { maxLength: 20 }), (times, stretches) => {
        const watch = new Watch(times);
        run(watch, stretches);
        for (const turns of byAlert(watch.turns)) {
          turns.slice(1).forEach(({ atMs, turn }, index) => {
            const least = turn === "raised" ? times.againAfterMs : times.clearAfterMs;
            expect(atMs - (turns[index]?.atMs ?? 0)).toBeGreaterThanOrEqual(least);
          });
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("are forgotten within a day of calm, and what is remembered stays bounded", () => {
    fc.assert(
      fc.property(fc.array(STRETCH, { maxLength: 10 }), (stretches) => {
        const watch = new Watch({ errorCallsMin: 1 });
        run(watch, stretches);
        const calm: Partial<AlertReadings> = {
          doubts: 0,
          runnable: { oldestAtMs: null },
          nearestDeadlinesMs: [],
          batches: [],
          budgets: [],
          breakers: [],
        };
        const tally: Partial<Tally> = {
          accounts: { a: { calls: 50, failed: 0, ms: {}, used: {} }, b: { calls: 50, failed: 0, ms: {}, used: {} } },
          jobMs: { 3: 50 },
          ended: 1,
        };
        for (let look = 0; look < 60; look += 1) watch.look(calm, tally, EVERY_MS);
        expect(watch.raised).toEqual([]);
        watch.look(calm, tally, 86_400_000);
        watch.look(calm, tally, EVERY_MS);
        expect(watch.alerts).toEqual([]);
        expect(watch.memoryBytes).toBeLessThan(20_000);
      }),
      { numRuns: Math.ceil(RUNS / 3) },
    );
  });
});
