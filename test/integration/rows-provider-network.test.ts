/** Rows G4 and G5 of the fault catalogue: a network between router and provider that breaks while the provider works on a call. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { NetworkProxy } from "../../src/chaos/network/network-proxy.js";
import { isPaidCall } from "../../src/chaos/network/router-paths.js";
import { Gateway } from "../support/gateway.js";
import { chatJob, resultIn } from "../support/gateway-records.js";

const LATENCY_MS = 1000;
const CALL_TIMEOUT_MS = 3000;

let gateway: Gateway;
let proxy: NetworkProxy;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "network",
    latencyMs: LATENCY_MS,
    config: {
      callTimeoutMs: CALL_TIMEOUT_MS,
      inDoubt: { policy: "retry", graceMs: 500 },
      account: { baseUrl: "${PROVIDER_URL}" },
    },
  });
  const targetPort = Number(new URL(gateway.simulator.url).port);
  proxy = await NetworkProxy.open({ name: "simulator", targetPort, isCall: isPaidCall });
  await gateway.startRouter("router-1", { PROVIDER_URL: `http://127.0.0.1:${String(proxy.port)}/v1` });
});
afterAll(async () => {
  await gateway.close();
  await proxy.close();
});

/** A job whose first answer is lost on its way: it may have been paid, so it is asked once more, and both calls are in the books. */
async function asksOnceMore(jobId: string, loseAnswer: (billed: number) => Promise<void>): Promise<void> {
  const billed = (await gateway.simulator.bill()).length;
  const { callsBroken } = proxy.counts;
  await gateway.publish({ value: chatJob(jobId, jobId) });
  await gateway.until("its call", () => proxy.traffic.callsOpen === 1);
  await loseAnswer(billed);
  await gateway.until("the end of its call", () => proxy.counts.callsBroken === callsBroken + 1);
  proxy.setMode({ kind: "pass" });
  const result = resultIn(await gateway.result(jobId));
  expect(result.status).toBe("succeeded");
  expect(result.attempts.map(({ outcome }) => outcome)).toEqual(["in_doubt", "succeeded"]);
  expect(await gateway.simulator.bill()).toHaveLength(billed + 2);
  const costs = await gateway.until("both cost records", () => {
    const own = gateway.topics.costs
      .map(({ value }) => JSON.parse(String(value)) as { readonly jobId: string; readonly billing: string }) // contract.md says what one is
      .filter((cost) => cost.jobId === jobId);
    return own.length === 2 ? own : null;
  });
  expect(costs.map(({ billing }) => billing).sort()).toEqual(["charged", "in_doubt"]);
}

test("[G4] a connection that is dropped after the request is a doubt, asked once more", async () => {
  await asksOnceMore("dropped", async (billed) => {
    proxy.setMode({ kind: "hold" });
    await gateway.until("its bill", async () => (await gateway.simulator.bill()).length > billed);
    proxy.cut();
  });
});

test("[G4] an answer of status 200 that is cut in its middle is a doubt, asked once more", async () => {
  await asksOnceMore("truncated", async () => {
    proxy.setMode({ kind: "throttle", bytesPerS: 1000 });
    await gateway.until("a part of its answer", () => proxy.traffic.callsBeingAnswered === 1);
    proxy.cut();
  });
});

test("[G5] an answer that a half-open connection never brings is given up at the call's own time, and asked once more", async () => {
  await asksOnceMore("held", () => {
    proxy.setMode({ kind: "hold" });
    return Promise.resolve();
  });
});

test("[G5] an answer that trickles is given up at the call's own time, and asked once more", async () => {
  await asksOnceMore("trickled", async () => {
    proxy.setMode({ kind: "throttle", bytesPerS: 250 });
    await gateway.until("a part of its answer", () => proxy.traffic.callsBeingAnswered === 1);
  });
});
