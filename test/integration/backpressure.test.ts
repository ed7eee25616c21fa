/** Back-pressure by the bytes of bodies that wait: few large jobs stop fetching long before their number would. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { chatJob, headerText } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

const MIB = 1_048_576;
const PROMPT = "please ".repeat(9000); // 63,000 bytes, stored as they are
const CALL_MS = 300;

let gateway: Gateway;
let router: GatewayRouter;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "backpressure",
    latencyMs: CALL_MS,
    config: {
      concurrency: 1,
      limits: { pending: { bytesMax: MIB } },
      sections: { storage: { compressAboveBytes: MIB } },
    },
  });
  router = await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

/** One after another: together they would be more than brokers take as one batch. */
async function publish(prefix: string, count: number): Promise<void> {
  for (let no = 0; no < count; no += 1) {
    const id = `${prefix} ${String(no)}`;
    await gateway.publish({ value: chatJob(id, `${id} ${PROMPT}`) });
  }
}
const resultsReach = (count: number): Promise<true> =>
  gateway.until(`${String(count)} results`, () => gateway.topics.results.length >= count && true);

test("fetching stops above the mark, the rest stays in Kafka, and goes on once enough is done", async () => {
  await publish("first", 22);
  const paused = await router.event("intake.paused");
  expect(paused["reasons"]).toEqual(["pending_bytes"]);
  expect(Number(paused["pendingBytes"])).toBeGreaterThan(MIB);
  expect(Number(paused["pendingBytes"])).toBeLessThan(22 * 65_536);
  expect(await router.metrics()).toContain('sluice_backpressure{reason="pending_bytes"} 1');

  const served = gateway.topics.results.length;
  await publish("second", 5);
  await resultsReach(served + 2);
  expect(router.events("intake.resumed")).toEqual([]);
  expect(await gateway.position()).toBeLessThanOrEqual(22);

  await gateway.simulator.setLatency(0);
  const resumed = await router.event("intake.resumed");
  expect(Number(resumed["pendingBytes"])).toBeLessThanOrEqual(0.8 * MIB);
  await resultsReach(27);
  expect(await gateway.position()).toBe(27);
  expect(new Set(gateway.topics.results.map((record) => headerText(record, "llm-job-id"))).size).toBe(27);
  await gateway.until("no bytes left", async () => (await router.metrics()).includes("sluice_pending_bytes 0\n"));
  expect(await router.metrics()).toContain('sluice_backpressure{reason="pending_bytes"} 0');
}, 120_000);
