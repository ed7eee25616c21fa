import type { CommandGroup } from "./command-context.js";
import { addConfigCommands } from "./commands/config.js";
import { addBenchCommand } from "./commands/bench.js";
import { addDemoCommand } from "./commands/demo.js";
import { addMigrateCommand } from "./commands/migrate.js";
import { addRouterCommand } from "./commands/router.js";
import { addSchemasCommands } from "./commands/schemas.js";
import { addSimulatorCommand } from "./commands/simulator.js";
import { addStackCommands } from "./commands/stack.js";
import { addTopicsCommands } from "./commands/topics.js";

/** All commands, in the order of the help. One file a group; what is not built has no entry. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  addRouterCommand,
  addTopicsCommands,
  addSchemasCommands,
  addMigrateCommand,
  addConfigCommands,
  addSimulatorCommand,
  addStackCommands,
  addDemoCommand,
  addBenchCommand,
];
