import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  endText,
  logTail,
  runProcess,
  startProcess,
  type OwnProcess,
  type ProcessEnd,
} from "../../src/demo/child-process.js";

export const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const COMMAND_TIMEOUT_MS = 60_000;

export interface RouterStart {
  readonly name: string;
  readonly configFile: string;
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** The gateway's main script; that of `dist` when left out. */
  readonly cli?: string;
}

/** One line of a router's log. */
export interface LogLine {
  readonly event: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

/** A router process from `dist`, signalled by its test. */
export class GatewayRouter {
  readonly #child: OwnProcess;
  #endIsExpected = false;

  /** Resolves once its consumer runs. @throws Error with the end of its log when it ends before that. */
  static async start(options: RouterStart): Promise<GatewayRouter> {
    const router = GatewayRouter.launch(options);
    await router.event("router.ready");
    return router;
  }

  /** The same without waiting for anything. */
  static launch(options: RouterStart): GatewayRouter {
    const child = startProcess({
      name: options.name,
      args: [options.cli ?? CLI, "router", "--config", options.configFile, "--name", options.name],
      env: options.env,
      logFile: options.logFile,
      readStdout: true,
    });
    return new GatewayRouter(child);
  }

  /** Runs a command of the gateway to its end. @returns its stdout. @throws Error with the end of its log unless it exits with 0. */
  static async command(options: RouterStart, args: readonly string[]): Promise<string> {
    return runProcess(
      { ...options, args: [options.cli ?? CLI, ...args, "--config", options.configFile], readStdout: true },
      COMMAND_TIMEOUT_MS,
    );
  }

  private constructor(child: OwnProcess) {
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get running(): boolean {
    return !this.#child.hasEnded();
  }

  /** Resolves once it has ended, with what ended it. */
  get ended(): Promise<ProcessEnd> {
    return this.#child.ended;
  }

  /** From now on its end is no surprise: as after any signal that the test sends. */
  expectEnd(): void {
    this.#endIsExpected = true;
  }

  /** Null while it runs, and when its end is expected; else how it ended, with the end of what it wrote to stderr. */
  async endedByItself(): Promise<string | null> {
    if (this.running || this.#endIsExpected) return null;
    return `${endText(await this.#child.ended)}: ${logTail(this.#child.logFile)}`;
  }

  /** The end of what it wrote to stderr. */
  tail(): string {
    return logTail(this.#child.logFile);
  }

  /** All lines of the log so far. */
  log(): readonly LogLine[] {
    return this.#child
      .stdoutText()
      .split("\n")
      .slice(0, -1)
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as LogLine); // our own log format
  }

  events(name: string): readonly LogLine[] {
    return this.log().filter(({ event }) => event === name);
  }

  /** Resolves with the first line of this event, past ones included. @throws Error when the router ends without it. */
  async event(name: string): Promise<LogLine> {
    const found = new Promise<LogLine>((resolve) => {
      const look = (): void => {
        const line = this.events(name)[0];
        if (line !== undefined) resolve(line);
      };
      this.#child.onStdoutLine(look);
      look();
    });
    const ended = this.#child.ended.then((end): never => {
      throw new Error(
        `expected ${name} from the router, but it ${endText(end)}: ${this.#child.stdoutText().slice(-2000)} ${logTail(this.#child.logFile)}`,
      );
    });
    return Promise.race([found, ended]);
  }

  /** Sends a signal; resolves at once. */
  signal(signal: NodeJS.Signals): void {
    this.#endIsExpected = true;
    this.#child.signal(signal);
  }

  /** Sends a signal that ends it; resolves with how it ended. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<ProcessEnd> {
    this.signal(signal);
    return this.#child.ended;
  }

  /** Text of /metrics. */
  async metrics(): Promise<string> {
    const { url } = await this.event("router.listening");
    return (await fetch(`${String(url)}/metrics`)).text();
  }

  /** Highest resident memory since its start, in MiB; Linux only, from /proc. */
  peakRssMb(): number {
    const status = readFileSync(`/proc/${String(this.pid)}/status`, "utf8");
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) / 1024;
  }

  /** @returns resident memory now, in MiB: the highest since `peakIsNow`, as long as nothing was done since. */
  peakIsNow(): number {
    writeFileSync(`/proc/${String(this.pid)}/clear_refs`, "5"); // proc(5): resets the peak to what is resident
    return this.peakRssMb();
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    this.signal("SIGCONT"); // a stopped one would not see what follows
    this.signal("SIGKILL");
    await this.#child.ended;
  }
}
