import { rm } from "node:fs/promises";
import { discardServer, killRun, type ServerRun, startRun, stopRun } from "./managed-server.js";
import type { ServerSpec, SupervisorMessage, SupervisorRequest } from "./server-spec.js";

interface Entry {
  readonly spec: ServerSpec;
  run: ServerRun;
  running: boolean;
}

/** Signals after which a server is gone, so that whoever sent them wants to know that it is. */
const ENDING_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT"]);

/**
 * Owns the servers: starts them, signals them, and ends every one of them exactly once. Decides nothing about readiness;
 * the holder of the pipe asks the servers themselves.
 */
export class Supervisor {
  readonly #entries = new Map<string, Entry>();
  readonly #foldersToRemove: string[] = [];
  readonly #say: (message: SupervisorMessage) => void;
  /** One request at a time: a start that is still under way when the end comes is then part of what is ended. */
  #queue: Promise<void> = Promise.resolve();
  #ending: Promise<void> | null = null;

  /** @param say how a message reaches the holder of the pipe; must not throw when nobody listens any more. */
  constructor(say: (message: SupervisorMessage) => void) {
    this.#say = say;
  }

  /** Takes a request; the answer goes out through `say`. */
  handle(request: Exclude<SupervisorRequest, { op: "detach" }>): void {
    this.#queue = this.#queue.then(() => this.#answer(request));
  }

  /** Ends all servers, then removes the folders that were named. Called twice it ends once. */
  endAll(): Promise<void> {
    this.#ending ??= this.#queue.then(() => this.#end());
    return this.#ending;
  }

  async #answer(request: Exclude<SupervisorRequest, { op: "detach" }>): Promise<void> {
    try {
      const run = await this.#perform(request);
      this.#say({ kind: "done", id: request.id, pid: run?.pid ?? null, startTime: run?.startTime ?? null });
    } catch (error) {
      this.#say({ kind: "refused", id: request.id, error: error instanceof Error ? error.message : String(error) });
    }
  }

  async #perform(request: Exclude<SupervisorRequest, { op: "detach" }>): Promise<ServerRun | null> {
    if (this.#ending !== null) throw new Error("the supervisor is ending");
    switch (request.op) {
      case "start":
        return this.#start(request.spec);
      case "restart":
        return this.#restart(this.#entry(request.name));
      case "kill":
        return this.#kill(this.#entry(request.name), request.signal);
      case "removeAtEnd":
        this.#foldersToRemove.push(request.folder);
        return null;
    }
  }

  async #start(spec: ServerSpec): Promise<ServerRun> {
    if (this.#entries.has(spec.name)) throw new Error(`${spec.name} was started already`);
    const run = await startRun(spec, true);
    const entry: Entry = { spec, run, running: true };
    this.#entries.set(spec.name, entry);
    this.#watch(entry);
    return run;
  }

  async #restart(entry: Entry): Promise<ServerRun> {
    if (entry.running) {
      // An end that was asked for is no news: said late, it would be taken for the end of the next run.
      entry.running = false;
      await stopRun(entry.run, entry.spec);
    }
    entry.run = await startRun(entry.spec, false);
    entry.running = true;
    this.#watch(entry);
    return entry.run;
  }

  async #kill(entry: Entry, signal: NodeJS.Signals): Promise<ServerRun> {
    if (!entry.running) throw new Error(`${entry.spec.name} does not run`);
    if (signal === "SIGKILL") await killRun(entry.run, entry.spec.name);
    else await entry.run.signal(signal);
    if (ENDING_SIGNALS.has(signal)) await entry.run.ended;
    return entry.run;
  }

  #watch(entry: Entry): void {
    const watched = entry.run;
    void watched.ended.then((how) => {
      if (entry.run !== watched || !entry.running) return;
      entry.running = false;
      this.#say({ kind: "ended", name: entry.spec.name, how });
    });
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new Error(`no server ${name}`);
    return entry;
  }

  async #end(): Promise<void> {
    // All at once: each has its own grace, and none waits for another to stop.
    await Promise.allSettled([...this.#entries.values()].map((entry) => this.#endOne(entry)));
    await Promise.allSettled(
      this.#foldersToRemove.map((folder) =>
        rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }),
      ),
    );
  }

  async #endOne(entry: Entry): Promise<void> {
    if (entry.running) await stopRun(entry.run, entry.spec);
    await discardServer(entry.spec);
  }
}
