/** Rows B6, B8, B10, B15 and B19 of the fault catalogue: what can happen to topics and their group while routers run, on a real broker. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "@jest/globals";
import { Gateway, type GatewayOptions } from "../support/gateway.js";
import {
  answerDigests,
  chatJob,
  digestOf,
  headerText,
  printOf,
  resultIn,
  type FoundRecord,
} from "../support/gateway-records.js";

let gateway: Gateway | null = null;
afterEach(async () => {
  await gateway?.close();
  gateway = null;
});
async function open(options: GatewayOptions): Promise<Gateway> {
  gateway = await Gateway.open(options);
  return gateway;
}

const ids = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);
const publishJobs = (at: Gateway, jobIds: readonly string[], partition = 0): Promise<readonly number[]> =>
  at.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id), partition })));

/** Copies of one record count once. */
const distinct = (records: readonly FoundRecord[]): readonly FoundRecord[] => [
  ...new Map(records.map((record) => [printOf(record), record])).values(),
];

/** These jobs and no others have a result, one each, with the answer to their own prompt. */
async function endedOnce(
  at: Gateway,
  jobIds: readonly string[],
  {
    promptOf = (jobId: string): string => jobId,
    counted = (records: readonly FoundRecord[]): readonly FoundRecord[] => records,
  } = {},
): Promise<void> {
  for (const id of jobIds) expect(answerDigests(resultIn(await at.result(id))).prompt).toBe(digestOf(promptOf(id)));
  expect(
    counted(at.topics.results)
      .map((record) => resultIn(record).jobId)
      .sort(),
  ).toEqual([...jobIds].sort());
  expect(await at.simulator.bill()).toHaveLength(jobIds.length);
}

/** What each event is about, with its details. */
function eventsOf(at: Gateway): readonly unknown[] {
  return at.topics.events.map(({ value }) => {
    const { kind, detailsJson } = JSON.parse(value?.toString() ?? "") as {
      readonly kind: string;
      readonly detailsJson: string;
    }; // what contract.md says of an event
    return { kind, details: JSON.parse(detailsJson) as unknown };
  });
}

test("[B8] records that retention took before they were read are told with their number, and all behind them are read, whether the router was away or behind", async () => {
  const at = await open({ name: "b8" });
  const jobIds = ids("b8", 25); // the number in it is the offset
  const away = await at.startRouter();
  await publishJobs(at, jobIds.slice(0, 5));
  await endedOnce(at, jobIds.slice(0, 5));
  await away.end("SIGTERM");
  await publishJobs(at, jobIds.slice(5, 15));
  await at.topics.deleteJobsBefore(9);
  const router = await at.startRouter();
  const first = [...jobIds.slice(0, 5), ...jobIds.slice(9, 15)];
  await endedOnce(at, first);

  router.signal("SIGSTOP");
  // Until the fetch that is out was answered: it brings nothing.
  await sleep(600);
  await publishJobs(at, jobIds.slice(15));
  await at.topics.deleteJobsBefore(20);
  router.signal("SIGCONT");
  await endedOnce(at, [...first, ...jobIds.slice(20)]);

  expect(router.events("inbox.gap")).toMatchObject([
    { level: "error", partition: 0, ledgerNext: 5, logStart: 9, lostAtMost: 4 },
    { level: "error", partition: 0, ledgerNext: 15, logStart: 20, lostAtMost: 5 },
  ]);
  await at.until("both events", () => eventsOf(at).length >= 2);
  expect(eventsOf(at)).toMatchObject([
    { kind: "position.gap", details: { ledgerNext: "5", logStart: "9", lostAtMost: "4" } },
    { kind: "position.gap", details: { ledgerNext: "15", logStart: "20", lostAtMost: "5" } },
  ]);
  expect(await at.position()).toBe(25);
  expect(at.topics.deadLetters).toEqual([]);
  expect(router.events("session.opened")).toHaveLength(1);
});

test("[B10] partitions that are added while routers run are read from their beginning, and nothing in them or in the others is lost", async () => {
  const at = await open({ name: "b10", partitions: 2 });
  await Promise.all([at.startRouter("router-1"), at.startRouter("router-2")]);
  const parts = (prefix: string, count: number): readonly (readonly string[])[] =>
    Array.from({ length: count }, (_unused, partition) => ids(`${prefix} ${String(partition)}`, 10));
  const publish = async (perPartition: readonly (readonly string[])[]): Promise<void> => {
    await Promise.all(perPartition.map((jobIds, partition) => publishJobs(at, jobIds, partition)));
  };
  const before = parts("before", 2);
  await publish(before);
  await endedOnce(at, before.flat());

  await at.topics.growJobs(6);
  // Nobody reads the new ones yet; what is in them already must not be passed over.
  const unread = parts("unread", 6);
  await publish(unread);
  await at.startRouter("router-3"); // the group comes together anew
  await endedOnce(at, [...before, ...unread].flat());
  const after = parts("after", 6);
  await publish(after);
  await endedOnce(at, [...before, ...unread, ...after].flat());

  const positions = await at.query<{ partition: number; next: string }>(
    "SELECT partition, next FROM inbox_position ORDER BY partition",
  );
  expect(positions.map(({ next }) => Number(next))).toEqual([30, 30, 20, 20, 20, 20]);
  expect(at.topics.deadLetters).toEqual([]);
  expect(at.routers.flatMap((router) => router.events("kafka.consumer_restarted"))).toEqual([]);
});

