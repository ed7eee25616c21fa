import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { nearestWord } from "../config/nearest.js";
import { CRASH_POINTS, NOT_ARMED, type CrashPoint, type ReachPoint } from "../ports/crash-points.js";

/** `SLUICE_CRASH_AT`, read. */
export interface CrashWish {
  readonly point: CrashPoint;
  /** Which time it is passed counts, from 1. */
  readonly passing: number;
  /** The process goes on for so long after it. */
  readonly laterMs: number;
}

/** What is written before the process ends. */
export interface CrashLine {
  readonly crashPoint: CrashPoint;
  readonly passing: number;
  readonly pid: number;
  /** Wall clock. */
  readonly atMs: number;
}

const LATER_MAX_MS = 60_000;
const NAMES_SHOWN = 5;
const STDERR = 2;

/**
 * `relay.after_ack`, `relay.after_ack:3` for the third time, `batch.create_leaving+200` for 200 milliseconds later, or both.
 * @throws Error for another text.
 */
export function readCrashWish(text: string): CrashWish {
  const found = /^([a-z_.]+)(?::([1-9]\d{0,8}))?(?:\+(\d{1,5}))?$/.exec(text);
  const [, name, passing = "1", laterMs = "0"] = found ?? [];
  if (name === undefined || Number(laterMs) > LATER_MAX_MS)
    throw new Error(
      `SLUICE_CRASH_AT: expected <point>, <point>:<n-th time> or <point>+<ms, at most ${String(LATER_MAX_MS)}>, got ${text}`,
    );
  const point = CRASH_POINTS.find((one) => one === name);
  if (point === undefined)
    throw new Error(
      `SLUICE_CRASH_AT: there is no point ${name}; ${nearPoints(name)} (all: sluice router crash-points)`,
    );
  return { point, passing: Number(passing), laterMs: Number(laterMs) };
}

/** Those of the same part of the work, and the one that was most likely meant. */
function nearPoints(name: string): string {
  const nearest = nearestWord(name, CRASH_POINTS);
  const area = name.split(".")[0] ?? "";
  const alike = CRASH_POINTS.filter((one) => one.split(".")[0] === area || one.split(".")[1] === name);
  const near = [...new Set([...(nearest === null ? [] : [nearest]), ...alike])].slice(0, NAMES_SHOWN);
  return near.length === 0 ? "none is near" : `near are ${near.join(", ")}`;
}

/**
 * For tests of kills, by the environment alone: `SLUICE_CRASH_AT` names the place, `SLUICE_CRASH_LOG` a file that gets a line of JSON first,
 * synced to the disk. There the process ends as SIGKILL ends it. Without the first variable nothing is armed.
 * @param end of this process; tests hand in their own.
 * @throws Error for a place that is not there.
 */
export function armCrashPoint(
  env: Readonly<Record<string, string | undefined>>,
  end: (line: CrashLine, logFile: string | undefined) => void = endThisProcess,
): ReachPoint {
  const text = env["SLUICE_CRASH_AT"] ?? "";
  if (text === "") return NOT_ARMED;
  const { point, passing, laterMs } = readCrashWish(text);
  let passed = 0;
  const fire = (): void => {
    end({ crashPoint: point, passing, pid: process.pid, atMs: Date.now() }, env["SLUICE_CRASH_LOG"]);
  };
  return (reached) => {
    if (reached !== point) return;
    passed += 1;
    if (passed !== passing) return;
    if (laterMs === 0) fire();
    else setTimeout(fire, laterMs);
  };
}

/** Nothing of this process runs after it: no handler, no timer, no byte that was not with the system yet. */
function endThisProcess(line: CrashLine, logFile: string | undefined): never {
  const text = `${JSON.stringify(line)}\n`;
  if (logFile !== undefined && logFile !== "") {
    const file = openSync(logFile, "a");
    writeSync(file, text);
    fsyncSync(file);
    closeSync(file);
  }
  try {
    writeSync(STDERR, text);
  } catch {
    // Nobody reads it, or the pipe is full.
  }
  process.kill(process.pid, "SIGKILL");
  for (;;);
}
