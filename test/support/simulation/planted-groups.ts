import type { PlantedBugs } from "./planted-bugs.js";

/** Ways in which a ledger could be wrong about lines that are calls. */
export const PLANTED_GROUPS: PlantedBugs = {
  "a line stays open beside its call": { rules: { startsOnce: false }, caughtBy: "one_live_attempt" },
  "a group ends while a line of it is called": { rules: { countsCalls: false }, caughtBy: "every_line_ends" },
};
