/** What a router's /metrics say after some jobs, against what was published. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, headerText, resultIn, type FoundRecord } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";
import { samplesOf } from "../support/metric-samples.js";

let gateway: Gateway;
let router: GatewayRouter;
beforeAll(async () => {
  gateway = await Gateway.open({ name: "metrics", config: { concurrency: 5 } });
  // Its time is over before anybody reads it.
  await gateway.publish({ value: chatJob("late", "late", { ttlMs: 1 }) });
  router = await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

const scrape = async () => samplesOf(await router.metrics());
/** Records of a topic as JSON. */
const read = (records: readonly FoundRecord[]) =>
  records.map(({ value }) => JSON.parse(value?.toString() ?? "") as Readonly<Record<string, unknown>>);

test("what a router counted of jobs, their ends, their times and their money is what was published", async () => {
  await gateway.publish({ value: chatJob("first", "why") });
  await gateway.publish({ value: chatJob("zenith's", "why", { tenant: "zenith" }) });
  await gateway.result("zenith's", "zenith");
  await gateway.result("first");
  await gateway.publish({ value: chatJob("again", "why") });
  expect(resultIn(await gateway.result("again")).served).toBe("exact_cache");
  const headers = Object.fromEntries(Array.from({ length: 37 }, (_unused, index) => [`x-${String(index)}`, "v"]));
  await gateway.publish({ value: chatJob("wordy", "wordy"), headers });
  await gateway.result("wordy");
  await gateway.deadLetterOf(await gateway.publish({ value: "{no json" }));
  await gateway.simulator.setLatency(1500);
  await gateway.publish({ value: chatJob("unwanted", "unwanted") });
  await gateway.until("the call in the air", async () => (await gateway.simulator.openCalls()) === 1);
  const cancel = { "llm-action": "cancel", "llm-job-id": "unwanted", "llm-tenant": "acme" };
  await gateway.publish({ value: null, headers: cancel });
  expect(resultIn(await gateway.result("unwanted")).status).toBe("cancelled");
  expect(resultIn(await gateway.result("late")).status).toBe("expired");
  await gateway.until("the cost of its call", () => gateway.topics.costs.length === 5 && true);

  const results = read(gateway.topics.results);
  const found = await gateway.until("all of them", async () => {
    const samples = await scrape();
    return samples.get("sluice_job_seconds_count") === results.length ? samples : null;
  });
  const ended = Object.fromEntries(
    ["succeeded", "expired", "cancelled", "failed"].map((status) => [
      status,
      found.get(`sluice_jobs_ended_total{status="${status}"}`) ?? 0,
    ]),
  );
  expect(ended).toEqual({ succeeded: 4, expired: 1, cancelled: 1, failed: 0 });
  expect(results).toHaveLength(6);
  let tookMs = 0;
  for (const { times } of results as { times: { acceptedAt: string; finishedAt: string } }[])
    tookMs += Math.max(0, Date.parse(times.finishedAt) - Date.parse(times.acceptedAt));
  expect(found.get("sluice_job_seconds_sum")).toBeCloseTo(tookMs / 1000, 6);

  for (const tenant of ["acme", "zenith"]) {
    const own = read(gateway.topics.costs).filter((cost) => cost["tenant"] === tenant);
    const nanoUsd = own.reduce((sum, cost) => sum + Number(cost["nanoUsd"]), 0);
    expect(nanoUsd).toBeGreaterThan(0);
    expect([tenant, found.get(`sluice_cost_nano_usd_total{tenant="${tenant}"}`)]).toEqual([tenant, nanoUsd]);
  }
  const bill = await gateway.simulator.bill();
  expect(read(gateway.topics.costs).reduce((sum, cost) => sum + Number(cost["nanoUsd"]), 0)).toBe(
    bill.reduce((sum, { nanoUsd }) => sum + Number(nanoUsd), 0),
  );

  const ofTopic = (result: string) =>
    found.get(`sluice_records_total{topic="${gateway.topics.names.jobs}",result="${result}"}`);
  expect(["accepted", "refused", "cancel"].map(ofTopic)).toEqual([6, 1, 1]);
  const wordy = await gateway.result("wordy");
  expect([headerText(wordy, "x-31"), headerText(wordy, "x-32")]).toEqual(["v", null]);
  expect(found.get("sluice_headers_dropped_total")).toBe(5);
});

test("how many places for calls are free, how many routers live, and which build it is, are what they are", async () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly version: string };
  expect((await scrape()).get(`sluice_build_info{version="${version}"}`)).toBe(1);
  const until = (what: string, name: string, value: number) =>
    gateway.until(what, async () => (await scrape()).get(name) === value);
  const places = 'sluice_free_slots{account="openai-main"}';
  await until("all places free", places, 5);
  await gateway.simulator.setLatency(60_000);
  for (const jobId of ["held a", "held b"]) await gateway.publish({ value: chatJob(jobId, jobId) });
  await until("two places taken", places, 3);
  await until("one router", "sluice_live_routers", 1);
  await gateway.startRouter();
  await until("two routers", "sluice_live_routers", 2);
});
