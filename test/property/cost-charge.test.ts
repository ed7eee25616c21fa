import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { chargeNanoUsd, maxCostNanoUsd } from "../../src/domain/cost/charge.js";
import type { ModelPrice } from "../../src/domain/cost/price.js";
import type { Usage } from "../../src/domain/cost/usage.js";

const nano = fc.bigInt({ min: 0n, max: 100_000_000_000n });
const optionalNano = fc.option(nano);

/** Prices as lists have them: a long-context step never lowers a rate, reading a cache never costs more than the prompt. */
const price: fc.Arbitrary<ModelPrice> = fc
  .record({
    input: nano,
    output: nano,
    cached: optionalNano,
    write: optionalNano,
    write1h: optionalNano,
    step: fc.boolean(),
    aboveTokens: fc.nat(50_000),
    growth: fc.bigInt(1n, 4n),
  })
  .map((one) => ({
    version: "generated",
    inputNanoPerMillion: one.input,
    outputNanoPerMillion: one.output,
    cachedInputNanoPerMillion: one.cached,
    cacheWriteNanoPerMillion: one.write,
    cacheWrite1hNanoPerMillion: one.write1h,
    longContext: one.step
      ? {
          aboveTokens: one.aboveTokens,
          inputNanoPerMillion: one.input * one.growth,
          outputNanoPerMillion: one.output * one.growth,
          cachedInputNanoPerMillion: one.cached,
        }
      : null,
  }));

const usage: fc.Arbitrary<Usage> = fc
  .record({
    plain: fc.nat(60_000),
    cached: fc.option(fc.nat(60_000)),
    write: fc.option(fc.nat(1_000)),
    write1h: fc.option(fc.nat(1_000)),
    output: fc.nat(60_000),
  })
  .map((one) => ({
    inputTokens: one.plain + (one.cached ?? 0) + (one.write ?? 0) + (one.write1h ?? 0),
    cachedInputTokens: one.cached,
    cacheWriteTokens: one.write,
    cacheWrite1hTokens: one.write1h,
    outputTokens: one.output,
    reasoningTokens: null,
  }));

describe("charges", () => {
  test("are never negative and never above the call's bound", () => {
    fc.assert(
      fc.property(usage, price, fc.nat(500), (tokens, rates, spare) => {
        const charge = chargeNanoUsd(tokens, rates);
        if (charge.kind === "suspect") return;
        const bound = {
          bodyBytes: tokens.inputTokens ?? 0,
          maxOutputTokens: (tokens.outputTokens ?? 0) + spare,
          overheadTokens: spare,
        };
        expect(charge.nanoUsd >= 0n).toBe(true);
        expect(charge.nanoUsd <= maxCostNanoUsd(bound, rates)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test("grow with output and with input tokens", () => {
    fc.assert(
      fc.property(usage, price, fc.nat(5_000), fc.boolean(), (tokens, rates, more, ofOutput) => {
        const larger: Usage = ofOutput
          ? { ...tokens, outputTokens: (tokens.outputTokens ?? 0) + more }
          : { ...tokens, inputTokens: (tokens.inputTokens ?? 0) + more };
        const before = chargeNanoUsd(tokens, rates);
        const after = chargeNanoUsd(larger, rates);
        if (before.kind === "charged" && after.kind === "charged") expect(after.nanoUsd >= before.nanoUsd).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test("[I4] of whole numbers of tokens never differ from exact arithmetic by more than half a nano-dollar", () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.nat(1_000_000), nano, nano, (input, output, inputRate, outputRate) => {
        const rates: ModelPrice = {
          version: "x",
          inputNanoPerMillion: inputRate,
          outputNanoPerMillion: outputRate,
          cachedInputNanoPerMillion: null,
          cacheWriteNanoPerMillion: null,
          cacheWrite1hNanoPerMillion: null,
          longContext: null,
        };
        const charge = chargeNanoUsd(
          {
            inputTokens: input,
            cachedInputTokens: null,
            cacheWriteTokens: null,
            cacheWrite1hTokens: null,
            outputTokens: output,
            reasoningTokens: null,
          },
          rates,
        );
        if (charge.kind !== "charged") throw new Error("expected a charge");
        const exactTimesMillion = BigInt(input) * inputRate + BigInt(output) * outputRate;
        const off = charge.nanoUsd * 1_000_000n - exactTimesMillion;
        expect(off <= 500_000n && off > -500_000n).toBe(true);
      }),
    );
  });
});
