import { existsSync } from "node:fs";
import type { EstimatedSums, FileEstimate } from "../../app/operator/estimate-file.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText, safeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { refuseMissing } from "../missing-file.js";
import { wholeNumber } from "../option-values.js";
import { tableLines } from "../text-table.js";

interface EstimateFlags {
  readonly outputTokens?: number;
}

const OUTPUT_TOKENS_MAX = 1_000_000;

export const addEstimateCommand: CommandGroup = (program, context) => {
  program
    .command("estimate")
    .description(
      "what the requests of a file would cost: each by a call of its own, each distinct one once, in batches, on the cheapest route; nothing is sent, and no server is needed; exit 6 when lines are no jobs",
    )
    .argument("<file>", "jobs or OpenAI batch lines, one JSON object a line")
    .option(
      "--output-tokens <number>",
      "tokens of each answer, where its cap allows so many; else as many as its cap allows",
      wholeNumber(0, OUTPUT_TOKENS_MAX),
    )
    .action(context.action((flags: EstimateFlags, [file]) => estimate(context, flags, file ?? "")));
};

async function estimate(context: CommandContext, flags: EstimateFlags, file: string): Promise<ExitCode> {
  const { outputTokens = null } = flags;
  const { estimateFile } = await import("../../app/operator/estimate-file.js");
  const isConfigured = context.configIsNamed() || existsSync(context.configFile());
  const config = isConfigured ? context.config() : null;
  const found = await estimateFile(file, config, outputTokens, Date.now()).catch(refuseMissing(file));
  const assumptions = assumptionsOf(isConfigured, outputTokens);
  context.show(jsonOf(found, assumptions), () => linesOf(found));
  if (!context.json()) for (const assumption of assumptions) context.note(`assumed: ${assumption}`);
  for (const { line, message } of context.json() ? [] : found.badLines)
    context.note(`line ${String(line)}: ${safeText(message)}`);
  if (found.bad === 0) return EXIT.done;
  context.note(`${String(found.bad)} ${found.bad === 1 ? "line is" : "lines are"} not in the sums`);
  return EXIT.partly;
}

function assumptionsOf(isConfigured: boolean, outputTokens: number | null): readonly string[] {
  const answers =
    outputTokens === null
      ? "each answer is as long as its cap allows (the request's own, else the alias's or the account's default); --output-tokens says otherwise"
      : `each answer has ${String(outputTokens)} tokens, or its cap where that is lower`;
  return [
    isConfigured
      ? "prices, aliases and their candidates of the config"
      : "no config was found: list prices, each model at its own provider, and no alias",
    answers,
    "prompt tokens by OpenAI's tokenizer, a sample of long prompts; other models count somewhat otherwise",
    "no prompt is cached at the provider, nothing fails, nothing is tried again",
    "what is not mode direct can wait for a batch",
  ];
}

const HEAD = [
  "model",
  "requests",
  "distinct",
  "prompt tokens",
  "answer tokens",
  "direct",
  "deduped",
  "batched",
  "routed",
];

function linesOf({ models, total }: FileEstimate): readonly string[] {
  const rows = [...models].map(([model, sums]) => [model === null ? "(others)" : safeText(model), ...cells(sums)]);
  return tableLines(HEAD, [...rows, ["total", ...cells(total)]]);
}

function cells(sums: EstimatedSums): readonly string[] {
  const { requests, distinct, promptTokens, outputTokens, direct, deduped, batched, routed } = sums;
  return [
    ...[requests, distinct, promptTokens, outputTokens].map(String),
    ...[direct, deduped, batched, routed].map(dollarsText),
  ];
}

function jsonOf(found: FileEstimate, assumptions: readonly string[]): Readonly<Record<string, unknown>> {
  return {
    models: [...found.models].map(([model, sums]) => ({ model, ...sumsJson(sums) })),
    total: sumsJson(found.total),
    bad: found.bad,
    badLines: found.badLines,
    assumptions,
  };
}

function sumsJson({ direct, deduped, batched, routed, ...counts }: EstimatedSums): Readonly<Record<string, unknown>> {
  return {
    ...counts,
    directNanoUsd: direct,
    dedupedNanoUsd: deduped,
    batchedNanoUsd: batched,
    routedNanoUsd: routed,
  };
}
