import { readFileSync, readdirSync } from "node:fs";

const TICKS_PER_SECOND = 100;

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly ownTicks: number;
  readonly endedChildrenTicks: number;
}

function statOf(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    // The name in brackets may hold anything, so fields are counted from its end. Source: proc(5).
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    return {
      pid,
      parent: fields[1] ?? 0,
      ownTicks: (fields[11] ?? 0) + (fields[12] ?? 0),
      endedChildrenTicks: (fields[13] ?? 0) + (fields[14] ?? 0),
    };
  } catch {
    return null; // it has just ended
  }
}

/** CPU seconds of a process and all below it so far, those that have ended included. Linux only. */
export function cpuSecondsOfTree(root: number): number {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(Number(name)) ?? []);
  const inTree = new Set([root]);
  for (let grew = true; grew;) {
    grew = false;
    for (const { pid, parent } of all) {
      if (inTree.has(parent) && !inTree.has(pid)) {
        inTree.add(pid);
        grew = true;
      }
    }
  }
  const ticks = all
    .filter(({ pid }) => inTree.has(pid))
    .reduce((sum, stat) => sum + stat.ownTicks + stat.endedChildrenTicks, 0);
  return ticks / TICKS_PER_SECOND;
}

/** Most memory a process has held so far, MiB. @throws Error when it is gone. */
export function peakRssMb(pid: number): number {
  return statusMb(pid, "VmHWM") ?? 0;
}

/** Memory that a process holds now, MiB; null when it has ended. */
export function rssMb(pid: number): number | null {
  try {
    return statusMb(pid, "VmRSS");
  } catch {
    return null;
  }
}

/** @returns null for one that has ended and was not waited for. */
function statusMb(pid: number, field: "VmHWM" | "VmRSS"): number | null {
  const text = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const kilobytes = new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1];
  return kilobytes === undefined ? null : Math.round(Number(kilobytes) / 1024);
}
