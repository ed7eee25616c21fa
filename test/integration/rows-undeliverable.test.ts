/** Rows B12, B13 and G11 of the fault catalogue: results that can't be published, and topics that take nothing. */
import { afterEach, expect, test } from "@jest/globals";
import { ConfigResourceTypes } from "kafkajs";
import { createTopics } from "../../src/adapters/kafka/topics.js";
import { systemClock } from "../../src/adapters/system/system-clock.js";
import { Gateway, type GatewayOptions } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn, type JobFields } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";

let gateway: Gateway | null = null;
afterEach(async () => {
  await gateway?.close();
  gateway = null;
});

async function open(options: Omit<GatewayOptions, "name">): Promise<{ at: Gateway; router: GatewayRouter }> {
  const at = await Gateway.open({ ...options, name: "undeliverable" });
  gateway = at;
  return { at, router: await at.startRouter() };
}

interface ShownJob {
  readonly state: string;
  readonly delivery: string;
  readonly sentence: string;
  readonly undeliverable: { readonly no: number; readonly state: string } | null;
}

const shown = (at: Gateway, jobId: string): Promise<ShownJob> => at.cliJson("jobs", "show", jobId) as Promise<ShownJob>; // what the command prints

/** Labels come back in the result: 16 of 256 characters. */
const LONG_LABELS = Object.fromEntries(
  Array.from({ length: 16 }, (_, index) => [`label-${String(index)}`, "x".repeat(256)]),
);

async function outboxRows(at: Gateway): Promise<number> {
  const [row] = await at.query<{ count: string }>("SELECT count(*) FROM outbox_ready");
  return Number(row?.count);
}

async function createTopic(at: Gateway, topic: string): Promise<void> {
  const topics = [{ topic, numPartitions: 1, replicationFactor: 1 }];
  await createTopics(at.topics.admin, topics, systemClock);
}

/** Records of a topic with one partition. */
async function recordsIn(at: Gateway, topic: string): Promise<number> {
  const [partition] = await at.topics.admin.fetchTopicOffsets(topic);
  return Number(partition?.high);
}

test("[B13] a result beyond its topic's limit is a dead letter, its neighbours get through once each, and a replay delivers it", async () => {
  const { at, router } = await open({ replyTopics: { small: { messageBytesMax: 4096 } } });
  const small = at.replyTopic("small");
  const jobs = Array.from({ length: 30 }, (_, index) => {
    const more: JobFields = index === 17 ? { labels: LONG_LABELS } : {};
    return chatJob(`job-${String(index)}`, `prompt ${String(index)}`, { replyTo: small, ...more });
  });
  const elsewhere = chatJob("elsewhere", "elsewhere");
  // One batch: their results come in few groups, several of them larger together than what the topic takes.
  const offsets = await at.topics.publish([...jobs, elsewhere].map((value) => ({ value })));
  const letter = await at.deadLetterOf(offsets[17] ?? -1);
  expect(headerText(letter, "llm-error-code")).toBe("REPLY_UNDELIVERABLE");
  expect(headerText(letter, "llm-error-stage")).toBe("relay");
  expect(headerText(letter, "__dlq.errors.message")).toMatch(
    new RegExp(`^topic ${small} does not take the result of \\d{4,5} bytes: MESSAGE_TOO_LARGE: `),
  );
  expect(letter.value?.toString()).toBe(jobs[17]);
  await at.until("the other 29 results", () => at.topics.in(small).length >= 29);
  await at.result("elsewhere");
  await at.until("an empty outbox", async () => (await outboxRows(at)) === 0);
  const expected = jobs.map((_job, index) => `job-${String(index)}`).filter((jobId) => jobId !== "job-17");
  expect(
    at.topics
      .in(small)
      .map((record) => resultIn(record).jobId)
      .sort(),
  ).toEqual(expected.sort());
  expect(at.topics.costs).toHaveLength(31);
  expect(at.topics.deadLetters).toHaveLength(1);
  expect(await router.metrics()).toContain('sluice_dead_letters_total{code="REPLY_UNDELIVERABLE"} 1');
  const job = await shown(at, "job-17");
  expect(job).toMatchObject({ state: "succeeded", delivery: "undeliverable", undeliverable: { state: "open" } });
  expect(job.sentence).toContain("result undeliverable: topic");
  expect(await shown(at, "job-16")).toMatchObject({ delivery: "published", undeliverable: null });

  await at.topics.admin.alterConfigs({
    validateOnly: false,
    resources: [
      { type: ConfigResourceTypes.TOPIC, name: small, configEntries: [{ name: "max.message.bytes", value: "65536" }] },
    ],
  });
  const replayed = await at.cliJson("dlq", "replay", String(job.undeliverable?.no), "--yes");
  expect(replayed).toMatchObject({ replayed: 1, how: { queued: 0, redelivered: 1 } });
  const late = await at.until(
    "the result that was too large",
    () => at.topics.in(small).find((record) => resultIn(record).jobId === "job-17") ?? null,
  );
  expect(resultIn(late).status).toBe("succeeded");
  expect(answerDigests(resultIn(late)).prompt).toBe(digestOf("prompt 17"));
  await at.until("its delivery", async () => (await shown(at, "job-17")).delivery === "published");
  expect(await at.simulator.bill()).toHaveLength(31);
});

