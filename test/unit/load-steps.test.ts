import { describe, expect, test } from "@jest/globals";
import { JOB_KINDS, jobValue, keyOf, kindOf, readKey } from "../../src/load/job-kinds.js";
import { LatencyHistogram, quantilesOf } from "../../src/load/latency-histogram.js";
import { loadPage } from "../../src/load/load-page.js";
import { OpenLoop } from "../../src/load/open-loop.js";
import type { LoadReport } from "../../src/load/run-load.js";
import { dueBy, loadTimes, nextRate, overloadRate, stepVerdict, type StepFigures } from "../../src/load/steps.js";

describe("quantiles", () => {
  test("are at most a twentieth above what was measured, and never below it", () => {
    const histogram = new LatencyHistogram();
    for (let ms = 1000; ms >= 1; ms -= 1) histogram.add(ms);
    for (const [share, exact] of [
      [0.5, 500],
      [0.95, 950],
      [0.99, 990],
      [1, 1000],
    ] as const) {
      const found = histogram.quantile(share) ?? 0;
      expect(found).toBeGreaterThanOrEqual(exact);
      expect(found).toBeLessThan(exact * 1.05);
    }
  });

  test("of nothing are unknown", () => {
    expect(quantilesOf(new LatencyHistogram())).toEqual({ answered: 0, p50Ms: null, p95Ms: null, p99Ms: null });
  });

  test("of one slow answer among a hundred quick ones: the 99th is quick, the slowest is not", () => {
    const histogram = new LatencyHistogram();
    for (let at = 0; at < 99; at += 1) histogram.add(10);
    histogram.add(60_000);
    expect(histogram.quantile(0.99)).toBeLessThan(10.5);
    expect(histogram.quantile(1)).toBeGreaterThanOrEqual(60_000);
  });

  test("of two histograms together are those of all that is in them; times below 0 and beyond a day count as the bounds", () => {
    const [one, other] = [new LatencyHistogram(), new LatencyHistogram()];
    one.add(-5);
    other.add(1e12);
    one.merge(other);
    expect(one.count).toBe(2);
    expect(one.quantile(0.5)).toBe(1);
    expect(one.quantile(1)).toBeGreaterThanOrEqual(86_400_000);
    expect(one.quantile(1)).toBeLessThan(86_400_000 * 1.05);
  });
});

describe("a step", () => {
  const step: StepFigures = {
    ...{ published: 1000, answered: 990, openAtStart: 10, openAtEnd: 20 },
    ...{ p99FirstMs: 100, p99SecondMs: 110 },
  };

  test("holds while it answers what it gets", () => {
    expect(stepVerdict(step)).toEqual({ kind: "holds" });
  });

  test("breaks when it answers less than it gets", () => {
    const slow = { ...step, answered: 900, openAtEnd: 110 };
    expect(stepVerdict(slow)).toEqual({ kind: "breaks", because: "900 of 1000 were answered, 110 wait" });
  });

  test("holds when the few that wait are in the air", () => {
    expect(stepVerdict({ ...step, answered: 955, openAtEnd: 55 })).toEqual({ kind: "holds" });
  });

  test("breaks when its p99 doubles within it and is felt", () => {
    const growing = { ...step, p99FirstMs: 700, p99SecondMs: 1600 };
    expect(stepVerdict(growing)).toEqual({ kind: "breaks", because: "p99 grew from 700 to 1600 ms within the step" });
    expect(stepVerdict({ ...step, p99FirstMs: 50, p99SecondMs: 150 })).toEqual({ kind: "holds" });
    expect(stepVerdict({ ...step, p99FirstMs: null, p99SecondMs: 1600 })).toEqual({ kind: "holds" });
  });

  test("is followed by one of a quarter more, and beyond the one that broke comes half as much again", () => {
    expect([nextRate(100), nextRate(1), overloadRate(400)]).toEqual([125, 2, 600]);
  });

  test("is long enough to say something, and all of them fit into the time", () => {
    expect(loadTimes(5)).toEqual({ stepMs: 18_000, stepsMs: 180_000, overloadMs: 45_000, recoveryMaxMs: 75_000 });
    expect(loadTimes(1 / 3)).toEqual({ stepMs: 2000, stepsMs: 12_000, overloadMs: 3000, recoveryMaxMs: 10_000 });
    expect(loadTimes(60).stepMs).toBe(60_000);
  });
});

