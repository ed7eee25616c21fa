import { grantWithin, type PlacedWish } from "../../../src/domain/budget/budget.js";
import { LANE } from "../../../src/domain/dedupe/choose-execution.js";
import { LEDGER_RULES } from "./memory-context.js";
import type { PlantedBugs } from "./planted-bugs.js";

/** Ways to be wrong about calls, put in from here; the product has no switch for them. */
export const PLANTED_DIRECT: PlantedBugs = {
  "Kafka's offset is committed before the intake": {
    bug: { commitsFirst: true },
    caughtBy: "offsets_behind_ledger",
  },
  "the relay deletes before the acknowledgement": {
    // The stage is told of an acknowledgement at once, so it drops the queue's rows while the records are still on their way.
    bug: {
      publisher: (real) => ({
        publish: (topic, records) => {
          real.publish(topic, records).catch(() => undefined);
          return Promise.resolve({ kind: "acknowledged" });
        },
      }),
    },
    caughtBy: "every_result_published",
  },
  "the relay takes a refusal for an acknowledgement": {
    bug: {
      publisher: (real) => ({
        publish: async (topic, records) => {
          await real.publish(topic, records);
          return { kind: "acknowledged" };
        },
      }),
    },
    caughtBy: "every_result_published",
  },
  "fetching goes on never again once it stopped at a mark": {
    // The watchdog mends it by starting the consumer anew, which no healthy run needs.
    bug: { neverResumes: true },
    caughtBy: "no_stage_breaks",
  },
  "a replay locks and marks nothing": {
    bug: { rules: { replaysOnce: false } },
    caughtBy: "one_job_a_generation",
  },
  "finish decides without looking at session and attempt": {
    bug: { rules: { holds: (execution) => execution.state === "running" } },
    caughtBy: "one_live_attempt",
  },
  "finish reads the waiting jobs in the statement that ends the execution": {
    bug: { rules: { waitersOnOldSnapshot: true } },
    caughtBy: "no_job_lost",
  },
  "the position is moved without its guard": {
    bug: {
      rules: {
        movePosition: (row, move, groupNo) => ({
          ...row,
          next: Math.max(row.next, move.upto),
          witness: move.witness,
          lastGroup: groupNo,
        }),
      },
    },
    caughtBy: "position_skips_nothing",
  },
  "the position is set back by a redelivery": {
    bug: {
      rules: {
        movePosition: (row, move, groupNo) => {
          const moved = LEDGER_RULES.movePosition(row, move, groupNo);
          return moved === null ? null : { ...moved, next: move.upto };
        },
      },
    },
    caughtBy: "position_never_goes_back",
  },
  "a job in a hurry takes the express lane from a call that is out": {
    bug: {
      rules: {
        choose: (found, job, nowMs) => {
          const choice = LEDGER_RULES.choose(found, job, nowMs);
          if (choice.kind !== "take" || choice.execution.lane === LANE.ordinary) return choice;
          return { kind: "open", lane: LANE.express, instead: choice.execution };
        },
      },
    },
    caughtBy: "one_execution_a_lane",
  },
  "the record before the position is not compared": {
    bug: { hears: { position: ({ next }) => ({ next, witness: null }) } },
    caughtBy: "no_job_lost",
  },
  "every mark is taken for that of a dead session": {
    bug: { hears: { mark: (mark) => (mark === null ? null : { ...mark, fate: "died" }) } },
    caughtBy: "suspects_are_deadly",
  },
  "what is left of a budget is read, and not held until the reservation is stored": {
    bug: { rules: { locksBudgets: false } },
    caughtBy: "budget_holds",
  },
  "only the tenant is asked whether there is money": {
    bug: {
      rules: {
        grants: (wishes, standings) => {
          const asked = grantWithin(wishes.map(ofTenantAlone), standings);
          return { ...asked, granted: wishes.filter(({ attemptNo }) => !asked.refused.has(attemptNo)) };
        },
      },
    },
    caughtBy: "budget_holds",
  },
  "a call counts in its tenant's budget alone": {
    bug: { rules: { reservesIn: (places) => ofTenantAlone({ places }).places } },
    caughtBy: "reservations_are_true",
  },
  "the money of a call is settled in one of its budgets": {
    bug: { rules: { settlesIn: (held) => held.slice(0, 1) } },
    caughtBy: "reservations_are_true",
  },
  "a call that was never sent keeps its money": {
    bug: { rules: { releasesUnsent: false } },
    caughtBy: "reservations_are_true",
  },
  "a call in doubt gives its money back": {
    bug: { rules: { settles: (calls) => calls } },
    caughtBy: "reservations_are_true",
  },
  "only what was answered is settled": {
    bug: { rules: { settles: (calls) => calls.filter(({ verdict }) => verdict.kind === "succeed") } },
    caughtBy: "reservations_are_true",
  },
  "a call that fails without time for its first job ends those that have more": {
    bug: { rules: { verdict: (verdict) => verdict } },
    caughtBy: "patience_is_its_own",
  },
};

/** Without departments, applications and accounts. */
function ofTenantAlone<Wish extends Pick<PlacedWish, "places">>(wish: Wish): Wish {
  const places = wish.places.filter(
    ({ budget: { level } }) => level.of === "tenant" && level.department === null && level.application === null,
  );
  return { ...wish, places };
}
