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
        try {
          await runRouter(config, { log, signal: context.signal, ...(name === undefined ? {} : { name }) });
        } finally {
          log.close();
        }
        return EXIT.done;
      }),
    );
};
