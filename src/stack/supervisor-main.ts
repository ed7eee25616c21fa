/**
 * The process that owns the local servers. A parent's SIGKILL leaves its children running, so the servers are not
 * children of the command or test that wants them but of this process, which ends them all when its stdin closes: the
 * kernel closes the pipe however the holder dies. After `detach` only a signal ends it (`sluice stack up`).
 */
import { createInterface } from "node:readline";
import type { SupervisorMessage, SupervisorRequest } from "./server-spec.js";
import { Supervisor } from "./supervisor.js";

let detached = false;

function say(message: SupervisorMessage): void {
  if (!process.stdout.destroyed) process.stdout.write(`${JSON.stringify(message)}\n`);
}

function end(): void {
  void supervisor.endAll().then(() => {
    process.exit(0);
  });
}

function take(line: string): void {
  // The only writer is our own client on the other end of the pipe, so the shape is as declared.
  const request = JSON.parse(line) as SupervisorRequest;
  if (request.op === "detach") {
    detached = true;
    say({ kind: "done", id: request.id, pid: process.pid, startTime: null });
  } else {
    supervisor.handle(request);
  }
}

const supervisor = new Supervisor(say);

// Whoever read our answers may be gone; the servers must be ended all the same.
process.stdout.on("error", () => undefined);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, end);

const lines = createInterface({ input: process.stdin });
lines.on("line", take);
lines.on("close", () => {
  if (!detached) end();
  // With stdin gone nothing keeps the process alive when all servers have died: then it has nothing left to own.
});
