import { InvalidArgumentError, type Command } from "commander";
import type { AdoptFrom, PartitionStand } from "../../app/operator/adopt-partitions.js";
import type { Operator } from "../../app/operator/open-operator.js";
import type { CommandContext } from "../command-context.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { wholeNumber } from "../option-values.js";
import { tableLines } from "../text-table.js";

interface AdoptFlags {
  readonly topic?: string;
  readonly partition?: number;
  readonly from: AdoptFrom;
  readonly dryRun?: boolean;
}

/** A stand with the offset that its partition would be, or was, read from; null: nothing to adopt. */
interface ShownStand extends PartitionStand {
  readonly from: number | null;
  readonly adopted: boolean;
}

const PARTITION_MAX = 100_000;

const HELP = `
A router stops a partition whose log is not the one it read: the topic was deleted and made anew, or truncated. Adopting says
that this log counts from now on; running routers take the partition up within seconds.

--from earliest (the default) skips nothing. What repeats then: a record with a known job id and the same body gets its result
again and is not called again (at the same offset as before it counts as read, and gets nothing); with another body it is
refused with ID_CONFLICT; a job that was sent without an id is a new job, and is paid again.

Exit 6: with --dry-run when a partition waits for this command; else when there was nothing to adopt, or a partition moved meanwhile.`;

export function addAdoptCommand(topics: Command, context: CommandContext): void {
  topics
    .command("adopt")
    .description(
      "let stopped partitions go on with the log that their topic has now; exit 7 when there is no such topic",
    )
    .option("--topic <name>", "the jobs topic; needed unless --dry-run")
    .option("--partition <number>", "only this partition of it", wholeNumber(0, PARTITION_MAX))
    .option("--from <place>", "where to read on: earliest, latest, or an offset", fromOf, "earliest")
    .option("--dry-run", "only show what the ledger expects and what the topic has")
    .addHelpText("after", HELP)
    .action(context.action((flags: AdoptFlags) => run(context, flags)));
}

function fromOf(text: string): AdoptFrom {
  if (text === "earliest" || text === "latest") return text;
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Expected earliest, latest or an offset.");
  return Number(text);
}

async function run(context: CommandContext, flags: AdoptFlags): Promise<ExitCode> {
  const { topic, partition, from, dryRun = false } = flags;
  if (topic === undefined && (!dryRun || partition !== undefined))
    throw new CommandError(
      EXIT.usage,
      "expected --topic with the jobs topic to adopt; sluice topics adopt --dry-run shows them all",
    );
  if (typeof from === "number" && partition === undefined)
    throw new CommandError(EXIT.usage, "expected --partition with an offset: each partition has offsets of its own");
  const config = context.config();
  const names = config.topics.jobs.map(({ name }) => name);
  if (topic !== undefined && !names.includes(topic))
    throw new CommandError(EXIT.notFound, `${topic} is no jobs topic of the config; it has ${names.join(", ")}`);
  const { withOperator } = await import("../../app/operator/open-operator.js");
  return withOperator(
    config,
    async (operator) => {
      const chosen = topic === undefined ? names : [topic];
      const stands = await chosenStands(operator, chosen, partition);
      return dryRun ? showPlan(context, stands, from) : adoptAll(context, operator, stands, from);
    },
    context.reach(),
  );
}

/** @throws CommandError when the broker has not the topic or the partition. */
async function chosenStands(
  operator: Operator,
  topics: readonly string[],
  partition: number | undefined,
): Promise<readonly PartitionStand[]> {
  const { standOf } = await import("../../app/operator/adopt-partitions.js");
  const all: PartitionStand[] = [];
  for (const topic of topics) {
    // Serial: a handful of topics, and each has one reader.
    const stands = await standOf(operator, topic, partition ?? null);
    if (stands === null)
      throw new CommandError(EXIT.notFound, `the cluster has no topic ${topic}; sluice topics apply creates it`);
    all.push(...stands);
  }
  if (partition !== undefined && all.length === 0)
    throw new CommandError(
      EXIT.notFound,
      `the ledger has no position in partition ${String(partition)} of ${topics.join(", ")}`,
    );
  return all;
}

async function showPlan(
  context: CommandContext,
  stands: readonly PartitionStand[],
  from: AdoptFrom,
): Promise<ExitCode> {
  const shown = await withStarts(stands, from);
  const unread = show(context, shown, true);
  return unread > 0 || shown.some((stand) => stand.from !== null) ? EXIT.partly : EXIT.done;
}

async function adoptAll(
  context: CommandContext,
  operator: Operator,
  stands: readonly PartitionStand[],
  from: AdoptFrom,
): Promise<ExitCode> {
  const { adopt } = await import("../../app/operator/adopt-partitions.js");
  const shown: ShownStand[] = [];
  for (const stand of await withStarts(stands, from)) {
    // Serial: each is one transaction, and what was adopted before an error stays.
    shown.push(stand.from === null ? stand : { ...stand, adopted: await adopt(operator, stand, stand.from) });
  }
  const unread = show(context, shown, false);
  const wanted = shown.filter((stand) => stand.from !== null);
  const moved = wanted.filter(({ adopted }) => !adopted);
  if (wanted.length + unread === 0) context.note("there is nothing to adopt: every position fits its log");
  if (moved.length > 0) context.note(`${String(moved.length)} positions moved meanwhile; look again with --dry-run`);
  return wanted.length > 0 && moved.length + unread === 0 ? EXIT.done : EXIT.partly;
}

/** @throws CommandError when a log does not have the offset. */
async function withStarts(stands: readonly PartitionStand[], from: AdoptFrom): Promise<readonly ShownStand[]> {
  const { isStopped, startIn } = await import("../../app/operator/adopt-partitions.js");
  return stands.map((stand) => {
    if (!isStopped(stand)) return { ...stand, from: null, adopted: false };
    const start = startIn(stand.log, from);
    const { low, high } = stand.log;
    if (start === null)
      throw new CommandError(
        EXIT.usage,
        `--from: expected an offset from ${String(low)} to ${String(high)} of partition ${String(stand.partition)}, got ${String(from)}`,
      );
    return { ...stand, from: start, adopted: false };
  });
}

/** @returns how many partitions could not be compared. */
function show(context: CommandContext, stands: readonly ShownStand[], dryRun: boolean): number {
  context.show({ dryRun, partitions: stands.map(standJson) }, () =>
    tableLines(
      ["topic", "partition", "state", "expected next", "witness", "log begins", "ends", "witness", "read from"],
      stands.map(standCells),
    ),
  );
  const unread = stands.filter(({ verdict }) => verdict === "unproven").length;
  if (unread > 0)
    context.note(`the record before the position of ${String(unread)} partitions could not be read; try again`);
  return unread;
}

const hexOrNull = (bytes: Buffer | null): string | null =>
  bytes === null || bytes.length === 0 ? null : bytes.toString("hex");

function standJson({ topic, partition, verdict, expected, log, foundWitness, from, adopted }: ShownStand): unknown {
  return {
    topic,
    partition,
    state: verdict,
    expected: { next: expected.next, witness: hexOrNull(expected.witness) },
    found: { begins: log.low, ends: log.high, witness: hexOrNull(foundWitness) },
    from,
    adopted,
  };
}

function standCells({ topic, partition, verdict, expected, log, foundWitness, from }: ShownStand): readonly string[] {
  return [
    topic,
    String(partition),
    verdict,
    String(expected.next),
    hexOrNull(expected.witness) ?? "-",
    String(log.low),
    String(log.high),
    hexOrNull(foundWitness) ?? "-",
    from === null ? "-" : String(from),
  ];
}
