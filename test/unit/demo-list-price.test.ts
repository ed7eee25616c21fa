import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { listPriceOf, parsePriceList } from "../../src/demo/reader/list-price.js";

const PRICES = parsePriceList(readFileSync(new URL("../../schemas/pricing.json", import.meta.url), "utf8"));

test.each<[string, number, number, bigint | null]>([
  ["openai/gpt-4.1-mini", 23, 18, 38_000n],
  ["openai/gpt-4.1-mini", 1, 0, 400n],
  ["anthropic/claude-haiku-4-5", 1000, 100, 1_500_000n],
  ["openai/no-such-model", 1, 1, null],
])("%s: %d and %d tokens are %d nano-dollars", (model, input, output, nanoUsd) => {
  expect(listPriceOf(PRICES, model, input, output)).toBe(nanoUsd);
});

test("the dearer price of long prompts is that of all of their tokens, and half a nano-dollar counts as a whole one", () => {
  const longContext = { aboveTokens: 10, inputPerMTok: 0.0005, outputPerMTok: 0.003 };
  const text = JSON.stringify({ models: { "a/m": { inputPerMTok: 0.0001, outputPerMTok: 0.001, longContext } } });
  const prices = parsePriceList(text);
  expect([10, 11].map((input) => listPriceOf(prices, "a/m", input, 0))).toEqual([1n, 6n]); // 1.0 and 5.5
  expect(listPriceOf(prices, "a/m", 4, 0)).toBe(0n); // 0.4
});

test("a model without a price is left out, and what is no price list is refused", () => {
  const models = { "a/m": { inputPerMTok: null, outputPerMTok: 1 } };
  expect(parsePriceList(JSON.stringify({ models })).size).toBe(0);
  expect(() => parsePriceList("[]")).toThrow("expected a price list");
  const step = { inputPerMTok: 1, outputPerMTok: 1, longContext: { aboveTokens: 10, inputPerMTok: 2 } };
  expect(() => parsePriceList(JSON.stringify({ models: { "a/m": step } }))).toThrow("long prompts of a/m");
});
