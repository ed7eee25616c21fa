import { crashPointFacts, NOT_ARMED } from "../../ports/crash-points.js";
import type { CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";
import { tableLines } from "../text-table.js";

interface RouterOptions {
  readonly name?: string;
}

export const addRouterCommand: CommandGroup = (program, context) => {
  const router = program.command("router");
  router
    .description("run the gateway until SIGTERM; logs are JSON on stdout")
    .option("--name <name>", "name of this router in the ledger and in logs")
    .action(
      context.action(async ({ name }: RouterOptions) => {
        const config = context.config();
        const [{ runRouter }, { openLog }] = await Promise.all([
          import("../../app/run-router.js"),
          import("../../adapters/system/pino-log.js"),
        ]);
        const log = openLog({ to: "stdout", level: context.env["SLUICE_LOG_LEVEL"] });
        // Node ends the process right after this: whoever looks at night finds the reason where all other lines are.
        const onCrash = (error: Error): void => {
          log.error("router.crashed", { error });
          log.close();
        };
        process.on("uncaughtExceptionMonitor", onCrash);
        try {
          const reach = context.reach();
          if (reach !== NOT_ARMED) log.warn("router.crashes", { at: context.env["SLUICE_CRASH_AT"] });
          await runRouter(config, {
            ...{ log, signal: context.signal, reach },
            ...(name === undefined ? {} : { name }),
          });
        } finally {
          process.off("uncaughtExceptionMonitor", onCrash);
          log.close();
        }
        return EXIT.done;
      }),
    );
  router
    .command("crash-points", { hidden: true })
    .description("the places at which SLUICE_CRASH_AT ends a process, for tests of kills")
    .action(
      context.action(() => {
        const points = crashPointFacts();
        context.show(points, () =>
          tableLines(
            ["POINT", "PASSED BY", "WHAT STANDS THERE"],
            points.map(({ name, passedBy, means }) => [name, passedBy, means]),
          ),
        );
        return EXIT.done;
      }),
    );
};
