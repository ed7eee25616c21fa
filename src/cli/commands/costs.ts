import type { Operator } from "../../app/operator/open-operator.js";
import type { BillOutcome } from "../../app/operator/reconcile-bill.js";
import {
  ALLOCATIONS,
  REPORT_DIMENSIONS,
  type Allocation,
  type CostSums,
  type ReportDimension,
} from "../../domain/cost/cost-report.js";
import type { RepricedSums } from "../../domain/cost/reprice.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { csvLine } from "../csv-line.js";
import { dollarsText, isoOrNull, safeText, timeText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { refuseMissing } from "../missing-file.js";
import { oneOf } from "../option-values.js";
import { timeValue, wordsOf } from "../period-flags.js";
import { tableLines } from "../text-table.js";

interface PeriodFlags {
  readonly since?: number;
  readonly until?: number;
}
interface ReportFlags extends PeriodFlags {
  readonly by: readonly ReportDimension[];
  readonly allocate: Allocation;
  readonly csv?: boolean;
}

interface RepriceFlags extends PeriodFlags {
  readonly as: string;
}
interface ReconcileFlags extends PeriodFlags {
  readonly bill: string;
  readonly account: readonly string[];
  readonly dryRun?: boolean;
}

const SINCE_HELP = "only calls that began then or later: a day (UTC), or a time with its offset";
const UNTIL_HELP = "only calls that began before";

export const addCostsCommands: CommandGroup = (program, context) => {
  const costs = program.command("costs").description("what was paid, for whom, and what was saved");
  costs
    .command("report")
    .description("add up the cost records of the ledger")
    .option("--by <names>", `some of ${REPORT_DIMENSIONS.join(",")}`, wordsOf(REPORT_DIMENSIONS), ["tenant"])
    .option("--since <time>", SINCE_HELP, timeValue)
    .option("--until <time>", UNTIL_HELP, timeValue)
    .option(
      "--allocate <rule>",
      "whom a shared call's cost is told to: payer (the job that began it), even, or list (by list price)",
      oneOf(ALLOCATIONS),
      "payer",
    )
    .option("--csv", "as comma-separated values, in nano-dollars")
    .action(context.action((flags: ReportFlags) => report(context, flags)));
  costs
    .command("reprice")
    .description(
      "what the calls of the past would have cost at another model's price, with the tokens as they were counted then; exit 7 when it has none",
    )
    .requiredOption("--as <model>", "account/model, or provider/model at its list price")
    .option("--since <time>", SINCE_HELP, timeValue)
    .option("--until <time>", UNTIL_HELP, timeValue)
    .action(context.action((flags: RepriceFlags) => reprice(context, flags)));
  costs
    .command("reconcile")
    .description("hold a provider's bill against the ledger and book what was open; exit 6 when something is left")
    .requiredOption("--bill <file>", "the bill: one JSON object a line, as the simulator writes it")
    .option("--account <name>", "whose bill it is; may be given again; else all that its rows name", another, [])
    .option("--since <time>", "calls that began before are no concern of the bill", timeValue)
    .option("--until <time>", "the bill has all calls that began before; else before its last row", timeValue)
    .option("--dry-run", "change nothing, say what would be done")
    .action(context.action((flags: ReconcileFlags) => reconcile(context, flags)));
};

function another(name: string, before: readonly string[]): readonly string[] {
  return [...before, name];
}

async function reprice(context: CommandContext, flags: RepriceFlags): Promise<ExitCode> {
  const { as } = flags;
  const { repriceCosts } = await import("../../app/operator/reprice-costs.js");
  const period = periodOf(flags);
  const found = await repriceCosts(context.config(), as, period);
  if (found === null)
    throw new CommandError(
      EXIT.notFound,
      `no price is known of ${safeText(as)}; expected account/model or provider/model`,
    );
  const { lines, total, priceVersion } = found;
  const json = {
    as,
    priceVersion,
    since: isoOrNull(period.sinceMs),
    until: isoOrNull(period.untilMs),
    lines: lines.map(({ sums, ...of }) => ({ ...of, ...repricedJson(sums) })),
    total: repricedJson(total),
  };
  context.show(json, () =>
    tableLines(
      [
        "called",
        "mode",
        "calls",
        "prompt tokens",
        "answer tokens",
        "paid",
        "direct",
        "batch",
        "unknown",
        "paid for them",
      ],
      [
        ...lines.map(({ account, model, mode, sums }) => [
          safeText(`${account}/${model}`),
          mode,
          ...repricedCells(sums),
        ]),
        ["total", "", ...repricedCells(total)],
      ],
    ),
  );
  context.note(
    `direct and batch: at the price of ${safeText(as)} (${priceVersion}); it may count the same text as other tokens`,
  );
  if (total.unknown > 0)
    context.note(
      `${String(total.unknown)} calls are in no sum: their tokens or their cost are not known, or have no price there`,
    );
  return EXIT.done;
}

function repricedCells(sums: RepricedSums): readonly string[] {
  const { calls, inputTokens, outputTokens, paid, direct, batch, unknown, unknownPaid } = sums;
  return [
    ...[calls, inputTokens, outputTokens].map(String),
    ...[paid, direct].map(dollarsText),
    batch === null ? "-" : dollarsText(batch),
    String(unknown),
    dollarsText(unknownPaid),
  ];
}

function repricedJson(sums: RepricedSums): Readonly<Record<string, unknown>> {
  const { paid, direct, batch, unknown, unknownPaid, ...counts } = sums;
  return {
    ...counts,
    paidNanoUsd: paid,
    directNanoUsd: direct,
    batchNanoUsd: batch,
    unknownCalls: unknown,
    unknownPaidNanoUsd: unknownPaid,
  };
}

async function reconcile(context: CommandContext, flags: ReconcileFlags): Promise<ExitCode> {
  const { bill: file, account: accounts, dryRun = false } = flags;
  const period = periodOf(flags);
  const [{ withOperator }, { reconcileBill }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/reconcile-bill.js"),
  ]);
  const config = context.config();
  const unknown = accounts.find((name) => !Object.hasOwn(config.providers, name));
  if (unknown !== undefined)
    throw new CommandError(EXIT.notFound, `the config has no account ${safeText(unknown)}; expected one of providers`);
  const reconcile = (operator: Operator) => reconcileBill(operator, { file, accounts, period, dryRun });
  const outcome = await withOperator(config, reconcile, context.reach()).catch(refuseMissing(file));
  context.show(outcomeJson(outcome, dryRun), () => outcomeLines(outcome, dryRun));
  return outcome.left.size === 0 ? EXIT.done : EXIT.partly;
}

