import { describe, expect, test } from "@jest/globals";
import { chargeNanoUsd, maxCostNanoUsd } from "../../src/domain/cost/charge.js";
import type { ModelPrice } from "../../src/domain/cost/price.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import type { Usage } from "../../src/domain/cost/usage.js";

/** $0.40 in, $1.60 out, $0.10 cached: gpt-4.1-mini. */
const MINI: ModelPrice = {
  version: "test/mini",
  inputNanoPerMillion: 400_000_000n,
  outputNanoPerMillion: 1_600_000_000n,
  cachedInputNanoPerMillion: 100_000_000n,
  cacheWriteNanoPerMillion: null,
  cacheWrite1hNanoPerMillion: null,
  longContext: null,
};
const SONNET: ModelPrice = {
  version: "test/sonnet",
  inputNanoPerMillion: 3_000_000_000n,
  outputNanoPerMillion: 15_000_000_000n,
  cachedInputNanoPerMillion: 300_000_000n,
  cacheWriteNanoPerMillion: 3_750_000_000n,
  cacheWrite1hNanoPerMillion: 6_000_000_000n,
  longContext: {
    aboveTokens: 200_000,
    inputNanoPerMillion: 6_000_000_000n,
    outputNanoPerMillion: 22_500_000_000n,
    cachedInputNanoPerMillion: 600_000_000n,
  },
};
const usage = (parts: Partial<Usage>): Usage => ({ ...NO_USAGE, ...parts });

describe("the price of one answer", () => {
  // Expected amounts worked out by hand.
  test.each<[string, Partial<Usage>, ModelPrice, bigint]>([
    ["plain tokens: 1000 x 400 + 100 x 1600", { inputTokens: 1000, outputTokens: 100 }, MINI, 560_000n],
    [
      "cached tokens at their own price: 300 x 400 + 700 x 100",
      { inputTokens: 1000, cachedInputTokens: 700, outputTokens: 0 },
      MINI,
      190_000n,
    ],
    [
      "cached tokens at the input price when none is listed",
      { inputTokens: 1000, cachedInputTokens: 700, outputTokens: 0 },
      { ...MINI, cachedInputNanoPerMillion: null },
      400_000n,
    ],
    [
      "cache writes at the input price when none is listed",
      { inputTokens: 10, cacheWriteTokens: 10, outputTokens: 0 },
      MINI,
      4_000n,
    ],
    [
      "both kinds of cache writes: 10 x 3000 + 200 x 3750 + 100 x 6000 + 2000 x 300 + 50 x 15000",
      { inputTokens: 2310, cachedInputTokens: 2000, cacheWriteTokens: 200, cacheWrite1hTokens: 100, outputTokens: 50 },
      SONNET,
      2_730_000n,
    ],
    ["just at the long-context step", { inputTokens: 200_000, outputTokens: 1 }, SONNET, 600_015_000n],
    ["one token above it, the whole request", { inputTokens: 200_001, outputTokens: 1 }, SONNET, 1_200_028_500n],
    ["half a nano-dollar up", { inputTokens: 1, outputTokens: 0 }, { ...MINI, inputNanoPerMillion: 500_000n }, 1n],
    ["less than half down", { inputTokens: 1, outputTokens: 0 }, { ...MINI, inputNanoPerMillion: 499_999n }, 0n],
    [
      "one division for all kinds: two halves make one",
      { inputTokens: 1, outputTokens: 1 },
      { ...MINI, inputNanoPerMillion: 500_000n, outputNanoPerMillion: 500_000n },
      1n,
    ],
    ["no tokens", { inputTokens: 0, outputTokens: 0 }, MINI, 0n],
  ])("%s", (_what, parts, price, expected) => {
    expect(chargeNanoUsd(usage(parts), price)).toEqual({ kind: "charged", nanoUsd: expected });
  });

  test.each<[string, Partial<Usage>, ModelPrice]>([
    ["nothing was reported", {}, MINI],
    ["output is unknown", { inputTokens: 5 }, MINI],
    ["input is unknown", { outputTokens: 5 }, MINI],
    ["a count is negative", { inputTokens: -1, outputTokens: 5 }, MINI],
    ["a count is not whole", { inputTokens: 1.5, outputTokens: 5 }, MINI],
    ["a count is no number", { inputTokens: Number.NaN, outputTokens: 5 }, MINI],
    ["a count is beyond belief", { inputTokens: 1e18, outputTokens: 5 }, MINI],
    ["more is cached than was sent", { inputTokens: 5, cachedInputTokens: 6, outputTokens: 5 }, MINI],
    [
      "parts together exceed the whole",
      { inputTokens: 5, cachedInputTokens: 3, cacheWriteTokens: 3, outputTokens: 5 },
      SONNET,
    ],
    ["one-hour writes have no listed price", { inputTokens: 5, cacheWrite1hTokens: 1, outputTokens: 5 }, MINI],
    [
      "cache writes beyond the step have no listed price",
      { inputTokens: 300_000, cacheWriteTokens: 1, outputTokens: 5 },
      SONNET,
    ],
  ])("is suspect, never zero, when %s", (_what, parts, price) => {
    expect(chargeNanoUsd(usage(parts), price).kind).toBe("suspect");
  });
});

describe("the most a call can cost", () => {
  test.each<[string, Parameters<typeof maxCostNanoUsd>[0], ModelPrice, bigint]>([
    [
      "a token per byte and the overhead: 1100 x 400 + 50 x 1600",
      { bodyBytes: 1000, maxOutputTokens: 50, overheadTokens: 100 },
      MINI,
      520_000n,
    ],
    [
      "the dearest input rate, which may be a cache write: 1000 x 6000 + 0",
      { bodyBytes: 1000, maxOutputTokens: 0, overheadTokens: 0 },
      SONNET,
      6_000_000n,
    ],
    // The share of the one-hour write over plain input (2) holds beyond the step too: 300000 x 12000 + 10 x 22500.
    [
      "the long-context rates when the step may be passed",
      { bodyBytes: 300_000, maxOutputTokens: 10, overheadTokens: 0 },
      SONNET,
      3_600_225_000n,
    ],
  ])("%s", (_what, bound, price, expected) => {
    expect(maxCostNanoUsd(bound, price)).toBe(expected);
  });
});
