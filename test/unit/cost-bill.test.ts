import { describe, expect, test } from "@jest/globals";
import { judgeBilled, readBillRow, type BillRow, type BookedAttempt } from "../../src/domain/cost/bill-row.js";
import { SeenNumbers } from "../../src/app/operator/seen-numbers.js";

const TEXT =
  '{"requestId":"r1","attempt":"0k7l-v8","key":"k","provider":"openai","model":"m","mode":"direct","inputTokens":12,"cachedInputTokens":0,"cacheWriteTokens":0,"outputTokens":5,"nanoUsd":"1234","at":"2026-11-26T10:00:00.000Z"}';
const ROW = readBillRow(TEXT) as BillRow;

describe("a row of a bill", () => {
  test("is read as the simulator writes it", () => {
    expect(ROW).toMatchObject({ requestId: "r1", attempt: "0k7l-v8", batch: null, nanoUsd: 1234n });
    expect(ROW.usage).toMatchObject({ inputTokens: 12, cachedInputTokens: 0, outputTokens: 5, reasoningTokens: null });
    expect(ROW.atMs).toBe(1_795_687_200_000);
  });

  test.each([
    ["no JSON", "{", "expected a JSON object"],
    ["a list", "[]", "expected a JSON object"],
    ["no amount", "{}", "nanoUsd: expected"],
    ["an amount as a number", '{"nanoUsd":1}', "nanoUsd: expected"],
    ["an amount below 0", '{"nanoUsd":"-1"}', "nanoUsd: expected"],
  ])("with %s is refused in words", (_name, text, words) => {
    expect(readBillRow(text)).toContain(words);
  });

  test("without attempt, tokens and time has them as unknown", () => {
    expect(readBillRow('{"nanoUsd":"0","attempt":null,"inputTokens":-1,"at":"x"}')).toMatchObject({
      attempt: null,
      atMs: null,
      usage: { inputTokens: null },
    });
  });
});

const booked = (changes: Partial<BookedAttempt>): BookedAttempt => ({
  state: "answered",
  outcome: "succeeded",
  nanoUsd: 1234n,
  inputTokens: 12,
  cachedInputTokens: null,
  outputTokens: 5,
  ...changes,
});

describe("an attempt beside a bill", () => {
  test.each([
    ["agrees to the nano-dollar", booked({}), ROW, { kind: "agrees" }],
    [
      "in doubt is settled with what was billed",
      booked({ state: "in_doubt" }),
      ROW,
      { kind: "settle", nanoUsd: 1234n },
    ],
    ["settled by policy too", booked({ state: "settled", nanoUsd: null }), ROW, { kind: "settle", nanoUsd: 1234n }],
    ["of a suspect usage too", booked({ nanoUsd: null }), ROW, { kind: "settle", nanoUsd: 1234n }],
    [
      "that an earlier bill settled is corrected",
      booked({ outcome: "in_doubt", nanoUsd: 0n, state: "failed" }),
      ROW,
      { kind: "settle", nanoUsd: 1234n },
    ],
    ["that still runs waits", booked({ state: "sending", nanoUsd: null }), ROW, { kind: "wait" }],
    [
      "not billed after its policy cost nothing",
      booked({ state: "settled", nanoUsd: null }),
      null,
      { kind: "settle", nanoUsd: 0n },
    ],
    ["not billed in its grace waits", booked({ state: "in_doubt", nanoUsd: null }), null, { kind: "wait" }],
    ["of a suspect usage, not billed, cost nothing", booked({ nanoUsd: null }), null, { kind: "settle", nanoUsd: 0n }],
    ["that cost nothing needs no row", booked({ nanoUsd: 0n }), null, { kind: "agrees" }],
    ["that was never sent needs none", booked({ state: "not_sent", nanoUsd: null }), null, { kind: "agrees" }],
  ])("%s", (_name, attempt, row, verdict) => {
    expect(judgeBilled(attempt, row)).toMatchObject(verdict);
  });

  test.each([
    ["another amount", booked({ nanoUsd: 1000n }), ROW, "booked 1000, billed 1234"],
    ["other tokens", booked({ outputTokens: 6 }), ROW, "outputTokens: booked 6, billed 5"],
    ["a row for what was never sent", booked({ state: "not_sent" }), ROW, "never sent"],
    ["no row for what was booked", booked({}), null, "booked 1234 nano-dollars, not on the bill"],
  ])("differs: %s", (_name, attempt, row, words) => {
    const verdict = judgeBilled(attempt, row);
    expect(verdict).toMatchObject({ kind: "differs", because: expect.stringContaining(words) });
  });
});

test("numbers that were seen are remembered, however many there are", () => {
  const seen = new SeenNumbers();
  const numbers = Array.from({ length: 5_000 }, (_unused, index) => 2 ** 33 + index * 1_000);
  expect(numbers.map((number) => seen.add(number)).every(Boolean)).toBe(true);
  expect(numbers.map((number) => seen.add(number)).some(Boolean)).toBe(false);
  expect(numbers.every((number) => seen.has(number))).toBe(true);
  expect(seen.has(2 ** 33 + 1)).toBe(false);
});
