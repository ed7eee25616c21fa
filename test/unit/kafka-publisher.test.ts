import { createRequire } from "node:module";
import { describe, expect, test } from "@jest/globals";
import { KafkaJSConnectionError, Partitioners, type Kafka, type ProducerConfig, type ProducerRecord } from "kafkajs";
import { publishRefusal } from "../../src/adapters/kafka/publish-refusal.js";
import { createExistingPartitioner, RecordPublisher } from "../../src/adapters/kafka/record-publisher.js";
import { recordOf } from "./relay-fixture.js";

// The client's own code, which its types do not tell of: errors as it makes them from the number in a broker's answer, and its retrier.
const require = createRequire(import.meta.url);
const { createErrorFromCode } = require("kafkajs/src/protocol/error.js") as {
  readonly createErrorFromCode: (code: number) => Error;
};
const createRetry = require("kafkajs/src/retry/index.js") as (options: {
  readonly retries: number;
  readonly initialRetryTime: number;
}) => (work: () => Promise<never>) => Promise<never>;

const sendMessages = require("kafkajs/src/producer/sendMessages.js") as (
  parts: object,
) => (send: object) => Promise<never>;

/** The error as it comes out of the client after its own tries. */
async function wrapped(error: Error): Promise<unknown> {
  const retry = createRetry({ retries: 1, initialRetryTime: 1 });
  return retry(() => Promise.reject(error)).catch((outer: unknown) => outer);
}

describe("a broker's error", () => {
  // Numbers of https://kafka.apache.org/protocol.html#protocol_error_codes.
  test.each([
    [2, "records", "CORRUPT_MESSAGE"],
    [10, "records", "MESSAGE_TOO_LARGE"],
    [18, "records", "RECORD_LIST_TOO_LARGE"],
    [43, "records", "UNSUPPORTED_FOR_MESSAGE_FORMAT"],
    [87, "records", "INVALID_RECORD"],
    [3, "topic", "UNKNOWN_TOPIC_OR_PARTITION"],
    [17, "topic", "INVALID_TOPIC_EXCEPTION"],
    [29, "topic", "TOPIC_AUTHORIZATION_FAILED"],
  ])("%i refuses the %s: %s, however the client wrapped it", async (code, of, name) => {
    for (const error of [createErrorFromCode(code), await wrapped(createErrorFromCode(code))])
      expect(publishRefusal(error)).toEqual({
        kind: "refused",
        of,
        reason: expect.stringMatching(new RegExp(`^${name}: .{10}`)) as unknown,
      });
  });

  test.each([-1, 5, 6, 7, 8, 9, 13, 19, 20, 31, 32, 41, 47, 56, 58, 74, 77, 89, 32_000])(
    "%i is trouble: waiting mends it, or somebody",
    async (code) => {
      expect(publishRefusal(createErrorFromCode(code))).toBeNull();
      expect(publishRefusal(await wrapped(createErrorFromCode(code)))).toBeNull();
    },
  );

  test("is none when the client broke off by itself", () => {
    expect(publishRefusal(new KafkaJSConnectionError("refused"))).toBeNull();
    expect(publishRefusal(new Error("no acknowledgement"))).toBeNull();
    expect(publishRefusal(new TypeError("undefined is not a function"))).toBeNull();
    expect(publishRefusal(Object.assign(new Error("x"), { type: "toString" }))).toBeNull();
    expect(publishRefusal("text")).toBeNull();
  });
});

describe("the partition that a record asks for", () => {
  const metadata = [0, 1, 2].map((partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: 1,
    replicas: [1],
    isr: [1],
    offlineReplicas: [],
  }));
  const place = createExistingPartitioner();
  const usual = Partitioners.DefaultPartitioner();
  const of = (key: string, partition?: number): Parameters<typeof place>[0] => ({
    topic: "replies",
    partitionMetadata: metadata,
    message: { key, value: "v", ...(partition === undefined ? {} : { partition }) },
  });

  test("is honoured if the topic has it", () => {
    expect([0, 1, 2].map((partition) => place(of("k", partition)))).toEqual([0, 1, 2]);
  });

  test("is ignored if not: the key decides, as for a record that asks for none", () => {
    for (const key of ["a", "b", "c", "d", "e"]) {
      expect([0, 1, 2]).toContain(place(of(key, 99)));
      expect(place(of(key, 99))).toBe(usual(of(key)));
      expect(place(of(key, -1))).toBe(usual(of(key)));
    }
  });
});

