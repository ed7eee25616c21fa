import type { CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";

export const addMigrateCommand: CommandGroup = (program, context) => {
  program
    .command("migrate")
    .description("bring the ledger's schema up to date")
    .option("--plan", "only say what would run; exit 8 when something would")
    .action(
      context.action(async ({ plan = false }: { readonly plan?: boolean }) => {
        const { migrate } = await import("../../adapters/postgres/migrate.js");
        const migrations = await migrate(context.config().postgres.url, { plan, reach: context.reach() });
        context.show({ plan, migrations }, () =>
          migrations.map((name) => (plan ? `would run ${name}` : `ran ${name}`)),
        );
        if (migrations.length === 0) context.note("the ledger's schema is up to date");
        return plan && migrations.length > 0 ? EXIT.planHasChanges : EXIT.done;
      }),
    );
};
