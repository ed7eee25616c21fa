/**
 * The long fuzz run: reads N random and broken inputs of every kind that comes from outside and writes a report.
 *
 *   npm run fuzz -- [--inputs N] [--seed S] [--out FOLDER] [--json]
 *
 * The last line of stdout is the result. Exit 1 when an input was not read as it must be, or memory grew.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { register } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

register("../typescript-hooks.mjs", import.meta.url);
const { runFuzz } = await import("./run-fuzz.ts");

/** What a run may leave behind: pages of a heap that was larger in between. */
const GROWTH_BYTES_MAX = 96 * 1024 * 1024;
const HEAP_GROWTH_BYTES_MAX = 16 * 1024 * 1024;
const MIB = 1024 * 1024;

function options() {
  const { values } = parseArgs({
    options: {
      inputs: { type: "string", default: "1000000" },
      seed: { type: "string", default: "1" },
      out: { type: "string", default: ".sluice/reports" },
      json: { type: "boolean", default: false },
    },
  });
  const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
  if (!Number.isSafeInteger(inputs) || inputs < 100 || !Number.isSafeInteger(seed)) {
    process.stderr.write("fuzz: expected whole numbers: --inputs from 100 up, --seed\n");
    process.exit(2);
  }
  return { ...values, inputs, seed };
}

function page(report, seconds) {
  const mib = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`;
  const rows = report.targets.map((target) => {
    const ways = Object.entries(target.outcomes).map(([word, count]) => `${word} ${String(count)}`);
    return `| ${target.name} | ${String(target.inputs)} | ${String(target.slowestMs)} | ${String(target.failures.length)} | ${ways.join(", ")} |`;
  });
  const failures = report.targets.flatMap(({ name, failures: list }) =>
    list.map(
      (one) => `- **${name}**: ${one.message}; seed ${String(one.seed)}, path ${one.path}\n\n  \`${one.input}\``,
    ),
  );
  return [
    "# Fuzz report",
    "",
    `${String(report.inputs)} inputs with seed ${String(report.seed)} in ${seconds.toFixed(0)} s: ${String(report.failures)} failures. ` +
      `Memory from ${mib(report.rssBeforeBytes)} to ${mib(report.rssAfterBytes)}, heap from ${mib(report.heapBeforeBytes)} to ${mib(report.heapAfterBytes)}.`,
    "",
    "| what is read | inputs | slowest, ms | failures | what came of it |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
    ...(failures.length === 0 ? [] : ["## Failures", "", ...failures, ""]),
  ].join("\n");
}

const { inputs, seed, out, json } = options();
const beganMs = performance.now();
let toldAt = 0;
const report = await runFuzz({
  inputs,
  seed,
  onProgress: (done) => {
    if (done - toldAt < inputs / 20) return;
    toldAt = done;
    process.stderr.write(`${String(done)} of ${String(inputs)} inputs\n`);
  },
});
const seconds = (performance.now() - beganMs) / 1000;
mkdirSync(out, { recursive: true });
writeFileSync(join(out, "fuzz-report.json"), `${JSON.stringify({ ...report, seconds }, null, 2)}\n`);
writeFileSync(join(out, "fuzz-report.md"), page(report, seconds));
const rssGrowthBytes = report.rssAfterBytes - report.rssBeforeBytes;
const heapGrowthBytes = report.heapAfterBytes - report.heapBeforeBytes;
const grew = rssGrowthBytes > GROWTH_BYTES_MAX || heapGrowthBytes > HEAP_GROWTH_BYTES_MAX;
const figures = {
  inputs: report.inputs,
  seed,
  failures: report.failures,
  rssGrowthMiB: Math.round(rssGrowthBytes / MIB),
  heapGrowthMiB: Math.round(heapGrowthBytes / MIB),
  slowestMs: Math.max(...report.targets.map(({ slowestMs }) => slowestMs)),
  seconds: Math.round(seconds),
};
process.stderr.write(`report: ${join(out, "fuzz-report.md")}\n`);
for (const { name, failures } of report.targets)
  for (const one of failures) process.stderr.write(`${name}: ${one.message} (seed ${String(one.seed)})\n`);
process.stdout.write(
  json
    ? `${JSON.stringify(figures)}\n`
    : `${String(figures.inputs)} inputs, ${String(figures.failures)} failures, memory grew by ${String(figures.rssGrowthMiB)} MiB\n`,
);
process.exitCode = report.failures > 0 || grew ? 1 : 0;
