/** Rows A1, A2 and A13 of the fault catalogue: routers that are killed at a certain instant, or told to end. */
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import { decodeCalls } from "../../src/adapters/journal/record-format.js";
import { Gateway, type GatewayOptions } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";

let gateway: Gateway;
const open = async (options: GatewayOptions): Promise<void> => {
  gateway = await Gateway.open(options);
};
afterEach(async () => {
  await gateway.close();
});

const ids = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);
const publishJobs = (jobIds: readonly string[]): Promise<readonly number[]> =>
  gateway.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id) })));

/** Attempts whose answers lie in the journals below a folder. */
function answeredIn(folder: string): ReadonlySet<number> {
  const files = readdirSync(folder, { recursive: true }).map(String);
  const answers = files.filter((name) => name.endsWith(".answers"));
  const calls = answers.flatMap((name) => decodeCalls(readFileSync(join(folder, name))) ?? []);
  return new Set(calls.map(({ attempt }) => attempt.no));
}

async function hasOneResultEach(jobIds: readonly string[]): Promise<void> {
  for (const id of jobIds) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  const distinct = new Set(gateway.topics.results.map((record) => headerText(record, "ce_id")));
  expect(distinct.size).toBe(jobIds.length);
}

test("[A1] a router killed before its accept commits leaves nothing, and the next one accepts each record once", async () => {
  await open({ name: "a1" });
  const first = await gateway.startRouter();
  await publishJobs(["warm-up"]);
  await gateway.result("warm-up");
  // The accept of whatever comes now waits for this lock, after its records were polled and before its COMMIT.
  const lock = await gateway.connection();
  await lock.query("BEGIN");
  await lock.query("SELECT 1 FROM inbox_position FOR UPDATE");
  const jobIds = ids("a1", 20);
  await publishJobs(jobIds);
  await gateway.until("an accept that waits for the lock", async () => {
    const waiting = await gateway.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE inbox_position%'",
    );
    return waiting.length > 0;
  });
  await first.end("SIGKILL");
  expect(await gateway.query("SELECT 1 FROM jobs WHERE state = 'active'")).toEqual([]);
  // Postgres notices the dead client only when it writes to it: until then its backend waits in the lock's queue, and then finds nobody to commit for.
  await lock.query("ROLLBACK");
  await lock.end();
  await gateway.until(
    "the end of the dead router's transaction",
    async () =>
      (
        await gateway.query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sluice'",
        )
      ).length === 0,
  );
  expect(await gateway.query("SELECT 1 FROM jobs WHERE state = 'active'")).toEqual([]);
  expect(await gateway.position()).toBe(1);
  await gateway.startRouter();
  await hasOneResultEach(["warm-up", ...jobIds]);
  expect(await gateway.position()).toBe(1 + jobIds.length);
  expect((await gateway.simulator.bill()).length).toBe(1 + jobIds.length);
  // Who dies between a publish and its note repeats it: the same bytes.
  const values = gateway.topics.results.map(({ value }) => value?.toString("latin1"));
  expect(new Set(values).size).toBe(1 + jobIds.length);
});

