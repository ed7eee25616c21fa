import { createRequire } from "node:module";
import { describe, expect, jest, test } from "@jest/globals";
import fc from "fast-check";
import { crc32c } from "../../src/adapters/kafka/crc32c.js";
import {
  produceRequest,
  type ProduceFields,
  type ProduceRequestOf,
} from "../../src/adapters/kafka/produce-encoding.js";

const require = createRequire(import.meta.url);
const original = require("kafkajs/src/protocol/requests/produce/v3/request.js") as ProduceRequestOf; // nothing has replaced it in this process

const bytes = fc.uint8Array({ maxLength: 3000 }).map((array) => Buffer.from(array));
const text = fc.string({ unit: "binary", maxLength: 60 });
const message = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.dictionary(
    text.filter((name) => name !== "__proto__"),
    fc.oneof(bytes, text),
    { maxKeys: 4 },
  ),
});
const partition = fc.record({
  partition: fc.nat({ max: 99 }),
  firstSequence: fc.nat({ max: 2 ** 31 - 1 }),
  messages: fc.array(message, { minLength: 1, maxLength: 5 }),
});
const topic = fc.record({ topic: text, partitions: fc.array(partition, { maxLength: 4 }) });
const plain = fc.record({
  acks: fc.constantFrom(-1, 0, 1),
  timeout: fc.nat(),
  producerId: fc.constant(-1),
  producerEpoch: fc.constantFrom(0, 7),
  topicData: fc.array(topic, { maxLength: 3 }),
});

async function bytesOf(request: ProduceRequestOf, fields: ProduceFields): Promise<string> {
  return (await request(fields).encode()).buffer.toString("hex");
}

describe("a produce request", () => {
  test("is encoded to the same bytes as by kafkajs", async () => {
    const now = jest.spyOn(Date, "now").mockReturnValue(1_764_190_000_123);
    await fc.assert(
      fc.asyncProperty(plain, async (fields) => {
        expect(await bytesOf(produceRequest(original), fields)).toBe(await bytesOf(original, fields));
      }),
      { numRuns: 200 },
    );
    now.mockRestore();
  });

  const at = (...timestamps: readonly string[]): ProduceFields => {
    const messages = timestamps.map((timestamp) => ({ key: null, value: Buffer.from("v"), timestamp }));
    return {
      ...{ acks: -1, timeout: 1000, producerId: -1 },
      topicData: [{ topic: "t", partitions: [{ partition: 0, firstSequence: 0, messages }] }],
    };
  };

  test("gives all its records the one time that the caller has for them, as kafkajs does", async () => {
    const fields = at("1764190000123", "1764190000123", "1764190000123");
    expect(await bytesOf(produceRequest(original), fields)).toBe(await bytesOf(original, fields));
    const other = at("1764190000124", "1764190000124", "1764190000124");
    expect(await bytesOf(produceRequest(original), other)).not.toBe(await bytesOf(original, fields));
  });

  test("is kafkajs' own where it asks for what a router never does", async () => {
    const fields = at("1764190000123", "1764190000999");
    expect(await bytesOf(produceRequest(original), fields)).toBe(await bytesOf(original, fields));
  });
});

describe("the checksum of a record batch", () => {
  test("is CRC-32C, by the examples of RFC 3720", () => {
    const sums = [new Uint8Array(32), new Uint8Array(32).fill(255), Buffer.from("123456789"), Buffer.alloc(0)].map(
      crc32c,
    );
    expect(sums).toEqual([0x8a9136aa, 0x62a8ab43, 0xe3069283, 0]);
  });
});
