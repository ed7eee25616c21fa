/** What routers feed of the metrics that they publish. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "@jest/globals";
import { METRIC_LIST, type MetricFacts } from "../../src/adapters/metrics/metric-list.js";
import { createMetrics } from "../../src/adapters/metrics/prometheus.js";
import { reportEnds } from "../../src/pipeline/finish/finish-stage.js";
import { reportIntake, type ReportedGroup } from "../../src/pipeline/intake/report-intake.js";
import type { Accepted, EndedJob } from "../../src/ports/ledger.js";
import { START_MS } from "../support/simulation/fixture.js";
import { samplesOf } from "../support/metric-samples.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";
import { ANSWER_NANO_USD, answerTo, LedgerBench } from "../contract/ledger-bench.js";

const FED_BY = { counter: "count", gauge: "set", histogram: "observe" } as const;

test("each metric that is published is fed somewhere, in the way of its kind", () => {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const fed = new Set<string>();
  for (const name of files)
    for (const [, how, metric] of readFileSync(join("src", name), "utf8").matchAll(
      /\.(count|set|observe)\(\s*"(sluice_\w+)"/g,
    ))
      fed.add(`${how ?? ""} ${metric ?? ""}`);
  const published = Object.entries<MetricFacts>(METRIC_LIST).map(([name, { kind }]) => `${FED_BY[kind]} ${name}`);
  expect(published.filter((metric) => !fed.has(metric))).toEqual([]);
  expect([...fed].filter((metric) => !published.includes(metric))).toEqual([]);
});

/** Those samples that begin so, by the rest of their names. */
async function scraped(metrics: ReturnType<typeof createMetrics>, beginning: string) {
  const samples = [...samplesOf(await metrics.text())];
  return Object.fromEntries(
    samples.flatMap(([name, value]) =>
      name.startsWith(beginning) ? [[name.slice(beginning.length), value] as const] : [],
    ),
  );
}

describe("a group that intake has brought into the ledger", () => {
  /** A job by the topic, tenant and fate of its record. */
  type Fate = readonly [topic: string, tenant: string, kind: Accepted["kind"], headersDropped?: number];
  const groupOf = (fates: readonly Fate[], more: Partial<ReportedGroup>, ended: readonly EndedJob[]): ReportedGroup => {
    const jobs = fates.map(([topic, tenant, , dropped]) => {
      const job = { record: { topic }, tenant, ...(dropped === undefined ? {} : { headersDropped: dropped }) };
      return { item: { job } } as ReportedGroup["jobs"][number]; // the members that are counted
    });
    const kinds = fates.map(([, , kind]) => ({ kind }));
    const outcome = { kind: "accepted", day: 1, acceptedAtMs: START_MS, jobs: kinds, ended, outbox: [] } as const;
    return { jobs, refused: [], cancels: [], headersDropped: 0, outcome, ...more };
  };

  test("counts each record for its own topic, and only jobs that were taken for their tenants", async () => {
    const metrics = createMetrics();
    const fates: readonly Fate[] = [
      ["one", "acme", "started"],
      ["two", "acme", "cached"],
      ["two", "zenith", "expired"],
      ["two", "zenith", "repeated"],
      ["one", "zenith", "redelivered"],
      ["one", "acme", "conflict"],
      ["one", "acme", "joined"],
    ];
    reportIntake({ metrics }, groupOf(fates, { refused: [{ topic: "three" }], cancels: [{ topic: "two" }] }, []));
    const records = await scraped(metrics, "sluice_records_total");
    expect(Object.fromEntries(Object.entries(records).filter(([, records]) => records > 0))).toEqual({
      '{topic="one",result="accepted"}': 2,
      '{topic="one",result="redelivered"}': 1,
      '{topic="one",result="refused"}': 1,
      '{topic="two",result="accepted"}': 2,
      '{topic="two",result="duplicate"}': 1,
      '{topic="two",result="cancel"}': 1,
      '{topic="three",result="refused"}': 1,
    });
    expect(await scraped(metrics, "sluice_jobs_accepted_total")).toEqual({
      '{tenant="acme"}': 3,
      '{tenant="zenith"}': 1,
    });
    expect(await scraped(metrics, "sluice_coalesced_total")).toEqual({ "": 1 });
    expect(await scraped(metrics, "sluice_cache_answers_total")).toEqual({ "": 1 });
  });

  test("counts the headers that results do not get: of refused records too, not of those that have none", async () => {
    const metrics = createMetrics();
    const fates: readonly Fate[] = [
      ["one", "acme", "started", 8],
      ["one", "acme", "repeated", 2],
      ["one", "acme", "redelivered", 100],
      ["one", "acme", "conflict", 100],
    ];
    reportIntake({ metrics }, groupOf(fates, { headersDropped: 5 }, []));
    expect(await scraped(metrics, "sluice_headers_dropped_total")).toEqual({ "": 15 });
  });

  test("counts jobs that ended with it, and their times, as all others that end; alerts hear that they never waited", async () => {
    const metrics = createMetrics();
    const ended: readonly EndedJob[] = [
      { status: "succeeded", code: null, acceptedAtMs: START_MS, endedAtMs: START_MS },
      { status: "expired", code: "DEADLINE_EXCEEDED", acceptedAtMs: START_MS, endedAtMs: START_MS },
      { status: "cancelled", code: "CANCELLED", acceptedAtMs: START_MS - 90_000, endedAtMs: START_MS },
    ];
    const heard: number[] = [];
    const listener = { endedAtIntake: (jobs: number) => heard.push(jobs) };
    reportIntake({ metrics, listener }, groupOf([["one", "acme", "cached"]], {}, ended));
    expect(await scraped(metrics, "sluice_jobs_ended_total")).toEqual({
      '{status="succeeded"}': 1,
      '{status="expired"}': 1,
      '{status="cancelled"}': 1,
    });
    expect(await scraped(metrics, "sluice_job_seconds_")).toMatchObject({ sum: 90, count: 3, 'bucket{le="60"}': 2 });
    expect(heard).toEqual([3]);
  });
});