test("[A1] a router killed between its answers and their finish, with a journal: the next one stores them, and no call is made again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-journal-"));
  await open({
    name: "a1j",
    latencyMs: 2000,
    config: {
      sections: { storage: { journal: { folder } } },
      inDoubt: { policy: "retry", graceMs: 500 },
    },
  });
  const first = await gateway.startRouter();
  await publishJobs(["warm-up"]);
  await gateway.result("warm-up");
  const jobIds = ids("a1j", 8); // a fresh router has places for some more

  await publishJobs(jobIds);
  await gateway.until(
    "all calls out",
    async () => (await gateway.query("SELECT 1 FROM attempts WHERE state = 'sending'")).length === jobIds.length,
  );
  const called = await gateway.query<{ no: string }>("SELECT no FROM attempts WHERE state = 'sending'");
  // Whatever wants to write down an outcome waits for this lock.
  const lock = await gateway.connection();
  await lock.query("BEGIN");
  await lock.query("LOCK TABLE attempts IN SHARE MODE");
  await gateway.until(
    "a finish that waits, and all answers given",
    async () =>
      (await gateway.simulator.bill()).length === 1 + jobIds.length &&
      (
        await gateway.query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE attempts%'",
        )
      ).length > 0,
  );
  // The bill has a call before its answer leaves.
  await gateway.until("the answers in the journal", () => {
    const answered = answeredIn(folder);
    return called.every(({ no }) => answered.has(Number(no)));
  });
  await first.end("SIGKILL");
  await lock.query("ROLLBACK");
  await lock.end();
  const second = await gateway.startRouter("router-1"); // on the same disk, under the same name
  await hasOneResultEach(["warm-up", ...jobIds]);
  expect(await second.event("journal.taken_over")).toMatchObject({ answers: jobIds.length });
  expect((await gateway.simulator.bill()).length).toBe(1 + jobIds.length);
  expect(await gateway.query("SELECT state FROM attempts WHERE state <> 'answered'")).toEqual([]);
  await rm(folder, { recursive: true });
});

/** Kills a router whose accept stands, and that never learned it. @returns the jobs. */
async function killedAfterAccept(name: string, config: GatewayOptions["config"]): Promise<readonly string[]> {
  await open({
    name,
    latencyMs: 500,
    config: {
      inDoubt: { policy: "retry", graceMs: 500 },
      postgres: { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 3000 } },
      ...config,
    },
  });
  const first = await gateway.startRouter();
  const jobIds = ids(name, 5);
  // A commit of the group follows the accept within milliseconds, so the kill comes from the accept itself: a trigger holds its COMMIT up,
  // and the test kills the router in between. PostgreSQL then finishes the COMMIT that it has already begun.
  await gateway.query(
    "CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$",
  );
  await gateway.query(
    "CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON job_key_0 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_commit()",
  );
  for (const part of ["job_key_1", "job_key_2", "job_key_3"])
    await gateway.query(
      `CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON ${part} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_commit()`,
    );
  const gate = await gateway.connection();
  await gate.query("SELECT pg_advisory_lock(7)");
  await publishJobs(jobIds);
  await gateway.until(
    "a COMMIT that waits",
    async () =>
      (
        await gateway.query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory' AND query = 'COMMIT'",
        )
      ).length > 0,
  );
  await first.end("SIGKILL");
  await gate.query("SELECT pg_advisory_unlock(7)");
  await gate.end();
  await gateway.until(
    "the accept to stand",
    async () => (await gateway.query("SELECT 1 FROM jobs")).length === jobIds.length,
  );
  expect(await gateway.position()).toBe(jobIds.length);
  expect(await gateway.committedOffsets()).toEqual([-1]);
  return jobIds;
}

test("[A2] a router killed after its accept and before its offset commit: the redelivery does nothing", async () => {
  const jobIds = await killedAfterAccept("a2", {});
  const second = await gateway.startRouter();
  await hasOneResultEach(jobIds);
  expect(await gateway.query("SELECT 1 FROM jobs")).toHaveLength(jobIds.length);
  expect(await gateway.position()).toBe(jobIds.length);
  expect(gateway.topics.deadLetters).toEqual([]);
  expect(gateway.topics.results.filter((record) => headerText(record, "llm-duplicate") !== null)).toEqual([]);
  expect(second.running).toBe(true);
});

test("[A2] a router killed after its accept, with a journal: the next one knows that nothing was sent, and nothing is in doubt", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-journal-"));
  // Long enough that doubts, if there were some, would be waiting still.
  const jobIds = await killedAfterAccept("a2j", {
    sections: { storage: { journal: { folder } } },
    postgres: {},
    inDoubt: { policy: "retry", graceMs: 600_000 },
  });
  const second = await gateway.startRouter("router-1");
  expect(await second.event("journal.taken_over")).toMatchObject({ answers: 0, unsent: jobIds.length });
  await hasOneResultEach(jobIds);
  expect((await gateway.simulator.bill()).length).toBe(jobIds.length);
  expect(await gateway.query("SELECT 1 FROM attempts WHERE state NOT IN ('answered', 'not_sent')")).toEqual([]);
  await rm(folder, { recursive: true });
});

