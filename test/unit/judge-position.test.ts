import { describe, expect, test } from "@jest/globals";
import { judgePosition } from "../../src/domain/dedupe/judge-position.js";
import { LOG_START_WITNESS, recordWitness } from "../../src/domain/dedupe/record-witness.js";

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
/** Met when the log began there; nothing was accepted yet. */
const OPENED = { next: 5, witness: LOG_START_WITNESS };
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
    ["fits where the log began and still begins", OPENED, { low: 5, high: 9 }, undefined, "fits"],
    ["has a gap when the log began there and begins later now", OPENED, { low: 6, high: 9 }, undefined, "gap"],
    [
      "is another topic's when the log began there and now has records before it",
      OPENED,
      { low: 0, high: 5 },
      undefined,
      "other_topic",
    ],
    ["is another topic's then whatever record lies there", OPENED, { low: 4, high: 9 }, RECORD, "other_topic"],
    [
      "is truncated when the log began there and ends before it now",
      OPENED,
      { low: 0, high: 4 },
      undefined,
      "truncated",
    ],
    [
      "fits where the first log begins",
      { next: 0, witness: LOG_START_WITNESS },
      { low: 0, high: 3 },
      undefined,
      "fits",
    ],
    ["fits before the first record", { next: 0, witness: null }, { low: 0, high: 0 }, undefined, "fits"],
  ] as const)("%s", (_name, expected, log, before, verdict) => {
    expect(judgePosition(expected, log, before)).toBe(verdict);
  });
});
