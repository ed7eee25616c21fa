import Table from "cli-table3";
import type { KillTally } from "./conductor.js";
import type { JobMix } from "./job-mix.js";
import { dollars } from "./money-text.js";
import type { ReaderSummary } from "./reader-report.js";

/** What the run itself knows, beside what the reader saw. */
export interface RunFacts {
  readonly jobsAsked: number;
  readonly mix: JobMix;
  /** Different requests among the published jobs. */
  readonly distinctRequests: number;
  /** The simulator's own count, not the gateway's; null: nobody but the providers counts them. */
  readonly calls: number | null;
  /** From the first published record to the last answer. */
  readonly elapsedMs: number;
  readonly killsAsked: number;
  readonly kills: KillTally | null;
  /** Null when all answers came in time. */
  readonly timeLimitPassedMs: number | null;
}

/** The share of kills that have to meet work in flight. */
const KILLS_WITH_WORK_PERCENT = 80;

/**
 * Everything that should hold and does not, in words; empty for a run that keeps every promise. Without kills each different
 * request is called exactly once and nothing is in doubt; with kills doubt is bounded by the calls that were in the air. In a mixed run a
 * job that can't wait for the batch of an equal one has a call of its own.
 */
export function brokenPromises(summary: ReaderSummary, facts: RunFacts): readonly string[] {
  const broken: string[] = [];
  const expect = (holds: boolean, otherwise: string): void => {
    if (!holds) broken.push(otherwise);
  };
  const { jobsAsked } = facts;
  if (facts.timeLimitPassedMs !== null)
    broken.push(`not all answers came within ${seconds(facts.timeLimitPassedMs)} s`);
  expect(summary.findingCount === 0, `the reader has ${String(summary.findingCount)} findings`);
  expect(summary.jobs === jobsAsked, `${String(summary.jobs)} of ${String(jobsAsked)} jobs were published`);
  expect(summary.results === summary.jobs, `${String(summary.results)} results for ${String(summary.jobs)} jobs`);
  expect(summary.lost === 0, `${String(summary.lost)} results are lost`);
  expect(summary.duplicates === 0, `${String(summary.duplicates)} results came again with other bytes`);
  const letters = summary.malformed + summary.failed;
  expect(summary.deadLetters === letters, `${String(summary.deadLetters)} dead letters, expected ${String(letters)}`);
  expect(balanced(summary) !== false, "ledger and bill differ");
  if (facts.mix === "mixed") expect(summary.batches > 0, "no batch is on the bill");
  if (facts.kills === null) {
    expect(
      facts.mix === "mixed" || facts.calls === null || facts.calls === facts.distinctRequests,
      `${String(facts.calls)} calls for ${String(facts.distinctRequests)} different requests`,
    );
    expect(summary.inDoubt === 0, `${String(summary.inDoubt)} attempts in doubt, though nothing was killed`);
    expect(summary.failed === 0, `${String(summary.failed)} jobs failed`);
  } else broken.push(...brokenByKills(summary, facts.killsAsked, facts.kills));
  return broken;
}

function brokenByKills(summary: ReaderSummary, killsAsked: number, tally: KillTally): readonly string[] {
  const broken: string[] = [];
  const withWorkMin = Math.ceil((killsAsked * KILLS_WITH_WORK_PERCENT) / 100);
  if (tally.kills !== killsAsked) broken.push(`${String(tally.kills)} of ${String(killsAsked)} kills happened`);
  if (tally.killsWithWorkInFlight < withWorkMin) {
    broken.push(
      `only ${String(tally.killsWithWorkInFlight)} kills met work in flight, expected ${String(withWorkMin)}`,
    );
  }
  if (summary.inDoubt > tally.callsInAirAtKills) {
    broken.push(
      `${String(summary.inDoubt)} attempts in doubt, but only ${String(tally.callsInAirAtKills)} calls were in the air at kills`,
    );
  }
  return broken;
}

/** Null: there is no bill to hold the ledger against. */
function balanced(summary: ReaderSummary): boolean | null {
  if (summary.billNanoUsd === null) return null;
  return summary.costNanoUsd + summary.inDoubtBilledNanoUsd === summary.billNanoUsd;
}

/** The receipt for programs: one JSON object in one line, money as text. */
export function receiptJson(summary: ReaderSummary, facts: RunFacts, broken: readonly string[]): string {
  return JSON.stringify({
    jobs: summary.jobs,
    results: summary.results,
    lost: summary.lost,
    duplicates: summary.duplicates,
    repeats: summary.repeats,
    failed: summary.failed,
    expired: summary.expired,
    deadLetters: summary.deadLetters,
    calls: facts.calls,
    distinctRequests: facts.distinctRequests,
    coalesced: summary.coalesced,
    cached: summary.cached,
    batches: summary.batches,
    costNanoUsd: String(summary.costNanoUsd),
    billNanoUsd: summary.billNanoUsd === null ? null : String(summary.billNanoUsd),
    listNanoUsd: String(summary.listNanoUsd),
    savings: {
      coalesced: String(summary.savedBySharingNanoUsd),
      batch: String(summary.savedByBatchNanoUsd),
      cache: String(summary.savedByCacheNanoUsd),
    },
    inDoubt: summary.inDoubt,
    inDoubtBilledNanoUsd: String(summary.inDoubtBilledNanoUsd),
    jobsPerS: jobsPerS(summary, facts),
    ...facts.kills,
    findings: summary.findingCount,
    holds: broken.length === 0,
  });
}

