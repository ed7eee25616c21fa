import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "@jest/globals";
import { identifyProcess, isRunning, parseProcStat, signalProcess } from "../../src/stack/process-identity.js";

const children: ChildProcess[] = [];

async function sleeper(): Promise<{ readonly child: ChildProcess; readonly pid: number }> {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  children.push(child);
  await once(child, "spawn");
  return { child, pid: child.pid ?? 0 };
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

describe("process identity", () => {
  test.each([
    ["a plain name", "7 (redis) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 9", "S", "4711"],
    ["blanks and brackets in the name", "7 (a) b (c)) Z 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 815 9 9", "Z", "815"],
  ])("reads state and start time with %s", (_, text, state, startTime) => {
    expect(parseProcStat(text)).toEqual({ state, startTime });
  });

  test("tells nothing from a text that is cut off", () => {
    expect(parseProcStat("7 (redis) S 1 7")).toBeNull();
  });

  test("sees a process that runs, and sees that it has ended", async () => {
    const { child, pid } = await sleeper();
    const identity = identifyProcess(pid);
    expect(identity?.pid).toBe(pid);
    expect(identity !== null && isRunning(identity)).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(identity !== null && isRunning(identity)).toBe(false);
  });

  test("never signals a process that has the id but another start time", async () => {
    const { child, pid } = await sleeper();
    signalProcess({ pid, startTime: "1" }, "SIGKILL");
    const identity = identifyProcess(pid);
    expect(identity).not.toBeNull();
    if (identity !== null) signalProcess(identity, "SIGTERM");
    const [, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    expect(signal).toBe("SIGTERM");
  });

  test("counts a zombie as ended", async () => {
    // The shell starts a process that ends at once and never waits for it: `exec` puts sleep in the shell's place.
    const parent = spawn("/bin/sh", ["-c", "sleep 0.01 & echo $!; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(parent);
    const [text] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(text.toString());
    const untilMs = Date.now() + 5_000;
    while (identifyProcess(pid) !== null && Date.now() < untilMs) await new Promise((resolve) => setImmediate(resolve));
    expect(identifyProcess(pid)).toBeNull();
    // Still in the table of processes, so that asking the kernel alone would have said that it runs.
    expect(process.kill(pid, 0)).toBe(true);
  });
});
