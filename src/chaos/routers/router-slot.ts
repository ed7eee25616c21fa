import {
  endText,
  logTail,
  startProcess,
  stopProcess,
  type OwnProcess,
  type ProcessEnd,
} from "../../demo/child-process.js";
import { isStoppedProcess } from "../../stack/process-identity.js";
import type { RouterClock } from "../clock-jumps.js";
import type { RouterPaths } from "../network/router-paths.js";
import { armingText, readCrashLine, type Arming, type CrashLine } from "./crash-point-book.js";

export interface RouterSlotOptions {
  readonly name: string;
  readonly cliScript: string;
  readonly configFile: string;
  readonly env: Readonly<Record<string, string>>;
  readonly httpPort: number;
  readonly paths: RouterPaths;
  /** Null: clocks can't be jumped here. */
  readonly clock: RouterClock | null;
  /** All lives of it write one log. */
  readonly logFile: string;
  readonly crashLogFile: string;
  /** Called when a life has ended that nobody ended from outside. */
  readonly onOwnEnd: (slot: RouterSlot, end: OwnEnd) => void;
}

/** How a router ended by itself. */
export interface OwnEnd {
  readonly pid: number;
  readonly end: ProcessEnd;
  /** What it wrote before it killed itself; null: it was no crash point. */
  readonly crash: CrashLine | null;
  /** Calls in the air. */
  readonly callsLost: number;
}

/** Bytes of a killed process reach the proxy within this time. */
const CLOSING_MS = 50;
/** A process's end is heard of within this time. */
const HEARD_WITHIN_MS = 500;
/** A write that is older than this by our clock comes from a clock that was jumped. */
const REAPING_MS_MAX = 5000;
const HTTP_TIMEOUT_MS = 1000;

/**
 * How long before we heard of it a process ended. On a busy machine that takes longer than the closing of its connections, and calls that it
 * lost would be taken for those of before: its own last write says when it was, if there is one.
 */
export function endedAgoMs(heardAtMs: number, wroteAtMs: number | null): number {
  const agoMs = heardAtMs - (wroteAtMs ?? Number.NaN);
  return agoMs >= 0 && agoMs <= REAPING_MS_MAX ? agoMs + 1 : HEARD_WITHIN_MS;
}

/** Also where our own turns are late: the timer of a late turn comes before the sockets that it has to hear of. */
async function connectionsClosed(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, CLOSING_MS));
  await new Promise((resolve) => setImmediate(resolve));
}

/** A place for a router: one process at a time, with paths, a port and a clock that stay. */
export class RouterSlot {
  readonly #options: RouterSlotOptions;
  readonly #endedByUs = new Set<OwnProcess>();
  #current: OwnProcess | null = null;
  #startedMs = 0;
  #armed: Arming | null = null;

  constructor(options: RouterSlotOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get paths(): RouterPaths {
    return this.#options.paths;
  }

  get clock(): RouterClock | null {
    return this.#options.clock;
  }

  get pid(): number | null {
    return this.isRunning ? (this.#current?.pid ?? null) : null;
  }

  get isRunning(): boolean {
    return this.#current !== null && !this.#current.hasEnded();
  }

  get isStopped(): boolean {
    return this.pid !== null && isStoppedProcess(this.pid);
  }

  get armed(): Arming | null {
    return this.isRunning ? this.#armed : null;
  }

  /** By the monotonic clock. */
  get aliveMs(): number {
    return this.isRunning ? performance.now() - this.#startedMs : 0;
  }

  start(armed: Arming | null): void {
    if (this.isRunning) return;
    const { name, cliScript, configFile, env, clock, logFile, crashLogFile, onOwnEnd, paths } = this.#options;
    this.#startedMs = performance.now();
    this.#armed = armed;
    const child = startProcess({
      name,
      args: [cliScript, "router", "--config", configFile, "--name", name],
      env: {
        ...env,
        ...clock?.env,
        ...(armed === null ? {} : { SLUICE_CRASH_AT: armingText(armed), SLUICE_CRASH_LOG: crashLogFile }),
      },
      logFile,
      readStdout: false,
    });
    this.#current = child;
    void child.ended.then(async (end) => {
      const [heardMs, heardAtMs] = [performance.now(), Date.now()];
      if (this.#endedByUs.has(child)) return;
      await connectionsClosed();
      const crash = end.signal === "SIGKILL" ? readCrashLine(crashLogFile, child.pid) : null;
      const agoMs = endedAgoMs(heardAtMs, crash?.atMs ?? null);
      onOwnEnd(this, { pid: child.pid, end, crash, callsLost: paths.callsLostSince(heardMs - agoMs) });
    });
  }

  /** SIGKILL, also of a stopped one. @returns what it lost; null when it had ended by itself. */
  async kill(): Promise<{ readonly pid: number; readonly callsLost: number } | null> {
    const child = this.#current;
    if (child === null || child.hasEnded()) return null;
    const killedMs = performance.now();
    this.#endedByUs.add(child);
    child.signal("SIGKILL");
    const end = await child.ended;
    await connectionsClosed();
    if (end.signal !== "SIGKILL") return null;
    return { pid: child.pid, callsLost: this.#options.paths.callsLostSince(killedMs) };
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#current?.signal(signal);
  }

  /** SIGTERM, and SIGKILL after the grace. @returns how it ended; null when it did not run. */
  async stop(graceMs: number): Promise<ProcessEnd | null> {
    const child = this.#current;
    if (child === null || child.hasEnded()) return null;
    this.#endedByUs.add(child);
    child.signal("SIGCONT"); // a stopped one would not see what follows
    await stopProcess(child, graceMs);
    await connectionsClosed();
    return child.ended;
  }

  /** Its wall clock less ours, milliseconds, to the second; null when it does not answer. */
  async clockOffsetMs(): Promise<number | null> {
    try {
      const answer = await fetch(`http://127.0.0.1:${String(this.#options.httpPort)}/livez`, {
        signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
      });
      await answer.arrayBuffer();
      const date = Date.parse(answer.headers.get("date") ?? "");
      return Number.isNaN(date) ? null : date - Date.now();
    } catch {
      return null;
    }
  }

  /** Text of /metrics; null when it does not answer. */
  async metrics(): Promise<string | null> {
    try {
      const answer = await fetch(`http://127.0.0.1:${String(this.#options.httpPort)}/metrics`, {
        signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
      });
      return await answer.text();
    } catch {
      return null;
    }
  }

  /** For an error message. */
  endWords(end: ProcessEnd): string {
    return `${this.name} ${endText(end)}; the end of its log:\n${logTail(this.#options.logFile, 5)}`;
  }
}
