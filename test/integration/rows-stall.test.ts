/** Row B7 of the fault catalogue: a live consumer that silently stops reading. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

const HOOK = new URL("../support/stalls-on-signal.mjs", import.meta.url);
const WATCHDOG_MS = 5000;

let gateway: Gateway;
let router: GatewayRouter;
beforeAll(async () => {
  gateway = await Gateway.open({ name: "stall", partitions: 2, config: { kafka: { watchdogMs: WATCHDOG_MS } } });
  router = await gateway.startRouter("router", { NODE_OPTIONS: `--import ${HOOK.href}` });
});
afterAll(async () => {
  await gateway.close();
});

test("[B7] a router whose consumer gets no answers any more starts a new one, and each job has one result", async () => {
  const ids = (prefix: string): readonly string[] => Array.from({ length: 10 }, (_, at) => `${prefix} ${String(at)}`);
  const publish = async (jobIds: readonly string[]): Promise<void> => {
    await gateway.topics.publish(jobIds.map((id, at) => ({ value: chatJob(id, id), partition: at % 2 })));
  };
  const isServed = async (jobIds: readonly string[]): Promise<void> => {
    for (const id of jobIds) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  };
  const [before, during, after] = [ids("before"), ids("during"), ids("after")];
  await publish(before);
  await isServed(before);

  router.signal("SIGUSR2");
  await gateway.until("the stall", () => router.events("test.stalled").length > 0);
  const stalledMs = Date.now();
  await publish(during);
  const [restart] = await gateway.until("the restart", () => {
    const found = router.events("kafka.consumer_restarted");
    return found.length > 0 ? found : null;
  });
  expect(restart).toMatchObject({ level: "error", reason: "a partition has lag and stands still" });
  // A moment without progress is no stall.
  expect(Date.now() - stalledMs).toBeGreaterThanOrEqual(WATCHDOG_MS);
  await isServed(during);
  await publish(after);
  await isServed(after);

  expect(router.events("kafka.consumer_restarted")).toHaveLength(1);
  expect(router.events("session.opened")).toHaveLength(1);
  expect(await router.metrics()).toContain("sluice_consumer_restarts_total 1");
  expect(await gateway.position()).toBe(30);
  const answers = gateway.topics.results.map((record) => headerText(record, "ce_id"));
  expect(answers).toHaveLength(30);
  expect(new Set(answers).size).toBe(30);
  expect(await gateway.simulator.bill()).toHaveLength(30);
}, 120_000);
