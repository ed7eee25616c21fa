import type { ScenarioKind } from "./scenario.js";
import type { BatchFaults, GroupCounts, SimulationResult } from "./simulation.js";

/** How often each is to be seen, a seed: a run in which nothing was broken would prove nothing. */

const DIRECT: Readonly<Record<keyof SimulationResult["faults"], number>> = {
  kills: 0.5,
  freezes: 0.33,
  rivals: 0.045,
  fences: 0.1,
  inDoubt: 1,
  express: 0.03,
  outlived: 0.1,
  clockJumps: 0.3,
  storms: 0,
  pauses: 0.3,
  bytePauses: 0.2,
  resumes: 0.3,
  registryAway: 0.5,
  recordsRefused: 0.3,
  topicRefused: 0.3,
  undeliverable: 0.3,
  framed: 1,
  replaysQueued: 0.3,
  replaysJoined: 0.03,
  replaysCached: 0.03,
  redelivered: 0.1,
  deadlyReads: 0.3,
  crashSuspects: 0.08,
  remakes: 0.1,
  losses: 0.1,
  truncated: 0.06,
  otherTopic: 0.04,
  gaps: 0.05,
  adopted: 0.1,
  answersBrought: 0.01,
  unsentFound: 0.01,
  waitedForMoney: 0.05,
  overBudget: 0.03,
};

/** About half of what 1,000 seeds showed, so that a change that shifts all draws stays above it. */
const MIXED: BatchFaults = {
  batchesMade: 2,
  createsLost: 0.07,
  createsAnswerLost: 0.25,
  createsLate: 0.15,
  createsFenced: 0.012,
  createsRefused: 0.25,
  batchesRefused: 0.14,
  batchesExpired: 0.1,
  batchesCancelled: 0.003,
  unlisted: 0.5,
  oddWords: 3,
  linesUntold: 0.05,
  linesTwice: 0.13,
  linesGarbled: 0.06,
  linesUnknown: 0.1,
  partsGone: 0.02,
  readsBroken: 0.14,
  readsReordered: 0.14,
  adopted: 0.3,
  madeAgain: 0.16,
  orphansAnswered: 0.008,
  orphansServed: 0.002,
  savesSecond: 0.06,
  linesReturned: 0.7,
  linesAnswered: 2.2,
  linesFailed: 0.65,
  rescued: 0.18,
  rescuesServed: 0.09,
  rescuesWasted: 0.003,
  rescuesFailed: 0.03,
  rescuesInDoubt: 0.03,
};

/** Groups that go from one session to another are rarer, and a case of every ledger. */
const GROUPED: Pick<GroupCounts, "made" | "cancelled" | "answered" | "failed" | "inDoubt" | "returned"> = {
  made: 2.2,
  cancelled: 0.3,
  answered: 1.5,
  failed: 0.5,
  inDoubt: 0.1,
  returned: 0.1,
};

export const SEEN_AT_LEAST: Readonly<Record<ScenarioKind, Readonly<Record<string, number>>>> = {
  direct: DIRECT,
  mixed: { ...MIXED },
  grouped: GROUPED,
  stormy: { storms: 1, kills: 0.4, freezes: 0.3, inDoubt: 0.5 },
  swept: { kills: 0.5 },
};

/** What a seed of this kind is judged by. */
export function countsOf(kind: ScenarioKind, result: SimulationResult): Readonly<Record<string, number>> {
  switch (kind) {
    case "direct":
    case "stormy":
    case "swept":
      return { ...result.faults };
    case "mixed":
      return { ...result.batchFaults };
    case "grouped":
      return { ...result.groups };
  }
}
