import type { Command } from "commander";
import type { BatchList, BatchSummary, BatchView } from "../../app/operator/batch-view.js";
import type { Operator } from "../../app/operator/open-operator.js";
import type { BatchRow } from "../../adapters/postgres/operator/batch-rows.js";
import { BATCH_TRANSITIONS, batchId, LIVE_BATCH_STATES, type BatchState } from "../../domain/batch/batch.js";
import { batchProgress, cancelMeaning, type CancelMeaning } from "../../domain/batch/progress.js";
import { batchJson, batchViewLines } from "../batch-text.js";
import { confirmed } from "../confirm.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { isoOrNull, safeText, spanText, timeText } from "../display-text.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { oneOf, wholeNumber } from "../option-values.js";
import { tableLines } from "../text-table.js";

interface ListFlags {
  readonly account?: string;
  readonly state?: BatchState | "live";
  readonly limit: number;
}
interface ShowFlags {
  readonly lines: number;
  readonly after: number;
}
interface CancelFlags {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

const LIST_MAX = 10_000;
const LINES_MAX = 10_000;
const LINE_NUMBER_MAX = 10_000_000;
// The table's own keys.
const STATES = Object.keys(BATCH_TRANSITIONS) as BatchState[];

export const addBatchesCommands: CommandGroup = (program, context) => {
  const batches = program.command("batches").description("batches at providers: list, show, cancel");
  addList(batches, context);
  batches
    .command("show")
    .description("show all of a batch; exit 7 when there is none of that name")
    .argument("<batch>", "b-NUMBER as batches ls prints it, or the provider's own id")
    .option("--lines <number>", "also so many of its lines, with their jobs", wholeNumber(0, LINES_MAX), 0)
    .option("--after <line>", "with --lines: those behind this one", wholeNumber(0, LINE_NUMBER_MAX), 0)
    .action(context.action((flags: ShowFlags, [name]) => show(context, flags, name ?? "")));
  batches
    .command("cancel")
    .description(
      "end a batch before its time: lines that are done stay and are charged, the others are decided anew; exit 6 when it has ended, 7 when there is none",
    )
    .argument("<batch>", "b-NUMBER as batches ls prints it, or the provider's own id")
    .option("--dry-run", "only say what would happen")
    .option("--yes", "do not ask; needed without a terminal")
    .action(context.action((flags: CancelFlags, [name]) => cancel(context, flags, name ?? "")));
};

function addList(batches: Command, context: CommandContext): void {
  const states = [...STATES, "live"] as const;
  batches
    .command("ls")
    .description("list batches, the newest first")
    .option("--account <name>", "only of this account")
    .option(
      "--state <state>",
      `only in this state: ${states.join(", ")} (all that count at their account)`,
      oneOf(states),
    )
    .option("--limit <number>", "at most so many", wholeNumber(1, LIST_MAX), 50)
    .action(context.action((flags: ListFlags) => list(context, flags)));
}

async function list(context: CommandContext, { account, state, limit }: ListFlags): Promise<ExitCode> {
  const [{ withOperator }, { listBatches }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/batch-view.js"),
  ]);
  const states = state === undefined ? null : state === "live" ? LIVE_BATCH_STATES : [state];
  const found: BatchList = await withOperator(context.config(), (operator) =>
    listBatches(operator, { account: account ?? null, states, limit }),
  );
  context.show({ batches: found.batches.map(summaryJson), more: found.more }, () =>
    tableLines(
      ["batch", "account", "model", "state", "lines", "done", "age", "expected", "provider's id", "trouble"],
      found.batches.map(summaryCells),
    ),
  );
  if (found.more > 0) context.note(`${String(found.more)} more, older ones; --limit shows more of them`);
  return EXIT.done;
}

function summaryJson({ createdMs, expectedMs, ...summary }: BatchSummary): Readonly<Record<string, unknown>> {
  return { ...summary, createdAt: isoOrNull(createdMs), expectedAt: isoOrNull(expectedMs) };
}

const TROUBLE_SHOWN = 60;

function summaryCells(batch: BatchSummary): readonly string[] {
  const { done, percent, expectedMs } = batch;
  return [
    batch.batchId,
    batch.account,
    batch.model ?? "several",
    batch.state,
    String(batch.lines),
    done === null || percent === null ? "unknown" : `${String(done)} (${String(percent)} %)`,
    spanText(batch.ageMs),
    expectedMs === null ? "-" : timeText(expectedMs),
    batch.providerBatchId === null ? "-" : safeText(batch.providerBatchId),
    batch.trouble === null ? "-" : safeText(batch.trouble.slice(0, TROUBLE_SHOWN)),
  ];
}

