import { createInterface } from "node:readline/promises";
import type { CommandContext } from "./command-context.js";
import { CommandError, EXIT } from "./exit-code.js";

/** Asks on stderr whether to go on. @throws CommandError without a terminal, where `--yes` must say it, and for any answer but yes. */
export async function confirmed(context: CommandContext, question: string): Promise<void> {
  if (!process.stdin.isTTY || context.json())
    throw new CommandError(EXIT.usage, `${question} Expected --yes, since nobody can be asked here`);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await asking.question(`${question} [y/N] `, { signal: context.signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(EXIT.failed, "nothing was changed");
  } finally {
    asking.close();
  }
}
