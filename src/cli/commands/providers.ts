import type { ProviderLine } from "../../app/operator/list-providers.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { tableLines } from "../text-table.js";
import { breakerText } from "./status.js";

export const addProvidersCommands: CommandGroup = (program, context) => {
  program
    .command("providers")
    .description("accounts at providers: whether calls go there")
    .command("ls")
    .description("list the accounts of the config: closed breakers let calls through, open ones do not")
    .action(context.action(() => list(context)));
};

async function list(context: CommandContext): Promise<ExitCode> {
  const [{ withOperator }, { listProviders }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/list-providers.js"),
  ]);
  const providers = await withOperator(context.config(), listProviders);
  context.show({ providers: providers.map(providerJson) }, () =>
    tableLines(["account", "kind", "breaker", "why"], providers.map(providerCells)),
  );
  return EXIT.done;
}

function providerJson({ account, kind, state, breakers }: ProviderLine): Readonly<Record<string, unknown>> {
  return {
    ...{ account, kind, state },
    breakers: breakers.map(({ model, state: own, because, openings, openMs, leftMs }) => ({
      ...{ model, state: own, because, openings, openMs },
      nextTrialInMs: Math.max(0, leftMs),
    })),
  };
}

/** A line for each account. */
export function providerCells({ account, kind, state, breakers }: ProviderLine): readonly string[] {
  return [account, kind, state, breakers.length === 0 ? "-" : breakers.map(breakerText).join("; ")];
}
