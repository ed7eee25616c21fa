import type { Command } from "commander";
import type { ReplayPlan } from "../../app/operator/plan-replay.js";
import type { ReplayReport } from "../../app/operator/replay-letters.js";
import type { Letter, LetterGroup } from "../../adapters/postgres/operator/letter-rows.js";
import type { LetterFilter } from "../../adapters/postgres/operator/sql-filter.js";
import {
  NO_SETTINGS,
  parseReplaySettings,
  type ReplaySettings,
  type ReplayTerms,
} from "../../domain/dead-letter/replay-settings.js";
import { chainNames } from "../../app/build-routing.js";
import { REPLAY_REFUSALS } from "../../domain/dead-letter/replay.js";
import { parseWhere, type Condition, type LetterState } from "../../domain/dead-letter/where.js";
import { confirmed } from "../confirm.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { dollarsText, safeText, timeText } from "../display-text.js";
import { wholeNumber } from "../option-values.js";
import { tableLines } from "../text-table.js";

interface WhereFlags {
  readonly where?: string;
}
interface ListFlags extends WhereFlags {
  readonly limit: number;
  readonly groups?: boolean;
}
interface ReplayFlags extends WhereFlags {
  readonly set?: string;
  readonly rate?: number;
  readonly parked?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}
interface DiscardFlags extends WhereFlags {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

const LIST_MAX = 10_000;
const RATE_MAX = 10_000;
const WHERE_HELP = "as in: code = PROVIDER_UNAVAILABLE and tenant = acme and failedAt > 2026-11-24";
const UNDECIDED: readonly LetterState[] = ["open", "parked"];

export const addDlqCommands: CommandGroup = (program, context) => {
  const dlq = program.command("dlq").description("dead letters: look at them, replay them, discard them");
  addLook(dlq, context);
  addReplay(dlq, context);
  addDiscard(dlq, context);
};

function addLook(dlq: Command, context: CommandContext): void {
  dlq
    .command("ls")
    .description("list dead letters, the newest first; open and parked ones unless --where names a state")
    .option("--where <conditions>", WHERE_HELP)
    .option("--limit <number>", "at most so many", wholeNumber(1, LIST_MAX), 50)
    .option("--groups", "only count them by code, tenant and state")
    .action(
      context.action(({ where, limit, groups = false }: ListFlags) =>
        groups ? listGroups(context, where) : list(context, where, limit),
      ),
    );
  dlq
    .command("show")
    .description("show one dead letter with its record; exit 7 when there is none of that number")
    .argument("<letter>", "number of the letter, as dlq ls prints it")
    .action(context.action((_options: never, [text]) => show(context, letterNo(text ?? ""))));
}

function addReplay(dlq: Command, context: CommandContext): void {
  dlq
    .command("replay")
    .description(
      "give failed or expired jobs a new generation, send undeliverable records again; exit 6 when some of the letters can't be replayed",
    )
    .argument("[letters...]", "numbers of letters; else --where")
    .option("--where <conditions>", WHERE_HELP)
    .option("--set <changes>", "as in: deadline=+2h,chain=standard; else the original time to live anew")
    .option("--rate <number>", "at most so many a second", wholeNumber(1, RATE_MAX))
    .option("--parked", "replay what failed three times, too")
    .option("--dry-run", "only count, group and bound the cost")
    .option("--yes", "do not ask; needed without a terminal")
    .action(context.action((flags: ReplayFlags, args) => replay(context, flags, args)));
}

function addDiscard(dlq: Command, context: CommandContext): void {
  dlq
    .command("discard")
    .description("mark dead letters as done with; nothing is deleted")
    .argument("[letters...]", "numbers of letters; else --where")
    .option("--where <conditions>", WHERE_HELP)
    .option("--dry-run", "only count and group")
    .option("--yes", "do not ask; needed without a terminal")
    .action(context.action((flags: DiscardFlags, args) => discard(context, flags, args)));
}

function letterNo(text: string): number {
  if (!/^\d{1,15}$/.test(text))
    throw new CommandError(EXIT.usage, `expected the number of a letter as dlq ls prints it, got "${text}"`);
  return Number(text);
}

function conditionsOf(where: string | undefined): readonly Condition[] {
  if (where === undefined) return [];
  const read = parseWhere(where, Date.now());
  if (read.kind === "bad") throw new CommandError(EXIT.usage, read.message);
  return read.conditions;
}

/** Without a state of their own, conditions are about letters that nobody has decided on. */
function listFilter(where: string | undefined): LetterFilter {
  const conditions = conditionsOf(where);
  return { conditions, nos: null, states: conditions.some(({ field }) => field === "state") ? null : UNDECIDED };
}

/** For commands that change something: letters are named, or described. */
function chosenFilter({ where }: WhereFlags, args: readonly string[]): LetterFilter {
  if (args.length === 0 && where === undefined)
    throw new CommandError(EXIT.usage, `expected numbers of letters or --where, ${WHERE_HELP}`);
  const filter = listFilter(where);
  return args.length === 0 ? filter : { ...filter, nos: args.map(letterNo), states: null };
}

async function list(context: CommandContext, where: string | undefined, limit: number): Promise<ExitCode> {
  const filter = listFilter(where);
  const [{ withOperator }, { newestLetters }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/letter-rows.js"),
  ]);
  const letters = await withOperator(context.config(), ({ pools }) => newestLetters(pools.durable, filter, limit));
  context.show(letters.map(letterJson), () =>
    tableLines(["letter", "failed at", "state", "code", "tenant", "job", "gen", "message"], letters.map(letterCells)),
  );
  if (letters.length === limit)
    context.note(`these are the newest ${String(limit)}; --limit shows more, --groups counts them all`);
  return EXIT.done;
}

