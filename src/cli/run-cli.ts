import { Command, CommanderError } from "commander";
import { PROVIDER_KINDS } from "../adapters/providers/registry.js";
import { armCrashPoint } from "../app/crash-point.js";
import { packageVersion } from "../app/package-version.js";
import { loadConfig } from "../config/load.js";
import type { Config } from "../config/config.js";
import { ConfigError, formatProblem } from "../config/config-error.js";
import type { CliProcess, CommandContext } from "./command-context.js";
import { COMMAND_GROUPS } from "./command-groups.js";
import { errorText, EXIT, exitCodeOf, type ExitCode } from "./exit-code.js";
import { jsonText } from "./json-text.js";
import { notBuiltText } from "./not-built.js";

const DEFAULT_CONFIG_FILE = "sluice.yaml";

/**
 * Runs one command line. Never throws and never ends the process.
 * @param args without node and the script
 * @returns the exit code of contract.md
 */
export async function runCli(args: readonly string[], cli: CliProcess): Promise<ExitCode> {
  const json = args.includes("--json");
  const state: { exitCode: ExitCode; config: Config | null } = { exitCode: EXIT.done, config: null };
  const program = newProgram(cli, json);
  const context: CommandContext = {
    ...cli,
    json: () => json,
    configFile: () => configFileOf(program, cli),
    configIsNamed: () => namedConfigOf(program, cli) !== null,
    config: () => (state.config ??= loadConfig(configFileOf(program, cli), cli.env, PROVIDER_KINDS)),
    reach: () => armCrashPoint(cli.env),
    show: (value, forPeople) => {
      if (json) cli.data(jsonText(value));
      else
        forPeople().forEach((line) => {
          cli.data(line);
        });
    },
    // Commander calls an action with the arguments, the options and the command.
    action:
      (run) =>
      async (...all) => {
        const command = all.at(-1) as Command;
        state.exitCode = await run(command.opts<never>(), command.args); // of the type that the command itself declared
      },
  };
  for (const addCommands of COMMAND_GROUPS) addCommands(program, context);
  try {
    await program.parseAsync(args, { from: "user" });
    return signalCode(cli.signal) ?? state.exitCode;
  } catch (error) {
    return reportError(error, args, cli, json);
  }
}

function newProgram(cli: CliProcess, json: boolean): Command {
  const trimmed = (text: string): string => text.replace(/\n$/, "");
  return new Command("sluice")
    .description("LLM batch processing gateway on Kafka.")
    .version(packageVersion(), "--version", "print the version")
    .option("--config <file>", `config file; else SLUICE_CONFIG, else ${DEFAULT_CONFIG_FILE}`)
    .option("--json", "data and errors as JSON")
    .helpOption("-h, --help", "print help")
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        cli.data(json ? jsonText({ text: trimmed(text) }) : trimmed(text));
      },
      writeErr: (text) => {
        if (!json) cli.note(trimmed(text));
      },
      outputError: () => undefined, // reported once, by reportError
    });
}

function configFileOf(program: Command, cli: CliProcess): string {
  return namedConfigOf(program, cli) ?? DEFAULT_CONFIG_FILE;
}

function namedConfigOf(program: Command, cli: CliProcess): string | null {
  const { config } = program.opts<{ config?: string }>();
  const fromEnvironment = cli.env["SLUICE_CONFIG"] ?? "";
  return config ?? (fromEnvironment === "" ? null : fromEnvironment);
}

function reportError(error: unknown, args: readonly string[], cli: CliProcess, json: boolean): ExitCode {
  if (error instanceof CommanderError) return reportUsage(error, args, cli, json);
  const interrupted = signalCode(cli.signal);
  if (interrupted !== null) return interrupted;
  const exitCode = exitCodeOf(error);
  const message = error instanceof ConfigError ? problemCount(error) : errorText(error);
  if (json) {
    const problems = error instanceof ConfigError ? { file: error.file, problems: error.problems } : {};
    cli.note(jsonText({ error: { message, exitCode, ...problems } }));
    return exitCode;
  }
  if (error instanceof ConfigError) {
    for (const problem of error.problems) cli.note(formatProblem(error.file, problem));
  }
  cli.note(`sluice: ${message}`);
  return exitCode;
}

function problemCount({ problems }: ConfigError): string {
  return `the config has ${String(problems.length)} ${problems.length === 1 ? "problem" : "problems"}`;
}

/** Commander's codes for names that it does not know. */
const UNKNOWN = new Set(["commander.unknownCommand", "commander.unknownOption"]);

function reportUsage(error: CommanderError, args: readonly string[], cli: CliProcess, json: boolean): ExitCode {
  if (error.exitCode === 0) return EXIT.done; // help or version was asked for, and printed
  const notBuilt = UNKNOWN.has(error.code) ? notBuiltText(args) : null;
  const said =
    error.code === "commander.help" ? "expected a command; see sluice --help" : error.message.replace(/^error: /, "");
  const message = notBuilt ?? said;
  if (json) cli.note(jsonText({ error: { message, exitCode: EXIT.usage } }));
  else if (error.code !== "commander.help") cli.note(`sluice: ${message}`);
  return EXIT.usage;
}

function signalCode(signal: AbortSignal): ExitCode | null {
  if (!signal.aborted) return null;
  return signal.reason === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
}
