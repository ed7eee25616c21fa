import { Option } from "commander";
import type { LargeBatchProvider } from "../../bench/large-batch-bench.js";
import type { CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";
import { wholeNumber } from "../option-values.js";

const JOBS_MAX = 1_000_000;
const BATCH_LINES_MAX = 50_000;
const LARGE_LINES_MAX = 200_000;
const SECONDS_MAX = 600;

export const addBenchCommand: CommandGroup = (program, context) => {
  const bench = program
    .command("bench")
    .description("measure the gateway on real servers, against a bare loop in the same run");
  bench
    .command("direct")
    .description("direct calls: jobs/s, CPU and latency against consume-call-produce without a ledger")
    .option("--jobs <number>", "jobs of one run", wholeNumber(1000, JOBS_MAX), 20_000)
    .option("--guarded", "instead: what rate limits in Redis and budgets cost that keep no call back", false)
    .action(
      context.action(async ({ jobs, guarded }: { readonly jobs: number; readonly guarded: boolean }) => {
        const { directBench, guardedBench } = await import("../../bench/direct-bench.js");
        const figures = await (guarded ? guardedBench(jobs, context.note) : directBench(jobs, context.note));
        context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
        return EXIT.done;
      }),
    );
  bench
    .command("limits")
    .description("three routers and one Redis at twice the allowed rate: what the provider counted, against the limit")
    .option("--seconds <number>", "length of the load", wholeNumber(20, SECONDS_MAX), 180)
    .option("--kill-redis", "kill Redis half-way", false)
    .action(
      context.action(async ({ seconds, killRedis }: { readonly seconds: number; readonly killRedis: boolean }) => {
        const { limitsBench } = await import("../../bench/limits-bench.js");
        const figures = await limitsBench(seconds, killRedis, context.note);
        context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
        return EXIT.done;
      }),
    );
  bench
    .command("backlog")
    .description("acceptance and memory while the provider has stopped")
    .option("--jobs <number>", "jobs", wholeNumber(1000, JOBS_MAX), 100_000)
    .action(
      context.action(async ({ jobs }: { readonly jobs: number }) => {
        const { backlogBench } = await import("../../bench/backlog-bench.js");
        const figures = await backlogBench(jobs, context.note);
        context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
        return EXIT.done;
      }),
    );
  bench
    .command("batch")
    .description(
      "batches at a provider that needs no time: lines/s, CPU and memory from the first publish to the last result",
    )
    .option("--lines <number>", "lines, all different", wholeNumber(1000, JOBS_MAX), BATCH_LINES_MAX)
    .action(
      context.action(async ({ lines }: { readonly lines: number }) => {
        const { batchBench } = await import("../../bench/batch-bench.js");
        const figures = await batchBench(lines, context.note);
        context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
        return EXIT.done;
      }),
    );
  bench
    .command("budget")
    .description("jobs of one tenant from three routers against a hard budget, beside the same without one")
    .option("--jobs <number>", "jobs of one run", wholeNumber(1000, JOBS_MAX), 20_000)
    .option("--pairs <number>", "runs with and without, in turn; the median ratio counts", wholeNumber(1, 9), 3)
    .action(
      context.action(async (asked: { readonly jobs: number; readonly pairs: number }) => {
        const { budgetBench } = await import("../../bench/budget-bench.js");
        const figures = await budgetBench(asked, context.note);
        context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
        return EXIT.done;
      }),
    );
  bench
    .command("large-batch")
    .description("batches of full size: memory of the router (slow; 200 MB in, 4 GB out at OpenAI: 20 GB of disk)")
    .addOption(
      new Option("--provider <kind>", "whose limits: openai's file, or anthropic's call with all lines")
        .choices(["openai", "anthropic"])
        .default("openai"),
    )
    .option(
      "--lines <number>",
      "lines, all different; a few more than one batch may hold when left out",
      wholeNumber(100, LARGE_LINES_MAX),
    )
    .action(
      context.action(
        async ({ provider, lines }: { readonly provider: LargeBatchProvider; readonly lines?: number }) => {
          const { largeBatchBench } = await import("../../bench/large-batch-bench.js");
          const figures = await largeBatchBench(provider, lines, context.note);
          context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
          return EXIT.done;
        },
      ),
    );
  bench
    .command("route")
    .description("decisions between 20 candidates by score on one processor; needs no server")
    .option("--seconds <number>", "how long", wholeNumber(1, SECONDS_MAX), 5)
    .action(
      context.action(async ({ seconds }: { readonly seconds: number }) => {
        const { routeBench } = await import("../../bench/route-bench.js");
        const figures = routeBench(seconds);
        context.show(figures, () => Object.entries(figures).map(([name, value]) => `${name}: ${String(value)}`));
        return EXIT.done;
      }),
    );
  bench
    .command("simulator")
    .description("the mock providers: CPU of direct calls beside a bare server, and memory of batches of full size")
    .option("--calls <number>", "direct calls of each provider", wholeNumber(1000, JOBS_MAX), 50_000)
    .option(
      "--lines <number>",
      "lines of a batch's file; an inline batch has twice as many",
      wholeNumber(1, BATCH_LINES_MAX),
      BATCH_LINES_MAX,
    )
    .action(
      context.action(async ({ calls, lines }: { readonly calls: number; readonly lines: number }) => {
        const { simulatorBench } = await import("../../bench/simulator-bench.js");
        const figures = await simulatorBench(calls, lines, context.note);
        context.show(figures, () => [JSON.stringify(figures, null, 2)]);
        return EXIT.done;
      }),
    );
};
