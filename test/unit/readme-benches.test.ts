import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { runCli } from "../../src/cli/run-cli.js";

/** The table of benchmarks: name and options, figures of the last line. */
const ROWS = readFileSync("README.md", "utf8")
  .split(/^## /m)
  .filter((section) => section.startsWith("Benchmarks\n"))
  .flatMap((section) => [...section.matchAll(/^\| `([a-z-]+)[^`]*` +\|[^|]*\|([^|]*)\|$/gm)])
  .map(
    ([, name = "", figures = ""]) =>
      [name, [...figures.matchAll(/`(\w+)`/g)].map(([, figure = ""]) => figure)] as const,
  );

async function helpOf(args: readonly string[]): Promise<string> {
  const lines: string[] = [];
  const data = (line: string): void => void lines.push(line);
  await runCli([...args, "--help"], { data, note: () => undefined, env: {}, signal: new AbortController().signal });
  return lines.join("\n");
}

describe("README's table of benchmarks", () => {
  test("names each benchmark that there is", async () => {
    const listed = (await helpOf(["bench"])).split("Commands:\n")[1] ?? "";
    const names = [...listed.matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => name).filter((name) => name !== "help");
    expect(names.length).toBeGreaterThan(5);
    expect([...new Set(ROWS.map(([name]) => name))].sort()).toEqual([...new Set(names)].sort());
  });

  test.each(ROWS)("the figures of %s are those of its last line", (name, figures) => {
    const code = readFileSync(`src/bench/${name}-bench.ts`, "utf8");
    expect(figures.length).toBeGreaterThan(1);
    expect(figures.filter((figure) => !code.includes(`readonly ${figure}: `))).toEqual([]);
  });
});
