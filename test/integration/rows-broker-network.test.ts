/** Row B17 of the fault catalogue: a network between router and broker that loses acknowledgements. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { NetworkProxy } from "../../src/chaos/network/network-proxy.js";
import { findFreePorts } from "../../src/stack/free-ports.js";
import { startStack, type Stack } from "../../src/stack/stack.js";
import { Gateway } from "../support/gateway.js";
import {
  answerDigests,
  chatJob,
  digestOf,
  headerText,
  resultIn,
  type FoundRecord,
} from "../support/gateway-records.js";

const TIMEOUT_MS = 1000;

let stack: Stack;
let kafka: NetworkProxy;
let gateway: Gateway;
beforeAll(async () => {
  const [listenPort = 0, advertisedPort = 0] = await findFreePorts(2);
  kafka = await NetworkProxy.open({ name: "kafka", targetPort: listenPort, listenPort: advertisedPort });
  stack = await startStack({ servers: ["kafka"], own: true, frontedBrokers: [{ listenPort, advertisedPort }] });
  gateway = await Gateway.open({
    name: "broker-network",
    kafka: { brokers: stack.addresses.kafkaBrokers, routersBrokers: `127.0.0.1:${String(kafka.port)}` },
    config: { kafka: { requestTimeoutMs: TIMEOUT_MS, sendTimeoutMs: TIMEOUT_MS } },
  });
}, 120_000);
afterAll(async () => {
  await gateway.close();
  await kafka.close();
  await stack.stop();
}, 60_000);

const ids = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);
const publishJobs = (jobIds: readonly string[]): Promise<readonly number[]> =>
  gateway.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id) })));
/** What is the same in a record that was sent twice. */
const printOf = (record: FoundRecord): string =>
  [headerText(record, "ce_id"), record.key?.toString("latin1"), record.value?.toString("latin1")].join("\0");

test("[B17] a send whose acknowledgement does not come in time is sent again: what is there twice is the same to the byte, and nothing is missing", async () => {
  const router = await gateway.startRouter();
  await publishJobs(["first"]);
  await gateway.result("first");
  await gateway.until("its cost record", () => gateway.topics.costs.length === 1);
  await gateway.simulator.setLatency(500);
  const jobIds = ids("b17", 20);
  await publishJobs(jobIds);
  await gateway.until("calls in the air", async () => (await gateway.simulator.openCalls()) > 0);
  // Requests come through, and are carried out; their answers come too late.
  kafka.setMode({ kind: "delay", ms: 1.5 * TIMEOUT_MS });
  await gateway.until("sends that failed", () => router.events("relay.publish_failed").length > 0);
  await gateway.until("results that nobody acknowledged", () => gateway.topics.results.length > jobIds.length);
  kafka.setMode({ kind: "pass" });
  await publishJobs(["last"]);
  const all = ["first", ...jobIds, "last"];
  for (const id of all) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  await gateway.until("an empty outbox", async () => (await gateway.query("SELECT 1 FROM outbox_ready")).length === 0);

  expect(gateway.topics.results.length).toBeGreaterThan(all.length); // the fault struck
  expect(new Set(gateway.topics.results.map(printOf)).size).toBe(all.length);
  expect(await gateway.simulator.bill()).toHaveLength(all.length);
  const costs = new Map(gateway.topics.costs.map((record) => [printOf(record), String(record.value)]));
  expect(costs.size).toBe(all.length);
  const sum = [...costs.values()].reduce((total, text) => total + BigInt(costIn(text).nanoUsd), 0n);
  expect(sum).toBe(await gateway.simulator.billedNanoUsd());
  expect(gateway.topics.deadLetters).toEqual([]);
  expect(router.events("session.opened")).toHaveLength(1);
}, 90_000);

const costIn = (text: string): { readonly nanoUsd: string } => JSON.parse(text) as { readonly nanoUsd: string }; // what contract.md says of one
