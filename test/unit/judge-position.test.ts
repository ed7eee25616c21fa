import { describe, expect, test } from "@jest/globals";
import { judgePosition } from "../../src/domain/dedupe/judge-position.js";
import { recordWitness } from "../../src/domain/dedupe/record-witness.js";

const RECORD = {
  topic: "jobs",
  partition: 0,
  offset: 4,
  timestampMs: 1000,
  key: null,
  value: Buffer.from("the last accepted one"),
  headers: [],
};
const WITNESS = recordWitness(RECORD);
const EXPECTED = { next: 5, witness: WITNESS };
const OTHER = { ...RECORD, value: Buffer.from("another one") };

describe("a position beside its log", () => {
  test.each([
    ["fits when the record before it is the same", EXPECTED, { low: 0, high: 9 }, RECORD, "fits"],
    ["fits at the log's end", EXPECTED, { low: 0, high: 5 }, RECORD, "fits"],
    ["is truncated when the log ends before it", EXPECTED, { low: 0, high: 4 }, undefined, "truncated"],
    ["is truncated in an empty log made anew", EXPECTED, { low: 0, high: 0 }, undefined, "truncated"],
    ["is another topic's when another record lies there", EXPECTED, { low: 0, high: 9 }, OTHER, "other_topic"],
    [
      "is another topic's when the record has another time",
      EXPECTED,
      { low: 0, high: 9 },
      { ...RECORD, timestampMs: 1001 },
      "other_topic",
    ],
    ["has a gap when the log begins behind it", EXPECTED, { low: 6, high: 9 }, undefined, "gap"],
    ["is unproven while that record was not read", EXPECTED, { low: 0, high: 9 }, undefined, "unproven"],
    ["fits when nothing is there to compare", EXPECTED, { low: 0, high: 9 }, null, "fits"],
    ["fits when that record is gone by age", EXPECTED, { low: 5, high: 9 }, undefined, "fits"],
    ["fits without a witness", { next: 5, witness: null }, { low: 0, high: 9 }, undefined, "fits"],
    ["fits with an empty witness", { next: 5, witness: Buffer.alloc(0) }, { low: 0, high: 9 }, undefined, "fits"],
    ["fits before the first record", { next: 0, witness: null }, { low: 0, high: 0 }, undefined, "fits"],
  ] as const)("%s", (_name, expected, log, before, verdict) => {
    expect(judgePosition(expected, log, before)).toBe(verdict);
  });
});
