import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";
import type { RowResult } from "../../src/matrix/matrix-row.js";
import { MATRIX_PROVIDERS, runMatrix } from "../../src/matrix/run-matrix.js";
import { summaryOf } from "../../src/matrix/summary.js";

const pricingFile = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const simulatorScript = fileURLToPath(new URL("../../dist/simulator/simulator-main.js", import.meta.url));
const KINDS_OF_ROWS = [
  "text",
  "tool",
  "json",
  "image",
  "vectors",
  "error: 401",
  "fault: half an answer",
  "every line answered",
];

test("every row of the providers matrix holds, for each provider in each format", async () => {
  const results: RowResult[] = [];
  await runMatrix({ pricingFile, simulatorScript, onRow: (result) => results.push(result) });
  const broken = results.filter(({ problems }) => problems.length > 0);
  expect(broken.map(({ provider, row, problems }) => `${provider}: ${row}: ${problems.join("; ")}`)).toEqual([]);
  expect(new Set(results.map(({ provider }) => provider)).size).toBeGreaterThanOrEqual(4);
  expect(results.length).toBeGreaterThanOrEqual(120);
  // What the README shows is what was run.
  const shown = readFileSync(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8").replace(/ +/g, " ");
  const names = MATRIX_PROVIDERS.map(({ name }) => name);
  for (const line of summaryOf(results, names)) expect(shown).toContain(`| ${line.join(" | ")} |`);
  for (const kind of KINDS_OF_ROWS) expect(results.some(({ row }) => row.includes(kind))).toBe(true);
}, 180_000);
