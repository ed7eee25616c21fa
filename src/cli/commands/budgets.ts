import type { BudgetLine } from "../../adapters/postgres/operator/budget-rows.js";
import { roomIn } from "../../domain/budget/budget.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { dollarsText, timeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { tableLines } from "../text-table.js";

interface ListFlags {
  readonly tenant?: string;
}

const DAY_MS = 86_400_000;

export const addBudgetsCommands: CommandGroup = (program, context) => {
  program
    .command("budgets")
    .description("hard limits of money: how they stand")
    .command("ls")
    .description("list budgets: limit, what was spent, what calls without an outcome may cost, what is left")
    .option("--tenant <name>", "only of this tenant")
    .action(context.action((flags: ListFlags) => list(context, flags)));
};

async function list(context: CommandContext, { tenant }: ListFlags): Promise<ExitCode> {
  const [{ withOperator }, { listBudgets }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/list-budgets.js"),
  ]);
  const budgets = await withOperator(context.config(), (operator) => listBudgets(operator, tenant ?? null));
  context.show({ budgets: budgets.map(budgetJson) }, () =>
    tableLines(
      ["tenant", "window", "limit", "settled", "reserved", "left", "calls out", "in doubt"],
      budgets.map(budgetCells),
    ),
  );
  if (budgets.length === 0) context.note("no budget: the config's key budgets names none");
  return budgets.length === 0 && tenant !== undefined ? EXIT.notFound : EXIT.done;
}

function budgetJson(budget: BudgetLine): Readonly<Record<string, unknown>> {
  const { tenant, window, sinceDay, reservations, inDoubt } = budget;
  return {
    tenant,
    window,
    since: sinceDay === null ? null : new Date(sinceDay * DAY_MS).toISOString(),
    limitNanoUsd: budget.limitNanoUsd,
    settledNanoUsd: budget.settledNanoUsd,
    reservedNanoUsd: budget.reservedNanoUsd,
    leftNanoUsd: roomIn(budget, budget),
    reservations,
    inDoubt,
    inDoubtNanoUsd: budget.inDoubtNanoUsd,
  };
}

function budgetCells(budget: BudgetLine): readonly string[] {
  const { tenant, window, sinceDay, reservations, inDoubt } = budget;
  return [
    tenant,
    sinceDay === null ? window : `${window} since ${timeText(sinceDay * DAY_MS).slice(0, 10)}`,
    dollarsText(budget.limitNanoUsd),
    dollarsText(budget.settledNanoUsd),
    dollarsText(budget.reservedNanoUsd),
    dollarsText(roomIn(budget, budget)),
    String(reservations),
    inDoubt === 0 ? "-" : `${String(inDoubt)} hold ${dollarsText(budget.inDoubtNanoUsd)}`,
  ];
}
