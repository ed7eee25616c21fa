import type { PlantedBugs } from "./planted-bugs.js";

/** Ways to be wrong about lines that are calls, put in from here; the product has no switch for them. */
export const PLANTED_GROUPS: PlantedBugs = {
  "a line stays open beside its call": { bug: { rules: { startsOnce: false } }, caughtBy: "one_live_attempt" },
  "a group ends while a line of it is called": { bug: { rules: { countsCalls: false } }, caughtBy: "every_line_ends" },
};
