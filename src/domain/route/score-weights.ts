import type { EpochMs } from "../ids.js";
import type { Tier } from "../job/job.js";
import { isWithin, type WeekHours } from "./week-hours.js";

/** How much each aspect of a route counts, against each other; from 0 up, not all 0. */
export interface ScoreWeights {
  readonly cost: number;
  readonly latency: number;
  readonly reliability: number;
}

/** The chains that every config has; it may give them other weights and add more. */
export const BUILT_IN_CHAINS: Readonly<Record<string, ScoreWeights>> = {
  standard: { cost: 4, latency: 3, reliability: 3 },
  cost: { cost: 8, latency: 1, reliability: 1 },
  fast: { cost: 1, latency: 7, reliability: 2 },
};

/** What the weights of a chain are multiplied by for a job's tier and the time of day; 1 leaves them as they are. */
export interface WeightFactors {
  readonly tiers: Readonly<Record<Exclude<Tier, "standard">, ScoreWeights>>;
  /** Null: no hour differs from another. */
  readonly businessHours: BusinessHours | null;
}

export interface BusinessHours {
  readonly hours: WeekHours;
  /** Inside the hours people wait for answers, outside of them only the bill does. */
  readonly latencyFactor: number;
  readonly offPeakCostFactor: number;
}

export const DEFAULT_WEIGHT_FACTORS: WeightFactors = {
  tiers: {
    premium: { cost: 0.5, latency: 1.5, reliability: 2 },
    free: { cost: 3, latency: 0.5, reliability: 0.5 },
  },
  businessHours: null,
};

/**
 * Weights of all chains for every tier and hour, worked out once: what a job needs is looked up.
 * @param chains besides the built-in ones; one of the same name replaces it.
 */
export class ChainWeights {
  readonly #chains: ReadonlyMap<string, readonly ScoreWeights[]>;
  readonly #hours: BusinessHours | null;

  constructor(chains: Readonly<Record<string, ScoreWeights>>, factors: WeightFactors) {
    this.#hours = factors.businessHours;
    const all = Object.entries({ ...BUILT_IN_CHAINS, ...chains });
    this.#chains = new Map(all.map(([name, weights]) => [name, variants(weights, factors)]));
  }

  /** One that is no longer in the config counts as `standard`: the job was admitted with it. */
  of(chain: string, tier: Tier, nowMs: EpochMs): ScoreWeights {
    const variants = this.#chains.get(chain) ?? this.#chains.get("standard");
    const hours = this.#hours;
    const time = hours === null ? 0 : isWithin(hours.hours, nowMs) ? 1 : 2;
    return variants?.[TIERS.indexOf(tier) * TIMES + time] ?? EVEN;
  }
}

const TIERS: readonly Tier[] = ["standard", "premium", "free"];
/** Always, in business hours, outside of them. */
const TIMES = 3;
const EVEN: ScoreWeights = { cost: 1, latency: 1, reliability: 1 };

/** For each tier in the order above: as they are, in business hours, outside of them. */
function variants(weights: ScoreWeights, { tiers, businessHours }: WeightFactors): readonly ScoreWeights[] {
  const latency = businessHours?.latencyFactor ?? 1;
  const cost = businessHours?.offPeakCostFactor ?? 1;
  return TIERS.flatMap((tier) => {
    const own = tier === "standard" ? weights : times(weights, tiers[tier]);
    return [own, times(own, { ...EVEN, latency }), times(own, { ...EVEN, cost })];
  });
}

function times(one: ScoreWeights, other: ScoreWeights): ScoreWeights {
  return {
    cost: one.cost * other.cost,
    latency: one.latency * other.latency,
    reliability: one.reliability * other.reliability,
  };
}
