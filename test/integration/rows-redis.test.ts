/** Rows F1, F3 and F4 of the fault catalogue: Redis is killed, slow, half-open or full; limits hold by each router's own share, and no job is lost. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { Redis } from "ioredis";
import { NetworkProxy, type PathMode } from "../../src/chaos/network/network-proxy.js";
import { startStack, type RunningServer, type Stack } from "../../src/stack/stack.js";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, resultIn } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

const DAY_LIMIT = 20;
/** What one router grants itself of that while Redis is away. */
const OWN_SHARE = 18;

let stack: Stack;
let redis: RunningServer;
let proxy: NetworkProxy;
let gateway: Gateway;
beforeAll(async () => {
  stack = await startStack({ servers: ["redis"], own: true });
  const found = stack.servers.find(({ kind }) => kind === "redis");
  if (found === undefined) throw new Error("expected a Redis in the stack");
  redis = found;
  proxy = await NetworkProxy.open({ name: "redis", targetPort: Number(new URL(redis.address).port) });
}, 120_000);
beforeEach(() => {
  proxy.setMode({ kind: "pass" });
});
afterEach(async () => {
  await gateway.close();
  // A test that failed may have left it dead; what it kept counts no more.
  await redis.restart();
  await asked((client) => client.flushall());
});
afterAll(async () => {
  await proxy.close();
  await stack.stop();
});

async function asked(work: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis(redis.address, { retryStrategy: null, maxRetriesPerRequest: 0 });
  try {
    await work(client);
  } finally {
    client.disconnect();
  }
}

/** @param limits of the account. */
async function open(limits: Readonly<Record<string, number>>): Promise<Gateway> {
  gateway = await Gateway.open({
    name: "redis",
    config: {
      account: { limits: { concurrency: 32, ...limits } },
      sections: { redis: { url: `redis://127.0.0.1:${String(proxy.port)}` } },
    },
  });
  return gateway;
}

const ids = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);
const publishJobs = (jobIds: readonly string[]): Promise<readonly number[]> =>
  gateway.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id) })));
const billed = async (): Promise<number> => (await gateway.simulator.bill()).length;
const waiting = async (): Promise<number> =>
  (await gateway.query("SELECT 1 FROM ready WHERE waits_for = 'rate_limit'")).length;

/** Each has one result, with the answer to its own prompt, and was paid once. */
async function served(jobIds: readonly string[]): Promise<void> {
  for (const id of jobIds) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  expect(gateway.topics.results).toHaveLength(jobIds.length);
  expect(await billed()).toBe(jobIds.length);
}
const lost = (router: GatewayRouter): number => router.events("limits.store_lost").length;
const found = (router: GatewayRouter): number => router.events("limits.store_found").length;

test("[F1] with Redis away at the start the limit of a day holds by the router's own share, and all of it once Redis is there", async () => {
  await open({ requestsPerMinute: 600, requestsPerDay: DAY_LIMIT });
  await redis.kill("SIGKILL");
  const router = await gateway.startRouter();
  const jobIds = ids("f1 day", 2 * DAY_LIMIT);
  await publishJobs(jobIds);
  await gateway.until("its own share", async () => (await billed()) >= DAY_LIMIT / 2);
  expect(await billed()).toBeLessThanOrEqual(OWN_SHARE);
  expect(await waiting()).toBeGreaterThanOrEqual(jobIds.length - OWN_SHARE);
  expect([lost(router), found(router)]).toEqual([1, 0]);
  await redis.restart();
  await gateway.until("Redis", () => found(router) === 1);
  await gateway.until("the rest", async () => (await billed()) >= DAY_LIMIT);
  await gateway.until("all that wait", async () => (await waiting()) === jobIds.length - DAY_LIMIT);
  // Nothing more, however often it is asked for: what was granted without Redis counts there.
  await gateway.until("a day that is used up", async () => {
    const { limits } = (await gateway.cliJson("limits", "ls")) as { readonly limits: readonly LimitLine[] }; // our own
    return limits.some((line) => line.limits.some(({ used }) => used >= DAY_LIMIT));
  });
  expect(await billed()).toBe(DAY_LIMIT);
  expect(gateway.topics.results).toHaveLength(DAY_LIMIT);
});

interface LimitLine {
  readonly limits: readonly { readonly used: number }[];
}

test("[F1] with Redis killed while jobs run they go on, no faster than the limit lets them, and none is lost or paid twice", async () => {
  await open({ requestsPerMinute: 240 });
  const router = await gateway.startRouter();
  const jobIds = ids("f1 running", 24);
  await publishJobs(jobIds);
  await gateway.until("the first answers", () => gateway.topics.results.length >= 3);
  await redis.kill("SIGKILL");
  await gateway.until("the loss", () => lost(router) === 1);
  const before = await billed();
  await gateway.until("a call without Redis", async () => (await billed()) > before);
  // All 24 would be out at once if nothing held them.
  expect(await waiting()).toBeGreaterThan(8);
  await redis.restart();
  await gateway.until("Redis", () => found(router) === 1);
  await served(jobIds);
  expect(router.events("session.opened")).toHaveLength(1);
});

test.each<[string, PathMode]>([
  ["slow by 5 s", { kind: "delay", ms: 5000 }],
  ["half-open", { kind: "hold" }],
])(
  "[F3] with Redis %s nobody waits for it: jobs go on by the router's own share, and Redis counts again afterwards",
  async (name, mode) => {
    await open({ requestsPerMinute: 6000 });
    const router = await gateway.startRouter();
    const [before, during, after] = [ids(`before ${name}`, 5), ids(`during ${name}`, 20), ids(`after ${name}`, 5)];
    await publishJobs(before);
    await served(before);
    expect(lost(router)).toBe(0);
    proxy.setMode(mode);
    await publishJobs(during);
    await served([...before, ...during]);
    expect([lost(router), found(router)]).toEqual([1, 0]);
    expect(await router.metrics()).toContain("sluice_limits_shared 0");
    proxy.setMode({ kind: "pass" });
    await publishJobs(after);
    await served([...before, ...during, ...after]);
    await gateway.until("Redis", () => found(router) === 1);
    expect(await router.metrics()).toContain("sluice_limits_shared 1");
  },
);

test("[F4] with Redis full jobs go on by the router's own share, and where it evicts what is kept there no limit is lost", async () => {
  await open({ requestsPerMinute: 600, requestsPerDay: DAY_LIMIT });
  await asked((client) => client.config("SET", "maxmemory-policy", "noeviction"));
  await asked((client) => client.config("SET", "maxmemory", "1"));
  const router = await gateway.startRouter();
  const jobIds = ids("f4", 2 * DAY_LIMIT);
  await publishJobs(jobIds);
  await gateway.until("its own share", async () => (await billed()) >= DAY_LIMIT / 2);
  expect([lost(router), found(router)]).toEqual([1, 0]);
  await asked((client) => client.config("SET", "maxmemory", "0"));
  await gateway.until("Redis", () => found(router) === 1);
  await asked((client) => client.flushall()); // as if all of it had been evicted
  await gateway.until("the rest of the day", async () => (await billed()) >= DAY_LIMIT);
  await gateway.until("all that wait", async () => (await waiting()) === jobIds.length - DAY_LIMIT);
  await gateway.until("their results", () => gateway.topics.results.length >= DAY_LIMIT);
  expect(await billed()).toBe(DAY_LIMIT);
  expect(gateway.topics.results).toHaveLength(DAY_LIMIT);
});
