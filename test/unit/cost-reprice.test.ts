import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ZERO_PRICE } from "../../src/domain/cost/account-price.js";
import { addRepriced, Repricing, type PastCall } from "../../src/domain/cost/reprice.js";

const price = (input: bigint, cached: bigint | null, output: bigint) => ({
  ...ZERO_PRICE,
  inputNanoPerMillion: input,
  cachedInputNanoPerMillion: cached,
  outputNanoPerMillion: output,
});
const call = (input: number | null, cached: number | null, output: number | null, paid: bigint | null): PastCall => ({
  usage: { inputTokens: input, cachedInputTokens: cached, outputTokens: output },
  paid,
});
const DIRECT = price(2_000_000n, 500_000n, 8_000_000n);
const BATCH = price(1_000_000n, null, 4_000_000n);

describe("calls of the past at another price", () => {
  test("cost what their tokens cost there, by a call and in a batch", () => {
    const repricing = new Repricing(DIRECT, BATCH);
    // 60 x 2 + 40 x 0.5 + 10 x 8, and 100 x 1 + 10 x 4
    expect(repricing.plus(repricing.none(), call(100, 40, 10, 77n))).toEqual({
      ...{ calls: 1, inputTokens: 100, outputTokens: 10, paid: 77n, direct: 220n, batch: 140n, unknown: 0 },
      unknownPaid: 0n,
    });
  });

  test.each([
    ["tokens of the prompt", call(null, null, 5, 9n), 9n],
    ["tokens of the answer", call(5, null, null, 9n), 9n],
    ["cost", call(5, null, 5, null), 0n],
  ])("whose %s nobody knows are counted apart, not as 0", (_name, past, unknownPaid) => {
    const repricing = new Repricing(DIRECT, null);
    expect(repricing.plus(repricing.none(), past)).toEqual({ ...repricing.none(), unknown: 1, unknownPaid });
  });

  test("have no batch price where the model has none", () => {
    const repricing = new Repricing(DIRECT, null);
    expect(repricing.plus(repricing.none(), call(1, 0, 1, 1n)).batch).toBeNull();
  });

  test("add up the same in any parts, and every call is in one of the two counts", () => {
    const repricing = new Repricing(DIRECT, BATCH);
    const tokens = fc.option(fc.nat(1_000_000));
    const past = fc.record({
      input: tokens,
      cached: tokens,
      output: tokens,
      paid: fc.option(fc.bigInt(0n, 10n ** 12n)),
    });
    const sumOf = (calls: readonly PastCall[]) =>
      calls.reduce((sums, one) => repricing.plus(sums, one), repricing.none());
    fc.assert(
      fc.property(fc.array(past), fc.nat(50), (pasts, at) => {
        const calls = pasts.map(({ input, cached, output, paid }) => call(input, cached, output, paid));
        const whole = sumOf(calls);
        expect(addRepriced(sumOf(calls.slice(0, at)), sumOf(calls.slice(at)))).toEqual(whole);
        expect(whole.calls + whole.unknown).toBe(calls.length);
        expect(whole.paid + whole.unknownPaid).toBe(calls.reduce((sum, { paid }) => sum + (paid ?? 0n), 0n));
      }),
    );
  });
});