function outcomeJson(outcome: BillOutcome, dryRun: boolean): Readonly<Record<string, unknown>> {
  const { untilMs, left, ...rest } = outcome;
  return { dryRun, ...rest, until: isoOrNull(untilMs), left: Object.fromEntries(left) };
}

function outcomeLines(outcome: BillOutcome, dryRun: boolean): readonly string[] {
  const { rows, agreed, settled, settledNanoUsd, notBilled, accounts, untilMs, billNanoUsd, left, findings } = outcome;
  const [would, booked] = dryRun ? ["would be settled", "booked now"] : ["settled", "booked"];
  const until = untilMs === null ? "" : `, calls that began before ${timeText(untilMs)}`;
  const shown = findings.map(({ kind, line, attemptId, detail }) => [
    kind.replaceAll("_", " "),
    line === null ? "-" : String(line),
    attemptId === null ? "-" : safeText(attemptId),
    safeText(detail),
  ]);
  const counts = [...left].map(([kind, count]) => `${String(count)} ${kind.replaceAll("_", " ")}`);
  return [
    `accounts ${accounts.length === 0 ? "none" : accounts.join(", ")}${until}`,
    `${String(rows)} rows, ${String(agreed)} agree; ${String(settled)} ${would} with ${dollarsText(settledNanoUsd)}, ${String(notBilled)} of them not billed`,
    `billed ${dollarsText(billNanoUsd)}, ${booked} ${dollarsText(outcome.bookedNanoUsd)}`,
    ...(shown.length === 0 ? [] : tableLines(["left", "line", "attempt", "why"], shown)),
    counts.length === 0 ? "nothing is left" : `left: ${counts.join(", ")}`,
  ];
}