describe("the schedule", () => {
  test("goes by the time that passed and by nothing else", () => {
    expect([dueBy(100, 0), dueBy(100, 999), dueBy(100, 1000), dueBy(3, 500)]).toEqual([0, 99, 100, 1]);
  });

  test("waits for no broker: all is handed over on time while no send is answered", async () => {
    const handed: string[] = [];
    const producer = {
      send: ({ messages }: { readonly messages: readonly { readonly key: string }[] }) => {
        handed.push(...messages.map(({ key }) => key));
        return new Promise<never>(() => undefined);
      },
    };
    const loop = new OpenLoop(producer as unknown as ConstructorParameters<typeof OpenLoop>[0], "jobs", "run");
    await loop.run(1000, 100);
    expect([loop.published, handed.length, loop.failed]).toEqual([100, 100, 0]);
    // Each says when it was due, a millisecond after the one before it.
    const due = handed.map((key) => readKey(key)?.dueAtMs ?? 0);
    expect((due.at(-1) ?? 0) - (due[0] ?? 0)).toBe(99);
    expect(loop.publishedDirect).toBe(90);
  });

  test("counts what the broker did not take", async () => {
    const producer = { send: () => Promise.reject(new Error("away")) };
    const loop = new OpenLoop(producer as unknown as ConstructorParameters<typeof OpenLoop>[0], "jobs", "run");
    await loop.run(1000, 50);
    await loop.settled();
    expect([loop.published, loop.failed]).toEqual([50, 50]);
  });
});

describe("the jobs", () => {
  test("of twenty in a row come to each kind as often as it has parts", () => {
    const names = Array.from({ length: 20 }, (_unused, number) => kindOf(number + 7).name);
    const counts = JOB_KINDS.map(({ name }) => names.filter((one) => one === name).length);
    expect(counts).toEqual([12, 3, 3, 2]);
  });

  test("say in their keys what they are; other keys are not read", () => {
    const key = keyOf(41, 1_700_000_000_123);
    expect(readKey(key)).toEqual({ kind: kindOf(41).name, dueAtMs: 1_700_000_000_123 });
    expect([readKey("film-1"), readKey(""), readKey("openai-direct.1"), readKey("openai-direct.x.1")]).toEqual([
      ...[null, null, null, null],
    ]);
  });

  test("all differ", () => {
    expect(new Set([jobValue(1, "a"), jobValue(2, "a"), jobValue(1, "b")]).size).toBe(3);
  });
});

test("the page says what held, what broke and how it came back, and unknown is no number", () => {
  const quantiles = { answered: 90, p50Ms: 60, p95Ms: 80.5, p99Ms: null };
  const report: LoadReport = {
    ...{ rate: 100, minutes: 5, pendingJobsMax: 20_000, published: 1000, notPublished: 0, answered: 1000, failed: 0 },
    ...{ lost: 0, heldRate: 100, brokeAtRate: 125, because: "900 of 1000 were answered, 110 wait", peakRssMb: 210 },
    steps: [
      {
        ...{ rate: 100, seconds: 18, published: 100, answeredPerS: 90, open: 1, lag: null, rssMb: 200 },
        ...{ verdict: "holds" as const, because: null, kinds: {}, ...quantiles },
      },
    ],
    overload: {
      ...{ rate: 188, seconds: 45, answeredPerS: 110, openMax: 3000, lagMax: 1200, pauses: 2, pausedShare: 0.5 },
      ...{ rssStartMb: 205, rssMaxMb: 210 },
    },
    recoveryMs: 4200,
    kinds: { "openai-direct": quantiles },
  };
  const page = loadPage(report);
  expect(page).toContain("100 jobs/s held. 125 jobs/s was too much: 900 of 1000 were answered, 110 wait.");
  expect(page).toContain("| 100 | 18 | 90 | 60 | 80.5 | - | 1 | - | 200 | holds |");
  expect(page).toContain(
    "stopped fetching 2 times, in 50 % of the looks, and left up to 1,200 records with the broker",
  );
  expect(page).toContain("All answered: 4,200 ms after the last job was published.");
  const calm = loadPage({ ...report, brokeAtRate: null, because: null, overload: null, recoveryMs: null });
  expect(calm).toContain("None was too much within 5 minutes.");
  expect(calm).toContain("It was not reached.");
});
