/**
 * `npm run simulate -- --seeds N [--first S] [--kind direct|batch|group|storm|sweep|all] [--minutes M] [--json]`: the deterministic simulation
 * over many seeds, on all processors. Says on stderr how far it is; the last line on stdout is JSON with --json. Exit: 0 when all holds, 1 otherwise, 2 usage.
 */
import { register } from "node:module";
import { parseArgs } from "node:util";

register("../typescript-hooks.mjs", import.meta.url);
const { kindsOf, pinned, simulateAll } = await import("./simulate-command.ts");

const USAGE =
  "usage: npm run simulate -- --seeds N [--first S] [--kind direct|batch|group|storm|sweep|all] [--minutes M] [--json]";

function say(text) {
  process.stderr.write(`${text}\n`);
}

function flags() {
  try {
    const { values } = parseArgs({
      options: {
        seeds: { type: "string", default: "5000" },
        first: { type: "string", default: "1" },
        kind: { type: "string", default: "all" },
        minutes: { type: "string" },
        json: { type: "boolean", default: false },
      },
    });
    const [seeds, first, kinds] = [Number(values.seeds), Number(values.first), kindsOf(values.kind)];
    const minutes = values.minutes === undefined ? null : Number(values.minutes);
    if (!Number.isSafeInteger(seeds) || seeds <= 0 || !Number.isSafeInteger(first) || first < 0) return null;
    return kinds === null || (minutes !== null && !(minutes > 0))
      ? null
      : { seeds, first, kinds, minutes, json: values.json };
  } catch (error) {
    say(error.message);
    return null;
  }
}

const wish = flags();
if (wish === null) {
  say(USAGE);
  process.exit(2);
}
const report = await simulateAll({ ...wish, say });
const [failing] = report.failing;
if (failing !== undefined) {
  say(`cutting ${failing.kind} ${failing.seed} down ...`);
  say(await pinned(failing));
}
for (const what of report.seenTooSeldom) say(`seen too seldom: ${what}`);
if (report.tracesDiffer > 0) say(`${report.tracesDiffer} seeds gave another trace when they were run again`);
const { seeds, violations, seconds, seedsPerMinute, tracesCompared, tracesDiffer } = report;
process.stdout.write(
  wish.json
    ? `${JSON.stringify(report)}\n`
    : `${seeds} seeds in ${seconds} s, ${seedsPerMinute} a minute: ${violations} violations; ${tracesCompared - tracesDiffer} of ${tracesCompared} traces the same again\n`,
);
process.exitCode = violations === 0 && tracesDiffer === 0 && report.seenTooSeldom.length === 0 ? 0 : 1;
