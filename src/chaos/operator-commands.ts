import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProcess, startProcess } from "../demo/child-process.js";
import type { CommandEnd } from "./faults/stage.js";
import { armingText, readCrashLine, type Arming } from "./routers/crash-point-book.js";

export const CLI_SCRIPT = fileURLToPath(new URL("../cli/main.js", import.meta.url));

const TIMEOUT_MS = 60_000;

/** Runs commands of the gateway as an operator does, each in a process of its own. */
export class OperatorCommands {
  readonly #configFile: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #folder: string;

  constructor(
    { configFile, env }: { readonly configFile: string; readonly env: Readonly<Record<string, string>> },
    folder: string,
  ) {
    this.#configFile = configFile;
    this.#env = env;
    this.#folder = folder;
  }

  /** @throws Error with the end of its log when it ends with another exit code. */
  async expect(args: readonly string[], exitCodes: readonly number[] = [0]): Promise<string> {
    return runProcess(this.#options(args), TIMEOUT_MS, exitCodes);
  }

  /** However it ends; ended after a minute. @param armed where it kills itself; null: nowhere. */
  async run(args: readonly string[], armed: Arming | null = null): Promise<CommandEnd> {
    const crashLogFile = join(this.#folder, "commands.crashes.jsonl");
    const options = this.#options(args);
    const crashEnv = armed === null ? {} : { SLUICE_CRASH_AT: armingText(armed), SLUICE_CRASH_LOG: crashLogFile };
    const child = startProcess({ ...options, env: { ...options.env, ...crashEnv } });
    const timer = setTimeout(() => {
      child.signal("SIGKILL");
    }, TIMEOUT_MS);
    const end = await child.ended;
    clearTimeout(timer);
    const crash = end.signal === "SIGKILL" ? readCrashLine(crashLogFile, child.pid) : null;
    return { exitCode: end.code, stdout: child.stdoutText(), pid: child.pid, crash };
  }

  #options(args: readonly string[]): Parameters<typeof startProcess>[0] {
    return {
      name: `sluice ${args.join(" ")}`,
      args: [CLI_SCRIPT, ...args, "--config", this.#configFile],
      env: this.#env,
      logFile: join(this.#folder, "commands.log"),
      readStdout: true,
    };
  }
}
