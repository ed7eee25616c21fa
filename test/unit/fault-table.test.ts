import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";

interface Row {
  readonly row: string;
  readonly fault: string;
  readonly tools: readonly string[];
  readonly whyNotYet?: string;
}
interface Ran {
  readonly file: string;
  readonly title: string;
  readonly status: string;
}
interface Line {
  readonly row: string;
  readonly covered: boolean;
  readonly tests: readonly Ran[];
  readonly elsewhere: readonly Ran[];
  readonly failed: readonly Ran[];
  readonly whyNotYet: string | null;
}
interface FaultTable {
  readonly rowsOf: (title: string) => readonly string[];
  readonly faultTable: (
    catalogue: readonly Row[],
    tests: readonly Ran[],
  ) => { readonly lines: readonly Line[]; readonly strange: readonly Ran[] };
  readonly markdown: (table: { readonly lines: readonly Line[] }) => string;
}

// A script of node's own, without types: what it exports is told here.
const script = "../support/fault-table.mjs";
const { rowsOf, faultTable, markdown } = (await import(script)) as FaultTable;
const catalogue = JSON.parse(readFileSync(new URL("../catalogue.json", import.meta.url), "utf8")) as readonly Row[];

test("the catalogue has each of its 124 rows once, in order", () => {
  const counts = { A: 18, B: 21, C: 24, D: 5, E: 9, F: 6, G: 13, H: 15, I: 5, J: 5, K: 3 };
  const rows = Object.entries(counts).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_unused, index) => `${letter}${String(index + 1)}`),
  );
  expect(rows).toHaveLength(124);
  expect(catalogue.map(({ row }) => row)).toEqual(rows);
  expect(catalogue.every(({ fault, tools }) => fault !== "" && tools.length > 0)).toBe(true);
});

test("a test belongs to the rows that its name begins with", () => {
  expect(rowsOf("[A1] a router killed")).toEqual(["A1"]);
  expect(rowsOf("[I1] [I2] of 100 jobs")).toEqual(["I1", "I2"]);
  expect(rowsOf("[A4], [A5] both")).toEqual(["A4", "A5"]);
  expect(rowsOf("a router as in [A1]")).toEqual([]);
});

test("a row is covered by a test that passed where its tool is, and by no other", () => {
  const rows: readonly Row[] = [
    { row: "A1", fault: "killed", tools: ["CP"] },
    { row: "B7", fault: "stands still", tools: ["stub client"] },
    { row: "G1", fault: "refused", tools: ["FP"], whyNotYet: "nobody wrote one" },
    { row: "H1", fault: "one bad | line", tools: ["FP"] },
  ];
  const ran = (file: string, title: string, status = "passed"): Ran => ({ file, title, status });
  const table = faultTable(rows, [
    ran("test/unit/a.test.ts", "[A1] in a unit test"),
    ran("test/unit/b.test.ts", "[B7] with a stub"),
    ran("test/integration/g.test.ts", "[G1] on servers", "failed"),
    ran("test/integration/h.test.ts", "[H1] on servers"),
    ran("test/integration/h.test.ts", "[H99] no such row"),
    ran("test/integration/p.test.ts", "[P10] of another list"),
  ]);
  expect(table.lines.map(({ row, covered, whyNotYet }) => [row, covered, whyNotYet])).toEqual([
    ["A1", false, "no test has its name yet"],
    ["B7", true, null],
    ["G1", false, "nobody wrote one"],
    ["H1", true, null],
  ]);
  expect(table.lines[0]?.elsewhere).toHaveLength(1);
  expect(table.lines[2]?.failed).toHaveLength(1);
  expect(table.strange.map(({ title }) => title)).toEqual(["[H99] no such row"]);
  const text = markdown(table);
  expect(text).toContain("2 of 4 rows");
  expect(text).toContain("| H1 | one bad \\| line | FP | on servers (test/integration/h.test.ts) |");
  expect(text).toContain("| G1 | refused | FP | **not yet**: nobody wrote one |");
});