test("[A13] SIGTERM with calls in the air: intake stops, the calls are answered, nothing is in doubt, exit by the signal", async () => {
  await open({ name: "a13", latencyMs: 1000, partitions: 2 });
  const router = await gateway.startRouter();
  const jobIds = ids("a13", 10);
  await publishJobs(jobIds);
  await gateway.until("calls in the air", async () => (await gateway.simulator.openCalls()) > 0);
  const ended = router.end("SIGTERM");
  await router.event("router.draining");
  await gateway.publish({ value: chatJob("late", "late") });
  expect(await ended).toEqual({ code: 143, signal: null });
  // Each call that was made has its answer stored and published; jobs that had no call yet wait as rows.
  const answered = await gateway.query("SELECT 1 FROM attempts WHERE state = 'answered'");
  expect(await gateway.simulator.openCalls()).toBe(0);
  expect(answered).toHaveLength((await gateway.simulator.bill()).length);
  expect(answered.length).toBeGreaterThan(0);
  expect(await gateway.query("SELECT 1 FROM attempts WHERE state NOT IN ('answered', 'not_sent')")).toEqual([]);
  expect(await gateway.query("SELECT 1 FROM outbox_ready")).toEqual([]);
  await gateway.until("their results", () => gateway.topics.results.length === answered.length);
  // It left the group, so the next one reads at once what came meanwhile.
  await gateway.simulator.setLatency(0);
  await gateway.startRouter();
  await hasOneResultEach([...jobIds, "late"]);
  expect(await gateway.query("SELECT 1 FROM attempts WHERE state IN ('in_doubt', 'settled')")).toEqual([]);
});

test("[A13] SIGKILL while it drains: at most the calls that were in the air are in doubt, and each job still ends once", async () => {
  await open({
    name: "a13-kill",
    latencyMs: 60_000,
    config: {
      shutdownGraceMs: 60_000,
      concurrency: 4,
      inDoubt: { policy: "retry", graceMs: 200 },
      postgres: { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 3000 } },
    },
  });
  const router = await gateway.startRouter();
  const jobIds = ids("a13k", 8);
  await publishJobs(jobIds);
  await gateway.until("all calls that may be in the air", async () => (await gateway.simulator.openCalls()) === 4);
  router.signal("SIGTERM");
  await router.event("router.draining");
  await gateway.simulator.setLatency(0);
  await router.end("SIGKILL");
  await gateway.startRouter();
  await hasOneResultEach(jobIds);
  const doubts = await gateway.query<{ no: string }>("SELECT no FROM attempts WHERE state IN ('in_doubt', 'settled')");
  expect(doubts).toHaveLength(4);
  const open_ = gateway.topics.costs.map(
    (record) => JSON.parse(record.value?.toString() ?? "{}") as { billing: string },
  );
  expect(open_.filter(({ billing }) => billing === "in_doubt")).toHaveLength(4);
});

test("[A13] a grace that ends before the calls do: they are in doubt, and no more of them than were in the air", async () => {
  await open({
    name: "a13-grace",
    latencyMs: 30_000,
    config: { shutdownGraceMs: 1000, concurrency: 4, inDoubt: { policy: "retry", graceMs: 200 } },
  });
  const router = await gateway.startRouter();
  const jobIds = ids("a13g", 6);
  await publishJobs(jobIds);
  await gateway.until("all calls that may be in the air", async () => (await gateway.simulator.openCalls()) === 4);
  expect(await router.end("SIGTERM")).toEqual({ code: 143, signal: null });
  await gateway.simulator.setLatency(0);
  await gateway.startRouter();
  await hasOneResultEach(jobIds);
  const doubts = await gateway.query("SELECT no FROM attempts WHERE state IN ('in_doubt', 'settled')");
  expect(doubts).toHaveLength(4);
});
