import type { PlantedBugs } from "./planted-bugs.js";

/** Ways in which a ledger could be wrong about batches. */
export const PLANTED_BATCHES: PlantedBugs = {
  "what a line cost is added at each read": {
    rules: { firstOutcomeStands: false },
    caughtBy: "ledger_equals_bill",
  },
  "lines that no result tells of are forgotten": {
    rules: { showsOpenLines: false },
    caughtBy: "every_line_ends",
  },
  "a line that a batch took stays in its pool": {
    rules: { bindsOnce: false },
    caughtBy: "one_live_attempt",
  },
  "a create leaves before its intent is stored": {
    rules: { keepsIntents: false },
    caughtBy: "creates_only_with_intent",
  },
  "a batch of its size is taken, whoever's it is": {
    rules: { knowsBatches: false },
    caughtBy: "adopts_its_own",
  },
  "lines of a batch that turns up stay given back": {
    rules: { takesLinesBack: false },
    caughtBy: "ledger_equals_bill",
  },
  "a line whose rescue failed is rescued again": {
    rules: { rescuedOnce: false },
    caughtBy: "rescued_once",
  },
  "the second of two answers counts as a cost like the first": {
    rules: { secondAnswer: "charged" },
    caughtBy: "second_answer_is_waste",
  },
};
