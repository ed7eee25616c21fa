import { describe, expect, test } from "@jest/globals";
import { METRIC_LIST, type MetricFacts } from "../../src/adapters/metrics/metric-list.js";
import { createMetrics } from "../../src/adapters/metrics/prometheus.js";

const list = Object.entries<MetricFacts>(METRIC_LIST);

describe("the list of metrics", () => {
  test("follows Prometheus' naming", () => {
    const wrong = list.filter(
      ([name, { kind }]) => !/^sluice_[a-z0-9_]+$/.test(name) || (kind === "counter") !== name.endsWith("_total"),
    );
    expect(wrong).toEqual([]);
  });

  test("explains each metric in a sentence", () => {
    expect(list.filter(([, { help }]) => !/^[A-Z0-9].{15,}\.$/.test(help)).map(([name]) => name)).toEqual([]);
  });

  test("gives each histogram buckets that rise, and no other metric any", () => {
    const wrong = list.filter(([, { kind, buckets }]) => {
      if (kind !== "histogram") return buckets !== undefined;
      return (
        buckets === undefined || buckets.some((bound, index) => index > 0 && bound <= (buckets[index - 1] ?? Infinity))
      );
    });
    expect(wrong.map(([name]) => name)).toEqual([]);
  });

  test("measures calls from 5 ms to 24 h", () => {
    const { buckets } = METRIC_LIST.sluice_call_seconds as MetricFacts;
    expect([buckets?.at(0), buckets?.at(-1)]).toEqual([0.005, 86_400]);
  });
});

describe("the metrics", () => {
  test("add up what is counted", async () => {
    const metrics = createMetrics();
    metrics.count("sluice_records_total", { topic: "jobs", result: "accepted" }, 200);
    metrics.count("sluice_records_total", { topic: "jobs", result: "accepted" });
    metrics.count("sluice_records_total", { topic: "jobs", result: "refused" }, 0);
    const text = await metrics.text();
    expect(text).toContain('sluice_records_total{topic="jobs",result="accepted"} 201\n');
    expect(text).toContain('sluice_records_total{topic="jobs",result="refused"} 0\n');
  });

  test("keep the last value of a gauge and all of a histogram's", async () => {
    const metrics = createMetrics();
    metrics.set("sluice_free_slots", { account: "o" }, 4);
    metrics.set("sluice_free_slots", { account: "o" }, 3);
    metrics.observe("sluice_call_seconds", { account: "o" }, 0.004);
    metrics.observe("sluice_call_seconds", { account: "o" }, 100_000);
    const text = await metrics.text();
    expect(text).toContain('sluice_free_slots{account="o"} 3\n');
    expect(text).toContain('sluice_call_seconds_bucket{le="0.005",account="o"} 1\n');
    expect(text).toContain('sluice_call_seconds_bucket{le="86400",account="o"} 1\n');
    expect(text).toContain('sluice_call_seconds_count{account="o"} 2\n');
  });

  test("count tenants beyond the bound as other, and never forget a known one", async () => {
    const metrics = createMetrics({ tenantsMax: 2 });
    for (const tenant of ["a", "b", "c", "d", "a"]) metrics.count("sluice_jobs_accepted_total", { tenant });
    const text = await metrics.text();
    const lines = text.split("\n").filter((line) => line.startsWith("sluice_jobs_accepted_total{"));
    expect(lines).toEqual([
      'sluice_jobs_accepted_total{tenant="a"} 2',
      'sluice_jobs_accepted_total{tenant="b"} 1',
      'sluice_jobs_accepted_total{tenant="other"} 2',
    ]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, -1])(
    "leave out a count of %d instead of stopping a stage",
    async (by) => {
      const metrics = createMetrics();
      metrics.count("sluice_coalesced_total", {}, by);
      expect(await metrics.text()).toContain("sluice_coalesced_total 0\n");
    },
  );

  test("share nothing between two of them", async () => {
    const [one, other] = [createMetrics(), createMetrics()];
    one.count("sluice_coalesced_total", {}, 5);
    expect(await other.text()).toContain("sluice_coalesced_total 0\n");
  });

  test("name every metric of the list", async () => {
    const text = await createMetrics().text();
    expect(list.filter(([name]) => !text.includes(`# TYPE ${name} `)).map(([name]) => name)).toEqual([]);
  });
});
