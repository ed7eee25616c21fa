/** Row C17 of the fault catalogue, by codec: what a broker stores compressed, and what inflates beyond all bounds. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } from "kafkajs";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";
import type { GatewayRouter } from "../support/gateway-router.js";
import { servers } from "../support/servers.js";

const MIB = 1_048_576;
const INFLATED_BYTES_MAX = 8 * MIB;
/** What the router needs for its work, and what it may inflate, a few times; a bomb of 64 MiB that is inflated is in it three times. */
const RSS_MAX_MB = 210 + 5 * 8;

let gateway: Gateway;
let router: GatewayRouter;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "compressed",
    messageBytesMax: 24 * MIB,
    config: { kafka: { inflatedBytesMax: INFLATED_BYTES_MAX } },
  });
  router = await gateway.startRouter();
});
afterAll(async () => {
  await gateway.close();
});

/** Kafka's own codecs: the broker compresses anew what it is sent. */
async function brokerCompressesBy(codec: string): Promise<void> {
  const configEntries = [{ name: "compression.type", value: codec }];
  await gateway.topics.admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: gateway.topics.names.jobs, configEntries }],
  });
}

/** What the client makes of the topic as it comes: the words that it ends with. */
async function clientAloneSays(): Promise<string> {
  const kafka = new Kafka({ brokers: servers().kafkaBrokers.split(","), logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: `alone-${gateway.topics.names.jobs}`, retry: { retries: 0 } });
  const crash = new Promise<string>((resolve) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      resolve(payload.error.message);
    });
  });
  await consumer.connect();
  await consumer.subscribe({ topic: gateway.topics.names.jobs, fromBeginning: true });
  await consumer.run({ eachMessage: () => Promise.resolve() });
  const said = await crash;
  await consumer.disconnect();
  return said;
}

describe("[C17] a compressed batch", () => {
  test.each([["snappy"], ["lz4"], ["zstd"]])("by %s is read like any other", async (codec) => {
    await brokerCompressesBy(codec);
    const jobs = [`a ${codec}`, `b ${codec}`];
    await gateway.topics.publish(
      jobs.map((jobId) => ({ value: chatJob(jobId, `${jobId} ${"word ".repeat(50_000)}`) })),
    );
    for (const jobId of jobs)
      expect(answerDigests(resultIn(await gateway.result(jobId))).prompt).toBe(
        digestOf(`${jobId} ${"word ".repeat(50_000)}`),
      );
  });

  test("is one that the Kafka client alone ends with", async () => {
    expect(await clientAloneSays()).toMatch(/Snappy compression not implemented/);
  });

  // The broker counts what it compresses by Snappy as if that saved nothing.
  test.each([
    ["gzip", 64],
    ["snappy", 20],
    ["lz4", 64],
    ["zstd", 64],
  ])(
    "by %s of %i MiB, beyond the limit, is a dead letter for each of its records; the next ones are served, memory is bounded",
    async (codec, mib) => {
      await brokerCompressesBy(codec);
      const bomb = chatJob(`bomb ${codec}`, "x".repeat(mib * MIB));
      const [offset = -1] = await gateway.topics.publish([{ value: bomb }], CompressionTypes.GZIP);
      const letter = await gateway.deadLetterOf(offset);
      expect(headerText(letter, "llm-error-code")).toBe("TOO_LARGE");
      expect(headerText(letter, "__dlq.errors.message")).toContain(
        `at most ${String(INFLATED_BYTES_MAX)} bytes once inflated (kafka.inflatedBytesMax)`,
      );
      expect(letter.value).toBeNull();
      const jobId = `behind the bomb by ${codec}`;
      await gateway.publish({ value: chatJob(jobId, jobId) });
      expect(answerDigests(resultIn(await gateway.result(jobId))).prompt).toBe(digestOf(jobId));
      expect(router.peakRssMb()).toBeLessThan(RSS_MAX_MB);
    },
  );
});
