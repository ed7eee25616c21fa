import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { accountPriceOf, ZERO_PRICE, type OwnPrices } from "../../src/domain/cost/account-price.js";
import { chargeBy } from "../../src/domain/cost/billing-rule.js";
import { chargeNanoUsd } from "../../src/domain/cost/charge.js";
import { listedModel, parsePriceTable } from "../../src/domain/cost/price-table.js";
import { NO_USAGE, type Usage } from "../../src/domain/cost/usage.js";

const table = parsePriceTable({
  asOf: "2026-11-24",
  models: {
    "anthropic/stacked": {
      inputPerMTok: 3,
      outputPerMTok: 15,
      cachedInputPerMTok: 0.3,
      cacheWritePerMTok: 3.75,
      cacheWrite1hPerMTok: 6,
      batchInputPerMTok: 1.5,
      batchOutputPerMTok: 7.5,
      batchCachedInputPerMTok: 0.15,
      batchCacheWritePerMTok: 1.875,
      batchBasis: "listed",
      longContext: {
        aboveTokens: 1000,
        inputPerMTok: 6,
        outputPerMTok: 22.5,
        batchInputPerMTok: 3,
        batchOutputPerMTok: 11.25,
      },
    },
    "openai/uncached": {
      inputPerMTok: 2,
      outputPerMTok: 8,
      cachedInputPerMTok: 0.5,
      batchInputPerMTok: 1,
      batchOutputPerMTok: 4,
      batchBasis: "half",
      longContext: { aboveTokens: 1000, inputPerMTok: 4, outputPerMTok: 12 },
    },
    "openai/half-listed": {
      inputPerMTok: 2,
      outputPerMTok: 8,
      batchInputPerMTok: 1,
      batchOutputPerMTok: 4,
      batchBasis: "listed",
      longContext: { aboveTokens: 1000, inputPerMTok: 4, outputPerMTok: 12 },
    },
    "openai/unknown": {
      inputPerMTok: 2,
      outputPerMTok: 8,
      batchInputPerMTok: 1,
      batchOutputPerMTok: 4,
      batchBasis: "unknown",
    },
    "openai/direct-only": { inputPerMTok: 2, outputPerMTok: 8, batchBasis: "none" },
  },
});

const used = (usage: Partial<Usage>): Usage => ({ ...NO_USAGE, ...usage });

/** What a line costs, nano-dollars; a word when that is not known. */
function lineCost(
  provider: string,
  model: string,
  usage: Partial<Usage>,
  own: OwnPrices | null = null,
): bigint | string {
  const price = accountPriceOf(table, provider, model, own, "batch");
  if (price === null) return "no price";
  const charge = chargeNanoUsd(used(usage), price);
  return charge.kind === "charged" ? charge.nanoUsd : charge.because;
}

describe("a line of a batch", () => {
  test.each<[string, string, string, Partial<Usage>, bigint | string]>([
    ["by the batch's prices", "openai", "uncached", { inputTokens: 100, outputTokens: 10 }, 140_000n],
    [
      "cached tokens like other input, where the list has no price of theirs",
      "openai",
      "uncached",
      { inputTokens: 100, cachedInputTokens: 60, outputTokens: 0 },
      100_000n,
    ],
    [
      "cached tokens at their own price, where the list has one",
      "anthropic",
      "stacked",
      { inputTokens: 100, cachedInputTokens: 60, outputTokens: 0 },
      69_000n,
    ],
    [
      "short cache writes at their own price",
      "anthropic",
      "stacked",
      { inputTokens: 100, cacheWriteTokens: 40, outputTokens: 0 },
      165_000n,
    ],
    [
      "writes for an hour at the discount that the short ones have: 6 x 1.875 / 3.75 = 3 dollars",
      "anthropic",
      "stacked",
      { inputTokens: 100, cacheWrite1hTokens: 100, outputTokens: 0 },
      300_000n,
    ],
    ["beyond a listed step", "anthropic", "stacked", { inputTokens: 1001, outputTokens: 1 }, 3_014_250n],
    ["beyond a step of a flat half", "openai", "uncached", { inputTokens: 1001, outputTokens: 1 }, 2_008_000n],
    [
      "beyond a step without batch prices",
      "openai",
      "half-listed",
      { inputTokens: 1001, outputTokens: 1 },
      "no price is listed for prompts of this length",
    ],
    ["up to that step", "openai", "half-listed", { inputTokens: 1000, outputTokens: 1 }, 1_004_000n],
    ["of a basis that is not known", "openai", "unknown", { inputTokens: 1, outputTokens: 1 }, "no price"],
    ["where there is no batch", "openai", "direct-only", { inputTokens: 1, outputTokens: 1 }, "no price"],
    ["without tokens", "openai", "uncached", {}, "the provider reported no token counts"],
  ])("%s", (_what, provider, model, usage, expected) => {
    expect(lineCost(provider, model, usage)).toBe(expected);
  });

  test("has a version that says so", () => {
    expect(accountPriceOf(table, "openai", "uncached", null, "batch")?.version).toBe(
      "2026-11-24/openai/uncached/batch",
    );
  });
});

