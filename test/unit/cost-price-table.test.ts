import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { nanoUsdFromText } from "../../src/domain/cost/decimal-money.js";
import { accountPriceOf, priceOf } from "../../src/domain/cost/account-price.js";
import type { OwnPrices } from "../../src/domain/cost/account-price.js";
import { listedModel, parsePriceTable, PriceTableError } from "../../src/domain/cost/price-table.js";

const TABLE_TEXT = `{"asOf":"2026-11-24","models":{
  "openai/gpt-4o":{"inputPerMTok":2.5,"outputPerMTok":10,"cachedInputPerMTok":1.25,"cacheWritePerMTok":null,"contextWindow":128000,"maxOutputTokens":16384,"capabilities":["chat","vision"],"aliases":["gpt-4o-2024-08-06"]},
  "openai/gpt-4o-2024-05-13":{"inputPerMTok":5,"outputPerMTok":15,"cachedInputPerMTok":null,"capabilities":["chat"],"status":"retired"},
  "openai/gpt-4.1-nano":{"inputPerMTok":0.1,"outputPerMTok":0.4,"cachedInputPerMTok":0.025,"capabilities":["chat"]},
  "openai/tiny":{"inputPerMTok":1e-7,"outputPerMTok":0.000000001,"capabilities":[]},
  "openai/unlisted-output":{"inputPerMTok":1,"outputPerMTok":null,"capabilities":["chat"]},
  "anthropic/claude-haiku-4-5":{"inputPerMTok":1,"outputPerMTok":5,"cachedInputPerMTok":0.1,"cacheWritePerMTok":1.25,"cacheWrite1hPerMTok":2,"capabilities":["chat"],
    "longContext":{"aboveTokens":200000,"inputPerMTok":2,"outputPerMTok":7.5,"cachedInputPerMTok":0.2},"aliases":["claude-haiku-4-5-20251001"]}
}}`;
const table = parsePriceTable(TABLE_TEXT);

describe("reading amounts", () => {
  test.each<[string, bigint | null]>([
    ["0", 0n],
    ["0.1", 100_000_000n],
    ["0.075", 75_000_000n],
    ["0.000000001", 1n],
    ["1e-7", 100n],
    ["2.50", 2_500_000_000n],
    ["12345.678901234", 12_345_678_901_234n],
    ["0.1000000000", 100_000_000n],
    ["0.0000000001", null],
    ["-1", null],
    ["", null],
    ["NaN", null],
    [".5", null],
    ["1,5", null],
  ])("%p dollars are %p nano-dollars", (text, expected) => {
    expect(nanoUsdFromText(text)).toBe(expected);
  });
});

