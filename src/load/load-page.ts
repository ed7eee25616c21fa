import type { Quantiles } from "./latency-histogram.js";
import type { LoadReport } from "./run-load.js";

/** The report as a page for people, in Markdown. */
export function loadPage(report: LoadReport): string {
  return [
    "# Load on Sluice",
    "",
    verdictLine(report),
    "",
    `Open loop: ${count(report.published)} jobs published by schedule, from ${count(report.rate)} a second on, never waiting for answers. A job's time is from when it was due to when a reader saw its result. ${count(report.answered)} results, ${count(report.failed)} of them failures, ${count(report.lost)} without a result, ${count(report.notPublished)} not taken by the broker.`,
    "",
    "## Steps",
    "",
    "Answers and times are of direct calls; batches wait by design.",
    "",
    ...table(
      ["jobs/s", "s", "direct answers/s", "p50 ms", "p95 ms", "p99 ms", "open", "lag", "router MiB", ""],
      report.steps.map((step) => [
        ...[count(step.rate), String(step.seconds), count(step.answeredPerS), ...times(step), count(step.open)],
        ...[
          count(step.lag),
          count(step.rssMb),
          step.because === null ? step.verdict : `${step.verdict}: ${step.because}`,
        ],
      ]),
    ),
    "",
    "## By provider and mode, over the steps that held",
    "",
    ...table(
      ["kind", "answered", "p50 ms", "p95 ms", "p99 ms"],
      Object.entries(report.kinds).map(([name, kind]) => [name, count(kind.answered), ...times(kind)]),
    ),
    "",
    "## Past the breaking point",
    "",
    ...pastLines(report),
    "",
  ].join("\n");
}

function verdictLine({ heldRate, brokeAtRate, because, minutes }: LoadReport): string {
  const held = heldRate === null ? "No step held." : `${count(heldRate)} jobs/s held.`;
  return brokeAtRate === null
    ? `${held} None was too much within ${String(minutes)} minutes.`
    : `${held} ${count(brokeAtRate)} jobs/s was too much: ${because ?? "-"}.`;
}

function pastLines({ overload, recoveryMs, peakRssMb, pendingJobsMax }: LoadReport): readonly string[] {
  const recovered =
    recoveryMs === null ? "not within its time" : `${count(recoveryMs)} ms after the last job was published`;
  const rest = [`- All answered: ${recovered}.`, `- Most memory of the router: ${count(peakRssMb)} MiB.`];
  if (overload === null) return ["It was not reached.", "", ...rest];
  return [
    `- ${count(overload.rate)} jobs/s for ${String(overload.seconds)} s: ${count(overload.answeredPerS)} answers/s.`,
    `- Back-pressure: the router takes at most ${count(pendingJobsMax)} jobs without an end; it stopped fetching ${count(overload.pauses)} times, in ${String(Math.round(overload.pausedShare * 100))} % of the looks, and left up to ${count(overload.lagMax)} records with the broker.`,
    `- Published and not answered: up to ${count(overload.openMax)}.`,
    `- Memory of the router: ${count(overload.rssStartMb)} MiB at its beginning, ${count(overload.rssMaxMb)} at most.`,
    ...rest,
  ];
}

function times({ p50Ms, p95Ms, p99Ms }: Quantiles): readonly string[] {
  return [p50Ms, p95Ms, p99Ms].map(count);
}

function count(value: number | null): string {
  return value === null ? "-" : value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}