describe("prices of an account's own, for a line and for a call", () => {
  const stated: OwnPrices = {
    perMillion: {
      qwen: { input: "1", output: "3", batch: { input: "0.25", output: "1", cachedInput: "0.1" } },
      other: { input: "1", output: "3" },
    },
  };
  const file: OwnPrices = {
    table: parsePriceTable({
      asOf: "2027-01-01",
      models: {
        "openai/uncached": {
          inputPerMTok: 1,
          outputPerMTok: 4,
          batchInputPerMTok: 0.4,
          batchOutputPerMTok: 2,
          batchBasis: "listed",
        },
      },
    }),
  };
  const usage = { inputTokens: 100, cachedInputTokens: 50, outputTokens: 10 };
  test.each<[string, string, OwnPrices, bigint | string, bigint | string]>([
    ["stated, both", "qwen", stated, 130_000n, 27_500n],
    ["stated, the call's only", "other", stated, 130_000n, "no price"],
    ["a factor", "uncached", { factor: "0.5" }, 102_500n, 70_000n],
    ["a table", "uncached", file, 140_000n, 60_000n],
    ["a table that does not list it", "half-listed", file, "no price", "no price"],
    ["nothing", "whatever", { zero: true }, 0n, 0n],
  ])("%s", (_what, model, own, call, line) => {
    const price = accountPriceOf(table, "openai", model, own);
    const charge = price === null ? null : chargeNanoUsd(used(usage), price);
    expect(charge?.kind === "charged" ? charge.nanoUsd : "no price").toBe(call);
    expect(lineCost("openai", model, usage, own)).toBe(line);
  });

  test("a table of one's own names itself in the version", () => {
    expect(accountPriceOf(table, "openai", "uncached", file)?.version).toBe("2027-01-01/openai/uncached");
  });
});

describe("what a provider charges for", () => {
  const [price, usage] = [ZERO_PRICE, used({ inputTokens: 1, outputTokens: 1 })];
  test("by usage, for nothing, or nobody knows", () => {
    const dear = { ...price, inputNanoPerMillion: 5_000_000_000n };
    expect(chargeBy("by_usage", usage, dear)).toEqual({ kind: "charged", nanoUsd: 5000n });
    expect(chargeBy("free", NO_USAGE, dear)).toEqual({ kind: "charged", nanoUsd: 0n });
    expect(chargeBy("by_usage", NO_USAGE, dear)).toMatchObject({ kind: "suspect" });
    expect(chargeBy("unknown", usage, dear)).toMatchObject({ kind: "suspect" });
  });
});

describe("the table that comes with Sluice", () => {
  const shipped = parsePriceTable(readFileSync("schemas/pricing.json", "utf8"));
  const entries = (provider: string) =>
    [...shipped.models].filter(([key]) => key.startsWith(`${provider}/`)).map(([, model]) => model);

  test.each(["openai", "anthropic", "gemini"])("prices each model of %s in a batch, below the call", (provider) => {
    const models = entries(provider).filter(({ price }) => price !== null);
    expect(models.length).toBeGreaterThan(10);
    for (const { key, price, batchPrice } of models) {
      expect([key, batchPrice === null]).toEqual([key, false]);
      expect((batchPrice?.inputNanoPerMillion ?? 0n) * 2n).toBe(price?.inputNanoPerMillion);
    }
  });

  test("knows Gemini's models by name, by numbered version, and which take no sampling parameters", () => {
    expect(listedModel(shipped, "gemini", "gemini-2.5-flash-001")?.key).toBe("gemini/gemini-2.5-flash");
    expect(listedModel(shipped, "gemini", "gemini-embedding-001")?.key).toBe("gemini/gemini-embedding-001");
    expect(listedModel(shipped, "gemini", "gemini-3.8-flash")?.samplingParams).toBe(false);
    expect(listedModel(shipped, "gemini", "gemini-2.5-flash")?.samplingParams).toBe(true);
  });

  // By hand from schemas/pricing.json and the providers' own pages; in micro-dollars beside each case.
  test.each<[string, string, Partial<Usage>, bigint]>([
    // 100,001 x 1.25 + 100,000 x 0.25 + 10 x 7.5: Gemini prices cached tokens as outside of a batch.
    ["gemini", "gemini-2.5-pro", { inputTokens: 200_001, cachedInputTokens: 100_000, outputTokens: 10 }, 150_076_250n],
    // 1 x 0.25 + 100,000 x 0.025: Anthropic stacks both discounts, half of the long 0.05.
    [
      "anthropic",
      "claude-haiku-5-5",
      { inputTokens: 100_001, cachedInputTokens: 100_000, outputTokens: 0 },
      2_500_250n,
    ],
    // 172,001 x 5 + 100,000 x 0.5 + 10 x 22.5: OpenAI halves the long 1.00.
    ["openai", "gpt-5.5", { inputTokens: 272_001, cachedInputTokens: 100_000, outputTokens: 10 }, 910_230_000n],
    // 172,001 x 2.5 + 100,000 x 0.25 + 10 x 11.25: half of the long 0.50, though the short half is listed as 0.13.
    ["openai", "gpt-5.4", { inputTokens: 272_001, cachedInputTokens: 100_000, outputTokens: 10 }, 455_115_000n],
    // 600 x 0.05 + 400 x 0.025: Gemini again, without a listed batch price of cached tokens.
    ["gemini", "gemini-2.0-flash", { inputTokens: 1000, cachedInputTokens: 400, outputTokens: 0 }, 40_000n],
    // 1,000 x 0.2: for others the list's note holds, cached tokens cost what other input does.
    ["openai", "gpt-4.1-mini", { inputTokens: 1000, cachedInputTokens: 400, outputTokens: 0 }, 200_000n],
  ])("prices cached tokens of a batch by their provider's rule: %s/%s", (provider, model, usage, nano) => {
    const price = accountPriceOf(shipped, provider, model, null, "batch");
    if (price === null) throw new Error(`no batch price of ${model}`);
    expect(chargeNanoUsd(used(usage), price)).toEqual({ kind: "charged", nanoUsd: nano });
  });
});
