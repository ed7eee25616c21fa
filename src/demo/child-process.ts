import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

/** A Node process that the demo started. stderr goes to a log file of its own, stdout too unless it is read. */
export interface OwnProcess {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves once, when the process has ended, with what ended it. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  readonly hasEnded: () => boolean;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** The whole stdout once the process has ended; only what `readStdout` asked for. */
  readonly stdoutText: () => string;
  readonly onStdoutLine: (listener: (line: string) => void) => void;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface OwnProcessOptions {
  readonly name: string;
  /** The script and its arguments; run by this very Node. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** False: stdout goes to the log. */
  readonly readStdout: boolean;
}

/** @throws Error when the process can't be started at all. */
export function startProcess(options: OwnProcessOptions): OwnProcess {
  const log = openSync(options.logFile, "a");
  const child = spawn(process.execPath, [...options.args], {
    env: { ...process.env, ...options.env },
    // stdin stays an open pipe: a child told to hold it ends with us, however we end.
    stdio: ["pipe", options.readStdout ? "pipe" : log, log],
  });
  closeSync(log);
  // A child that ends first breaks the pipe; its end is reported below, so this needs no second report.
  child.stdin?.on("error", () => undefined);
  const stdout = collectLines(child);
  const ended = endOf(child);
  if (child.pid === undefined) throw new Error(`expected to start ${options.name}: ${options.args.join(" ")}`);
  return {
    name: options.name,
    pid: child.pid,
    logFile: options.logFile,
    ended,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    signal: (signal) => {
      child.kill(signal);
    },
    stdoutText: stdout.text,
    onStdoutLine: stdout.onLine,
  };
}

function endOf(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    child.once("error", () => {
      resolve({ code: null, signal: null });
    });
    // "close", not "exit": only then has all of stdout been read.
    child.once("close", (code, signal) => {
      resolve({ code, signal });
    });
  });
}

function collectLines(child: ChildProcess): {
  readonly text: () => string;
  readonly onLine: (listener: (line: string) => void) => void;
} {
  const listeners: ((line: string) => void)[] = [];
  let text = "";
  let lineStart = 0;
  child.stdout?.setEncoding("utf8");
  child.stdout?.on("data", (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf("\n", lineStart); end >= 0; end = text.indexOf("\n", lineStart)) {
      const line = text.slice(lineStart, end);
      lineStart = end + 1;
      for (const listener of listeners) listener(line);
    }
  });
  return { text: () => text, onLine: (listener) => listeners.push(listener) };
}

/** Ends a process: SIGTERM, and SIGKILL when it has not ended after `graceMs`. Idempotent. */
export async function stopProcess(child: OwnProcess, graceMs: number): Promise<void> {
  if (child.hasEnded()) return;
  child.signal("SIGTERM");
  const timer = setTimeout(() => {
    child.signal("SIGKILL");
  }, graceMs);
  await child.ended;
  clearTimeout(timer);
}

/**
 * Runs a process to its end.
 * @throws Error with the end of its log when it does not end with one of `exitCodes`, or not within `timeoutMs`.
 */
export async function runProcess(
  options: OwnProcessOptions,
  timeoutMs: number,
  exitCodes: readonly number[] = [0],
): Promise<string> {
  const child = startProcess(options);
  const deadline = AbortSignal.timeout(timeoutMs);
  const kill = (): void => {
    child.signal("SIGKILL");
  };
  deadline.addEventListener("abort", kill);
  const end = await child.ended;
  deadline.removeEventListener("abort", kill);
  if (end.code !== null && exitCodes.includes(end.code)) return child.stdoutText();
  const how = deadline.aborted ? `did not end within ${String(timeoutMs)} ms` : endText(end);
  throw new Error(`${options.name} ${how}; the end of its log:\n${logTail(options.logFile)}`);
}

export function endText(end: ProcessEnd): string {
  return end.code === null
    ? `was ended by ${end.signal ?? "an error at its start"}`
    : `ended with exit code ${String(end.code)}`;
}

/** The last lines of a log, for an error message. */
export function logTail(file: string, lines = 15): string {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } catch {
    return "(no log)";
  }
}
