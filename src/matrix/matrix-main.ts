/**
 * `npm run providers:matrix`: prints, for every provider, which of the rows hold. With --json the last line is one JSON object with
 * `providers`, `passed`, `failed`. Exit: 0 all hold, 1 one does not.
 */
import { fileURLToPath } from "node:url";
import Table from "cli-table3";
import type { RowResult } from "./matrix-row.js";
import { MATRIX_PROVIDERS, runMatrix } from "./run-matrix.js";
import { summaryOf } from "./summary.js";

const SIMULATOR = fileURLToPath(new URL("../simulator/simulator-main.js", import.meta.url));
const PRICING = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));

function show(results: readonly RowResult[]): string {
  const names = MATRIX_PROVIDERS.map(({ name }) => name);
  const rows = [...new Set(results.map(({ row }) => row))];
  const table = new Table({ head: ["row", ...names], style: { head: [], border: [] } });
  for (const row of rows) {
    table.push([row, ...names.map((name) => markOf(results.find((one) => one.provider === name && one.row === row)))]);
  }
  const summary = new Table({ head: ["rows that hold", ...names], style: { head: [], border: [] } });
  for (const line of summaryOf(results, names)) summary.push([...line]);
  return `${table.toString()}\n${summary.toString()}`;
}

function markOf(result: RowResult | undefined): string {
  if (result === undefined) return "-";
  return result.problems.length === 0 ? "ok" : "FAILED";
}

const json = process.argv.includes("--json");
const results = await runMatrix({
  pricingFile: PRICING,
  simulatorScript: SIMULATOR,
  onRow: ({ provider, row, problems }) => {
    if (problems.length > 0) process.stderr.write(`${provider}: ${row}: ${problems.join("; ")}\n`);
  },
});
const failed = results.filter(({ problems }) => problems.length > 0).length;
process.stdout.write(`${show(results)}\n`);
const counts = { providers: MATRIX_PROVIDERS.length, passed: results.length - failed, failed };
process.stdout.write(
  json ? `${JSON.stringify(counts)}\n` : `${String(counts.passed)} rows hold, ${String(failed)} do not\n`,
);
process.exitCode = failed === 0 ? 0 : 1;
