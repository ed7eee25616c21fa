import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { identifyProcess, type ProcessIdentity } from "./process-identity.js";
import type { ServerSpec, SupervisorMessage, SupervisorRequest } from "./server-spec.js";

/** Longer than the longest grace of a server plus the removal of its data. */
const STOP_TIMEOUT_MS = 60_000;

type Answer = Extract<SupervisorMessage, { kind: "done" }>;
type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** Our end of the pipe to a supervisor process. While this process lives and has not stopped or detached it, its servers live. */
export class SupervisorClient {
  readonly identity: ProcessIdentity;
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #stdout: Readable;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #endedServers = new Map<string, string>();
  #nextId = 1;

  private constructor(child: ChildProcess, stdin: Writable, stdout: Readable, identity: ProcessIdentity) {
    this.#child = child;
    this.#stdin = stdin;
    this.#stdout = stdout;
    this.identity = identity;
    this.#ended = new Promise((resolve) => {
      child.once("exit", () => {
        this.#refuseAll("the supervisor process has ended");
        resolve();
      });
    });
    // A write after the supervisor's death is answered by the exit above.
    stdin.on("error", () => undefined);
    createInterface({ input: stdout }).on("line", (line) => {
      // The only writer is our own supervisor, so the shape is as declared.
      this.#take(JSON.parse(line) as SupervisorMessage);
    });
  }

  /** Starts a supervisor process whose own troubles go to `logFile`. @throws Error when its compiled entry is missing or it does not start. */
  static async start(logFile: string): Promise<SupervisorClient> {
    // Not our stderr: a detached supervisor would keep the pipe of whoever started `stack up` open for ever.
    const log = openSync(logFile, "a");
    const child = spawn(process.execPath, [supervisorEntry()], { detached: true, stdio: ["pipe", "pipe", log] });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    const identity = child.pid === undefined ? null : identifyProcess(child.pid);
    if (identity === null || child.stdin === null || child.stdout === null) {
      throw new Error(`the supervisor process ended at once; see ${logFile}`);
    }
    return new SupervisorClient(child, child.stdin, child.stdout, identity);
  }

  /** @returns the process of the server, once started; not yet ready. */
  startServer(spec: ServerSpec): Promise<Answer> {
    this.#endedServers.delete(spec.name);
    return this.#ask({ op: "start", spec });
  }

  /** Stops the server when it runs, starts it again on the same data and port. */
  restartServer(name: string): Promise<Answer> {
    this.#endedServers.delete(name);
    return this.#ask({ op: "restart", name });
  }

  /** Sends a signal; for one that ends the server, resolves once it has ended. */
  async killServer(name: string, signal: NodeJS.Signals): Promise<void> {
    await this.#ask({ op: "kill", name, signal });
  }

  /** Has the folder removed after the last server has ended, even if we are killed before. */
  async removeAtEnd(folder: string): Promise<void> {
    await this.#ask({ op: "removeAtEnd", folder });
  }

  /** @returns how the server ended since its last start, or null while it runs. */
  endOf(name: string): string | null {
    return this.#endedServers.get(name) ?? null;
  }

  /** Lets the supervisor live on without us. */
  async detach(): Promise<void> {
    await this.#ask({ op: "detach" });
    this.#stdin.end();
    this.#stdout.destroy();
    this.#child.unref();
  }

  /** Ends all servers and the supervisor. Idempotent. @throws Error when that takes longer than a minute. */
  async stop(): Promise<void> {
    this.#stdin.end();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new Error(`the supervisor process ${String(this.identity.pid)} did not end its servers within a minute`),
        );
      }, STOP_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.#ended, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  #ask(request: WithoutId<SupervisorRequest>): Promise<Answer> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        reject(new Error("the supervisor process has ended"));
        return;
      }
      this.#waiting.set(id, { resolve, reject });
      this.#stdin.write(`${JSON.stringify({ ...request, id })}\n`);
    });
  }

  #take(message: SupervisorMessage): void {
    if (message.kind === "ended") {
      this.#endedServers.set(message.name, message.how);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === "done") waiting?.resolve(message);
    else waiting?.reject(new Error(message.error));
  }

  #refuseAll(why: string): void {
    for (const waiting of this.#waiting.values()) waiting.reject(new Error(why));
    this.#waiting.clear();
  }
}

/** Tests run our sources, but a process needs the compiled file. */
function supervisorEntry(): string {
  const folder = import.meta.url.endsWith(".ts") ? "../../dist/stack/" : "./";
  const entry = fileURLToPath(new URL(`${folder}supervisor-main.js`, import.meta.url));
  if (!existsSync(entry)) throw new Error(`${entry} is missing: build first (npm run build)`);
  return entry;
}