async function report(context: CommandContext, flags: ReportFlags): Promise<ExitCode> {
  const { by, allocate, csv = false } = flags;
  if (csv && context.json()) throw new CommandError(EXIT.usage, "expected --csv or --json, got both");
  const { reportCosts } = await import("../../app/operator/report-costs.js");
  const period = periodOf(flags);
  const { lines, total } = await reportCosts(context.config(), { by, period, allocate });
  if (csv) {
    context.data(csvLine([...by, ...NUMBERS.map(({ csvName }) => csvName)]));
    for (const { of, sums } of lines)
      context.data(csvLine([...of.map((value) => value ?? ""), ...NUMBERS.map(({ read }) => String(read(sums)))]));
    return EXIT.done;
  }
  const json = {
    since: isoOrNull(period.sinceMs),
    until: isoOrNull(period.untilMs),
    allocate,
    lines: lines.map(({ of, sums }) => ({
      ...Object.fromEntries(by.map((name, place) => [name, of[place] ?? null])),
      ...sumsJson(sums),
    })),
    total: sumsJson(total),
  };
  context.show(json, () =>
    tableLines(
      [...by, ...NUMBERS.map(({ head }) => head)],
      [
        ...lines.map(({ of, sums }) => [
          ...of.map((value) => (value === null ? "-" : safeText(value))),
          ...cells(sums),
        ]),
        [...by.map((_, place) => (place === 0 ? "total" : "")), ...cells(total)],
      ],
    ),
  );
  noteOpen(context, total);
  return EXIT.done;
}

/** @throws CommandError for a time that ends before it begins. */
function periodOf({ since, until }: PeriodFlags): { readonly sinceMs: number | null; readonly untilMs: number | null } {
  if (since !== undefined && until !== undefined && until <= since)
    throw new CommandError(EXIT.usage, "expected --until after --since");
  return { sinceMs: since ?? null, untilMs: until ?? null };
}

interface NumberColumn {
  readonly head: string;
  readonly csvName: string;
  readonly read: (sums: CostSums) => number | bigint;
}

const NUMBERS: readonly NumberColumn[] = [
  { head: "jobs", csvName: "jobs", read: ({ jobs }) => jobs },
  { head: "calls", csvName: "calls", read: ({ calls }) => calls },
  { head: "paid", csvName: "paidNanoUsd", read: ({ paid }) => paid },
  { head: "list", csvName: "listNanoUsd", read: ({ list }) => list },
  { head: "coalesced", csvName: "savedCoalescedNanoUsd", read: ({ saved }) => saved.coalesced },
  { head: "cached", csvName: "savedCachedNanoUsd", read: ({ saved }) => saved.cached },
  { head: "batch", csvName: "savedBatchNanoUsd", read: ({ saved }) => saved.batch },
  { head: "prompt cache", csvName: "savedPromptCacheNanoUsd", read: ({ saved }) => saved.promptCache },
  { head: "routing", csvName: "savedRoutingNanoUsd", read: ({ saved }) => saved.routing },
  { head: "waste", csvName: "wasteNanoUsd", read: ({ waste }) => waste },
  { head: "unlisted", csvName: "unlistedNanoUsd", read: ({ unlisted }) => unlisted },
  { head: "in doubt", csvName: "inDoubtCalls", read: ({ inDoubt }) => inDoubt.calls },
  { head: "at most", csvName: "inDoubtMaxNanoUsd", read: ({ inDoubt }) => inDoubt.max },
  { head: "suspect", csvName: "suspectCalls", read: ({ suspect }) => suspect.calls },
  { head: "at most", csvName: "suspectMaxNanoUsd", read: ({ suspect }) => suspect.max },
];

function cells(sums: CostSums): readonly string[] {
  return NUMBERS.map(({ read }) => {
    const value = read(sums);
    return typeof value === "bigint" ? dollarsText(value) : String(value);
  });
}

function sumsJson(sums: CostSums): Readonly<Record<string, unknown>> {
  return Object.fromEntries(NUMBERS.map(({ csvName, read }) => [csvName, read(sums)]));
}

function noteOpen(context: CommandContext, { inDoubt, suspect }: CostSums): void {
  const calls = inDoubt.calls + suspect.calls;
  if (calls === 0) return;
  const max = dollarsText(inDoubt.max + suspect.max);
  context.note(
    `${String(calls)} calls of unknown cost are not in paid, together at most ${max}; sluice costs reconcile settles them`,
  );
}
