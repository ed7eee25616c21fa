import type { ChaosOptions } from "../chaos-options.js";
import type { FaultTally } from "../conductor.js";
import type { CheckReport } from "../checkers/check-all.js";
import type { Evidence, Fault, FaultKind, RunParameters, Violation } from "../evidence/evidence.js";
import type { OpenWork } from "../ledger-view.js";
import { killsWithWorkMin, minimumsFor, type CountedFault } from "../plan/minimums.js";
import type { RouterExit } from "../routers/router-pool.js";
import { pointsMin } from "../plan/run-points.js";
import { counted } from "./counted.js";

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
  /** Of the usual points: how many were hit, and which were not. */
  readonly usualPointsHit: number;
  readonly crashPointsMissed: readonly string[];
  /** Null: they were jumped. */
  readonly noClockJumps: string | null;
  readonly sendsRepeated: number;
  /** Of commands: how often each point was hit. */
  readonly commandPoints: Readonly<Record<string, number>>;
  /** Calls whose connection ended before their answer had passed, or just after, as the proxies saw them all. */
  readonly callsBroken: number;
  /** Calls whose outcome nobody knew before the bill was read. */
  readonly unknownOutcomes: number;
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
  /** Of those that every run passes again and again. */
  readonly usualPointsMissed: number;
  readonly lost: number;
  readonly answeredTwice: number;
  readonly submittedTwice: number;
  readonly inDoubt: number;
  readonly doubtBound: number;
  readonly unknownOutcomes: number;
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
export function reportOf(evidence: Evidence, facts: RunFacts, checks: CheckReport): ChaosReport {
  const figures = chaosFigures(evidence, facts, checks);
  const { violations } = checks;
  const broken = [...violationWords(violations), ...missingFaults(figures, facts), ...leftWords(facts.left)];
  const shown = { ...figures, broken: broken.length };
  return { facts, figures: shown, violations, broken, json: JSON.stringify(shown), text: textOf(shown) };
}

function chaosFigures(evidence: Evidence, facts: RunFacts, checks: CheckReport): ChaosFigures {
  const { options, kills, crashPoints, crashPointsMissed, noClockJumps, exits } = facts;
  const { faults, samples, bill, topics } = evidence;
  const found = checks.figures;
  const count = (...kinds: readonly FaultKind[]): number => faults.filter(({ kind }) => kinds.includes(kind)).length;
  return {
    jobs: options.jobs,
    minutes: options.minutes,
    seed: options.seed,
    doubt: options.doubt,
    brokers: options.brokers,
    routerKills: Math.min(kills, faults.filter(isRouterKill).length),
    killsWithWorkInFlight: faults.filter((fault) => isRouterKill(fault) && fault.workInFlight).length,
    routerStops: count("router_stop"),
    brokerKills: count("broker_kill"),
    postgresKills: count("postgres_kill"),
    redisKills: count("redis_kill"),
    clockJumps: noClockJumps === null ? count("clock_jump") : "not run",
    networkFaults: count("network_cut", "network_slow"),
    crashPointsHit: [...Object.values(crashPoints), ...Object.values(facts.commandPoints)].filter((hits) => hits > 0)
      .length,
    usualPointsMissed: crashPointsMissed.length,
    lost: found.lost,
    answeredTwice: found.answeredTwice,
    submittedTwice: found.submittedTwice,
    inDoubt: found.inDoubt,
    doubtBound: found.doubtBound,
    unknownOutcomes: facts.unknownOutcomes,
    ledgerEqualsBill: found.ledgerEqualsBill,
    budgetOverrunNanoUsd: String(found.budgetOverrunNanoUsd),
    settledS: found.settledS === null ? null : Math.round(found.settledS * 10) / 10,
    violations: checks.violations.length,
    faults: counted(faults.map(({ kind }) => kind)),
    results: counted(topics.results.map(({ status }) => status)),
    calls: bill.filter(({ batch }) => batch === null).length,
    batchLines: bill.filter(({ batch }) => batch !== null).length,
    routerExits: exits.length,
    rssMaxMb: Math.round(samples.processes.reduce((most, { rssBytes }) => Math.max(most, rssBytes), 0) / 2 ** 20),
    broken: 0,
  };
}

/** An operator's command that was killed is no router. */
function isRouterKill({ kind, signal, target }: Fault): boolean {
  return (kind === "router_kill" || kind === "crash_point") && signal === "SIGKILL" && target !== "operator";
}

function leftWords(left: OpenWork | null): readonly string[] {
  if (left === null) return [];
  const counts = Object.entries(left).map(([name, count]) => `${name} ${String(count)}`);
  return [`left when it was given up: ${counts.join(", ")}`];
}

/** A run whose faults did not fire proves nothing. */
function missingFaults(figures: ChaosFigures, facts: RunFacts): readonly string[] {
  const { options, tally, usualPointsHit, crashPointsMissed, noClockJumps } = facts;
  const minimums = minimumsFor({ minutes: options.minutes, kills: options.kills, clockJumps: noClockJumps === null });
  const seen = { ...tally.seen, router_kill: figures.routerKills };
  const missing = (Object.entries(minimums) as [CountedFault, number][]) // the keys of minimums
    .filter(([kind, minimum]) => (seen[kind] ?? 0) < minimum)
    .map(
      ([kind, minimum]) =>
        `${String(seen[kind] ?? 0)} of at least ${String(minimum)}: ${kind}${whyUnseen(tally, kind)}`,
    );
  const hitMin = pointsMin(minimums.router_kill);
  const withWorkMin = killsWithWorkMin(minimums.router_kill);
  return [
    ...missing,
    ...when(
      figures.killsWithWorkInFlight < withWorkMin,
      `${String(figures.killsWithWorkInFlight)} kills met work in flight, at least ${String(withWorkMin)} have to`,
    ),
    ...when(
      usualPointsHit < hitMin,
      `${String(usualPointsHit)} usual crash points were hit, at least ${String(hitMin)} have to be; missed: ${crashPointsMissed.join(", ")}`,
    ),
  ];
}

function whyUnseen({ unseen }: FaultTally, kind: CountedFault): string {
  const why = new Set(unseen.filter((one) => one.kind === kind).map((one) => one.why));
  return why.size === 0 ? "" : ` (${[...why].join("; ")})`;
}

/** Rule by rule, each with its first case: of a run whose folder is gone that is all that is left. */
function violationWords(violations: readonly Violation[]): readonly string[] {
  const ruleOf = ({ checker, rule }: Violation): string => `${checker}: ${rule}`;
  return Object.entries(counted(violations.map(ruleOf))).map(([rule, count]) => {
    const { detail = "" } = violations.find((violation) => ruleOf(violation) === rule) ?? {};
    return `${rule}, ${String(count)} times, first: ${detail}`;
  });
}

function when(holds: boolean, words: string): readonly string[] {
  return holds ? [words] : [];
}

function textOf(figures: ChaosFigures): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join("\n");
}
