import type { BudgetPlace } from "../../../src/domain/budget/budget.js";
import type { PlantedBugs } from "./planted-bugs.js";

/** Ways in which a ledger could be wrong about calls. */
export const PLANTED_DIRECT: PlantedBugs = {
  "a replay locks and marks nothing": {
    rules: { replaysOnce: false },
    caughtBy: "one_job_a_generation",
  },
  "finish decides without looking at session and attempt": {
    rules: { holds: (execution) => execution.state === "running" },
    caughtBy: "one_live_attempt",
  },
  "finish reads the waiting jobs in the statement that ends the execution": {
    rules: { waitersOnOldSnapshot: true },
    caughtBy: "no_job_lost",
  },
  "the position is moved without its guard": {
    rules: {
      movePosition: (row, move, groupNo) => ({
        ...row,
        next: Math.max(row.next, move.upto),
        witness: move.witness,
        lastGroup: groupNo,
      }),
    },
    caughtBy: "position_skips_nothing",
  },
  "the position is set back by a redelivery": {
    rules: {
      movePosition: (row, move, groupNo) =>
        row.next < move.since ? null : { ...row, next: move.upto, witness: move.witness, lastGroup: groupNo },
    },
    caughtBy: "position_never_goes_back",
  },
  "what is left of a budget is read, and not held until the reservation is stored": {
    rules: { locksBudgets: false },
    caughtBy: "budget_holds",
  },
  "a call counts in its tenant's budget alone": {
    rules: { reservesIn: (places) => places.filter(isTenantAlone) },
    caughtBy: "reservations_are_true",
  },
  "the money of a call is settled in one of its budgets": {
    rules: { settlesIn: (held) => held.slice(0, 1) },
    caughtBy: "reservations_are_true",
  },
  "a call that was never sent keeps its money": {
    rules: { releasesUnsent: false },
    caughtBy: "reservations_are_true",
  },
  "a call in doubt gives its money back": {
    rules: { settles: (calls) => calls },
    caughtBy: "reservations_are_true",
  },
  "only what was answered is settled": {
    rules: { settles: (calls) => calls.filter(({ verdict }) => verdict.kind === "succeed") },
    caughtBy: "reservations_are_true",
  },
};

/** Not a department's, an application's or an account's. */
function isTenantAlone({ budget: { level } }: BudgetPlace): boolean {
  return level.of === "tenant" && level.department === null && level.application === null;
}
