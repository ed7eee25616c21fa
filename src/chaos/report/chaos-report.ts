import type { ChaosOptions } from "../chaos-options.js";
import type { FaultTally } from "../conductor.js";
import type { Evidence, Fault, FaultKind, RunParameters, Violation } from "../evidence/evidence.js";
import type { OpenWork } from "../ledger-view.js";
import { killsWithWorkMin, minimumsFor, type CountedFault } from "../plan/minimums.js";
import type { RouterExit } from "../routers/router-pool.js";
import { counted, figuresOf, type RunFigures } from "./run-figures.js";

/** What the conductor knows of its run. */
export interface RunFacts {
  readonly options: ChaosOptions;
  readonly run: RunParameters;
  readonly tally: FaultTally;
  /** Of routers, by SIGKILL: from outside and by themselves. */
  readonly kills: number;
  readonly exits: readonly RouterExit[];
  /** How often each was hit. */
  readonly crashPoints: Readonly<Record<string, number>>;
  readonly crashPointsMissed: readonly string[];
  /** Null: they were jumped. */
  readonly noClockJumps: string | null;
  readonly sendsRepeated: number;
  /** Calls whose outcome nobody knew before the bill was read. */
  readonly inDoubt: number;
  /** At most so many may be: calls in the air at kills, stops and cut connections, and those that passed their deadline. */
  readonly doubtBound: number;
  /** What was left where it did not settle; null: it did. */
  readonly left: OpenWork | null;
}

/** The last line of stdout, as `--json` prints it. */
export interface ChaosFigures {
  readonly jobs: number;
  readonly minutes: number;
  readonly seed: number;
  readonly doubt: string;
  readonly brokers: number;
  readonly routerKills: number;
  readonly killsWithWorkInFlight: number;
  readonly routerStops: number;
  readonly brokerKills: number;
  readonly postgresKills: number;
  readonly redisKills: number;
  /** "not run" where clocks can't be jumped. */
  readonly clockJumps: number | "not run";
  readonly networkFaults: number;
  readonly crashPointsHit: number;
  readonly crashPoints: number;
  readonly lost: number;
  readonly answeredTwice: number;
  readonly submittedTwice: number;
  readonly inDoubt: number;
  readonly doubtBound: number;
  readonly ledgerEqualsBill: boolean;
  readonly budgetOverrunNanoUsd: string;
  readonly settledS: number | null;
  readonly violations: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly results: Readonly<Record<string, number>>;
  readonly calls: number;
  readonly batchLines: number;
  readonly routerExits: number;
  readonly rssMaxMb: number;
  readonly broken: number;
}

export interface ChaosReport {
  readonly facts: RunFacts;
  readonly figures: ChaosFigures;
  readonly violations: readonly Violation[];
  /** What did not hold, in words; empty exactly when the run has passed. */
  readonly broken: readonly string[];
  readonly json: string;
  readonly text: string;
}

/** Holds what was seen against what was promised, and what was done against what had to be done. */
export function reportOf(evidence: Evidence, facts: RunFacts, violations: readonly Violation[]): ChaosReport {
  const figures = chaosFigures(evidence, facts, violations);
  const money = figuresOf(evidence);
  const broken = [...brokenPromises(figures, money, facts), ...missingFaults(figures, facts), ...violationWords(violations)];
  const shown = { ...figures, broken: broken.length };
  return { facts, figures: shown, violations, broken, json: JSON.stringify(shown), text: textOf(shown) };
}

