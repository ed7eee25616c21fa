import type { DoubtfulAttempt } from "../../adapters/postgres/operator/doubt-rows.js";
import { attemptId, parseAttemptId } from "../../domain/job/ids.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText, timeText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { oneOf, wholeNumber } from "../option-values.js";
import { tableLines } from "../text-table.js";

interface ListFlags {
  readonly limit: number;
}
interface ResolveFlags {
  readonly as: "billed" | "not-billed";
  readonly nano?: bigint;
}

const LIST_MAX = 100_000;

export const addInDoubtCommands: CommandGroup = (program, context) => {
  const inDoubt = program
    .command("in-doubt")
    .description("calls that may have been billed and whose outcome nobody knows");
  inDoubt
    .command("ls")
    .description("list them, the oldest first, with the most that each may have cost")
    .option("--limit <number>", "at most so many", wholeNumber(1, LIST_MAX), 100)
    .action(context.action((flags: ListFlags) => list(context, flags)));
  inDoubt
    .command("resolve")
    .description("write down what the provider's bill says; exit 7 when there is no such attempt")
    .argument("<attempt>", "id of the attempt, as in-doubt ls prints it")
    .requiredOption("--as <outcome>", "billed or not-billed", oneOf(["billed", "not-billed"]))
    .option("--nano <amount>", "what was billed, in nano-dollars; needed with billed", nanoDollars)
    .action(context.action((flags: ResolveFlags, [id]) => resolve(context, flags, id ?? "")));
};

function nanoDollars(text: string): bigint {
  if (!/^\d{1,18}$/.test(text))
    throw new CommandError(EXIT.usage, `--nano: expected a whole number of nano-dollars, got "${text}"`);
  return BigInt(text);
}

async function list(context: CommandContext, { limit }: ListFlags): Promise<ExitCode> {
  const [{ withOperator }, { doubtfulAttempts }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/doubt-rows.js"),
  ]);
  const attempts = await withOperator(context.config(), ({ pools }) => doubtfulAttempts(pools.durable, limit));
  const maxNanoUsd = attempts.reduce((sum, attempt) => sum + attempt.maxNanoUsd, 0n);
  context.show({ attempts: attempts.map(attemptJson), maxNanoUsd }, () =>
    tableLines(["attempt", "state", "started", "tenant", "route", "at most"], attempts.map(attemptCells)),
  );
  if (attempts.length > 0)
    context.note(`${String(attempts.length)} in doubt, together at most ${dollarsText(maxNanoUsd)}`);
  return EXIT.done;
}

function attemptJson({ key, execution, startedMs, ...attempt }: DoubtfulAttempt): Readonly<Record<string, unknown>> {
  return {
    attemptId: attemptId(key.day, key.no),
    executionId: attemptId(execution.day, execution.no),
    startedAt: new Date(startedMs).toISOString(),
    ...attempt,
  };
}

function attemptCells({
  key,
  state,
  startedMs,
  tenant,
  account,
  model,
  maxNanoUsd,
}: DoubtfulAttempt): readonly string[] {
  return [
    attemptId(key.day, key.no),
    state,
    timeText(startedMs),
    tenant,
    `${account}/${model}`,
    dollarsText(maxNanoUsd),
  ];
}

async function resolve(context: CommandContext, { as, nano }: ResolveFlags, id: string): Promise<ExitCode> {
  const attempt = parseAttemptId(id);
  if (attempt === null)
    throw new CommandError(EXIT.usage, `expected the id of an attempt as in-doubt ls prints it, got "${id}"`);
  const billed = as === "billed";
  if (billed && nano === undefined)
    throw new CommandError(EXIT.usage, "expected --nano with what the bill says; in-doubt ls shows the most it can be");
  if (!billed && nano !== undefined)
    throw new CommandError(EXIT.usage, "expected no --nano with --as not-billed: what was not billed cost nothing");
  const [{ withOperator }, { resolveDoubt }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/doubt-rows.js"),
  ]);
  const nanoUsd = nano ?? 0n;
  const outcome = await withOperator(
    context.config(),
    async (operator) => {
      const resolution = { attempt, billed, nanoUsd, byWhom: operator.byWhom, session: await operator.session() };
      return resolveDoubt(operator.context, resolution, await operator.render());
    },
    context.reach(),
  );
  if (outcome === "not_found") throw new CommandError(EXIT.notFound, `there is no attempt ${id} in the ledger`);
  context.show({ attemptId: id, as, nanoUsd, resolved: outcome === "resolved" }, () => [
    outcome === "resolved"
      ? `${id} resolved as ${as}: ${dollarsText(nanoUsd)}`
      : `${id} is not in doubt: nothing was changed`,
  ]);
  return outcome === "resolved" ? EXIT.done : EXIT.partly;
}
