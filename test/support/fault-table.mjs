/**
 * Makes the table of faults and their tests from the test runner's own list: a test belongs to a row when its name begins with the row in
 * brackets, `[A1] …` or `[A4] [A5] …`, and counts when it passed and stands where the row's tool is.
 *
 *   node test/support/fault-table.mjs LIST.jsonl [--out FOLDER] [--json]
 *
 * LIST is what test/support/count-reporter.mjs wrote. Writes fault-table.md and fault-table.json into the folder. Exit 1 when a test of a row
 * failed or names a row that there is none of.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const CATALOGUE = fileURLToPath(new URL("../catalogue.json", import.meta.url));

/** Where a test of a tool stands. A row with several tools asks for one of them: the others are there to bring it about. */
const SERVERS = /^test\/(?:integration|contract|e2e|chaos)\//;
const WHERE = {
  K: SERVERS,
  "K ACL": SERVERS,
  CP: SERVERS,
  SIG: SERVERS,
  TP: SERVERS,
  IPT: SERVERS,
  FT: SERVERS,
  TM: SERVERS,
  load: SERVERS,
  cmd: SERVERS,
  config: SERVERS,
  edit: SERVERS,
  ulimit: SERVERS,
  "2 versions": SERVERS,
  "restore older copy": SERVERS,
  FP: /^test\/(?:integration|e2e|chaos|providers|contract-sdk)\/|simulator/,
  INJ: /^test\//,
  SIM: /^test\/(?:simulation|integration|chaos)\//,
  "stub client": /^test\//,
  "property test": /^test\/property\//,
};

const LEADING_ROWS = /^(?:\[[A-Z]\d{1,2}\][ ,]*)+/;

/** @returns the rows that a test's name begins with. */
export function rowsOf(title) {
  return [...(LEADING_ROWS.exec(title)?.[0] ?? "").matchAll(/\[([A-Z]\d{1,2})\]/g)].map((match) => match[1]);
}

/**
 * @param catalogue rows as in test/catalogue.json
 * @param tests what ran: `{file, title, status}` each
 * @returns a line a row, in the catalogue's order: `covered`, its tests, those that stand where the tool is not, and else why not yet
 */
export function faultTable(catalogue, tests) {
  const byRow = new Map(catalogue.map(({ row }) => [row, []]));
  const strange = [];
  for (const test of tests) {
    for (const row of rowsOf(test.title)) {
      if (byRow.has(row)) byRow.get(row).push(test);
      else if (/^[A-K]/.test(row)) strange.push(test); // other letters are names of other lists
    }
  }
  const lines = catalogue.map(({ row, fault, tools, whyNotYet }) => {
    const own = byRow.get(row);
    const isThere = ({ file }) => tools.some((tool) => WHERE[tool].test(file));
    const passed = own.filter(({ status }) => status === "passed");
    const counted = passed.filter(isThere);
    return {
      row,
      fault,
      tools,
      covered: counted.length > 0,
      tests: counted,
      elsewhere: passed.filter((test) => !isThere(test)),
      failed: own.filter(({ status }) => status === "failed"),
      whyNotYet: counted.length > 0 ? null : (whyNotYet ?? "no test has its name yet"),
    };
  });
  return { lines, strange };
}

export function markdown({ lines }) {
  const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const shown = ({ tests }) => {
    const names = [...new Set(tests.map(({ file, title }) => `${title.replace(LEADING_ROWS, "")} (${file})`))];
    return names.length > 3 ? [...names.slice(0, 3), `and ${String(names.length - 3)} more`] : names;
  };
  const rows = lines.map((line) => {
    const test = line.covered ? shown(line).join("; ") : `**not yet**: ${line.whyNotYet}`;
    return `| ${line.row} | ${cell(line.fault)} | ${line.tools.join(", ")} | ${cell(test)} |`;
  });
  const covered = lines.filter((line) => line.covered).length;
  return [
    "# Faults and the tests that prove them",
    "",
    `${String(covered)} of ${String(lines.length)} rows have a test that passed on the tool that the row names.`,
    "",
    "| row | fault | tool | test |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: "string", default: "." }, json: { type: "boolean", default: false } },
  });
  const [list] = positionals;
  if (list === undefined || positionals.length > 1) {
    process.stderr.write("usage: node test/support/fault-table.mjs LIST.jsonl [--out FOLDER] [--json]\n");
    return 2;
  }
  const tests = readFileSync(list, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  const table = faultTable(JSON.parse(readFileSync(CATALOGUE, "utf8")), tests);
  const { lines, strange } = table;
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, "fault-table.md"), markdown(table));
  writeFileSync(join(values.out, "fault-table.json"), `${JSON.stringify(lines, null, 2)}\n`);
  const missing = lines.filter(({ covered }) => !covered);
  const failed = lines.filter((line) => line.failed.length > 0);
  for (const { row, whyNotYet } of missing) process.stderr.write(`${row}: ${whyNotYet}\n`);
  for (const { file, title } of strange) process.stderr.write(`no such row: ${title} (${file})\n`);
  for (const line of failed) process.stderr.write(`${line.row} has a test that failed: ${line.failed[0].title}\n`);
  const covered = lines.length - missing.length;
  const figures = { rows: lines.length, covered, missing: missing.map(({ row }) => row), failed: failed.length };
  process.stdout.write(
    values.json ? `${JSON.stringify(figures)}\n` : `${String(covered)} of ${String(lines.length)} rows covered\n`,
  );
  return strange.length === 0 && failed.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
