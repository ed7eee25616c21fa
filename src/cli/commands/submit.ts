import { InvalidArgumentError } from "commander";
import type { FileReport, SubmitReport } from "../../app/operator/submit-jobs.js";
import type { LineDefaults } from "../../app/operator/from-openai-line.js";
import type { Config } from "../../config/config.js";
import { parseDurationMs } from "../../domain/dead-letter/duration.js";
import type { JobMode } from "../../domain/job/job.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { refuseMissing } from "../missing-file.js";
import { oneOf, wholeNumber } from "../option-values.js";

interface SubmitFlags {
  readonly topic?: string;
  readonly wait?: boolean;
  readonly timeout: number;
  readonly dryRun?: boolean;
  readonly tenant?: string;
  readonly mode?: JobMode;
  readonly ttl?: number;
}

const MODES = ["auto", "direct", "batch"] as const satisfies readonly JobMode[];
const WAIT_SECONDS_MAX = 604_800;

export const addSubmitCommand: CommandGroup = (program, context) => {
  program
    .command("submit")
    .description(
      "publish the jobs of a file, one JSON object a line: jobs, or OpenAI batch lines as they are; nothing is sent when a line is neither",
    )
    .argument("<file>", "the file")
    .option("--topic <name>", "which of the config's jobs topics; the first when left out")
    .option("--wait", "wait for the results and end with a receipt; exit 6 unless all succeeded")
    .option("--timeout <seconds>", "with --wait: longest wait", wholeNumber(1, WAIT_SECONDS_MAX), 3600)
    .option(
      "--tenant <name>",
      "tenant of OpenAI batch lines; needed where the topic does not say it and there are several",
    )
    .option("--mode <mode>", "mode of OpenAI batch lines: auto (default), direct or batch", oneOf(MODES))
    .option("--ttl <duration>", "time to live of OpenAI batch lines, as in 90s, 2h, 1d", duration)
    .option("--dry-run", "only check the file")
    .action(context.action((flags: SubmitFlags, [file]) => submit(context, flags, file ?? "")));
};

async function submit(context: CommandContext, flags: SubmitFlags, file: string): Promise<ExitCode> {
  const config = context.config();
  const names = config.topics.jobs.map(({ name }) => name);
  const topic = flags.topic ?? names[0] ?? "";
  if (!names.includes(topic))
    throw new CommandError(EXIT.usage, `expected --topic of ${names.join(", ")}, got "${topic}"`);
  const defaults = defaultsOf(config, flags);
  const { checkFile, submitJobs } = await import("../../app/operator/submit-jobs.js");
  const checked = await checkFile(file, defaults).catch(refuseMissing(file));
  if (checked.bad > 0) return refuseFile(context, checked, file);
  refuseFlags(config, flags, checked, defaults);
  if (flags.dryRun === true) {
    const { jobs, openaiLines } = checked;
    context.show({ dryRun: true, topic, jobs, openaiLines }, () => [
      `would submit ${String(jobs)} jobs to ${topic}${openaiLines === 0 ? "" : `, ${String(openaiLines)} of them OpenAI batch lines`}`,
    ]);
    return EXIT.done;
  }
  const wait = flags.wait ?? false;
  const report = await submitJobs(
    config,
    { file, topic, wait, waitMs: flags.timeout * 1000, signal: context.signal, defaults },
    checked,
  );
  context.show(report, () => reportLines(report));
  return report.receipt === null || report.receipt.succeeded === report.receipt.jobs ? EXIT.done : EXIT.partly;
}

function duration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === null || ms === 0) throw new InvalidArgumentError("Expected a duration like 90s, 2h or 1d.");
  return ms;
}

/** @throws CommandError for what every line would be refused for. */
function defaultsOf(config: Config, { tenant, mode, ttl }: SubmitFlags): LineDefaults {
  const tenants = Object.keys(config.tenants);
  if (tenant !== undefined && !tenants.includes(tenant))
    throw new CommandError(EXIT.usage, `expected --tenant of the config's tenants, got "${tenant}"`);
  const { maxTtlMs } = config.delivery;
  if (ttl !== undefined && ttl > maxTtlMs)
    throw new CommandError(EXIT.usage, `--ttl: expected at most ${String(maxTtlMs)} ms (delivery.maxTtlMs)`);
  const only = config.auth.tenantFrom === "body" && tenants.length === 1 ? (tenants[0] ?? null) : null;
  return { tenant: tenant ?? only, mode: mode ?? null, ttlMs: ttl ?? null };
}

/** Flags that would do nothing, and lines that nobody's tenant could be proved for. */
function refuseFlags(config: Config, flags: SubmitFlags, { openaiLines }: FileReport, defaults: LineDefaults): void {
  const given = (["tenant", "mode", "ttl"] as const).find((name) => flags[name] !== undefined);
  if (openaiLines === 0 && given !== undefined)
    throw new CommandError(
      EXIT.usage,
      `--${given} is for OpenAI batch lines, and the file has none: a job says it itself`,
    );
  if (openaiLines > 0 && defaults.tenant === null && config.auth.tenantFrom === "body")
    throw new CommandError(
      EXIT.usage,
      `expected --tenant of ${Object.keys(config.tenants).join(", ")}: OpenAI batch lines name none`,
    );
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