describe("a send while a broker fails", () => {
  /**
   * The client's own way of sending to two brokers that lead a partition each. The second one has just lost its partition when it is asked:
   * for a moment, or to the first one.
   */
  function failingOver(isMoved: boolean): { readonly kafka: Kafka; readonly taken: string[] } {
    const taken: string[] = [];
    let isDown = false;
    const brokers = ["1", "2"].map((nodeId) => ({
      nodeId,
      produce: ({
        topicData,
      }: {
        readonly topicData: readonly {
          readonly partitions: readonly { readonly partition: number; readonly messages: readonly unknown[] }[];
        }[];
      }) => {
        if (nodeId === "2" && !isDown) {
          isDown = true;
          return Promise.reject(createErrorFromCode(6)); // NOT_LEADER_OR_FOLLOWER
        }
        const partitions = topicData.flatMap((topic) => topic.partitions.map(({ partition }) => partition));
        const sent = topicData.flatMap((topic) => topic.partitions);
        taken.push(
          `${nodeId}: ${sent.map(({ partition, messages }) => `${String(partition)}x${String(messages.length)}`).join(",")}`,
        );
        const answers = partitions.map((partition) => ({ partition, errorCode: 0, baseOffset: "0" }));
        return Promise.resolve({ topics: [{ topicName: "replies", partitions: answers }] });
      },
    }));
    const leaderOf = (partition: string): string => (partition === "1" && !(isDown && isMoved) ? "2" : "1");
    const cluster = {
      refreshMetadataIfNecessary: () => Promise.resolve(),
      refreshMetadata: () => Promise.resolve(),
      addMultipleTargetTopics: () => Promise.resolve(),
      isConnected: () => true,
      removeBroker: () => undefined,
      findTopicPartitionMetadata: () => [0, 1].map((partitionId) => ({ partitionId, leader: 1 })),
      findLeaderForPartitions: (_topic: string, partitions: readonly string[]) =>
        Object.fromEntries(
          ["1", "2"].flatMap((nodeId) => {
            const led = partitions.filter((partition) => leaderOf(partition) === nodeId).map(Number);
            return led.length === 0 ? [] : [[nodeId, led]];
          }),
        ),
      findBroker: ({ nodeId }: { readonly nodeId: string }) =>
        Promise.resolve(brokers.find((broker) => broker.nodeId === nodeId)),
    };
    const nothing = (): undefined => undefined;
    const eosManager = {
      ...{ acquireBrokerLock: nothing, releaseBrokerLock: nothing, getSequence: () => 0, updateSequence: nothing },
      ...{
        isTransactional: () => false,
        getTransactionalId: nothing,
        getProducerId: () => -1,
        getProducerEpoch: () => 0,
      },
    };
    const producer = ({ createPartitioner = createExistingPartitioner }: ProducerConfig) => {
      const send = sendMessages({
        ...{ cluster, eosManager, partitioner: createPartitioner(), logger: { debug: nothing, error: nothing } },
        retrier: createRetry({ retries: 2, initialRetryTime: 1 }),
      });
      return {
        connect: () => Promise.resolve(),
        disconnect: () => Promise.resolve(),
        send: ({ topic, messages, ...how }: ProducerRecord) => send({ ...how, topicMessages: [{ topic, messages }] }),
      };
    };
    return { kafka: { producer } as unknown as Kafka, taken }; // all that a publisher asks of it
  }
  const records = [0, 1].map((partition) => recordOf(partition, { partition }));

  test("of a record without a key holds it to its partition, however often the client tries", async () => {
    const outcomes = new Set<string>();
    for (let run = 0; run < 40; run += 1) {
      const { kafka, taken } = failingOver(true);
      const publisher = new RecordPublisher(kafka, { sendTimeoutMs: 1000 });
      // The second one goes anywhere: beside the first, or to the partition whose leader fails.
      const sending = publisher.publish("replies", [recordOf(0, { partition: 0 }), recordOf(1)]);
      const outcome = await sending.then(
        () => "acknowledged",
        () => "failed",
      );
      outcomes.add(`${outcome} after ${taken.join(" ")}`);
    }
    expect([...outcomes].sort()).toEqual(["acknowledged after 1: 0x2", "failed after 1: 0x1"]);
  });

  test("is done when all that it held was acknowledged in the end", async () => {
    const { kafka, taken } = failingOver(false);
    const publisher = new RecordPublisher(kafka, { sendTimeoutMs: 1000 });
    expect(await publisher.publish("replies", records)).toEqual({ kind: "acknowledged" });
    expect(taken).toEqual(["1: 0x1", "2: 1x1"]);
  });

  test("has failed when a partition moved to a leader that had answered: the client leaves its records out", async () => {
    const { kafka, taken } = failingOver(true);
    const publisher = new RecordPublisher(kafka, { sendTimeoutMs: 1000 });
    await expect(publisher.publish("replies", records)).rejects.toThrow("all but 1 of 2 records");
    expect(taken).toEqual(["1: 0x1"]);
  });
});
