import { createRequire } from "node:module";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { encodeRecord, type RecordFields } from "../../src/adapters/kafka/record-encoding.js";

const require = createRequire(import.meta.url);
const original = require("kafkajs/src/protocol/recordBatch/record/v0/index.js") as (record: RecordFields) => {
  readonly buffer: Buffer;
}; // kafkajs' own encoder, which nothing has replaced in this process

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const text = fc.string({ unit: "binary", maxLength: 40 });
const headerName = text.filter((name) => name !== "__proto__");
const record: fc.Arbitrary<RecordFields> = fc.record({
  offsetDelta: fc.nat({ max: 2 ** 20 }),
  timestampDelta: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  key: fc.option<Buffer | string>(fc.oneof(bytes, text)),
  value: fc.option(bytes),
  headers: fc.dictionary(headerName, fc.oneof(bytes, text, fc.array(fc.oneof(bytes, text), { maxLength: 3 })), {
    maxKeys: 15,
  }),
});

describe("a record for Kafka", () => {
  test("is encoded to the same bytes as by kafkajs", () => {
    fc.assert(
      fc.property(record, (fields) => {
        expect(encodeRecord(fields).buffer.toString("hex")).toBe(original(fields).buffer.toString("hex"));
      }),
      { numRuns: 500 },
    );
  });

  test("spelled out: lengths and deltas as zigzag varints, null as -1", () => {
    const { buffer } = encodeRecord({
      offsetDelta: 1,
      timestampDelta: 64,
      key: null,
      value: Buffer.from("v"),
      headers: { h: "x" },
    });
    // length 12; attributes; 64 = 80 01; 1 = 02; no key = 01; value 02 76; one header 02: name 02 68, value 02 78.
    expect(buffer.toString("hex")).toBe("1800800102010276020268" + "0278");
  });

  test("that can't be encoded leaves nothing behind for the next one", () => {
    const fields = { key: "k", value: Buffer.from("v"), headers: { h: "x" } };
    const before = encodeRecord(fields).buffer.toString("hex");
    const broken = { value: Buffer.from("v"), headers: { h: "x", broken: 1 } } as unknown as RecordFields;
    expect(() => encodeRecord(broken)).toThrow();
    expect(encodeRecord(fields).buffer.toString("hex")).toBe(before);
  });
});
