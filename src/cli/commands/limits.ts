import type { LimitLine, LimitList } from "../../app/operator/list-limits.js";
import type { LimitStanding } from "../../domain/limit/limit-standing.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { isoOrNull, safeText, timeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { tableLines } from "../text-table.js";

const HEAD = ["of", "limit", "stated", "holds", "because", "used", "waiting", "since"];

export const addLimitsCommands: CommandGroup = (program, context) => {
  program
    .command("limits")
    .description("rate limits of accounts, models, endpoints and tiers: how they stand")
    .command("ls")
    .description("list rate limits: what holds now and why, the share that is used, and what waits for it since when")
    .action(context.action(() => list(context)));
};

async function list(context: CommandContext): Promise<ExitCode> {
  const [{ withOperator }, { listLimits }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/list-limits.js"),
  ]);
  const found = await withOperator(context.config(), listLimits);
  context.show({ shared: found.shared, because: found.because, limits: found.lines.map(limitJson) }, () =>
    tableLines(HEAD, found.lines.flatMap(limitCells)),
  );
  const note = sharedNote(found);
  if (note !== null) context.note(note);
  return found.shared === "not_reached" ? EXIT.partly : EXIT.done;
}

/** What the list can't tell, and why; null: it tells all. */
export function sharedNote({ shared, because, lines }: LimitList): string | null {
  if (lines.every(({ limits }) => limits.length === 0))
    return "no rate limit: the config names none under providers.NAME.limits but places";
  if (shared === "not_configured")
    return "redis.url is not set: each router keeps its share of the limits in its own memory, so what holds and what is used can't be known from here";
  if (shared === "not_reached")
    return `Redis can't be reached (${safeText(because ?? "")}), so what holds and what is used is not known; routers keep to their shares until it answers`;
  return null;
}

function limitJson(line: LimitLine): Readonly<Record<string, unknown>> {
  const { account, model, endpoint, tier, concurrency, waiting, limits } = line;
  return {
    ...{ account, model, endpoint, tier, concurrencyPerRouter: concurrency },
    waiting: { rows: waiting.rows, since: isoOrNull(waiting.sinceMs) },
    limits: limits.map(({ rule, state, learned, holds, used, usedShare }) => ({
      ...{ unit: rule.unit, window: rule.window, stated: rule.limit, learned, holds, state, used, usedShare },
    })),
  };
}

/** A line for each limit, and one for the places of an account; what waits is said once, in the first. */
export function limitCells({ name, concurrency, waiting, limits }: LimitLine): readonly (readonly string[])[] {
  const of = safeText(name);
  const found = [
    ...limits.map(standingCells),
    ...(concurrency === null ? [] : [["concurrency", `${String(concurrency)} a router`, "-", "-", "-"]]),
  ];
  const rows = found.length === 0 ? [["all of these", "-", "-", "-", "-"]] : found;
  const waits = [
    waiting.rows === 0 ? "-" : String(waiting.rows),
    waiting.sinceMs === null ? "-" : timeText(waiting.sinceMs),
  ];
  return rows.map((cells, index) => [of, ...cells, ...(index === 0 ? waits : ["-", "-"])]);
}

function standingCells({ rule, state, holds, usedShare }: LimitStanding): readonly string[] {
  return [
    `${rule.unit}/${rule.window}`,
    String(rule.limit),
    holds === null ? "not known" : String(holds),
    state ?? "-",
    usedShare === null ? "-" : `${(usedShare * 100).toFixed(1)} %`,
  ];
}
