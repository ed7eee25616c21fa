import type { CheckerName } from "./checkers.js";
import type { LedgerRules } from "./memory-context.js";
import type { ScenarioKind } from "./scenario.js";
import { PLANTED_BATCHES } from "./planted-batches.js";
import { PLANTED_DIRECT } from "./planted-direct.js";
import { PLANTED_GROUPS } from "./planted-groups.js";

/**
 * Rules of the ledger in memory that are wrong: what the cases of test/contract promise of every ledger must matter. Ways in which the product
 * itself could be wrong are patches in test/planted. Each must be found by the checker that is meant for it: another one that finds it does
 * not count.
 */
export type PlantedBugs = Readonly<
  Record<string, { readonly rules: Partial<LedgerRules>; readonly caughtBy: CheckerName }>
>;

export type PlantedKind = Extract<ScenarioKind, "direct" | "mixed" | "grouped">;

/** By the kind of world in which they are looked for. */
export const PLANTED: Readonly<Record<PlantedKind, PlantedBugs>> = {
  direct: PLANTED_DIRECT,
  mixed: PLANTED_BATCHES,
  grouped: PLANTED_GROUPS,
};