test("[B13] an answer longer than a result may be fails its job with the sizes; the call is on the bill and in the cost record", async () => {
  const { at } = await open({ config: { results: { valueBytesMax: 65_536 } } });
  // 128 choices of 60 words: some 65,000 bytes, and 49,152 are left for the answer.
  const body = { model: "cheap", messages: [{ role: "user", content: "long answer 15" }], max_tokens: 64, n: 128 };
  await at.publish({ value: JSON.stringify({ jobId: "long", tenant: "acme", body }) });
  await at.publish({ value: chatJob("short", "short") });
  const result = resultIn(await at.result("long"));
  expect(result).toMatchObject({ status: "failed", body: null, error: { code: "RESULT_TOO_LARGE" } });
  expect(result.error?.message).toMatch(/^the answer has \d{5} bytes; a result has room for 49152 /);
  expect(resultIn(await at.result("short")).status).toBe("succeeded");
  await at.until("both cost records", () => at.topics.costs.length >= 2);
  const bill = await at.simulator.bill();
  expect(bill).toHaveLength(2);
  const costs = at.topics.costs.map(
    (record) => JSON.parse(record.value?.toString() ?? "") as { jobId: string; nanoUsd: string; billing: string },
  ); // our own
  expect(costs.map(({ nanoUsd }) => nanoUsd).sort()).toEqual(bill.map(({ nanoUsd }) => nanoUsd).sort());
  expect(result.cost.nanoUsd).toBe(costs.find(({ jobId }) => jobId === "long")?.nanoUsd);
  expect(at.topics.deadLetters).toEqual([]);
});

test("[G11] an answer beyond the account's cap is cut off, called once, and its cost is open", async () => {
  const { at } = await open({ config: { account: { responseBytesMax: 4096 } } });
  const body = { model: "cheap", messages: [{ role: "user", content: "long answer 15" }], max_tokens: 64, n: 64 };
  await at.publish({ value: JSON.stringify({ jobId: "cut", tenant: "acme", body }) });
  const result = resultIn(await at.result("cut"));
  expect(result).toMatchObject({ status: "failed", error: { code: "RESULT_TOO_LARGE" }, cost: { nanoUsd: null } });
  const cost = await at.until("its cost record", () => at.topics.costs[0] ?? null);
  expect(JSON.parse(cost.value?.toString() ?? "")).toMatchObject({ billing: "suspect", nanoUsd: null, jobId: "cut" });
  expect(await at.simulator.bill()).toHaveLength(1);
});

