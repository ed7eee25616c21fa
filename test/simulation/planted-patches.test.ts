import { describe, expect, test } from "@jest/globals";
import { patchedFiles } from "../support/planted/built-copy.js";
import { checkInSimulation } from "../support/planted/planted-command.js";
import { readPatches } from "../support/planted/planted-patch.js";
import { DAY_CHECKERS } from "../support/planted/hard-day.js";
import { PLANTED } from "../support/simulation/planted-bugs.js";
import { CHECKERS } from "../support/simulation/checkers.js";

/** What the issue asks for. */
const PLANTED_MIN = 30;
const IN_CHECK_MIN = 10;
/** A bound for a run that hangs. */
const TIMEOUT_MS = 300_000;

/** By name: the issue wants each found in every check, within this many seeds. Two are ways of the product, three of a ledger. */
const SEEDS_MAX = 2000;
const FIRST_FIVE = {
  patches: ["offset-committed-before-intake", "relay-deletes-before-ack"],
  ledgers: [
    "finish decides without looking at session and attempt",
    "finish reads the waiting jobs in the statement that ends the execution",
    "the position is moved without its guard",
  ],
};

const PATCHES = readPatches();
const QUICK = PATCHES.filter(({ inCheck, runsIn }) => inCheck && runsIn.place === "simulation");

describe("bugs planted in a copy of the build", () => {
  test.each(PATCHES.map((patch) => [patch.name, patch] as const))("%s still fits the build", (_name, patch) => {
    for (const [, text] of patchedFiles(patch)) expect(text).not.toBe("");
    const checkers: readonly string[] = patch.runsIn.place === "simulation" ? CHECKERS : DAY_CHECKERS;
    expect(checkers).toContain(patch.checker);
  });

  test("are many, and of many kinds", () => {
    expect(PATCHES.length).toBeGreaterThanOrEqual(PLANTED_MIN);
    expect(QUICK.length).toBeGreaterThanOrEqual(IN_CHECK_MIN);
    expect(new Set(PATCHES.map(({ title }) => title)).size).toBe(PATCHES.length);
    expect(new Set(QUICK.map(({ checker }) => checker)).size).toBeGreaterThanOrEqual(8);
  });

  test("are among others the five that were planted from the start, all of them looked for in every check", () => {
    const quick = QUICK.flatMap(({ name, runsIn }) =>
      runsIn.place === "simulation" && runsIn.seeds <= SEEDS_MAX ? [name] : [],
    );
    expect(quick).toEqual(expect.arrayContaining(FIRST_FIVE.patches));
    // planted.test.ts looks for each of these within as many seeds.
    expect(Object.keys(PLANTED.direct)).toEqual(expect.arrayContaining(FIRST_FIVE.ledgers));
  });

  test.each(QUICK.map((patch) => [patch.title, patch] as const))(
    "are found by their own checker: %s",
    async (_title, patch) => {
      const verdict = await checkInSimulation(patch);
      process.stdout.write(`planted: ${verdict.name}: ${verdict.told}\n`);
      expect(verdict).toMatchObject({ name: patch.name, caught: true });
    },
    TIMEOUT_MS,
  );
});