async function listGroups(context: CommandContext, where: string | undefined): Promise<ExitCode> {
  const filter = listFilter(where);
  const [{ withOperator }, { letterGroups }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/letter-rows.js"),
  ]);
  const groups = await withOperator(context.config(), ({ pools }) => letterGroups(pools.durable, filter));
  context.show(groups, () => groupLines(groups));
  return EXIT.done;
}

function groupLines(groups: readonly LetterGroup[]): readonly string[] {
  return tableLines(
    ["letters", "code", "tenant", "state"],
    groups.map(({ count, code, tenant, state }) => [String(count), code, tenant ?? "-", state]),
  );
}

function letterCells(letter: Letter): readonly string[] {
  const { no, failedMs, state, code, tenant, jobId, generation, message } = letter;
  const job = jobId === null ? "-" : safeText(jobId);
  return [
    String(no),
    timeText(failedMs),
    state,
    code,
    tenant ?? "-",
    job,
    generation === null ? "-" : String(generation),
    safeText(message.slice(0, 100)),
  ];
}

function letterJson({ failedMs, job, ...letter }: Letter): Readonly<Record<string, unknown>> {
  return { ...letter, hasJob: job !== null, failedAt: new Date(failedMs).toISOString() };
}

async function show(context: CommandContext, no: number): Promise<ExitCode> {
  const [{ withOperator }, { loadLetter }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/letter-rows.js"),
  ]);
  const found = await withOperator(context.config(), ({ pools }) => loadLetter(pools.durable, no));
  if (found === null)
    throw new CommandError(EXIT.notFound, `there is no dead letter ${String(no)}; sluice dlq ls lists them`);
  const { letter, record, replay: done } = found;
  const headers = (JSON.parse(record.headersText) as [string, string][]).map(([name, base64]) => [
    name,
    Buffer.from(base64, "base64").toString("utf8"),
  ]); // written by keptHeaders
  const value = record.value;
  const text = value?.toString("utf8") ?? null;
  const isText = value !== null && text !== null && Buffer.from(text, "utf8").equals(value);
  const shown = {
    ...letterJson(letter),
    replay: done === null ? null : { byWhom: done.byWhom, at: new Date(done.atMs).toISOString() },
    headers,
    value: isText ? text : null,
    valueBase64: isText || value === null ? null : value.toString("base64"),
  };
  context.show(shown, () => [
    `${letter.state}: ${letter.code}: ${safeText(letter.message)}`,
    `letter ${String(no)}, ${timeText(letter.failedMs)}, record ${letter.topic} ${String(letter.partition)}:${String(letter.offset)}`,
    letter.jobId === null
      ? "no job"
      : `job ${safeText(letter.jobId)} of tenant ${letter.tenant ?? "-"}, generation ${String(letter.generation ?? -1)}`,
    ...(done === null ? [] : [`replayed by ${done.byWhom}, ${timeText(done.atMs)}`]),
    ...headers.map(([name, shownValue]) => `header ${name ?? ""}: ${shownValue ?? ""}`),
    isText
      ? text
      : value === null
        ? "(null value)"
        : `(${String(value.length)} bytes that are no text; --json shows them in base64)`,
  ]);
  return EXIT.done;
}

async function replay(context: CommandContext, flags: ReplayFlags, args: readonly string[]): Promise<ExitCode> {
  const filter = chosenFilter(flags, args);
  const config = context.config();
  const settings = settingsOf(flags.set, { maxTtlMs: config.delivery.maxTtlMs, chains: chainNames(config) });
  const parked = flags.parked ?? false;
  const { withOperator } = await import("../../app/operator/open-operator.js");
  return withOperator(
    config,
    async (operator) => {
      const [{ planReplay }, { replayLetters }] = await Promise.all([
        import("../../app/operator/plan-replay.js"),
        import("../../app/operator/replay-letters.js"),
      ]);
      if (flags.dryRun === true || flags.yes !== true) {
        const plan = await planReplay(operator, filter, parked);
        noteMissing(context, filter, plan.count + countOf(plan.refused));
        if (flags.dryRun === true) return showPlan(context, plan);
        await confirmed(context, `replay ${String(plan.count)} dead letters, at most ${costText(plan)}?`);
      }
      const report = await replayLetters(operator, {
        filter,
        settings,
        parked,
        ratePerSecond: flags.rate ?? null,
        signal: context.signal,
      });
      return showReport(context, report, filter);
    },
    context.reach(),
  );
}

