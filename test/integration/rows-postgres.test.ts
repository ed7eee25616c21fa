/** Rows E1, E2, E4, E7 and E9 of the fault catalogue: Postgres is killed, restarted, cut off at a COMMIT, has no connection left, or refuses a row. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { startStack, type RunningServer, type Stack } from "../../src/stack/stack.js";
import { Gateway, type GatewayOptions } from "../support/gateway.js";
import { PostgresProxy } from "../support/gateway-proxy.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

let gateway: Gateway | null = null;
let proxy: PostgresProxy | null = null;
afterEach(async () => {
  await gateway?.close();
  await proxy?.close();
  gateway = null;
  proxy = null;
});
async function open(options: GatewayOptions): Promise<Gateway> {
  gateway = await Gateway.open(options);
  return gateway;
}

const ids = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);
const publishJobs = (place: Gateway, jobIds: readonly string[]): Promise<readonly number[]> =>
  place.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id) })));

/** Every job has results of one id and one value, with the answer to its own prompt. */
async function eachEndedOnce(place: Gateway, jobIds: readonly string[], refused = 0): Promise<void> {
  for (const id of jobIds) expect(answerDigests(resultIn(await place.result(id))).prompt).toBe(digestOf(id));
  const distinct = new Set(
    place.topics.results.map((record) => `${headerText(record, "ce_id") ?? ""} ${record.value?.toString() ?? ""}`),
  );
  expect(distinct.size).toBe(jobIds.length + refused);
}

/** The sum of the cost records equals the provider's bill. Only where nothing was in doubt. */
async function ledgerEqualsBill(place: Gateway, calls: number): Promise<void> {
  expect((await place.simulator.bill()).length).toBe(calls);
  const costs = await place.until("the cost records", () => {
    const byId = new Map(
      place.topics.costs.map((record) => [headerText(record, "ce_id"), record.value?.toString() ?? ""]),
    );
    return byId.size >= calls ? byId : null;
  });
  const sum = [...costs.values()].reduce(
    (total, text) => total + BigInt((JSON.parse(text) as { nanoUsd: string }).nanoUsd),
    0n,
  );
  expect(sum).toBe(await place.simulator.billedNanoUsd());
}

/** Takes every connection that the server has to give, and the routers' own; gives them back when it is called. */
async function takeAllConnections(serverUrl: string): Promise<() => Promise<void>> {
  const held: pg.Client[] = [];
  const takeOne = async (): Promise<boolean> => {
    const client = new pg.Client({ connectionString: serverUrl });
    client.on("error", () => undefined);
    const connected = await client.connect().then(
      () => true,
      (error: unknown) => {
        if ((error as { code?: string }).code === TOO_MANY_CONNECTIONS) return false;
        throw error;
      },
    );
    if (connected) held.push(client);
    return connected;
  };
  await takeOne();
  const all = await held[0]?.query<{ max: number }>("SELECT current_setting('max_connections')::int AS max");
  const max = all?.rows[0]?.max ?? 0;
  // By their number: a router's connection that is just being opened has no name yet by which it could be found.
  while (held.length < max) {
    // Serial: a router may be quicker, and is ended once more then.
    while (await takeOne());
    await held[0]?.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sluice%'",
    );
  }
  return async () => {
    await Promise.all(held.map((client) => client.end()));
  };
}

const TOO_MANY_CONNECTIONS = "53300";

