/** Rows C7 and E8 of the fault catalogue: a network between router and registry, or router and Postgres, that breaks while jobs are under way. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { NetworkProxy, type PathMode } from "../../src/chaos/network/network-proxy.js";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, resultIn } from "../support/gateway-records.js";
import { avroJob, framed, JOB_SCHEMA, registerSchema } from "../support/gateway-registry.js";
import type { GatewayRouter } from "../support/gateway-router.js";
import { servers } from "../support/servers.js";

const TIMEOUT_MS = 1000;
const SLOWER: PathMode = { kind: "delay", ms: 3 * TIMEOUT_MS };

let gateway: Gateway;
let router: GatewayRouter;
let registry: NetworkProxy;
let postgres: NetworkProxy;
let knownId: number;
beforeAll(async () => {
  registry = await NetworkProxy.open({ name: "registry", targetPort: Number(new URL(servers().registryUrl).port) });
  postgres = await NetworkProxy.open({ name: "postgres", targetPort: Number(new URL(servers().databaseUrl).port) });
  gateway = await Gateway.open({
    name: "server-network",
    partitions: 2,
    registryUrl: through(registry, servers().registryUrl),
    routersDatabaseUrl: (databaseUrl) => Promise.resolve(through(postgres, databaseUrl)),
    config: {
      registry: { timeoutMs: TIMEOUT_MS },
      postgres: { statementTimeoutMs: TIMEOUT_MS, connectionTimeoutMs: TIMEOUT_MS },
    },
  });
  knownId = await register("known");
  router = await gateway.startRouter();
  await publish(0, framed(knownId, avroJob("learns the schema")));
  await served(["learns the schema"]);
});
afterAll(async () => {
  await gateway.close();
  await registry.close();
  await postgres.close();
});

/** The same address by way of a proxy. */
function through(proxy: NetworkProxy, address: string): string {
  const url = new URL(address);
  url.host = `127.0.0.1:${String(proxy.port)}`;
  return url.href;
}
/** A schema that no router has asked for. */
const register = (name: string): Promise<number> =>
  registerSchema(servers().registryUrl, `${name}-${randomUUID()}`, { ...JOB_SCHEMA, doc: name });
const publish = (partition: number, ...values: readonly (Buffer | string)[]): Promise<readonly number[]> =>
  gateway.topics.publish(values.map((value) => ({ value, partition })));
const publishJobs = (partition: number, jobIds: readonly string[]): Promise<readonly number[]> =>
  publish(partition, ...jobIds.map((id) => chatJob(id, id)));
const ids = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);

/** Each has one result, with the answer to its own prompt. */
async function served(jobIds: readonly string[]): Promise<void> {
  for (const id of jobIds) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  expect(jobIds.map((id) => gateway.resultsOf(id).length)).toEqual(jobIds.map(() => 1));
}
const billed = async (): Promise<number> => (await gateway.simulator.bill()).length;

async function health(path: string): Promise<number> {
  const { url } = await router.event("router.listening");
  return (await fetch(`${String(url)}${path}`)).status;
}

test.each<[string, PathMode]>([
  ["away", { kind: "refuse" }],
  ["half-open", { kind: "hold" }],
])(
  "[C7] while the registry is %s, what is known is read on, and an unknown schema holds up its own partition and makes no dead letter",
  async (name, mode) => {
    const unknownId = await register(`unknown, ${name}`);
    const before = await billed();
    const seen = router.events("registry.unavailable").length;
    registry.setMode(mode);
    const [waits, behind, beside, known] = [`waits, ${name}`, `behind, ${name}`, `beside, ${name}`, `known, ${name}`];
    await publish(0, framed(unknownId, avroJob(waits)), chatJob(behind, behind));
    await gateway.until("the question", () => router.events("registry.unavailable").length > seen);
    await publish(1, chatJob(beside, beside), framed(knownId, avroJob(known)));
    await served([beside, known]);
    await gateway.until("more questions", () => router.events("registry.unavailable").length >= seen + 3);
    expect(await billed()).toBe(before + 2);
    registry.setMode({ kind: "pass" });
    await served([waits, behind]);
    expect(await billed()).toBe(before + 4);
    expect(gateway.topics.deadLetters).toEqual([]);
    expect(router.events("kafka.consumer_restarted")).toEqual([]);
  },
);