describe("calls that the ledger has written", () => {
  let bench: LedgerBench;
  let nowMs = START_MS;
  beforeEach(async () => {
    nowMs = START_MS;
    const database = new MemoryDatabase(() => nowMs);
    const ledger = new MemoryLedger(database, { step: () => Promise.resolve(), breaks: () => "no" });
    bench = await LedgerBench.start({ ledger, nowMs: () => nowMs, close: () => Promise.resolve() });
  });

  test("add what they cost for the tenant that pays, and how long their jobs took", async () => {
    const metrics = createMetrics();
    const wish = { jobId: "a", tenant: "catalogue", prompt: "why" };
    const held = [await bench.start(wish), await bench.start({ ...wish, jobId: "b", tenant: "shop" })];
    nowMs += 2000;
    expect((await bench.accept([await bench.job({ ...wish, jobId: "c" }, true)])).kinds).toEqual(["joined"]);
    nowMs += 500;
    const calls = held.map((one) => bench.ended(one, answerTo("why")));
    reportEnds(metrics, await bench.finish(calls));
    // Told again, as after a COMMIT whose answer was lost: nothing is written, and nothing counted.
    reportEnds(metrics, await bench.finish(calls));
    const cost = Number(ANSWER_NANO_USD);
    expect(await scraped(metrics, "sluice_cost_nano_usd_total")).toEqual({
      '{tenant="catalogue"}': cost,
      '{tenant="shop"}': cost,
    });
    expect(await scraped(metrics, "sluice_jobs_ended_total")).toEqual({ '{status="succeeded"}': 3 });
    expect(await scraped(metrics, "sluice_job_seconds_")).toMatchObject({ sum: 2.5 + 2.5 + 0.5, count: 3 });
  });

  test("take no time below none, where the router's clock is behind that of the ledger", async () => {
    const metrics = createMetrics();
    const ended = [{ status: "failed", code: null, acceptedAtMs: START_MS, endedAtMs: START_MS - 40 }] as const;
    reportEnds(metrics, { ended, outbox: [] });
    expect(await scraped(metrics, "sluice_job_seconds_")).toMatchObject({ sum: 0, count: 1 });
  });
});
