/** A rule that the planner settings of connection.ts tell, held by every statement of the ledger. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";

const FOLDER = "src/adapters/postgres";

/** Whether a statement may find a row that somebody else has changed meanwhile; a mere question sees what stood when it was asked. */
const LOCKS = /\b(?:UPDATE|DELETE|FOR (?:KEY )?SHARE)\b/;

/** Aliases whose days a statement bounds from below by a parameter and also takes from another row. */
function chosenTwice(statement: string): readonly string[] {
  if (!LOCKS.test(statement)) return [];
  const byParameter = [...statement.matchAll(/\b(\w+)\.day (?:BETWEEN|=|>=|>) \$/g)].map(([, alias]) => alias ?? "");
  const byRow = [...statement.matchAll(/\b(\w+)\.day = (\w+)\.day\b/g)].flatMap(([, one, other]) => [one, other]);
  return [...new Set(byParameter)].filter((alias) => byRow.includes(alias));
}

const statements = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => readFileSync(join(FOLDER, file), "utf8").match(/`[^`]*`|"[^"\n]*"/g) ?? [])
  .filter((text) => /\b(?:SELECT|UPDATE|DELETE)\b/.test(text));

describe("the days of a table in a statement", () => {
  test("are chosen by parameters or by another row, never by both", () => {
    expect(statements.length).toBeGreaterThan(200);
    expect(
      statements.flatMap((statement) => chosenTwice(statement).map((alias) => `${alias} in ${statement}`)),
    ).toEqual([]);
  });

  test.each([
    ["UPDATE jobs j SET state = $1 FROM w WHERE j.no = w.no AND j.day = w.day AND j.day BETWEEN $2 AND $3", ["j"]],
    ["SELECT 1 FROM u JOIN e ON u.day = e.day WHERE e.day >= $1 FOR KEY SHARE OF e", ["e"]],
    ["SELECT 1 FROM u JOIN e ON u.day = e.day WHERE e.day >= $1", []],
    ["UPDATE jobs j SET state = $1 FROM w WHERE j.no = w.no AND j.day + 0 = w.day AND j.day BETWEEN $2 AND $3", []],
    ["SELECT 1 FROM e JOIN a ON a.day = e.day WHERE a.no = $1 FOR UPDATE", []],
  ])("are found where they are: %s", (statement, expected) => {
    expect(chosenTwice(statement)).toEqual(expected);
  });
});