test("[C7] a registry that answers later than it is waited for makes no dead letter", async () => {
  const unknownId = await register("unknown, slow");
  const before = await billed();
  const seen = router.events("registry.unavailable").length;
  registry.setMode(SLOWER);
  await publish(0, framed(unknownId, avroJob("slow")), framed(knownId, avroJob("behind the slow one")));
  await gateway.until("an answer too late", () => router.events("registry.unavailable").length > seen);
  registry.setMode({ kind: "pass" });
  await served(["slow", "behind the slow one"]);
  expect(await billed()).toBe(before + 2);
  expect(gateway.topics.deadLetters).toEqual([]);
});

/** What is lost on the way is asked for again; nothing of it is called, paid or answered twice. */
async function allOnce(jobIds: readonly string[], billedBefore: number): Promise<void> {
  await served(jobIds);
  expect(await billed()).toBe(billedBefore + jobIds.length);
  expect(await gateway.query("SELECT 1 FROM attempts WHERE state IN ('in_doubt', 'settled')")).toEqual([]);
  expect(gateway.topics.deadLetters).toEqual([]);
  expect(router.running).toBe(true);
  expect(router.events("session.opened")).toHaveLength(1);
}

test("[E8] a half-open Postgres is given up by the router's own time: intake waits, the process lives, and each job ends once", async () => {
  const before = await billed();
  await gateway.simulator.setLatency(500);
  const [first, second] = [ids("e8 in the air", 10), ids("e8 during", 10)];
  await publishJobs(0, first);
  await gateway.until("calls in the air", async () => (await gateway.simulator.openCalls()) > 0);
  postgres.setMode({ kind: "hold" });
  await publishJobs(1, second);
  const position = await gateway.position();
  await gateway.until("a question that is given up", () =>
    router.log().some((line) => /Query read timeout|timeout expired|timeout exceeded/.test(JSON.stringify(line))),
  );
  expect([await health("/livez"), await health("/readyz")]).toEqual([200, 503]);
  expect(await gateway.position()).toBe(position);
  postgres.cut();
  postgres.setMode({ kind: "pass" });
  await allOnce([...first, ...second], before);
  await gateway.until("a ready router", async () => (await health("/readyz")) === 200);
});

test("[E8] a lock that somebody holds is waited for no longer than a statement may take, again and again, and the process lives", async () => {
  const before = await billed();
  const holder = await gateway.connection();
  await holder.query("BEGIN");
  await holder.query("SELECT 1 FROM inbox_position FOR UPDATE");
  const jobIds = ids("e8 locked", 10);
  await publishJobs(0, jobIds);
  const seen = router.events("intake.waits_for_ledger").length;
  await gateway.until("two tries in vain", () => router.events("intake.waits_for_ledger").length >= seen + 2);
  expect(await billed()).toBe(before);
  expect(await health("/livez")).toBe(200);
  await holder.query("COMMIT");
  await holder.end();
  await allOnce(jobIds, before);
});

test("[E8] with a slow way to Postgres jobs are slower, and nothing else", async () => {
  const before = await billed();
  const { slowed } = postgres.counts;
  postgres.setMode({ kind: "delay", ms: 100 });
  const jobIds = ids("e8 slow", 20);
  await publishJobs(0, jobIds);
  await allOnce(jobIds, before);
  expect(postgres.counts.slowed).toBeGreaterThan(slowed + 20);
  postgres.setMode({ kind: "pass" });
});
