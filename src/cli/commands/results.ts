import type { CommandContext, CommandGroup } from "../command-context.js";
import { safeText } from "../display-text.js";
import { oneOf } from "../option-values.js";
import { refuseMissing } from "../missing-file.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";

interface AsFlag {
  readonly as: ResultShape;
}
interface ManyFlags extends AsFlag {
  readonly follow?: boolean;
  readonly fromBeginning?: boolean;
  readonly of?: string;
  readonly tenant?: string;
}
type GetFlags = Partial<AsFlag> & Pick<ManyFlags, "tenant">;

const SHAPES = ["result", "openai-batch"] as const;
type ResultShape = (typeof SHAPES)[number];
const AS_HELP = "result (default), or openai-batch: as a line of OpenAI's batch result files";

export const addResultsCommands: CommandGroup = (program, context) => {
  const results = program
    .command("results")
    .description("results, one JSON document a line")
    .enablePositionalOptions()
    .option("--follow", "print results as they are published, until stopped")
    .option("--from-beginning", "with --follow: begin with the oldest that the topic keeps")
    .option("--of <file>", "results of the jobs of a file, in its order; exit 6 while some have none")
    .option("--tenant <name>", "with --of: the tenant of lines that name none; any when left out")
    .option("--as <shape>", AS_HELP, oneOf(SHAPES), "result")
    .action(context.action((flags: ManyFlags) => many(context, flags)));
  results
    .command("get")
    .description("print the result of a job as it was published; exit 7 when there is none yet")
    .argument("<id>", "the job's id")
    .option("--tenant <name>", "the job's tenant; needed where several have the id")
    .option("--as <shape>", AS_HELP, oneOf(SHAPES))
    .action(
      context.action((flags: GetFlags, [jobId]) => {
        const before = results.opts<ManyFlags>(); // given before the word `get`
        return get(context, jobId ?? "", flags.tenant ?? before.tenant ?? null, flags.as ?? before.as);
      }),
    );
};

function many(context: CommandContext, flags: ManyFlags): Promise<ExitCode> {
  const { follow: wanted = false, of } = flags;
  if (wanted === (of !== undefined))
    throw new CommandError(EXIT.usage, "expected --follow, --of FILE or get ID; see sluice results --help");
  return of === undefined ? follow(context, flags) : ofFile(context, of, flags);
}

/** Makes lines of results. */
async function shapeText(shape: ResultShape): Promise<(text: string) => string> {
  if (shape === "result") return (text) => text;
  return (await import("../../app/operator/to-openai-line.js")).openaiLineOf;
}

async function follow(context: CommandContext, { fromBeginning = false, as }: ManyFlags): Promise<ExitCode> {
  const [{ followResults }, inShape] = await Promise.all([
    import("../../app/operator/follow-results.js"),
    shapeText(as),
  ]);
  await followResults(context.config(), fromBeginning, context.signal, (text) => {
    context.data(inShape(text));
  });
  return EXIT.done;
}

async function ofFile(context: CommandContext, file: string, { as, tenant }: ManyFlags): Promise<ExitCode> {
  const [{ withOperator }, { resultsOfFile }, inShape] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/results-of-file.js"),
    shapeText(as),
  ]);
  const { found, waiting, unknown, bad } = await withOperator(context.config(), (operator) =>
    resultsOfFile(operator, file, tenant ?? null, (text) => {
      context.data(inShape(text));
    }),
  ).catch(refuseMissing(file));
  if (waiting + unknown + bad === 0) return EXIT.done;
  context.note(
    `${String(found)} results; ${String(waiting)} jobs have not ended, ${String(unknown)} are not in the ledger or have no id of their own, ${String(bad)} lines are no jobs`,
  );
  return EXIT.partly;
}

async function get(
  context: CommandContext,
  jobId: string,
  tenant: string | null,
  shape: ResultShape,
): Promise<ExitCode> {
  const [{ withOperator }, { findResults }, inShape] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/find-results.js"),
    shapeText(shape),
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
  context.data(inShape(first.text));
  return EXIT.done;
}
