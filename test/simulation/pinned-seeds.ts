import type { Kept } from "../support/simulation/cut-down.js";
import type { ScenarioKind } from "../support/simulation/scenario.js";

/** A seed that once showed a bug of the product, cut down to what showed it, and what it was. */
export interface PinnedSeed {
  readonly kind: ScenarioKind;
  readonly seed: number;
  readonly kept: Kept;
  readonly was: string;
}

/** What `npm run simulate` prints for a failing seed goes here. They must hold for ever. */
export const PINNED_SEEDS: readonly PinnedSeed[] = [];
