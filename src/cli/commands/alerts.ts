import { ALERT_RULES, alertName, type Alert } from "../../domain/alert/alert.js";
import { alertJson } from "../alert-text.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { timeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { tableLines } from "../text-table.js";

interface ListFlags {
  readonly all?: boolean;
}

export const addAlertsCommands: CommandGroup = (program, context) => {
  program
    .command("alerts")
    .description("what somebody must notice")
    .command("ls")
    .description("list raised alerts")
    .option("--all", "also those that recovered within a day")
    .action(context.action((flags: ListFlags) => list(context, flags)));
};

async function list(context: CommandContext, { all = false }: ListFlags): Promise<ExitCode> {
  const [{ withOperator }, { listAlerts }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/list-alerts.js"),
  ]);
  const alerts = await withOperator(context.config(), (operator) => listAlerts(operator, all));
  context.show({ alerts: alerts.map(alertJson) }, () =>
    tableLines(["alert", "severity", "state", "since", "what"], alerts.map(alertCells)),
  );
  if (alerts.length === 0) context.note("no alert is raised");
  return EXIT.done;
}

function alertCells(alert: Alert): readonly string[] {
  const { rule, state, sinceMs, text } = alert;
  return [
    alertName(alert),
    ALERT_RULES[rule],
    state === "clear" ? "recovered" : state,
    timeText(sinceMs),
    text.message,
  ];
}
