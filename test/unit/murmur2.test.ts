import { createRequire } from "node:module";
import { expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { Partitioners } from "kafkajs";
import { murmur2 } from "../../src/adapters/kafka/murmur2.js";
import { createExistingPartitioner } from "../../src/adapters/kafka/record-publisher.js";

const require = createRequire(import.meta.url);
const theirs = require("kafkajs/src/producer/partitioners/default/murmur2.js") as (key: Buffer) => number;

test("a key has the number that Kafka's clients give it", () => {
  // Values of Kafka's own UtilsTest.testMurmur2.
  for (const [key, hash] of [
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
  ] as const)
    expect(murmur2(Buffer.from(key))).toBe(hash);
});

test("of any bytes, and lies in the partition that kafkajs would choose", () => {
  const ours = createExistingPartitioner();
  const usual = Partitioners.DefaultPartitioner();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 30 }), (bytes, partitions) => {
      const key = Buffer.from(bytes);
      expect(murmur2(key)).toBe(theirs(key));
      const metadata = Array.from({ length: partitions }, (_unused, partitionId) => ({
        ...{ partitionErrorCode: 0, partitionId, leader: 1 },
        ...{ replicas: [1], isr: [1], offlineReplicas: [] },
      }));
      const args = { topic: "replies", partitionMetadata: metadata, message: { key, value: "v" } };
      expect(ours({ ...args, message: { ...args.message } })).toBe(usual(args));
    }),
  );
});
