import { endText, logTail, startProcess, stopProcess } from "./child-process.js";
import type { OwnProcess } from "./child-process.js";

export interface RouterOptions {
  readonly cliScript: string;
  readonly configFile: string;
  readonly env: Readonly<Record<string, string>>;
  /** All routers of a run write one log, one after the other. */
  readonly logFile: string;
  /** Called when a router ends that nobody ended. */
  readonly onUnexpectedEnd: (error: Error) => void;
}

const STOP_GRACE_MS = 20_000;

/** The run's router: one process at a time, killed and started again. */
export class RouterProcess {
  readonly #options: RouterOptions;
  #current: OwnProcess | null = null;
  /** Routers that we ended ourselves. */
  readonly #endedByUs = new Set<OwnProcess>();

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  start(): void {
    const child = startProcess({
      name: "router",
      args: [this.#options.cliScript, "router", "--config", this.#options.configFile],
      env: this.#options.env,
      logFile: this.#options.logFile,
      readStdout: false,
    });
    this.#current = child;
    void child.ended.then((end) => {
      if (this.#endedByUs.has(child)) return;
      this.#options.onUnexpectedEnd(
        new Error(`the router ${endText(end)}; the end of its log:\n${logTail(child.logFile)}`),
      );
    });
  }

  /** SIGSTOP: it does nothing from here on, but keeps its connections. */
  pause(): void {
    this.#running().signal("SIGSTOP");
  }

  /** SIGCONT: a paused one goes on. */
  resume(): void {
    this.#running().signal("SIGCONT");
  }

  /** SIGKILL, also of a paused one; resolves once it has ended. */
  async kill(): Promise<void> {
    const child = this.#running();
    this.#endedByUs.add(child);
    child.signal("SIGKILL");
    await child.ended;
  }

  /** SIGTERM and, after a grace, SIGKILL. Idempotent. */
  async stop(): Promise<void> {
    if (this.#current === null) return;
    this.#endedByUs.add(this.#current);
    await stopProcess(this.#current, STOP_GRACE_MS);
  }

  #running(): OwnProcess {
    if (this.#current === null) throw new Error("expected a router that was started");
    return this.#current;
  }
}
