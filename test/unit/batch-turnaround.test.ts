import { describe, expect, test } from "@jest/globals";
import {
  expectedTurnaround,
  turnaroundBook,
  type TurnaroundObservation,
  type TurnaroundSettings,
} from "../../src/domain/batch/turnaround.js";

const NOW_MS = 1_800_000_000_000;
const PRIOR: TurnaroundSettings = { priorMs: 1_000, windowMs: 100_000, perModelMax: 200 };

/** Batches of one model that ended one after another, the last one a second ago. */
function ended(msOfEach: readonly number[], more: Partial<TurnaroundObservation> = {}): TurnaroundObservation[] {
  return msOfEach.map((ms, index) => ({
    account: "main",
    model: "m",
    ms,
    endedAtMs: NOW_MS - 1_000 * (msOfEach.length - index),
    ...more,
  }));
}

function learned(observations: readonly TurnaroundObservation[], settings: Partial<TurnaroundSettings> = {}) {
  const book = turnaroundBook(observations, { ...PRIOR, ...settings }, NOW_MS);
  return expectedTurnaround(book, "main", "m");
}

const times = (count: number, ms: number): number[] => Array.from({ length: count }, () => ms);

describe("a quantile of the sample is the value of rank floor(q m) + 1, the prior one of its m values", () => {
  test.each<[string, number[], number, number]>([
    ["nothing: the prior is all there is", [], 1_000, 1_000],
    ["one faster batch: rank 2 of 2 for both", [10], 1_000, 1_000],
    ["two faster batches: ranks 2 and 3 of 3", [10, 20], 20, 1_000],
    ["one slower batch", [5_000], 5_000, 5_000],
    ["19 faster batches: rank 20 of 20", times(19, 10), 10, 1_000],
    ["20 faster batches: rank 20 of 21", times(20, 10), 10, 10],
    ["20 slower batches", times(20, 9_000), 9_000, 9_000],
    ["one slow batch among 20: rank 20 of 21, which is the prior", [...times(19, 10), 9_000], 10, 1_000],
    ["two slow batches among 20", [...times(18, 10), 8_000, 9_000], 10, 8_000],
    // Ranks 51 and 96 of 100.
    ["99 batches of 1 to 99 ms", Array.from({ length: 99 }, (_unused, at) => at + 1), 51, 96],
  ])("%s", (_what, msOfEach, medianMs, p95Ms) => {
    expect(learned(ended(msOfEach))).toEqual({ medianMs, p95Ms, observed: msOfEach.length });
  });

  test("fewer than 20 batches, however fast, never talk the p95 below the prior", () => {
    for (let count = 0; count < 20; count += 1) expect(learned(ended(times(count, 1))).p95Ms).toBe(1_000);
  });
});

describe("which batches are believed", () => {
  test("those that ended within the window, its last instant included", () => {
    const atEdge = ended(times(20, 10), { endedAtMs: NOW_MS - 100_000 });
    const before = ended(times(20, 10), { endedAtMs: NOW_MS - 100_001 });
    expect(learned(atEdge)).toMatchObject({ p95Ms: 10, observed: 20 });
    expect(learned(before)).toMatchObject({ p95Ms: 1_000, observed: 0 });
  });

  test("the newest of them, in whatever order they are handed over", () => {
    const observations = ended([...times(30, 9_000), ...times(25, 10)]);
    expect(learned(observations, { perModelMax: 25 })).toEqual({ medianMs: 10, p95Ms: 10, observed: 25 });
    expect(learned([...observations].reverse(), { perModelMax: 25 })).toEqual({
      medianMs: 10,
      p95Ms: 10,
      observed: 25,
    });
  });

  test("those of the account and the model alone", () => {
    const observations = [...ended(times(20, 10)), ...ended(times(20, 70), { model: "n" })];
    const book = turnaroundBook(observations, PRIOR, NOW_MS);
    expect(expectedTurnaround(book, "main", "m").p95Ms).toBe(10);
    expect(expectedTurnaround(book, "main", "n").p95Ms).toBe(70);
    expect(expectedTurnaround(book, "main", "unknown")).toEqual(book.prior);
    expect(expectedTurnaround(book, "other", "m")).toEqual(book.prior);
  });

  test("and batches of mixed models, which count for each model of their account", () => {
    const observations = [...ended(times(19, 10), { model: null }), ...ended([20])];
    const book = turnaroundBook(observations, PRIOR, NOW_MS);
    expect(expectedTurnaround(book, "main", "m")).toEqual({ medianMs: 10, p95Ms: 20, observed: 20 });
    expect(expectedTurnaround(book, "main", "unknown")).toEqual({ medianMs: 10, p95Ms: 1_000, observed: 19 });
    expect(expectedTurnaround(book, "main", null)).toEqual({ medianMs: 10, p95Ms: 1_000, observed: 19 });
  });
});