function chaosFigures(evidence: Evidence, facts: RunFacts, violations: readonly Violation[]): ChaosFigures {
  const { options, run, kills, crashPoints, crashPointsMissed, noClockJumps } = facts;
  const { faults, samples } = evidence;
  const found = figuresOf(evidence);
  const count = (...kinds: readonly FaultKind[]): number => faults.filter(({ kind }) => kinds.includes(kind)).length;
  const isKill = ({ kind, signal }: Fault): boolean =>
    (kind === "router_kill" || kind === "crash_point") && signal === "SIGKILL";
  return {
    jobs: options.jobs,
    minutes: options.minutes,
    seed: options.seed,
    doubt: options.doubt,
    brokers: options.brokers,
    routerKills: Math.min(kills, faults.filter(isKill).length),
    killsWithWorkInFlight: faults.filter((fault) => isKill(fault) && fault.workInFlight).length,
    routerStops: count("router_stop"),
    brokerKills: count("broker_kill"),
    postgresKills: count("postgres_kill"),
    redisKills: count("redis_kill"),
    clockJumps: noClockJumps === null ? count("clock_jump") : "not run",
    networkFaults: count("network_cut", "network_slow"),
    crashPointsHit: Object.keys(crashPoints).length - crashPointsMissed.length,
    crashPoints: Object.keys(crashPoints).length,
    lost: found.lost,
    answeredTwice: found.answeredTwice,
    submittedTwice: found.submittedTwice,
    inDoubt: facts.inDoubt,
    doubtBound: facts.doubtBound,
    ledgerEqualsBill: found.ledgerEqualsBill,
    budgetOverrunNanoUsd: String(found.budgetOverrunNanoUsd),
    settledS: run.settledAtMs === null ? null : Math.round((run.settledAtMs - run.faultsEndedAtMs) / 100) / 10,
    violations: violations.length,
    faults: counted(faults.map(({ kind }) => kind)),
    results: found.resultsByStatus,
    calls: found.calls,
    batchLines: found.batchLines,
    routerExits: facts.exits.length,
    rssMaxMb: Math.round(Math.max(0, ...samples.processes.map(({ rssBytes }) => rssBytes)) / 2 ** 20),
    broken: 0,
  };
}

function brokenPromises(figures: ChaosFigures, { costNanoUsd, billNanoUsd }: RunFigures, facts: RunFacts): readonly string[] {
  const { lost, answeredTwice, submittedTwice, inDoubt, doubtBound, settledS } = figures;
  const settleS = facts.run.limits.settleMs / 1000;
  return [
    ...when(lost > 0, `${String(lost)} jobs have no result`),
    ...when(answeredTwice > 0, `${String(answeredTwice)} generations of jobs have results of different bytes`),
    ...when(submittedTwice > 0, `${String(submittedTwice)} attempts are on the bill more than once`),
    ...when(!figures.ledgerEqualsBill, `the ledger has ${String(costNanoUsd)} nano-dollars, or costs unknown, the bill ${String(billNanoUsd)}`),
    ...when(inDoubt > doubtBound, `${String(inDoubt)} calls in doubt, at most ${String(doubtBound)} were in the air at a fault`),
    ...when(figures.budgetOverrunNanoUsd !== "0", `a budget was overrun by ${figures.budgetOverrunNanoUsd} nano-dollars`),
    ...when(settledS === null, `it did not settle; left: ${leftWords(facts.left)}`),
    ...when(settledS !== null && settledS > settleS, `it settled ${String(settledS)} s after the last fault, ${String(settleS)} s are the limit`),
  ];
}

function leftWords(left: OpenWork | null): string {
  return left === null ? "?" : Object.entries(left).map(([name, count]) => `${name} ${String(count)}`).join(", ");
}

/** A run whose faults did not fire proves nothing. */
function missingFaults(figures: ChaosFigures, facts: RunFacts): readonly string[] {
  const { options, tally, crashPointsMissed, noClockJumps } = facts;
  const minimums = minimumsFor({ minutes: options.minutes, kills: options.kills, clockJumps: noClockJumps === null });
  const seen = { ...tally.seen, router_kill: figures.routerKills };
  const missing = (Object.entries(minimums) as [CountedFault, number][]) // the keys of minimums
    .filter(([kind, minimum]) => (seen[kind] ?? 0) < minimum)
    .map(([kind, minimum]) => `${String(seen[kind] ?? 0)} of at least ${String(minimum)}: ${kind}${whyUnseen(tally, kind)}`);
  const withWorkMin = killsWithWorkMin(minimums.router_kill);
  return [
    ...missing,
    ...when(
      figures.killsWithWorkInFlight < withWorkMin,
      `${String(figures.killsWithWorkInFlight)} kills met work in flight, at least ${String(withWorkMin)} have to`,
    ),
    ...when(crashPointsMissed.length > 0, `crash points that were not hit: ${crashPointsMissed.join(", ")}`),
  ];
}

function whyUnseen({ unseen }: FaultTally, kind: CountedFault): string {
  const why = new Set(unseen.filter((one) => one.kind === kind).map((one) => one.why));
  return why.size === 0 ? "" : ` (${[...why].join("; ")})`;
}

function violationWords(violations: readonly Violation[]): readonly string[] {
  return Object.entries(counted(violations.map(({ checker, rule }) => `${checker}: ${rule}`))).map(
    ([rule, count]) => `${rule}, ${String(count)} times`,
  );
}

function when(holds: boolean, words: string): readonly string[] {
  return holds ? [words] : [];
}

function textOf(figures: ChaosFigures): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join("\n");
}
