import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * A process that can be told apart from a later one with the same id.
 * `startTime` is opaque: clock ticks since boot on Linux, `ps` text elsewhere; only equality counts.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

interface ProcessStatus {
  readonly state: string;
  readonly startTime: string;
}

/** @returns the identity of a process that runs now, or null when it has ended (zombies count as ended). */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const status = readStatus(pid);
  if (status === null || isEndedState(status.state)) return null;
  return { pid, startTime: status.startTime };
}

/** @returns whether the process is there and stands still by SIGSTOP. */
export function isStoppedProcess(pid: number): boolean {
  return readStatus(pid)?.state.startsWith("T") === true;
}

/** @returns true only when this very process, not a later one with the same id, still runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTime === identity.startTime;
}

/** Sends a signal to this very process; does nothing when it has ended or its id was given away again. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isRunning(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if (!isNoSuchProcess(error)) throw error;
  }
}

/** @returns true when the system said ESRCH: between looking and signalling the process has ended. */
export function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ESRCH";
}

// An ended orphan stays a zombie for about two seconds, in which `kill(pid, 0)` still succeeds: hence the state letter.
function isEndedState(state: string): boolean {
  return state.startsWith("Z") || state.startsWith("X");
}

function readStatus(pid: number): ProcessStatus | null {
  return process.platform === "linux" ? readProcStat(pid) : readPs(pid);
}

function readProcStat(pid: number): ProcessStatus | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
  } catch {
    return null;
  }
  return parseProcStat(text);
}

/**
 * Parses the text of /proc/PID/stat. The second field, the command in brackets, may itself hold blanks and brackets, so
 * counting begins after the last bracket. Source: man page proc_pid_stat(5), fields 3 (state) and 22 (starttime).
 */
export function parseProcStat(text: string): ProcessStatus | null {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const startTime = fields[19];
  return state === undefined || startTime === undefined ? null : { state, startTime };
}

function readPs(pid: number): ProcessStatus | null {
  try {
    const text = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], { encoding: "utf8" }).trim();
    const blank = text.indexOf(" ");
    return blank < 0 ? null : { state: text.slice(0, blank), startTime: text.slice(blank + 1).trim() };
  } catch {
    return null;
  }
}
