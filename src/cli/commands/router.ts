import type { CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";

interface RouterOptions {
  readonly name?: string;
}

export const addRouterCommand: CommandGroup = (program, context) => {
  program
    .command("router")
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
        const crashAt = context.env["SLUICE_CRASH_AT"];
        try {
          await runRouter(config, {
            ...{ log, signal: context.signal },
            ...(name === undefined ? {} : { name }),
            ...(crashAt === undefined ? {} : { crashAt }),
          });
        } finally {
          process.off("uncaughtExceptionMonitor", onCrash);
          log.close();
        }
        return EXIT.done;
      }),
    );
};
