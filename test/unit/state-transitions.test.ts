import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { BATCH_TRANSITIONS } from "../../src/domain/batch/batch.js";
import { LETTER_TRANSITIONS } from "../../src/domain/dead-letter/where.js";
import { ATTEMPT_TRANSITIONS, EXECUTION_TRANSITIONS, JOB_TRANSITIONS } from "../../src/domain/execution/execution.js";

const FOLDER = new URL("../../schemas/ledger/", import.meta.url);
const migrations = readdirSync(FOLDER)
  .sort()
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8"))
  .join("\n");

/** The moves that the database's trigger on a table lets through, as the last migration that makes it says. */
function movesInMigration(table: string): readonly string[] {
  const made = new RegExp(`CREATE TRIGGER ${table}_transition[\\s\\S]*?EXECUTE FUNCTION`, "g");
  const trigger = migrations.match(made)?.at(-1) ?? "";
  return [...trigger.matchAll(/'([a-z_]+>[a-z_]+)'/g)].map((match) => match[1] ?? "").sort();
}

function movesOf(table: Readonly<Record<string, readonly string[]>>): readonly string[] {
  return Object.entries(table)
    .flatMap(([from, to]) => to.map((state) => `${from}>${state}`))
    .sort();
}

describe("The database refuses exactly what the table refuses", () => {
  test("for jobs", () => {
    expect(movesInMigration("jobs")).toEqual(movesOf(JOB_TRANSITIONS));
  });
  test("for executions", () => {
    expect(movesInMigration("executions")).toEqual(movesOf(EXECUTION_TRANSITIONS));
  });
  test("for attempts", () => {
    expect(movesInMigration("attempts")).toEqual(movesOf(ATTEMPT_TRANSITIONS));
  });
  test("for batches", () => {
    expect(movesInMigration("batches")).toEqual(movesOf(BATCH_TRANSITIONS));
    expect(movesInMigration("batches").filter((move) => /^(done|failed)>/.test(move))).toEqual(["failed>submitted"]);
  });
  test("for dead letters", () => {
    expect(movesInMigration("dead_letters")).toEqual(movesOf(LETTER_TRANSITIONS));
    expect(movesInMigration("dead_letters").filter((move) => /^(replayed|discarded)>/.test(move))).toEqual([]);
  });
  test("and lets nothing out of an ended state", () => {
    const all = ["jobs", "executions", "attempts"].flatMap(movesInMigration);
    expect(all.length).toBe(4 + 13 + 14);
    const ended = /^(succeeded|failed|expired|cancelled|dropped|answered|not_sent)>/;
    // A batch that was given up as absent may turn up.
    expect(all.filter((move) => ended.test(move))).toEqual(["not_sent>batched"]);
  });
});
