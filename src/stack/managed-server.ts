import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { promisify } from "node:util";
import { identifyProcess, isNoSuchProcess } from "./process-identity.js";
import type { ContainerSpec, ProcessSpec, ServerSpec } from "./server-spec.js";

const runFile = promisify(execFile);

/** Room for `docker` to do one thing on a busy machine. */
const DOCKER_TIMEOUT_MS = 60_000;
/** After SIGKILL the kernel needs a moment; longer means that the process hangs in the kernel. */
const KILL_TIMEOUT_MS = 10_000;

/** One run of a server: who it is, and when it has ended. */
export interface ServerRun {
  readonly pid: number | null;
  readonly startTime: string | null;
  /** Resolves, never rejects, with words such as "exit code 1" or "SIGKILL". */
  readonly ended: Promise<string>;
  /** Sends a signal to the server and its process group. */
  signal(signal: NodeJS.Signals): Promise<void>;
}

/** Starts a run. `first` is false when a container of that name exists from an earlier run. */
export async function startRun(spec: ServerSpec, first: boolean): Promise<ServerRun> {
  return spec.kind === "process" ? startProcess(spec) : startContainer(spec, first);
}

/** Asks the run to stop, kills it after the grace, and waits until it has ended. */
export async function stopRun(run: ServerRun, spec: ServerSpec): Promise<void> {
  await run.signal(spec.stopSignal);
  // A stopped (SIGSTOP) server would never see the signal above.
  await run.signal("SIGCONT");
  if (await endsWithin(run, spec.stopGraceMs)) return;
  await killRun(run, spec.name);
}

/** Kills the run and waits until it has ended. */
export async function killRun(run: ServerRun, name: string): Promise<void> {
  await run.signal("SIGKILL");
  if (!(await endsWithin(run, KILL_TIMEOUT_MS))) {
    throw new Error(`${name} (process ${String(run.pid)}) still runs ${String(KILL_TIMEOUT_MS)} ms after SIGKILL`);
  }
}

/** Removes what a server leaves behind outside its data folder: a container, nothing for a process. */
export async function discardServer(spec: ServerSpec): Promise<void> {
  if (spec.kind === "container") await docker(spec, "rm", "--force", "--volumes", spec.containerName);
}

async function endsWithin(run: ServerRun, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => {
      resolve(false);
    }, timeoutMs);
  });
  const ended = await Promise.race([run.ended.then(() => true), timeout]);
  clearTimeout(timer);
  return ended;
}

async function startProcess(spec: ProcessSpec): Promise<ServerRun> {
  const child = spawnDetached(spec);
  const ended = endOf(child);
  const pid = await pidOf(child, spec.command);
  return {
    pid,
    startTime: identifyProcess(pid)?.startTime ?? null,
    ended,
    signal: (signal) => {
      // Once the child was reaped its id may belong to somebody else.
      if (child.exitCode === null && child.signalCode === null) signalGroup(pid, signal);
      return Promise.resolve();
    },
  };
}

function spawnDetached(spec: ProcessSpec): ChildProcess {
  const log = openSync(spec.logFile, "a");
  try {
    return spawn(spec.command, spec.args, {
      cwd: spec.workingFolder,
      env: spec.env,
      // Detached gives it a process group of its own: a Ctrl-C in the terminal must not reach it past the supervisor.
      detached: true,
      stdio: ["ignore", log, log],
      ...(spec.user ?? {}),
    });
  } finally {
    closeSync(log);
  }
}

async function startContainer(spec: ContainerSpec, first: boolean): Promise<ServerRun> {
  if (first) await createContainer(spec);
  else await docker(spec, "start", spec.containerName);
  const waiting = spawn(spec.command, ["wait", spec.containerName], { stdio: "ignore", detached: true });
  const ended = endOf(waiting);
  const pid = Number(await docker(spec, "inspect", "--format", "{{.State.Pid}}", spec.containerName));
  return {
    pid: pid > 0 ? pid : null,
    startTime: identifyProcess(pid)?.startTime ?? null,
    ended,
    signal: async (signal) => {
      if (waiting.exitCode !== null) return;
      await docker(spec, "kill", "--signal", signal, spec.containerName).catch((error: unknown) => {
        // It may end between our look and the command; whether it did is known from `docker wait`.
        if (!String(error).includes("is not running")) throw error;
      });
    },
  };
}

async function createContainer(spec: ContainerSpec): Promise<void> {
  try {
    // Never pulled: a download of that size is the operator's decision.
    await docker(spec, "run", "--pull", "never", "--detach", "--name", spec.containerName, ...spec.runArguments);
  } catch (error) {
    // A run that failed late, say for a taken port, leaves the container behind.
    await docker(spec, "rm", "--force", "--volumes", spec.containerName).catch(() => "");
    throw error;
  }
}

async function docker(spec: ContainerSpec, ...args: readonly string[]): Promise<string> {
  const { stdout } = await runFile(spec.command, args, { timeout: DOCKER_TIMEOUT_MS });
  return stdout.trim();
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      resolve(error.message);
    });
    child.once("exit", (code, signal) => {
      resolve(signal ?? `exit code ${String(code)}`);
    });
  });
}

function pidOf(child: ChildProcess, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      reject(new Error(`${command} can't be started: ${error.message}`));
    });
    child.once("spawn", () => {
      if (child.pid === undefined) reject(new Error(`${command} was started without a process id`));
      else resolve(child.pid);
    });
  });
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!isNoSuchProcess(error)) throw error;
  }
}
