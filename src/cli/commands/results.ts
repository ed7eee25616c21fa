import type { CommandContext, CommandGroup } from "../command-context.js";
import { safeText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";

interface FollowFlags {
  readonly follow?: boolean;
  readonly fromBeginning?: boolean;
}
interface GetFlags {
  readonly tenant?: string;
}

export const addResultsCommands: CommandGroup = (program, context) => {
  const results = program
    .command("results")
    .description("results, one JSON document a line")
    .option("--follow", "print results as they are published, until stopped")
    .option("--from-beginning", "with --follow: begin with the oldest that the topic keeps")
    .action(context.action((flags: FollowFlags) => follow(context, flags)));
  results
    .command("get")
    .description("print the result of a job as it was published; exit 7 when there is none yet")
    .argument("<id>", "the job's id")
    .option("--tenant <name>", "the job's tenant; needed where several have the id")
    .action(context.action(({ tenant }: GetFlags, [jobId]) => get(context, jobId ?? "", tenant ?? null)));
};

async function follow(
  context: CommandContext,
  { follow: wanted = false, fromBeginning = false }: FollowFlags,
): Promise<ExitCode> {
  if (!wanted) throw new CommandError(EXIT.usage, "expected --follow or get ID; see sluice results --help");
  const { followResults } = await import("../../app/operator/follow-results.js");
  await followResults(context.config(), fromBeginning, context.signal, context.data);
  return EXIT.done;
}

async function get(context: CommandContext, jobId: string, tenant: string | null): Promise<ExitCode> {
  const [{ withOperator }, { findResults }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/find-results.js"),
  ]);
  const found = await withOperator(context.config(), (operator) => findResults(operator, jobId, tenant));
  const [first, second] = found;
  if (first === undefined)
    throw new CommandError(
      EXIT.notFound,
      `no job ${safeText(jobId)} is in the ledger; ids are remembered for retention.jobIdDays`,
    );
  if (second !== undefined)
    throw new CommandError(
      EXIT.usage,
      `job ${safeText(jobId)} is there in several tenants (${found.map((each) => each.tenant).join(", ")}); expected --tenant`,
    );
  if (first.text === null)
    throw new CommandError(
      EXIT.notFound,
      `job ${safeText(jobId)} is ${first.state}: it has no result yet; sluice jobs show says what it waits for`,
    );
  context.data(first.text);
  return EXIT.done;
}