describe("the price table", () => {
  test("gives integer nano-dollars per million and a version of date and entry", () => {
    expect(priceOf(table, "anthropic", "claude-haiku-4-5")).toEqual({
      version: "2026-11-24/anthropic/claude-haiku-4-5",
      inputNanoPerMillion: 1_000_000_000n,
      outputNanoPerMillion: 5_000_000_000n,
      cachedInputNanoPerMillion: 100_000_000n,
      cacheWriteNanoPerMillion: 1_250_000_000n,
      cacheWrite1hNanoPerMillion: 2_000_000_000n,
      longContext: {
        aboveTokens: 200_000,
        inputNanoPerMillion: 2_000_000_000n,
        outputNanoPerMillion: 7_500_000_000n,
        cachedInputNanoPerMillion: 200_000_000n,
      },
    });
  });

  test("reads parsed JSON like text", () => {
    expect(parsePriceTable(JSON.parse(TABLE_TEXT)).models.get("openai/tiny")?.price).toEqual(
      table.models.get("openai/tiny")?.price,
    );
    expect(table.models.get("openai/tiny")?.price).toMatchObject({
      inputNanoPerMillion: 100n,
      outputNanoPerMillion: 1n,
      cachedInputNanoPerMillion: null,
    });
  });

  test.each<[string, string, string | null]>([
    ["gpt-4o", "an entry", "openai/gpt-4o"],
    ["gpt-4o-2024-08-06", "an alias", "openai/gpt-4o"],
    ["gpt-4o-2024-05-13", "a dated entry of its own", "openai/gpt-4o-2024-05-13"],
    ["gpt-4o-2031-01-01", "an unlisted date", "openai/gpt-4o"],
    ["gpt-4.1-nano-20270101", "an unlisted compact date", "openai/gpt-4.1-nano"],
    ["gpt-4o-mini", "another model that begins alike", null],
    ["__proto__", "no model at all", null],
  ])("finds %s as %s", (model, _how, key) => {
    expect(listedModel(table, "openai", model)?.key ?? null).toBe(key);
  });

  test("[I3] never takes a missing price as free", () => {
    expect(priceOf(table, "openai", "unlisted-output")).toBeNull();
    expect(priceOf(table, "anthropic", "gpt-4o")).toBeNull();
  });

  test.each([
    ["a negative amount", `{"asOf":"d","models":{"a/b":{"inputPerMTok":-1,"outputPerMTok":1}}}`],
    ["an amount finer than a nano-dollar", `{"asOf":"d","models":{"a/b":{"inputPerMTok":1e-10,"outputPerMTok":1}}}`],
    [
      "an alias that is taken",
      `{"asOf":"d","models":{"a/b":{"inputPerMTok":1,"outputPerMTok":1,"aliases":["c"]},"a/c":{"inputPerMTok":1,"outputPerMTok":1}}}`,
    ],
    [
      "a half step",
      `{"asOf":"d","models":{"a/b":{"inputPerMTok":1,"outputPerMTok":1,"longContext":{"inputPerMTok":1}}}}`,
    ],
    ["no models", `{"asOf":"d"}`],
    ["no JSON", "prices"],
  ])("[I3] is refused with %s", (_what, text) => {
    expect(() => parsePriceTable(text)).toThrow(PriceTableError);
  });
});

describe("an account's own prices", () => {
  const check = (own: OwnPrices, model = "gpt-4o") => accountPriceOf(table, "openai", model, own);

  test("a factor scales each listed price, half up, and keeps null as null", () => {
    expect(check({ factor: "0.8" }, "gpt-4.1-nano")).toEqual({
      version: "2026-11-24/openai/gpt-4.1-nano*0.8",
      inputNanoPerMillion: 80_000_000n,
      outputNanoPerMillion: 320_000_000n,
      cachedInputNanoPerMillion: 20_000_000n,
      cacheWriteNanoPerMillion: null,
      cacheWrite1hNanoPerMillion: null,
      longContext: null,
    });
    expect(check({ factor: "0.5" }, "tiny")).toMatchObject({ inputNanoPerMillion: 50n, outputNanoPerMillion: 1n });
  });

  test("stated prices serve the named models and their dated versions only", () => {
    const own: OwnPrices = { perMillion: { "gpt-4o": { input: "1.5", output: "6", cachedInput: "0.5" } } };
    expect(check(own, "gpt-4o-2024-11-20")).toMatchObject({
      inputNanoPerMillion: 1_500_000_000n,
      outputNanoPerMillion: 6_000_000_000n,
      cachedInputNanoPerMillion: 500_000_000n,
    });
    expect(check(own, "gpt-4.1-nano")).toBeNull();
    expect(check(own, "constructor")).toBeNull();
  });

  test("zero prices any model at nothing", () => {
    expect(check({ zero: true }, "whatever")).toMatchObject({
      inputNanoPerMillion: 0n,
      outputNanoPerMillion: 0n,
      cacheWrite1hNanoPerMillion: 0n,
    });
  });

  test("a factor of an unlisted price is no price", () => {
    expect(check({ factor: "0.8" }, "nobody-knows")).toBeNull();
  });
});

describe("the table that comes with Sluice", () => {
  const shipped = parsePriceTable(readFileSync("schemas/pricing.json", "utf8"));

  test.each<[string, string, bigint, bigint]>([
    ["openai", "gpt-4.1-mini-2025-04-14", 400_000_000n, 1_600_000_000n],
    ["openai", "gpt-5-nano", 50_000_000n, 400_000_000n],
    ["anthropic", "claude-haiku-4-5-20251001", 1_000_000_000n, 5_000_000_000n],
  ])("prices %s/%s", (provider, model, input, output) => {
    expect(priceOf(shipped, provider, model)).toMatchObject({
      inputNanoPerMillion: input,
      outputNanoPerMillion: output,
    });
  });
});
