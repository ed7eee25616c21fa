import { chargeNanoUsd } from "./charge.js";
import type { ModelPrice } from "./price.js";
import { NO_USAGE, type Usage } from "./usage.js";

/** What answers of the past came to, and what they would have cost at another model's price. Nano-dollars. */
export interface RepricedSums {
  /** Calls whose tokens are known and have a price there. */
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** What they did cost; null amounts (suspect) count as `unknown`. */
  readonly paid: bigint;
  /** Each as a call of its own. */
  readonly direct: bigint;
  /** Each as a line of a batch; null: the model has no batch price. */
  readonly batch: bigint | null;
  /** Calls whose tokens or cost nobody knows, or that have no price there: in none of the sums. */
  readonly unknown: number;
  /** What is known to have been paid for those. */
  readonly unknownPaid: bigint;
}

/** One answered call, or line of a batch. */
export interface PastCall {
  readonly usage: Pick<Usage, "inputTokens" | "cachedInputTokens" | "outputTokens">;
  readonly paid: bigint | null;
}

/** Adds up calls of the past at the price of another model. Tokens are taken as they were counted then, cached ones as cached there too. */
export class Repricing {
  readonly #direct: ModelPrice;
  readonly #batch: ModelPrice | null;

  constructor(direct: ModelPrice, batch: ModelPrice | null) {
    this.#direct = direct;
    this.#batch = batch;
  }

  none(): RepricedSums {
    const batch = this.#batch === null ? null : 0n;
    return { calls: 0, inputTokens: 0, outputTokens: 0, paid: 0n, direct: 0n, batch, unknown: 0, unknownPaid: 0n };
  }

  plus(sums: RepricedSums, { usage, paid }: PastCall): RepricedSums {
    const tokens = { ...NO_USAGE, ...usage };
    const direct = chargeNanoUsd(tokens, this.#direct);
    const batch = this.#batch === null ? null : chargeNanoUsd(tokens, this.#batch);
    if (paid === null || direct.kind !== "charged" || batch?.kind === "suspect")
      return { ...sums, unknown: sums.unknown + 1, unknownPaid: sums.unknownPaid + (paid ?? 0n) };
    return {
      ...sums,
      calls: sums.calls + 1,
      inputTokens: sums.inputTokens + (usage.inputTokens ?? 0), // charged only when it is known
      outputTokens: sums.outputTokens + (usage.outputTokens ?? 0),
      paid: sums.paid + paid,
      direct: sums.direct + direct.nanoUsd,
      batch: batch === null || sums.batch === null ? null : sums.batch + batch.nanoUsd,
    };
  }
}

/** Sums of two parts at the same price. */
export function addRepriced(one: RepricedSums, other: RepricedSums): RepricedSums {
  return {
    calls: one.calls + other.calls,
    inputTokens: one.inputTokens + other.inputTokens,
    outputTokens: one.outputTokens + other.outputTokens,
    paid: one.paid + other.paid,
    direct: one.direct + other.direct,
    batch: one.batch === null || other.batch === null ? null : one.batch + other.batch,
    unknown: one.unknown + other.unknown,
    unknownPaid: one.unknownPaid + other.unknownPaid,
  };
}