describe("a server of its own", () => {
  let stack: Stack;
  let postgres: RunningServer;
  beforeAll(async () => {
    stack = await startStack({ servers: ["postgres"], own: true });
    const found = stack.servers.find(({ kind }) => kind === "postgres");
    if (found === undefined) throw new Error("expected a Postgres in the stack");
    postgres = found;
  }, 120_000);
  afterAll(async () => {
    await stack.stop();
  }, 60_000);

  test("[E1] Postgres killed under load: intake waits, the router lives, each job ends once and is paid once", async () => {
    const place = await open({
      name: "e1",
      latencyMs: 20,
      postgresUrl: stack.addresses.databaseUrl,
      config: { concurrency: 16 },
    });
    const router = await place.startRouter();
    const jobIds = ids("e1", 600);
    for (let part = 0; part < 3; part += 1) {
      const [under, away] = [
        jobIds.slice(part * 200, part * 200 + 150),
        jobIds.slice(part * 200 + 150, part * 200 + 200),
      ];
      await publishJobs(place, under);
      const before = place.topics.results.length;
      await place.until("work under way", () => place.topics.results.length > before + 20);
      await postgres.kill("SIGKILL");
      // What comes while it is away is not taken: no offset moves past it, and nobody hears of it.
      const [firstAway = -1] = await publishJobs(place, away);
      const beats = router.events("session.beat_failed").length;
      await place.until("a beat in vain", () => router.events("session.beat_failed").length > beats);
      expect((await place.committedOffsets())[0]).toBeLessThanOrEqual(firstAway);
      expect(away.flatMap((id) => place.resultsOf(id))).toEqual([]);
      await postgres.restart();
    }
    await eachEndedOnce(place, jobIds);
    expect(router.running).toBe(true);
    expect(router.events("session.opened")).toHaveLength(1);
    await ledgerEqualsBill(place, jobIds.length);
  }, 120_000);

  test("[E2] Postgres restarted under an idle pool: the process lives and goes on", async () => {
    const place = await open({ name: "e2", postgresUrl: stack.addresses.databaseUrl });
    const router = await place.startRouter();
    await publishJobs(place, ["before"]);
    await place.result("before");
    await postgres.restart();
    await publishJobs(place, ["after"]);
    await eachEndedOnce(place, ["before", "after"]);
    expect(router.running).toBe(true);
    // The restart was felt: by a connection that lay in the pool, or by one that was just asking.
    const felt = ["postgres.connection_lost", "dispatch.claim_failed", "load.read_failed", "session.beat_failed"];
    expect(felt.flatMap((event) => router.events(event)).length).toBeGreaterThan(0);
  }, 60_000);

  test("[E7] with no connection left at Postgres intake and publishing wait, the router says that it is not ready, and each job ends once", async () => {
    const { databaseUrl } = stack.addresses;
    const place = await open({ name: "e7", latencyMs: 500, postgresUrl: databaseUrl, config: { concurrency: 8 } });
    const router = await place.startRouter();
    const { url } = await router.event("router.listening");
    const health = async (path: string): Promise<number> => (await fetch(`${String(url)}${path}`)).status;
    const [first, second] = [ids("e7 under way", 20), ids("e7 meanwhile", 20)];
    await publishJobs(place, first);
    await place.until("calls in the air", async () => (await place.simulator.openCalls()) > 0);
    const giveBack = await takeAllConnections(databaseUrl);
    const tries = ["intake.waits_for_ledger", "session.beat_failed"] as const;
    const seen = tries.map((event) => router.events(event).length);
    await publishJobs(place, second);
    await place.until("tries in vain", () =>
      tries.every((event, index) => router.events(event).length >= (seen[index] ?? 0) + 1),
    );
    await place.until("calls that are over", async () => (await place.simulator.openCalls()) === 0);
    expect([await health("/livez"), await health("/readyz")]).toEqual([200, 503]);
    expect(second.flatMap((id) => place.resultsOf(id))).toEqual([]);
    await giveBack();
    await eachEndedOnce(place, [...first, ...second]);
    await place.until("a ready router", async () => (await health("/readyz")) === 200);
    expect(router.running).toBe(true);
    expect(router.events("session.opened")).toHaveLength(1);
    await ledgerEqualsBill(place, first.length + second.length);
  }, 60_000);
});