test("[B12] a missing reply topic holds its own results alone: pending, delivered once it is there, a dead letter after the limit", async () => {
  const { at, router } = await open({
    replyTopics: { later: "missing", never: "missing" },
    config: { delivery: { undeliverableAfterMs: 8000 } },
  });
  const [later, never] = [at.replyTopic("later"), at.replyTopic("never")];
  const offset = await at.publish({ value: chatJob("never", "never", { replyTo: never }) });
  await at.publish({ value: chatJob("later", "later", { replyTo: later }) });
  await at.until(
    "both topics refused",
    () => new Set(router.events("relay.topic_refused").map(({ topic }) => topic)).size === 2,
  );
  const startedMs = Date.now();
  await at.publish({ value: chatJob("other", "other", { tenant: "zenith" }) });
  await at.result("other", "zenith");
  expect(Date.now() - startedMs).toBeLessThan(5000);
  expect(await shown(at, "later")).toMatchObject({ state: "succeeded", delivery: "pending" });
  expect(at.topics.deadLetters).toEqual([]);

  await createTopic(at, later);
  await at.until("the result in its topic", async () => (await recordsIn(at, later)) === 1);
  const letter = await at.deadLetterOf(offset);
  expect(headerText(letter, "llm-error-code")).toBe("REPLY_UNDELIVERABLE");
  expect(headerText(letter, "__dlq.errors.message")).toContain("UNKNOWN_TOPIC_OR_PARTITION");
  await at.until("an empty outbox", async () => (await outboxRows(at)) === 0);
  expect(await shown(at, "later")).toMatchObject({ delivery: "published" });
  expect(await shown(at, "never")).toMatchObject({ state: "succeeded", delivery: "undeliverable" });
  // No hot retry: a pause from 0.2 to 10 s between two tries of 8 s.
  expect(router.events("relay.topic_refused").filter(({ topic }) => topic === never).length).toBeLessThan(12);
});

test("[B12] a topic that is deleted stops no other, and a partition that a reply asks for in vain is chosen by its key", async () => {
  // Not among the topics that the test's own reader subscribes to: that one would stand still after the deletion.
  const { at, router } = await open({ replyTopics: { own: "missing" } });
  const own = at.replyTopic("own");
  await createTopic(at, own);
  const toPartition = (partition: number): Record<string, Buffer> => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(partition);
    return { kafka_replyTopic: Buffer.from(own), kafka_replyPartition: bytes };
  };
  await at.publish({ value: chatJob("asks", "asks"), headers: toPartition(99) });
  await at.until("the result whose partition does not exist", async () => (await recordsIn(at, own)) === 1);
  await at.topics.admin.deleteTopics({ topics: [own] });
  await at.publish({ value: chatJob("gone", "gone", { replyTo: own }) });
  await router.event("relay.topic_refused");
  for (const jobId of ["one", "two", "three"]) {
    await at.publish({ value: chatJob(jobId, jobId) });
    // Serial: a send of its own each.
    await at.result(jobId);
  }
  expect(await shown(at, "gone")).toMatchObject({ delivery: "pending" });
  expect(router.events("relay.topic_refused").every(({ topic }) => topic === own)).toBe(true);
});

test("[B12] a tenant's missing reply topic stops nobody else's jobs, until as much waits for it as for all others may", async () => {
  const { at, router } = await open({
    replyTopics: { later: "missing" },
    config: { limits: { pending: { outboxRowsMax: 10 } } },
  });
  const later = at.replyTopic("later");
  const publish = (prefix: string, count: number): Promise<readonly number[]> =>
    at.topics.publish(
      Array.from({ length: count }, (_, index) => {
        const id = `${prefix} ${String(index)}`;
        return { value: chatJob(id, id, { replyTo: later }) };
      }),
    );
  const waiting = async (): Promise<number> => {
    const [row] = await at.query<{ sum: string }>(
      "SELECT coalesce(sum(cardinality(nos)), 0) AS sum FROM outbox_ready WHERE topic = $1",
      [later],
    );
    return Number(row?.sum);
  };
  await publish("first", 15);
  await at.until("15 results without a topic", async () => (await waiting()) === 15);
  await at.until("the refusal", () => router.events("relay.topic_refused").length > 0);
  await at.publish({ value: chatJob("elsewhere", "elsewhere", { tenant: "zenith" }) });
  expect(resultIn(await at.result("elsewhere", "zenith")).status).toBe("succeeded");

  const pauses = router.events("intake.paused").length;
  await publish("second", 10);
  await at.until("intake that stops", () => router.events("intake.paused").length > pauses);
  await at.publish({ value: chatJob("afterwards", "afterwards", { tenant: "zenith" }) });
  await createTopic(at, later);
  expect(resultIn(await at.result("afterwards", "zenith")).status).toBe("succeeded");
  await at.until("all 25 results", async () => (await recordsIn(at, later)) === 25);
  expect(at.topics.deadLetters).toEqual([]);
});
