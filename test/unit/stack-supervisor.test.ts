import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { identifyProcess } from "../../src/stack/process-identity.js";
import type { ContainerSpec, ProcessSpec, SupervisorMessage } from "../../src/stack/server-spec.js";
import { Supervisor } from "../../src/stack/supervisor.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Asks a supervisor and waits for the answer of the same number. */
function harness() {
  const messages: SupervisorMessage[] = [];
  const waiting = new Map<number, (message: SupervisorMessage) => void>();
  const supervisor = new Supervisor((message) => {
    messages.push(message);
    if (message.kind !== "ended") waiting.get(message.id)?.(message);
  });
  let nextId = 1;
  const ask = (request: Record<string, unknown>): Promise<SupervisorMessage> => {
    const id = nextId++;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      supervisor.handle({ ...request, id } as Parameters<Supervisor["handle"]>[0]);
    });
  };
  return { supervisor, ask, messages };
}

function processSpec(args: readonly string[], stopGraceMs = 2_000): ProcessSpec {
  return {
    kind: "process",
    name: "server",
    command: "/bin/sh",
    args,
    env: { PATH: "/usr/bin:/bin" },
    workingFolder: folder,
    user: null,
    logFile: join(folder, "server.log"),
    stopSignal: "SIGTERM",
    stopGraceMs,
  };
}

function pidIn(message: SupervisorMessage): number {
  if (message.kind !== "done" || message.pid === null) throw new Error(JSON.stringify(message));
  return message.pid;
}

describe("the supervisor with processes", () => {
  test("ends every server and removes the folders it was told", async () => {
    const { supervisor, ask } = harness();
    const data = join(folder, "data");
    mkdirSync(data);
    await ask({ op: "removeAtEnd", folder: data });
    const pid = pidIn(await ask({ op: "start", spec: processSpec(["-c", "exec sleep 60"]) }));
    expect(identifyProcess(pid)).not.toBeNull();
    await supervisor.endAll();
    expect(identifyProcess(pid)).toBeNull();
    expect(existsSync(data)).toBe(false);
  });

  test("kills a server that does not stop within its grace", async () => {
    const { supervisor, ask } = harness();
    const script = "trap '' TERM; echo ready > ready; while :; do sleep 0.05; done";
    const pid = pidIn(await ask({ op: "start", spec: processSpec(["-c", script], 100) }));
    await eventually(() => existsSync(join(folder, "ready")));
    await supervisor.endAll();
    expect(identifyProcess(pid)).toBeNull();
  });

  test("kills and starts again, and says how a server ended that nobody ended", async () => {
    const { supervisor, ask, messages } = harness();
    const first = pidIn(await ask({ op: "start", spec: processSpec(["-c", "exec sleep 60"]) }));
    await ask({ op: "kill", name: "server", signal: "SIGKILL" });
    expect(identifyProcess(first)).toBeNull();
    expect(messages).toContainEqual({ kind: "ended", name: "server", how: "SIGKILL" });
    const second = pidIn(await ask({ op: "restart", name: "server" }));
    expect(second).not.toBe(first);
    // A restart of one that runs is asked for, so its end is no news.
    const third = pidIn(await ask({ op: "restart", name: "server" }));
    expect(identifyProcess(second)).toBeNull();
    expect(identifyProcess(third)).not.toBeNull();
    expect(messages.filter(({ kind }) => kind === "ended")).toHaveLength(1);
    await supervisor.endAll();
  });

  test("ends a server that was stopped with SIGSTOP", async () => {
    const { supervisor, ask } = harness();
    const pid = pidIn(await ask({ op: "start", spec: processSpec(["-c", "exec sleep 60"]) }));
    await ask({ op: "kill", name: "server", signal: "SIGSTOP" });
    await supervisor.endAll();
    expect(identifyProcess(pid)).toBeNull();
  });

  test("refuses a program that does not exist, and starts nothing once it is ending", async () => {
    const { supervisor, ask } = harness();
    const missing = await ask({ op: "start", spec: { ...processSpec([]), command: join(folder, "nothing") } });
    expect(missing).toMatchObject({ kind: "refused", error: expect.stringContaining("can't be started") });
    await supervisor.endAll();
    const late = await ask({ op: "start", spec: processSpec(["-c", "exec sleep 60"]) });
    expect(late).toMatchObject({ kind: "refused", error: "the supervisor is ending" });
  });
});

/** A program that answers as `docker` does, with a sleeping process for a container. */
const FAKE_DOCKER = `#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> calls
case "$1" in
  run|start) sleep 60 > /dev/null 2>&1 & echo $! > pid; echo id ;;
  wait) pid=$(cat pid); while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; echo 137 ;;
  inspect) cat pid ;;
  kill) kill -s "\${3#SIG}" "$(cat pid)" ;;
  rm) kill -9 "$(cat pid)" 2>/dev/null; echo id ;;
esac
exit 0
`;

describe("the supervisor with containers", () => {
  test("starts, kills, starts again and removes a container, and never pulls an image", async () => {
    writeFileSync(join(folder, "docker"), FAKE_DOCKER);
    chmodSync(join(folder, "docker"), 0o755);
    const { supervisor, ask, messages } = harness();
    const spec: ContainerSpec = {
      kind: "container",
      name: "server",
      command: join(folder, "docker"),
      containerName: "sluice-server-1",
      runArguments: ["--publish", "127.0.0.1:1:1", "image:1"],
      logFile: join(folder, "server.log"),
      stopSignal: "SIGTERM",
      stopGraceMs: 2_000,
    };
    const first = pidIn(await ask({ op: "start", spec }));
    await ask({ op: "kill", name: "server", signal: "SIGKILL" });
    expect(identifyProcess(first)).toBeNull();
    expect(messages.some(({ kind }) => kind === "ended")).toBe(true);
    const second = pidIn(await ask({ op: "restart", name: "server" }));
    await supervisor.endAll();
    expect(identifyProcess(second)).toBeNull();
    const calls = readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
    expect(calls[0]).toBe("run --pull never --detach --name sluice-server-1 --publish 127.0.0.1:1:1 image:1");
    expect(calls).toContain("start sluice-server-1");
    expect(calls.at(-1)).toBe("rm --force --volumes sluice-server-1");
  });
});

async function eventually(check: () => boolean): Promise<void> {
  const untilMs = Date.now() + 5_000;
  while (!check()) {
    if (Date.now() > untilMs) throw new Error("it did not happen within 5 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