describe("a connection that breaks at COMMIT", () => {
  test.each([
    { at: "before_commit", marker: "job-key-insert", what: "accept" },
    { at: "after_commit", marker: "job-key-insert", what: "accept" },
    { at: "before_commit", marker: "outcomes-record", what: "finish" },
    { at: "after_commit", marker: "outcomes-record", what: "finish" },
  ] as const)("[E4] the COMMIT of $what is cut $at: looked up, nothing lost, nothing twice", async ({ at, marker }) => {
    const place = await open({
      name: "e4",
      routersDatabaseUrl: async (url) => {
        proxy = await PostgresProxy.open(url);
        return proxy.urlFor(url);
      },
    });
    const router = await place.startRouter();
    await publishJobs(place, ["warm-up"]);
    await place.result("warm-up");
    proxy?.cutCommits(at, marker, 2);
    const jobIds = ids("e4", 20);
    await publishJobs(place, jobIds.slice(0, 10));
    await eachEndedOnce(place, ["warm-up", ...jobIds.slice(0, 10)]);
    await publishJobs(place, jobIds.slice(10));
    await eachEndedOnce(place, ["warm-up", ...jobIds]);
    expect(proxy?.cuts).toBe(2);
    expect(router.running).toBe(true);
    expect(await place.query("SELECT 1 FROM jobs")).toHaveLength(1 + jobIds.length);
    expect(await place.position()).toBe(1 + jobIds.length);
    await ledgerEqualsBill(place, 1 + jobIds.length);
    expect(place.topics.deadLetters).toEqual([]);
  });
});

/** Sizes of the groups that are accepted in the end, as a group of `size` is halved until the record at `refused` is alone. */
function halved(size: number, refused: number): readonly number[] {
  if (size === 1) return [1];
  const half = Math.ceil(size / 2);
  return refused < half ? [...halved(half, refused), size - half] : [half, ...halved(size - half, refused - half)];
}

/** How many groups intake has accepted so far of at most so many records, by that bound. */
async function groupSizes(router: GatewayRouter): Promise<ReadonlyMap<number, number>> {
  const lines = (await router.metrics()).matchAll(/^sluice_group_size_bucket\{le="(\d+)",stage="intake"\} (\d+)$/gm);
  return new Map([...lines].map(([, bound, count]) => [Number(bound), Number(count)]));
}

test("[E9] one row that Postgres refuses in the middle of a group of 500: 499 jobs are accepted, this one is a dead letter and a failed result", async () => {
  const busy = ids("e9 busy", 8);
  const place = await open({
    name: "e9",
    latencyMs: 5000,
    config: { concurrency: busy.length, limits: { groups: { sizeMax: 500, waitMs: 200 } } },
  });
  // Admission refuses all that Postgres is known to refuse, so the refusal is made here.
  await place.query("ALTER TABLE jobs ADD CONSTRAINT refuse_one CHECK (job_id <> convert_to('e9 250', 'UTF8'))");
  const router = await place.startRouter();
  // With a place free a group is as large as the places; with all of them taken it is full, and its jobs wait as rows.
  await publishJobs(place, busy);
  await place.until("no place free", async () => (await place.simulator.openCalls()) === busy.length);
  const before = await groupSizes(router);
  const jobIds = ids("e9", 500);
  const offsets = await publishJobs(place, jobIds);
  const letter = await place.deadLetterOf(offsets[250] ?? -1);
  await place.simulator.setLatency(0);
  expect(headerText(letter, "llm-error-code")).toBe("INTERNAL");
  expect(headerText(letter, "__dlq.errors.message")).toContain("refuse_one");
  expect(letter.value?.toString()).toBe(chatJob("e9 250", "e9 250"));
  expect(resultIn(await place.result("e9 250"))).toMatchObject({
    ...{ status: "failed", generation: -1, error: { code: "INTERNAL", replayable: false } },
  });
  await eachEndedOnce(place, [...busy, ...jobIds.filter((id) => id !== "e9 250")], 1);
  expect(place.topics.deadLetters).toHaveLength(1);
  expect(await place.position()).toBe(busy.length + 500);
  expect(router.events("intake.record_refused")).toHaveLength(1);
  // All 500 came to Postgres in one group, and were halved until the one was alone.
  const expected = halved(500, 250);
  for (const [bound, count] of await groupSizes(router))
    expect([bound, count - (before.get(bound) ?? 0)]).toEqual([bound, expected.filter((size) => size <= bound).length]);
  expect(before.size).toBeGreaterThan(5);
  await ledgerEqualsBill(place, busy.length + 499);
});
