import type { CommandGroup } from "../command-context.js";
import { exitCodeFrom } from "../exit-code.js";
import { oneOf, wholeNumber } from "../option-values.js";

interface DemoFlags {
  readonly jobs: number;
  readonly kill: number;
  readonly doubt: "retry" | "fail";
  readonly keep?: boolean;
}

const JOBS_MAX = 1_000_000;
const KILLS_MAX = 1000;

export const addDemoCommand: CommandGroup = (program, context) => {
  program
    .command("demo")
    .description("run the gateway's main job on real servers and print a receipt")
    .option("--jobs <number>", "how many jobs", wholeNumber(1, JOBS_MAX), 1000)
    .option("--kill <number>", "how often the router is killed", wholeNumber(0, KILLS_MAX), 0)
    .option(
      "--doubt <policy>",
      "what happens to calls in doubt: retry or fail",
      oneOf(["retry", "fail"]),
      "retry" as const,
    )
    .option("--keep", "keep the run's folder and say where it is")
    .action(
      context.action(async ({ jobs, kill, doubt, keep = false }: DemoFlags) => {
        const { runDemo } = await import("../../demo/run-demo.js");
        return exitCodeFrom(await runDemo({ jobs, kill, doubt, keep, json: context.json() }));
      }),
    );
};
