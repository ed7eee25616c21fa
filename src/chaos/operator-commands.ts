import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProcess, startProcess } from "../demo/child-process.js";
import type { CommandEnd } from "./faults/stage.js";

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

  /** However it ends; ended after a minute. */
  async run(args: readonly string[]): Promise<CommandEnd> {
    const child = startProcess(this.#options(args));
    const timer = setTimeout(() => {
      child.signal("SIGKILL");
    }, TIMEOUT_MS);
    const end = await child.ended;
    clearTimeout(timer);
    return { exitCode: end.code, stdout: child.stdoutText() };
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