function settingsOf(set: string | undefined, terms: ReplayTerms): ReplaySettings {
  if (set === undefined) return NO_SETTINGS;
  const read = parseReplaySettings(set, Date.now(), terms);
  if (read.kind === "bad") throw new CommandError(EXIT.usage, read.message);
  return read.settings;
}

function countOf(refused: ReplayPlan["refused"]): number {
  return refused.reduce((sum, { count }) => sum + count, 0);
}

/** @returns whether letters that were named by number are not there. */
function noteMissing(context: CommandContext, filter: LetterFilter, found: number): boolean {
  const missing = filter.nos === null ? 0 : new Set(filter.nos).size - found;
  if (missing > 0) context.note(`${String(missing)} of the named letters are not in the ledger`);
  return missing > 0;
}

function costText(plan: ReplayPlan): string {
  return `${dollarsText(plan.maxCostNanoUsd)}${plan.unknownCost === 0 ? "" : ` and ${String(plan.unknownCost)} of unknown cost`}`;
}

function showPlan(context: CommandContext, plan: ReplayPlan): ExitCode {
  context.show({ dryRun: true, ...plan, refused: refusedJson(plan.refused) }, () => [
    `would replay ${String(plan.count)} dead letters, at most ${costText(plan)}`,
    ...(plan.groups.length === 0 ? [] : groupLines(plan.groups)),
  ]);
  noteRefused(context, plan.refused);
  return plan.refused.length === 0 ? EXIT.done : EXIT.partly;
}

function showReport(context: CommandContext, report: ReplayReport, filter: LetterFilter): ExitCode {
  const { queued, joined, cached, redelivered } = report.how;
  const again = redelivered === 0 ? "" : `, ${String(redelivered)} records go out again`;
  context.show({ dryRun: false, ...report, refused: refusedJson(report.refused) }, () => [
    `replayed ${String(report.replayed)} dead letters: ${String(queued)} will be called, ${String(joined)} joined an equal job, ${String(cached)} were answered at once${again}`,
  ]);
  if (report.endedMeanwhile > 0)
    context.note(`${String(report.endedMeanwhile)} were replayed or discarded by somebody else meanwhile`);
  noteRefused(context, report.refused);
  const missing = noteMissing(context, filter, report.replayed + report.endedMeanwhile + countOf(report.refused));
  if (missing && report.replayed === 0) return EXIT.notFound;
  return report.refused.length === 0 && !report.stopped && !missing ? EXIT.done : EXIT.partly;
}

function refusedJson(refused: ReplayPlan["refused"]): readonly unknown[] {
  return refused.map(({ why, count, examples }) => ({ why, count, message: REPLAY_REFUSALS[why], letters: examples }));
}

function noteRefused(context: CommandContext, refused: ReplayPlan["refused"]): void {
  for (const { why, count, examples } of refused) {
    const more = count > examples.length ? " …" : "";
    context.note(
      `${String(count)} not replayed (${why}): ${REPLAY_REFUSALS[why]}: letter ${examples.join(", ")}${more}`,
    );
  }
}

async function discard(context: CommandContext, flags: DiscardFlags, args: readonly string[]): Promise<ExitCode> {
  const filter = chosenFilter(flags, args);
  const [{ withOperator }, { letterGroups }, { discardAll }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../adapters/postgres/operator/letter-rows.js"),
    import("../../app/operator/discard-letters.js"),
  ]);
  return withOperator(
    context.config(),
    async (operator) => {
      if (flags.dryRun === true || flags.yes !== true) {
        const groups = await letterGroups(operator.pools.durable, { ...filter, states: UNDECIDED });
        if (flags.dryRun === true) {
          context.show({ dryRun: true, groups }, () => groupLines(groups));
          return EXIT.done;
        }
        await confirmed(context, `discard ${String(groups.reduce((sum, { count }) => sum + count, 0))} dead letters?`);
      }
      const report = await discardAll(operator, filter);
      context.show({ dryRun: false, ...report }, () => [`discarded ${String(report.discarded)} dead letters`]);
      if (report.endedAlready > 0) context.note(`${String(report.endedAlready)} had been replayed or discarded before`);
      const missing = noteMissing(context, filter, report.discarded + report.endedAlready);
      if (missing && report.discarded === 0) return EXIT.notFound;
      return report.endedAlready > 0 || missing ? EXIT.partly : EXIT.done;
    },
    context.reach(),
  );
}
