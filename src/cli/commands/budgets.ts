import type { BudgetLine } from "../../adapters/postgres/operator/budget-rows.js";
import { commitmentLeft, levelText, roomIn, type Budget } from "../../domain/budget/budget.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText, safeText, timeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { tableLines } from "../text-table.js";

interface ListFlags {
  readonly tenant?: string;
  readonly account?: string;
}

const HEAD = ["of", "window", "kind", "limit", "settled", "reserved", "left", "until", "calls out", "in doubt"];

export const addBudgetsCommands: CommandGroup = (program, context) => {
  program
    .command("budgets")
    .description("limits of money: how they stand")
    .command("ls")
    .description(
      "list budgets: limit, what was spent, what calls without an outcome may cost, what is left, and until when",
    )
    .option("--tenant <name>", "only of this tenant, its departments and applications")
    .option("--account <name>", "only of this account")
    .action(context.action((flags: ListFlags) => list(context, flags)));
};

async function list(context: CommandContext, { tenant = null, account = null }: Partial<Nulls>): Promise<ExitCode> {
  const [{ withOperator }, { listBudgets }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/list-budgets.js"),
  ]);
  const budgets = await withOperator(context.config(), (operator) => listBudgets(operator, { tenant, account }));
  context.show({ budgets: budgets.map(budgetJson) }, () => tableLines(HEAD, budgets.map(budgetCells)));
  if (budgets.length === 0)
    context.note("no budget: the config's key budgets names none, and no account has dailySpendUsd or committed");
  return budgets.length === 0 && (tenant ?? account) !== null ? EXIT.notFound : EXIT.done;
}

type Nulls = { readonly [Flag in keyof ListFlags]-?: string | null };

function kindOf({ kind, commitment }: Budget): string {
  return commitment === true ? "commitment" : kind;
}

/** Beyond a commitment nothing is owed to it. */
function leftOf({ budget, ...standing }: BudgetLine): bigint {
  return budget.commitment === true ? commitmentLeft(budget, standing) : roomIn(budget, standing);
}

function budgetJson(line: BudgetLine): Readonly<Record<string, unknown>> {
  const { budget, sinceMs, untilMs, reservations, inDoubt } = line;
  const { level, window, timeZone } = budget;
  return {
    level: level.of,
    tenant: level.of === "tenant" ? level.tenant : null,
    department: level.of === "tenant" ? level.department : null,
    application: level.of === "tenant" ? level.application : null,
    account: level.of === "account" ? level.account : null,
    kind: kindOf(budget),
    window,
    timeZone: window === "total" ? null : timeZone,
    since: untilMs === null ? null : new Date(sinceMs).toISOString(),
    until: untilMs === null ? null : new Date(untilMs).toISOString(),
    limitNanoUsd: budget.limitNanoUsd,
    settledNanoUsd: line.settledNanoUsd,
    reservedNanoUsd: line.reservedNanoUsd,
    leftNanoUsd: leftOf(line),
    reservations,
    inDoubt,
    inDoubtNanoUsd: line.inDoubtNanoUsd,
  };
}

function budgetCells(line: BudgetLine): readonly string[] {
  const { budget, untilMs, reservations, inDoubt } = line;
  const { level, window, timeZone } = budget;
  return [
    safeText(levelText(level).replace(/^tenant /, "")),
    window === "total" || timeZone === "UTC" ? window : `${window} in ${timeZone}`,
    kindOf(budget),
    dollarsText(budget.limitNanoUsd),
    dollarsText(line.settledNanoUsd),
    dollarsText(line.reservedNanoUsd),
    dollarsText(leftOf(line)),
    untilMs === null ? "-" : timeText(untilMs),
    String(reservations),
    inDoubt === 0 ? "-" : `${String(inDoubt)} hold ${dollarsText(line.inDoubtNanoUsd)}`,
  ];
}