/** The table's last column: all of it has room in a terminal of 80 columns, with amounts below $100. */
const NOTE_COLUMNS = 50;

/** The receipt for people, several lines without a line feed at the end. */
export function receiptText(summary: ReaderSummary, facts: RunFacts, broken: readonly string[]): string {
  const table = new Table({
    style: { head: [], border: [] },
    colAligns: ["left", "right", "left"],
    colWidths: [null, null, NOTE_COLUMNS],
    wordWrap: true,
    chars: { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
  });
  table.push(...countRows(summary, facts), ...moneyRows(summary), ...killRows(facts));
  const verdict =
    broken.length === 0
      ? ["Every promise held."]
      : [
          "NOT everything held:",
          ...broken.map((line) => `  - ${line}`),
          ...summary.findings.slice(0, 20).map((line) => `    ${line}`),
        ];
  return [table.toString(), ...verdict].join("\n");
}

type Row = [string, string, string];

function countRows(summary: ReaderSummary, facts: RunFacts): readonly Row[] {
  return [
    ["jobs", String(summary.jobs), `and ${String(summary.malformed)} records that do not parse`],
    [
      "results",
      String(summary.results),
      `lost ${String(summary.lost)}, duplicates ${String(summary.duplicates)}, repeats ${String(summary.repeats)}`,
    ],
    ["failed", String(summary.failed), summary.expired === 0 ? "" : `${String(summary.expired)} of them out of time`],
    ["dead letters", String(summary.deadLetters), "original bytes kept"],
    callsRow(facts),
    ...batchRows(summary, facts),
    ["coalesced", String(summary.coalesced), "joined a call that was under way"],
    ["cached", String(summary.cached), "answered from an earlier call"],
    ["jobs/s", String(jobsPerS(summary, facts)), `${seconds(facts.elapsedMs)} s from first record to last answer`],
  ];
}

function batchRows(summary: ReaderSummary, { mix }: RunFacts): readonly Row[] {
  return mix === "plain" ? [] : [["batches", String(summary.batches), "at half the price, says the bill"]];
}

function callsRow({ calls, distinctRequests }: RunFacts): Row {
  const requests = `${String(distinctRequests)} different requests`;
  return calls === null
    ? ["calls", "unknown", `at least one for each of ${requests}`]
    : ["calls", String(calls), `for ${requests}, says the simulator`]; // lines of batches are among them
}

function billRow(summary: ReaderSummary): Row {
  if (summary.billNanoUsd === null) return ["bill", "unknown", "the provider's invoice is the judge"];
  return [
    "bill",
    dollars(summary.billNanoUsd),
    balanced(summary) === true
      ? `ledger = bill, ${String(summary.billRows)} rows, to the nano-dollar`
      : "ledger and bill DIFFER",
  ];
}

function moneyRows(summary: ReaderSummary): readonly Row[] {
  const saved = summary.listNanoUsd - summary.costNanoUsd;
  const { savedBySharingNanoUsd: shared, savedByCacheNanoUsd: cached, savedByBatchNanoUsd: batched } = summary;
  const otherwise = saved - shared - cached - batched;
  return [
    ["list price", dollars(summary.listNanoUsd), "each job alone, direct, uncached"],
    ["paid", dollars(summary.costNanoUsd), ""],
    [
      "saved",
      dollars(saved),
      `shared ${dollars(shared)}, cached ${dollars(cached)},\n${batched === 0n ? "" : `batches ${dollars(batched)}, `}other ${dollars(otherwise)}`,
    ],
    ["in doubt", String(summary.inDoubt), `of which billed ${dollars(summary.inDoubtBilledNanoUsd)}`],
    billRow(summary),
  ];
}

function killRows({ kills }: RunFacts): readonly Row[] {
  if (kills === null) return [];
  const { killsWithWorkInFlight, callsInAirAtKills, killsByBatchState } = kills;
  const inAir = `${String(killsWithWorkInFlight)} with work in flight, ${String(callsInAirAtKills)} calls in the air`;
  const states = Object.entries(killsByBatchState).map(([state, count]) => `${state} ${String(count)}`);
  return [
    ["kills", String(kills.kills), inAir],
    ...(states.length === 0 ? [] : [["", "", `at a batch that was ${states.join(", ")}`] satisfies Row]),
  ];
}

function jobsPerS(summary: ReaderSummary, facts: RunFacts): number {
  return facts.elapsedMs <= 0 ? 0 : Math.round((summary.results * 10_000) / facts.elapsedMs) / 10;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
