import type { CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";
import { wholeNumber } from "../option-values.js";
import { InvalidArgumentError } from "commander";

const RATE_MAX = 100_000;
const MINUTES_MAX = 24 * 60;
const PENDING_MAX = 10_000_000;

interface LoadFlags {
  readonly rate: number;
  readonly minutes: number;
  readonly pending: number;
  readonly report: string;
}

export const addLoadCommand: CommandGroup = (program, context) => {
  program
    .command("load")
    .description("open-loop load on servers of its own, in steps until it breaks; writes a report")
    .option("--rate <jobs>", "jobs a second of the first step", wholeNumber(1, RATE_MAX), 100)
    .option("--minutes <number>", "how long in all, about", minutesOf, 5)
    .option(
      "--pending <jobs>",
      "jobs without an end from which on records stay with the broker",
      wholeNumber(1, PENDING_MAX),
      20_000,
    )
    .option("--report <folder>", "where load.json and load.md go", "load-report")
    .action(
      context.action(async ({ rate, minutes, pending, report: folder }: LoadFlags) => {
        const [{ runLoad }, { loadPage }, { mkdir, writeFile }, path] = await Promise.all([
          import("../../load/run-load.js"),
          import("../../load/load-page.js"),
          import("node:fs/promises"),
          import("node:path"),
        ]);
        const { note, signal } = context;
        const report = await runLoad({ rate, minutes, pendingJobsMax: pending, signal, note });
        await mkdir(folder, { recursive: true });
        await writeFile(path.join(folder, "load.json"), `${JSON.stringify(report, null, 2)}\n`);
        await writeFile(path.join(folder, "load.md"), loadPage(report));
        note(`the report is in ${folder}: load.md, load.json`);
        const { steps: _steps, kinds, ...figures } = report;
        // The last line is JSON either way.
        context.show({ ...figures, kinds }, () => [loadPage(report), JSON.stringify({ ...figures, kinds })]);
        return report.lost === 0 && report.notPublished === 0 ? EXIT.done : EXIT.partly;
      }),
    );
};

function minutesOf(text: string): number {
  const minutes = Number(text);
  if (!(minutes > 0 && minutes <= MINUTES_MAX))
    throw new InvalidArgumentError(`Expected minutes above 0, at most ${String(MINUTES_MAX)}.`);
  return minutes;
}
