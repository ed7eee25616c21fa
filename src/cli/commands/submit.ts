import { types } from "node:util";
import type { FileReport, SubmitReport } from "../../app/operator/submit-jobs.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { wholeNumber } from "../option-values.js";

interface SubmitFlags {
  readonly topic?: string;
  readonly wait?: boolean;
  readonly timeout: number;
  readonly dryRun?: boolean;
}

const WAIT_SECONDS_MAX = 604_800;

export const addSubmitCommand: CommandGroup = (program, context) => {
  program
    .command("submit")
    .description("publish the jobs of a file, one JSON object a line; nothing is sent when a line is none")
    .argument("<file>", "the file")
    .option("--topic <name>", "which of the config's jobs topics; the first when left out")
    .option("--wait", "wait for the results and end with a receipt; exit 6 unless all succeeded")
    .option("--timeout <seconds>", "with --wait: longest wait", wholeNumber(1, WAIT_SECONDS_MAX), 3600)
    .option("--dry-run", "only check the file")
    .action(context.action((flags: SubmitFlags, [file]) => submit(context, flags, file ?? "")));
};

async function submit(context: CommandContext, flags: SubmitFlags, file: string): Promise<ExitCode> {
  const config = context.config();
  const names = config.topics.jobs.map(({ name }) => name);
  const topic = flags.topic ?? names[0] ?? "";
  if (!names.includes(topic))
    throw new CommandError(EXIT.usage, `expected --topic of ${names.join(", ")}, got "${topic}"`);
  const { checkFile, submitJobs } = await import("../../app/operator/submit-jobs.js");
  const checked = await checkFile(file).catch((error: unknown) => {
    if (types.isNativeError(error) && "code" in error && error.code === "ENOENT")
      throw new CommandError(EXIT.notFound, `there is no file ${file}`, { cause: error });
    throw error;
  });
  if (checked.bad > 0) return refuseFile(context, checked, file);
  if (flags.dryRun === true) {
    context.show({ dryRun: true, topic, jobs: checked.jobs }, () => [
      `would submit ${String(checked.jobs)} jobs to ${topic}`,
    ]);
    return EXIT.done;
  }
  const wait = flags.wait ?? false;
  const report = await submitJobs(
    config,
    { file, topic, wait, waitMs: flags.timeout * 1000, signal: context.signal },
    checked,
  );
  context.show(report, () => reportLines(report));
  return report.receipt === null || report.receipt.succeeded === report.receipt.jobs ? EXIT.done : EXIT.partly;
}

function refuseFile(context: CommandContext, checked: FileReport, file: string): never {
  for (const { line, message } of checked.problems) context.note(`${file}:${String(line)}: ${message}`);
  throw new CommandError(
    EXIT.failed,
    `${String(checked.bad)} of ${String(checked.jobs + checked.bad)} lines are no jobs; nothing was sent`,
  );
}

function reportLines({ topic, submitted, receipt }: SubmitReport): readonly string[] {
  const first = `submitted ${String(submitted)} jobs to ${topic}`;
  if (receipt === null) return [first];
  const { succeeded, failed, expired, cancelled, deadLetterOnly, unanswered, costNanoUsd, unknownCosts, waitedMs } =
    receipt;
  const counts = [
    ["succeeded", succeeded],
    ["failed", failed],
    ["expired", expired],
    ["cancelled", cancelled],
    ["dead letter only", deadLetterOnly],
    ["unanswered", unanswered],
  ] as const;
  return [
    first,
    ...counts
      .filter(([name, count]) => count > 0 || name === "succeeded" || name === "failed")
      .map(([name, count]) => `${name.padEnd(16)} ${String(count)}`),
    `${"cost".padEnd(16)} ${dollarsText(costNanoUsd)}${unknownCosts === 0 ? "" : `, and ${String(unknownCosts)} of unknown cost`}`,
    `${"waited".padEnd(16)} ${String(Math.round(waitedMs / 100) / 10)} s`,
  ];
}
