import type { Command } from "commander";
import type { Config } from "../config/config.js";
import type { ReachPoint } from "../ports/crash-points.js";
import type { Environment } from "../config/interpolate.js";
import type { ExitCode } from "./exit-code.js";

/** What a process gives its commands; tests hand in their own. Texts come without the line's end. */
export interface CliProcess {
  /** Data, on stdout. */
  readonly data: (line: string) => void;
  /** All else, on stderr. */
  readonly note: (line: string) => void;
  readonly env: Environment;
  /** Aborted by SIGINT and SIGTERM, with the signal's name as reason. */
  readonly signal: AbortSignal;
}

/** What every command can use. */
export interface CommandContext extends CliProcess {
  /** Whether `--json` was given: data and errors are then JSON. */
  readonly json: () => boolean;
  /** Path of the config file: `--config`, else `SLUICE_CONFIG`, else `sluice.yaml` here. */
  readonly configFile: () => string;
  /** Whether that path was given, and is not only the default. */
  readonly configIsNamed: () => boolean;
  /** The config, read when first asked for. Throws `ConfigError`. */
  readonly config: () => Config;
  /** For tests of kills: what `SLUICE_CRASH_AT` arms. Throws for a point that is not there. */
  readonly reach: () => ReachPoint;
  /** Prints a value as JSON with `--json`, else the lines that `forPeople` makes of it. */
  readonly show: (value: unknown, forPeople: () => readonly string[]) => void;
  /** Makes a command's action of a function over the command's own options; its result is the exit code. */
  readonly action: (run: Action) => (...args: unknown[]) => Promise<void>;
}

/** `options` is what the command's own flags declare: Commander can't tell the type, so the command states it. */
export type Action = (options: never, args: readonly string[]) => Promise<ExitCode> | ExitCode;

/** Adds the commands of one group. A command is there only when it works. */
export type CommandGroup = (program: Command, context: CommandContext) => void;
