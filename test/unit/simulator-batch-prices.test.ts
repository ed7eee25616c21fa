import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { billedNanoUsd } from "../../src/simulator/engine/bill-price.js";
import { priceTable } from "../../src/simulator/engine/price-table.js";

const PRICES = priceTable(readFileSync(new URL("../../schemas/pricing.json", import.meta.url), "utf8"));

// By hand from schemas/pricing.json and providers.md 1.6; in micro-dollars beside each case.
test.each([
  // 600 x 0.15 + 400 x 0.03 + 100 x 1.25 = 90 + 12 + 125: cached tokens keep their normal price.
  { provider: "gemini", model: "gemini-2.5-flash", input: 1000, cached: 400, output: 100, nano: 227_000n },
  // 100,001 x 1.25 + 100,000 x 0.25 + 10 x 7.5: the long rates, and the long price of cached tokens.
  { provider: "gemini", model: "gemini-2.5-pro", input: 200_001, cached: 100_000, output: 10, nano: 150_076_250n },
  // 100 x 0.0125: this model lists a batch price for cached tokens.
  { provider: "gemini", model: "gemini-3.1-flash-lite", input: 100, cached: 100, output: 0, nano: 1_250n },
  // 10 x 0.5 + 20 x 0.05 + 20 x 0.625 + 10 x 1 + 5 x 2.5: a write for an hour costs half of its $2.
  { provider: "anthropic", model: "claude-haiku-4-5", input: 60, cached: 20, writes: 30, output: 5, nano: 41_000n },
  // 1 x 0.25 + 100,000 x 0.025: half of the long price of cached tokens.
  { provider: "anthropic", model: "claude-haiku-5-5", input: 100_001, cached: 100_000, output: 0, nano: 2_500_250n },
  // 172,001 x 5 + 100,000 x 0.5 + 10 x 22.5: half of the long price of cached tokens.
  { provider: "openai", model: "gpt-5.5", input: 272_001, cached: 100_000, output: 10, nano: 910_230_000n },
  // 172,001 x 2.5 + 100,000 x 0.25 + 10 x 11.25: half of the long 0.50; the short 0.13 is 0.125 rounded.
  { provider: "openai", model: "gpt-5.4", input: 272_001, cached: 100_000, output: 10, nano: 455_115_000n },
  // 600 x 0.2 + 400 x 0.2 + 10 x 0.8: no batch price of cached tokens is listed, so they cost what other input does.
  { provider: "openai", model: "gpt-4.1-mini", input: 1000, cached: 400, output: 10, nano: 208_000n },
] as const)("a line of a batch of $model is billed by its provider's rule for cached tokens", (given) => {
  const { provider, model, input, cached, output, nano } = given;
  const writes =
    "writes" in given ? { cacheWriteTokens: given.writes, cacheWrite1hTokens: 10 } : { cacheWriteTokens: 0 };
  const priced = PRICES.find(provider, model, "chat");
  if (priced === null) throw new Error(`no ${model}`);
  const usage = { inputTokens: input, cachedInputTokens: cached, outputTokens: output, ...writes };
  expect(billedNanoUsd(priced, usage, "batch")).toBe(nano);
});
