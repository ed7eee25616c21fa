import type { Evidence, Violation } from "../evidence/evidence.js";
import { checkBounds } from "./check-bounds.js";
import { budgetOverrun, checkBudget } from "./check-budget.js";
import { checkConservation } from "./check-conservation.js";
import { checkDeadLetters } from "./check-dead-letters.js";
import { checkDeadlines } from "./check-deadlines.js";
import { checkDedupe } from "./check-dedupe.js";
import { boundOf, checkDoubt, doubtful } from "./check-doubt.js";
import { checkIsolation } from "./check-isolation.js";
import { checkLiveness } from "./check-liveness.js";
import { checkMoney } from "./check-money.js";
import { checkNoLineTwice, SUBMITTED_TWICE } from "./check-no-line-twice.js";
import { checkOffsets } from "./check-offsets.js";
import { checkOneResult } from "./check-one-result.js";
import { checkRebuild } from "./check-rebuild.js";
import { checkRightAnswer } from "./check-right-answer.js";
import { checkStates } from "./check-states.js";
import { isResent } from "../evidence/record.js";
import { resultsByGeneration } from "./lookups.js";

/** A checker: judges the whole evidence, changes nothing and asks nobody else. */
export type Checker = (evidence: Evidence) => readonly Violation[];

/** One a promise. A violation bears the name that its checker has here. */
export const CHECKERS = {
  conservation: checkConservation,
  one_result: checkOneResult,
  right_answer: checkRightAnswer,
  no_line_twice: checkNoLineTwice,
  money: checkMoney,
  budget: checkBudget,
  offsets: checkOffsets,
  states: checkStates,
  dedupe: checkDedupe,
  dead_letters: checkDeadLetters,
  isolation: checkIsolation,
  deadlines: checkDeadlines,
  liveness: checkLiveness,
  bounds: checkBounds,
  doubt: checkDoubt,
  rebuild: checkRebuild,
} as const satisfies Record<string, Checker>;
export type CheckerName = keyof typeof CHECKERS;

/** What a run came to. */
export interface CheckReport {
  readonly violations: readonly Violation[];
  /** How many each checker has; 0 stands there too, so that nobody takes a checker that was not run for one that found nothing. */
  readonly byChecker: Readonly<Record<CheckerName, number>>;
  readonly figures: CheckFigures;
}

/** The figures of a run that the checkers know; what was done to it, the conductor counts. */
export interface CheckFigures {
  readonly jobs: number;
  /** Records or jobs without an end that somebody can see. */
  readonly lost: number;
  /** Results of one generation with other bytes. */
  readonly answeredTwice: number;
  /** Copies of results with equal bytes, beyond the first. */
  readonly repeats: number;
  /** Results sent again for newer records of their jobs. */
  readonly resent: number;
  /** Lines of batches that were submitted twice without a proof of absence. */
  readonly submittedTwice: number;
  readonly inDoubt: number;
  readonly doubtBound: number;
  readonly ledgerEqualsBill: boolean;
  readonly budgetOverrunNanoUsd: bigint;
  /** From the last fault to the end of all work; null: that never came. */
  readonly settledS: number | null;
}

/** Runs every checker. Pure: the same evidence gives the same report. */
export function checkAll(evidence: Evidence): CheckReport {
  const found = Object.entries(CHECKERS).map(([name, check]) => [name, check(evidence)] as const);
  const violations = found.flatMap(([, list]) => list);
  const counts = Object.fromEntries(found.map(([name, list]) => [name, list.length])) as Record<CheckerName, number>; // of the same keys
  return { violations, byChecker: counts, figures: figuresOf(evidence, violations) };
}

function figuresOf(evidence: Evidence, violations: readonly Violation[]): CheckFigures {
  const count = (matches: (violation: Violation) => boolean): number => violations.filter(matches).length;
  const { run, ledger, topics } = evidence;
  const copies = [...resultsByGeneration(evidence).values()].reduce((sum, { length }) => sum + length - 1, 0);
  return {
    jobs: ledger.jobs.length,
    lost: count(({ rule, checker }) => LOST.has(`${checker} ${rule}`)),
    answeredTwice: count(({ rule }) => rule === "answered_twice" || rule === "two_generations_succeeded"),
    repeats: copies,
    resent: topics.results.filter(({ record }) => isResent(record)).length,
    submittedTwice: count(({ rule, checker }) => checker === "no_line_twice" && SUBMITTED_TWICE.has(rule)),
    inDoubt: doubtful(evidence).size,
    doubtBound: boundOf(evidence).doubtBound,
    ledgerEqualsBill: count(({ checker }) => checker === "money") === 0,
    budgetOverrunNanoUsd: budgetOverrun(evidence),
    settledS: run.settledAtMs === null ? null : (run.settledAtMs - run.faultsEndedAtMs) / 1000,
  };
}

/** What somebody who waits for an answer would call lost. */
const LOST: ReadonlySet<string> = new Set([
  "conservation lost",
  "conservation record_gone",
  "conservation never_ended",
  "conservation unread",
  "one_result lost",
]);
