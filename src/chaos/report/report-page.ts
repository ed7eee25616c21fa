import type { Evidence, Fault, Violation } from "../evidence/evidence.js";
import type { ChaosFigures, ChaosReport } from "./chaos-report.js";
import { tellHistory } from "../checkers/tell-history.js";

/** So many violations are told with their jobs' histories; all of them are in `report.json`. */
const HISTORIES_MAX = 40;

/** The report as a page for people, in Markdown. */
export function reportPage(report: ChaosReport, evidence: Evidence): string {
  const { figures, broken, violations, facts } = report;
  const { startedAtMs } = facts.run;
  return [
    `# Chaos: ${broken.length === 0 ? "everything held" : `${String(broken.length)} things did not hold`}`,
    `Again: \`${commandOf(report)}\``,
    ...(broken.length === 0 ? [] : ["## What did not hold", bullets(broken)]),
    "## Figures",
    table(["figure", "this run", "best seen elsewhere"], figureRows(figures)),
    "## Faults",
    table(
      ["kind", "seen", "carried out without effect"],
      Object.keys({ ...figures.faults }).map((kind) => [
        kind,
        String(figures.faults[kind] ?? 0),
        String(facts.tally.unseen.filter((one) => one.kind === kind).length),
      ]),
    ),
    ...(facts.noClockJumps === null ? [] : [`Clock jumps were not run: ${facts.noClockJumps}.`]),
    "## Crash points",
    table(
      ["point", "hit"],
      Object.entries({ ...facts.crashPoints, ...facts.commandPoints }).map(([point, hits]) => [point, String(hits)]),
    ),
    ...(facts.exits.length === 0
      ? []
      : [
          "## Routers that ended by themselves",
          bullets(facts.exits.map(({ atMs, words }) => `${secondsOf(atMs - startedAtMs)} s: ${firstLine(words)}`)),
        ]),
    ...(violations.length === 0
      ? []
      : ["## Violations", ...violations.slice(0, HISTORIES_MAX).map((one) => violationText(one, evidence))]),
    "## Timeline",
    table(
      ["s", "fault", "target", "for s", "calls in the air", "work", "what"],
      [...evidence.faults].sort((one, other) => one.atMs - other.atMs).map((fault) => faultRow(fault, startedAtMs)),
    ),
    "",
  ].join("\n\n");
}

function commandOf({ facts: { options } }: ChaosReport): string {
  const { jobs, minutes, seed, doubt, brokers, kills } = options;
  const more = [
    ...(brokers === 3 ? [] : [`--brokers ${String(brokers)}`]),
    ...(kills === null ? [] : [`--kills ${String(kills)}`]),
  ];
  return [
    "npm run chaos --",
    `--jobs ${String(jobs)} --minutes ${String(minutes)} --seed ${String(seed)} --doubt ${doubt}`,
    ...more,
  ].join(" ");
}

/** The best that other projects' published suites do, where anything was found. */
const ELSEWHERE: Readonly<Partial<Record<keyof ChaosFigures, string>>> = {
  jobs: "100,000 messages",
  routerKills: "3 to 6",
  brokerKills: "3",
  networkFaults: "5 tests",
  postgresKills: "none published",
  redisKills: "none published",
  answeredTwice: "20 % tolerated",
  ledgerEqualsBill: "0 to 3 times the bill",
  budgetOverrunNanoUsd: "hundreds of dollars",
  settledS: "30 s without progress, as a bound",
};

function figureRows(figures: ChaosFigures): readonly (readonly string[])[] {
  return Object.entries(figures).map(([name, value]) => [
    name,
    typeof value === "object" && value !== null ? JSON.stringify(value) : String(value),
    ELSEWHERE[name as keyof ChaosFigures] ?? "", // the keys of figures
  ]);
}

function violationText({ checker, rule, tenant, jobId, detail }: Violation, evidence: Evidence): string {
  const seed = `seed ${String(evidence.run.seed)}`;
  const head = `### ${checker}: ${rule}\n\n${jobId === null ? seed : `${seed}, job ${jobId}`}: ${detail}`;
  if (jobId === null || tenant === null) return head;
  return `${head}\n\n\`\`\`\n${tellHistory(evidence, tenant, jobId)}\n\`\`\``;
}

function faultRow(fault: Fault, startedAtMs: number): readonly string[] {
  const { kind, atMs, untilMs, target, point, callsInAir, workInFlight, detail } = fault;
  return [
    secondsOf(atMs - startedAtMs),
    kind,
    target,
    untilMs === null ? "" : secondsOf(untilMs - atMs),
    callsInAir === null ? "" : String(callsInAir),
    workInFlight ? "yes" : "",
    [point, detail].filter((words) => words !== null).join(": "),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Text of others in a table's cell: nothing in it may end the cell or the line. */
function cell(text: string): string {
  return text
    .replaceAll("\\", "\\\\")
    .replaceAll("|", "\\|")
    .replaceAll(/[\r\n]+/g, " ");
}

function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${line.replaceAll(/[\r\n]+/g, " ")}`).join("\n");
}

function firstLine(text: string): string {
  return text.split("\n").slice(0, 2).join(" ");
}

function secondsOf(ms: number): string {
  return (ms / 1000).toFixed(1);
}