test("[B15] without its topic no dead letter is dropped: intake stops with an alert, and goes on with all of them once the topic is there", async () => {
  const at = await open({
    name: "b15",
    deadLetterTopic: "missing",
    config: { limits: { pending: { outboxRowsMax: 10 } } },
  });
  const router = await at.startRouter();
  const [good, later] = [ids("good", 5), ids("later", 5)];
  const bad = ids("no job", 25);
  await publishJobs(at, good);
  const offsets = await at.topics.publish(bad.map((value) => ({ value, partition: 0 })));
  await endedOnce(at, good);
  await at.until("the refusal", () => router.events("relay.topic_refused").length > 0);
  await at.until("intake that stops", () => router.events("intake.paused").length > 0);
  expect(router.events("relay.topic_refused")[0]).toMatchObject({ level: "error", topic: at.topics.names.deadLetters });
  expect(router.events("intake.paused")).toMatchObject([{ reasons: ["outbox_rows"] }]);
  expect(await router.metrics()).toContain('sluice_backpressure{reason="outbox_rows"} 1');

  await publishJobs(at, later);
  await at.until("more tries", () => router.events("relay.topic_refused").length > 3);
  expect(await at.position()).toBe(30);
  expect(at.topics.results).toHaveLength(5);

  await at.topics.createDeadLetters();
  await at.until("all dead letters", () => at.topics.deadLetters.length >= bad.length);
  await endedOnce(at, [...good, ...later]);
  const found = at.topics.deadLetters.map((letter) => [
    Number(headerText(letter, "__dlq.errors.offset")),
    letter.value?.toString(),
  ]);
  expect(found.sort(([one], [other]) => Number(one) - Number(other))).toEqual(
    bad.map((value, index) => [offsets[index], value]),
  );
  expect(await at.position()).toBe(35);
  expect(router.events("intake.resumed")).toHaveLength(1);
  expect(router.events("relay.given_up")).toEqual([]);
});

/** Longer than a fetch of one partition: the control record behind such a batch comes in a fetch of its own. */
const FETCH_BYTES = 16_384;
const long = (jobId: string): string => jobId.padEnd(FETCH_BYTES + 1000, ".");

test("[B19] fetches of control records alone, and records of aborted transactions, hold nobody up and are no gap", async () => {
  const at = await open({ name: "b19", config: { kafka: { fetchBytesPerPartitionMax: FETCH_BYTES } } });
  const values = (prefix: string): readonly string[] => ids(prefix, 2).map((id) => chatJob(id, long(id)));
  const served = ["first", "second", "third"].flatMap((prefix) => ids(prefix, 2));
  const router = await at.startRouter();
  await at.topics.inTransaction(values("first"), "commit");
  await at.topics.inTransaction(values("aborted"), "abort");
  await at.topics.inTransaction(values("second"), "commit");
  await endedOnce(at, served.slice(0, 4), { promptOf: long });
  await at.topics.inTransaction(values("aborted too"), "abort");
  await router.end("SIGTERM");

  // A router that begins at control records.
  const next = await at.startRouter();
  await at.topics.inTransaction(values("third"), "commit");
  await endedOnce(at, served, { promptOf: long });
  expect(at.topics.deadLetters).toEqual([]);
  expect([...router.events("inbox.gap"), ...next.events("inbox.gap")]).toEqual([]);
});

test("[B6] a router that its group gave up, while its session lives, gives no job a second answer and commits nothing back when it wakes", async () => {
  const at = await open({
    name: "b6",
    partitions: 2,
    // Only its group gives it up. A transaction that it slept in must not hold the other up.
    config: { postgres: { statementTimeoutMs: 2000, session: { deadAfterMs: 60_000 } } },
  });
  const [sleeper] = await Promise.all([at.startRouter("sleeper"), at.startRouter("other")]);
  const parts = (prefix: string, count: number): readonly (readonly string[])[] =>
    [0, 1].map((partition) => ids(`${prefix} ${String(partition)}`, count));
  const publish = async (perPartition: readonly (readonly string[])[]): Promise<void> => {
    await Promise.all(perPartition.map((jobIds, partition) => publishJobs(at, jobIds, partition)));
  };
  const [before, during] = [parts("before", 10), parts("during", 20)];
  const [asleep, after] = [parts("asleep", 1), parts("after", 5)];
  await publish(before);
  await endedOnce(at, before.flat());
  await at.until(
    "all of it published",
    async () => (await at.query("SELECT 1 FROM outbox_ready LIMIT 1")).length === 0,
  );
  await publish(during);
  // With records in hand, or calls in the air: whatever it has.
  sleeper.signal("SIGSTOP");
  // The last of each partition is the other's for sure, and so is its commit.
  await publish(asleep);
  await at.until("all records taken by the other", async () => (await at.position()) === 62);
  await at.until("its commits", async () => (await at.committedOffsets()).every((offset) => offset === 31));
  sleeper.signal("SIGCONT");
  await publish(after);
  const seen: (readonly number[])[] = [];
  await at.until("the last results", async () => {
    seen.push(await at.committedOffsets());
    return distinct(at.topics.results).length >= 72;
  });
  // What its relay was stopped in is published again, in the same bytes; nothing else is.
  await endedOnce(at, [...before, ...during, ...asleep, ...after].flat(), { counted: distinct });
  for (const id of before.flat()) expect(at.resultsOf(id)).toHaveLength(1);
  await at.until("the last commits", async () => (await at.committedOffsets()).every((offset) => offset === 36));
  expect(seen.flat().every((offset) => offset >= 31)).toBe(true);
  expect(await at.position()).toBe(72);
  expect(at.topics.deadLetters).toEqual([]);
  expect(sleeper.events("session.opened")).toHaveLength(1);
});
