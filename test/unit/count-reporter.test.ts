import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";

const JEST = fileURLToPath(new URL("../../node_modules/jest/bin/jest.js", import.meta.url));
const REPORTER = fileURLToPath(new URL("../support/count-reporter.mjs", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-reporter-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Run {
  readonly code: number | null;
  readonly lastLine: string;
  readonly told: readonly string[];
}

/** A run of Jest's own on one file of tests. */
function runOf(name: string, tests: string, ...args: readonly string[]): Run {
  const root = mkdtempSync(join(folder, "run-"));
  writeFileSync(join(root, `${name}.test.js`), tests);
  const config = { rootDir: root, testEnvironment: "node", reporters: [REPORTER] };
  const { status, stdout, stderr } = spawnSync(process.execPath, [JEST, "--config", JSON.stringify(config), ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] },
  });
  const told = stderr.split("\n").filter((line) => line.startsWith("not run: "));
  return { code: status, lastLine: stdout.trimEnd().split("\n").at(-1) ?? "", told };
}

const HOLDS = 'test("holds", () => {});';

test("tests that all ran and passed are a run that passed", () => {
  expect(runOf("all", HOLDS)).toEqual({ code: 0, lastLine: "1 passed, 0 failed", told: [] });
});

test.each([
  ["skipped", 'test.skip("is put off", () => {});', "not run: one.test.js: is put off (pending)"],
  ["still to be written", 'test.todo("is put off");', "not run: one.test.js: is put off (todo)"],
  [
    "in a group that is skipped",
    'describe.skip("group", () => { test("is put off", () => {}); });',
    "not run: one.test.js: is put off (pending)",
  ],
])("a test that is %s is told, counts as failed and fails the run", (_how, skipped, line) => {
  expect(runOf("one", `${HOLDS}\n${skipped}`)).toEqual({ code: 1, lastLine: "1 passed, 1 failed", told: [line] });
});

test("so does one that another's `only` leaves out", () => {
  const run = runOf("one", `${HOLDS}\ntest.only("alone", () => {});`);
  expect(run).toEqual({ code: 1, lastLine: "1 passed, 1 failed", told: ["not run: one.test.js: holds (pending)"] });
});

test("where names are asked for, what they leave out is no failure", () => {
  const tests = `${HOLDS}\ntest("is another", () => {});\ntest.skip("is put off", () => {});`;
  expect(runOf("one", tests, "-t", "holds")).toEqual({ code: 0, lastLine: "1 passed, 0 failed", told: [] });
});

test("a test that fails and a file that can't be run count as failed, as before", () => {
  expect(runOf("one", 'test("breaks", () => { throw new Error("no"); });')).toMatchObject({
    ...{ code: 1, lastLine: "0 passed, 1 failed" },
  });
  expect(runOf("one", 'throw new Error("no");')).toMatchObject({ code: 1, lastLine: "0 passed, 1 failed" });
});