/** @throws CommandError when no batch has the name, or several accounts have one of it. */
async function onlyOne({ pools }: Operator, name: string): Promise<BatchRow> {
  const { findBatches } = await import("../../adapters/postgres/operator/batch-rows.js");
  const [first, ...others] = await findBatches(pools.durable, name);
  if (first === undefined)
    throw new CommandError(EXIT.notFound, `there is no batch ${safeText(name)}; sluice batches ls lists them`);
  if (others.length > 0) {
    const ids = [first, ...others].map(({ batch }) => `${batchId(batch.no)} at ${batch.account}`).join(", ");
    throw new CommandError(EXIT.usage, `${safeText(name)} is there several times (${ids}); expected b-NUMBER`);
  }
  return first;
}

async function show(context: CommandContext, { lines, after }: ShowFlags, name: string): Promise<ExitCode> {
  const [{ withOperator }, { viewBatch }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/batch-view.js"),
  ]);
  const view: BatchView = await withOperator(context.config(), async (operator) =>
    viewBatch(operator, await onlyOne(operator, name), { after, limit: lines }),
  );
  context.show(batchJson(view), () => batchViewLines(view));
  const shown = after + view.lines.length;
  if (lines > 0 && shown < view.summary.lines)
    context.note(`${String(view.summary.lines - shown)} more lines; --after ${String(shown)} shows the next`);
  return EXIT.done;
}

/** What asking for the end of a batch does, for the question and for the dry run. */
function consequences({ batch }: BatchRow, meaning: CancelMeaning): string {
  const { done } = batchProgress(batch);
  const id = batchId(batch.no);
  const lines = `${String(batch.lines)} lines`;
  const soFar = `so far ${done === null ? "unknown" : String(done)} of ${String(batch.lines)}`;
  switch (meaning) {
    case "never_sent":
      return `${id} is ${batch.state} and was never sent: its ${lines} go back and are decided anew, nothing is charged`;
    case "unclear":
      return `${id} is creating: first it is found out whether ${batch.account} has it; lines that are done by then stay and are charged, the others of its ${lines} are decided anew`;
    case "at_provider":
      return batch.way === "calls"
        ? `no further line of ${id} is called: those whose calls are out or done stay and are charged (${soFar}), the others are decided anew`
        : `${batch.account} is asked to stop ${id}: lines that are done stay and are charged (${soFar}), the others are decided anew`;
    case "asked":
      return `the end of ${id} was asked for already: nothing was changed`;
    case "over":
      return `${id} is ${batch.state}, there is nothing to stop: nothing was changed`;
  }
}

async function cancel(context: CommandContext, flags: CancelFlags, name: string): Promise<ExitCode> {
  const [{ withOperator }, { cancelBatch }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/batch-view.js"),
  ]);
  return withOperator(
    context.config(),
    async (operator) => {
      const row = await onlyOne(operator, name);
      const meaning = cancelMeaning(row.batch);
      if (meaning === "over" || meaning === "asked") return showCancel(context, row, meaning, {});
      if (flags.dryRun === true) return showCancel(context, row, meaning, { dryRun: true });
      if (flags.yes !== true) await confirmed(context, `${consequences(row, meaning)}. Go on?`);
      const meant = await cancelBatch(operator, row.batch.no);
      return showCancel(context, row, meant ?? "over", { asked: meant !== null });
    },
    context.reach(),
  );
}

function showCancel(
  context: CommandContext,
  row: BatchRow,
  meaning: CancelMeaning,
  how: { readonly dryRun?: boolean; readonly asked?: boolean },
): ExitCode {
  const { batch } = row;
  const isChange = meaning !== "over" && meaning !== "asked";
  const asked = isChange && how.asked === true;
  const { done } = batchProgress(batch);
  const document = { batchId: batchId(batch.no), state: batch.state, meaning, asked, lines: batch.lines, done };
  context.show(how.dryRun === true ? { dryRun: true, ...document } : document, () => [
    how.dryRun === true
      ? `would ask: ${consequences(row, meaning)}`
      : `${asked ? "asked: " : ""}${consequences(row, meaning)}`,
  ]);
  return isChange ? EXIT.done : EXIT.partly;
}
