import { readFileSync } from "node:fs";

/** The letter of a process' state, as in proc(5): T is stopped, Z has ended; null: there is none. Linux only. */
export function processState(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    // The name in brackets may hold anything, so fields are counted from its end.
    return text.slice(text.lastIndexOf(")") + 2).charAt(0);
  } catch {
    return null;
  }
}

export function hasEnded(pid: number): boolean {
  const state = processState(pid);
  return state === null || state === "Z" || state === "X";
}
