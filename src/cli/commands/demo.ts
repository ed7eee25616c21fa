import type { CommandContext, CommandGroup } from "../command-context.js";
import { confirmed } from "../confirm.js";
import { CommandError, EXIT, exitCodeFrom } from "../exit-code.js";
import { oneOf, wholeNumber } from "../option-values.js";
import { JOB_MIXES, type JobMix } from "../../demo/job-mix.js";
import type { RealRun } from "../../demo/real-run.js";

interface DemoFlags {
  readonly jobs?: number;
  readonly kill: number;
  readonly doubt: "retry" | "fail";
  readonly mode: JobMix;
  readonly keep?: boolean;
  readonly real?: boolean;
  readonly yes?: boolean;
}

const JOBS_MAX = 1_000_000;
const KILLS_MAX = 1000;
const JOBS_DEFAULT = 1000;
/** Few, since each costs real money: more are only taken with `--yes`. */
const REAL_JOBS_DEFAULT = 20;

export const addDemoCommand: CommandGroup = (program, context) => {
  program
    .command("demo")
    .description("run the gateway's main job on real servers and print a receipt")
    .option(
      "--jobs <number>",
      `how many jobs (default: ${String(JOBS_DEFAULT)}; with --real ${String(REAL_JOBS_DEFAULT)}, more only with --yes)`,
      wholeNumber(1, JOBS_MAX),
    )
    .option("--kill <number>", "how often the router is killed", wholeNumber(0, KILLS_MAX), 0)
    .option(
      "--doubt <policy>",
      "what happens to calls in doubt: retry or fail",
      oneOf(["retry", "fail"]),
      "retry" as const,
    )
    .option(
      "--mode <mix>",
      "plain: jobs say nothing; mixed: three of ten want their answer at once, the others may wait for a batch",
      oneOf(JOB_MIXES),
      "plain" as const,
    )
    .option("--keep", "keep the run's folder and say where it is")
    .option("--real", "call real providers with OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY: costs money")
    .option("--yes", "with --real: spend it without asking")
    .action(
      context.action(async (flags: DemoFlags) => {
        const { kill, doubt, mode: mix, keep = false } = flags;
        const jobs = flags.jobs ?? (flags.real === true ? REAL_JOBS_DEFAULT : JOBS_DEFAULT);
        const real = flags.real === true ? await realRun(flags, jobs, context) : null;
        const { runDemo } = await import("../../demo/run-demo.js");
        return exitCodeFrom(await runDemo({ jobs, kill, doubt, mix, keep, json: context.json(), real }));
      }),
    );
};

/** @throws CommandError for what can't be done with real providers, without a key, and without a yes to what it may cost. */
async function realRun(flags: DemoFlags, jobs: number, context: CommandContext): Promise<RealRun> {
  if (flags.kill > 0)
    throw new CommandError(
      EXIT.usage,
      "--kill needs the simulator, which counts the calls in the air; leave out --real",
    );
  if (flags.mode !== "plain")
    throw new CommandError(
      EXIT.usage,
      "--mode mixed needs the simulator, whose batches end in seconds; leave out --real",
    );
  if (jobs > REAL_JOBS_DEFAULT && flags.yes !== true) {
    const limit = String(REAL_JOBS_DEFAULT);
    throw new CommandError(EXIT.usage, `--real takes at most ${limit} jobs, got ${String(jobs)}; add --yes for more`);
  }
  const { realRunFor } = await import("../../demo/run-demo.js");
  const { RealRunError, realRunText } = await import("../../demo/real-run.js");
  let run: RealRun;
  try {
    run = realRunFor(context.env, jobs);
  } catch (error) {
    if (error instanceof RealRunError) throw new CommandError(EXIT.usage, `--real: ${error.message}`);
    throw error;
  }
  context.note(realRunText(run, jobs));
  if (flags.yes !== true) await confirmed(context, "Spend it?");
  return run;
}
