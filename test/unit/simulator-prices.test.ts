import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { billedNanoUsd } from "../../src/simulator/engine/bill-price.js";
import { nanoFromDollars, priceTable } from "../../src/simulator/engine/price-table.js";
import type { PricedModel } from "../../src/simulator/engine/price-table.js";

const PRICING = readFileSync(new URL("../../schemas/pricing.json", import.meta.url), "utf8");

function model(provider: "openai" | "anthropic", name: string): PricedModel {
  const found = priceTable(PRICING).find(provider, name, "chat");
  if (found === null) throw new Error(`no ${name}`);
  return found;
}

describe("the simulator's bill rule", () => {
  const cases = [
    // 100 x 400,000,000 + 33 x 1,600,000,000 = 92,800,000,000, over a million.
    {
      name: "prices plain input and output",
      model: model("openai", "gpt-4.1-mini"),
      usage: [100, 0, 0, 33],
      nano: 92_800n,
    },
    // 60 x 0.4 + 40 x 0.1 + 10 x 1.6 dollars per million = 24 + 4 + 16 micro-dollars.
    {
      name: "prices cached input at its own rate",
      model: model("openai", "gpt-4.1-mini"),
      usage: [100, 40, 0, 10],
      nano: 44_000n,
    },
    // 10 x 1 + 20 x 0.1 + 30 x 1.25 + 5 x 5 micro-dollars.
    {
      name: "prices cache writes at their own rate",
      model: model("anthropic", "claude-haiku-4-5"),
      usage: [60, 20, 30, 5],
      nano: 74_500n,
    },
    {
      name: "charges the long rate for the whole call above the mark",
      model: model("anthropic", "claude-haiku-5-5"),
      usage: [100_001, 0, 0, 10],
      nano: 50_025_500n,
    },
    {
      name: "keeps the plain rate at the mark itself",
      model: model("anthropic", "claude-haiku-5-5"),
      usage: [100_000, 0, 0, 10],
      nano: 10_005_000n,
    },
    { name: "charges nothing for nothing", model: model("openai", "gpt-4o"), usage: [0, 0, 0, 0], nano: 0n },
  ] as const;

  test.each(cases)("$name", ({ model: priced, usage, nano }) => {
    const [inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens] = usage;
    expect(billedNanoUsd(priced, { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens }, "direct")).toBe(
      nano,
    );
  });

  test.each([
    { price: "0.0005", tokens: 1, nano: 1n }, // exactly half a nano-dollar rounds up
    { price: "0.000499999", tokens: 1, nano: 0n },
    { price: "0.0015", tokens: 1, nano: 2n },
    { price: "0.001", tokens: 3, nano: 3n },
  ])("rounds $tokens tokens at $price dollars per million half up, once", ({ price, tokens, nano }) => {
    const table = priceTable('{"models":{}}', { own: { inputPerMTok: price, outputPerMTok: "0" } });
    const own = table.find("openai", "own", "chat");
    if (own === null) throw new Error("expected the own model");
    expect(
      billedNanoUsd(own, { inputTokens: tokens, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 7 }, "direct"),
    ).toBe(nano);
  });
});

describe("the simulator's price list", () => {
  test.each([
    ["0.075", 75_000_000n],
    ["30", 30_000_000_000n],
    ["0.000000001", 1n],
    ["2.50", 2_500_000_000n],
    ["0", 0n],
  ])("reads %s dollars exactly", (text, nano) => {
    expect(nanoFromDollars(text)).toBe(nano);
  });

  test.each(["-1", "1e-7", "", "1.", ".5", "0.0000000001", "1,5"])("refuses the price %p", (text) => {
    expect(() => nanoFromDollars(text)).toThrow(/price/);
  });

  test("keeps the digits of a price that a float would blur", () => {
    const table = priceTable(
      '{"notes":"at 5, : 6,","models":{"openai/x":{"inputPerMTok":123456789012.123456789,"outputPerMTok":0,"capabilities":["chat"],"status":"current"}}}',
    );
    expect(table.find("openai", "x", "chat")?.prices.input).toBe(123_456_789_012_123_456_789n);
  });

  test("answers under the dated name, whether asked by the short or the dated one", () => {
    expect(model("openai", "gpt-4.1-mini").version).toBe("gpt-4.1-mini-2025-04-14");
    expect(model("openai", "gpt-4o-2024-11-20").version).toBe("gpt-4o-2024-11-20");
    expect(model("anthropic", "claude-haiku-4-5").version).toBe("claude-haiku-4-5-20251001");
    expect(model("anthropic", "claude-sonnet-5").version).toBe("claude-sonnet-5");
  });

  test.each([
    ["openai", "gpt-9"],
    ["openai", "claude-haiku-4-5"],
    ["openai", "text-embedding-3-small"],
    ["anthropic", "claude-3-opus-20240229"],
    ["openai", "__proto__"],
  ] as const)("has no chat model for %s %s", (provider, name) => {
    expect(priceTable(PRICING).find(provider, name, "chat")).toBeNull();
  });

  test("names the entry whose price can't be read", () => {
    expect(() =>
      priceTable('{"models":{"openai/bad":{"inputPerMTok":1e-12,"outputPerMTok":1,"capabilities":["chat"]}}}'),
    ).toThrow(/openai\/bad/);
  });
});
