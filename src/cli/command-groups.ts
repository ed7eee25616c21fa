import type { CommandGroup } from "./command-context.js";
import { addAlertsCommands } from "./commands/alerts.js";
import { addBatchesCommands } from "./commands/batches.js";
import { addBenchCommand } from "./commands/bench.js";
import { addBudgetsCommands } from "./commands/budgets.js";
import { addConfigCommands } from "./commands/config.js";
import { addCostsCommands } from "./commands/costs.js";
import { addDemoCommand } from "./commands/demo.js";
import { addDlqCommands } from "./commands/dlq.js";
import { addEstimateCommand } from "./commands/estimate.js";
import { addInDoubtCommands } from "./commands/in-doubt.js";
import { addJobsCommands } from "./commands/jobs.js";
import { addLimitsCommands } from "./commands/limits.js";
import { addLoadCommand } from "./commands/load.js";
import { addMigrateCommand } from "./commands/migrate.js";
import { addProvidersCommands } from "./commands/providers.js";
import { addResultsCommands } from "./commands/results.js";
import { addRouteCommands } from "./commands/route.js";
import { addRouterCommand } from "./commands/router.js";
import { addSchemasCommands } from "./commands/schemas.js";
import { addSimulatorCommand } from "./commands/simulator.js";
import { addStackCommands } from "./commands/stack.js";
import { addStatusCommand } from "./commands/status.js";
import { addSubmitCommand } from "./commands/submit.js";
import { addTopicsCommands } from "./commands/topics.js";

/** All commands, in the order of the help. One file a group; what is not built has no entry. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  addStatusCommand,
  addRouterCommand,
  addTopicsCommands,
  addSchemasCommands,
  addMigrateCommand,
  addSubmitCommand,
  addResultsCommands,
  addJobsCommands,
  addBatchesCommands,
  addBudgetsCommands,
  addLimitsCommands,
  addProvidersCommands,
  addAlertsCommands,
  addCostsCommands,
  addEstimateCommand,
  addInDoubtCommands,
  addDlqCommands,
  addRouteCommands,
  addConfigCommands,
  addSimulatorCommand,
  addStackCommands,
  addDemoCommand,
  addBenchCommand,
  addLoadCommand,
];
