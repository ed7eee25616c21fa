import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryFolder } from "./cache-folders.js";
import { findLocalImage, whyNoDocker } from "./docker-engine.js";
import { PortBook } from "./port-book.js";
import type { ProcessIdentity } from "./process-identity.js";
import {
  type Launch,
  type LaunchContext,
  type LaunchMember,
  messageOf,
  type ServerKind,
  type ServerName,
} from "./server-kind.js";
import { SERVER_KINDS } from "./server-kinds.js";
import type { RunningServer, StackOptions } from "./stack-types.js";
import { SupervisorClient } from "./supervisor-client.js";

/** A Java server on a busy machine with a cold disk; measured: 3 s on a quiet one. */
const READY_TIMEOUT_MS = 90_000;
const READY_POLL_MS = 50;
/** How long a server that ends at once is started again: Postgres does so until the processes of a killed one are gone. */
const RESTART_TRIES_MS = 20_000;
/** How much of a server's log goes into the error when it does not start. */
const LOG_TAIL_LINES = 8;

interface OwnServer {
  readonly name: ServerName;
  readonly address: string;
  readonly servers: readonly RunningServer[];
}

/** How a server will be had, found before anything is started. */
type Source =
  | { readonly how: "docker"; readonly image: string }
  | { readonly how: "native"; readonly files: string; readonly tried: readonly string[] };

/** The servers that this process started, their data folder and the supervisor that owns them. */
export class OwnServers {
  readonly #supervisor: SupervisorClient;
  readonly #context: LaunchContext;
  readonly #say: (line: string) => void;

  private constructor(supervisor: SupervisorClient, context: LaunchContext, say: (line: string) => void) {
    this.#supervisor = supervisor;
    this.#context = context;
    this.#say = say;
  }

  /** Makes the data folder and starts the supervisor, but no server yet. */
  static async open(options: StackOptions): Promise<OwnServers> {
    const kept = options.dataDir !== undefined;
    const dataFolder = options.dataDir ?? (await temporaryFolder());
    mkdirSync(dataFolder, { recursive: true, mode: 0o755 });
    const supervisor = await SupervisorClient.start(join(dataFolder, "supervisor.log"));
    if (!kept) await supervisor.removeAtEnd(dataFolder);
    const book = new PortBook(dataFolder);
    const ports = (label: string, count: number): Promise<readonly number[]> => book.portsFor(label, count);
    const frontedListeners = options.frontedBrokers ?? [];
    const context = { dataFolder, kept, brokers: options.brokers ?? 1, frontedListeners, ports };
    return new OwnServers(supervisor, context, options.onProgress ?? (() => undefined));
  }

  get supervisor(): ProcessIdentity {
    return this.#supervisor.identity;
  }

  /** Starts the servers side by side and waits until each answers. */
  async startAll(names: readonly ServerName[]): Promise<readonly OwnServer[]> {
    const noDocker = await whyNoDocker();
    const sources: [ServerKind, Source][] = [];
    // Downloads one after another: Maven's local repository is not made for several at once.
    for (const name of names) sources.push([SERVER_KINDS[name], await this.#findSource(SERVER_KINDS[name], noDocker)]);
    const results = await Promise.allSettled(sources.map(([kind, source]) => this.#start(kind, source)));
    // All settled before the first failure is told, so that nothing is still being started when the rest is ended.
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }

  stop(): Promise<void> {
    return this.#supervisor.stop();
  }

  detach(): Promise<void> {
    return this.#supervisor.detach();
  }

  async #findSource(kind: ServerKind, noDocker: string | null): Promise<Source> {
    const tried = [`${kind.environmentVariable} is not set`];
    if (noDocker !== null) {
      tried.push(`Docker: ${noDocker}`);
    } else {
      const image = await findLocalImage(kind.images);
      if (image !== null) return { how: "docker", image };
      tried.push(`Docker: none of the images is here: ${kind.images.join(", ")}`);
    }
    return this.#findNative(kind, tried);
  }

  async #findNative(kind: ServerKind, tried: readonly string[]): Promise<Source> {
    try {
      return { how: "native", files: await kind.prepare(this.#say), tried };
    } catch (error) {
      throw failure(kind, [...tried, `native: ${messageOf(error)}`], error);
    }
  }

  async #start(kind: ServerKind, source: Source): Promise<OwnServer> {
    if (source.how === "native") return this.#startNative(kind, source.files, source.tried);
    try {
      return await this.#launch(kind, "docker", await kind.planContainer(source.image, this.#context));
    } catch (error) {
      const tried = [`${kind.environmentVariable} is not set`, `Docker image ${source.image}: ${messageOf(error)}`];
      const native = await this.#findNative(kind, tried);
      if (native.how === "docker") throw error;
      return this.#startNative(kind, native.files, native.tried);
    }
  }

  async #startNative(kind: ServerKind, files: string, tried: readonly string[]): Promise<OwnServer> {
    try {
      return await this.#launch(kind, "native", await kind.planNative(files, this.#context));
    } catch (error) {
      throw failure(kind, [...tried, `native: ${messageOf(error)}`], error);
    }
  }

  async #launch(kind: ServerKind, how: "docker" | "native", launch: Launch): Promise<OwnServer> {
    this.#say(`starting ${kind.name} (${how})`);
    const startedMs = Date.now();
    // All before the first is waited for: the brokers of a cluster need each other to get ready.
    const pids = await Promise.all(
      launch.members.map(async ({ spec }) => (await this.#supervisor.startServer(spec)).pid),
    );
    const servers = launch.members.map((member, index) => this.#runningServer(kind, how, member, pids[index] ?? null));
    await Promise.all(launch.members.map((member) => this.#waitUntilReady(kind, member)));
    this.#say(`${kind.name} answers after ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
    return { name: kind.name, address: launch.address, servers };
  }

  #runningServer(
    kind: ServerKind,
    how: "docker" | "native",
    member: LaunchMember,
    firstPid: number | null,
  ): RunningServer {
    const { name } = member.spec;
    let pid = firstPid;
    return {
      name,
      kind: kind.name,
      how,
      address: member.address,
      get pid() {
        return pid;
      },
      kill: (signal) => this.#supervisor.killServer(name, signal),
      restart: async () => {
        pid = await this.#restartUntilReady(kind, member);
      },
    };
  }

  async #restartUntilReady(kind: ServerKind, member: LaunchMember): Promise<number | null> {
    const untilMs = Date.now() + RESTART_TRIES_MS;
    for (;;) {
      // One try after another: the next is needed only when this one ended.
      const { pid } = await this.#supervisor.restartServer(member.spec.name);
      try {
        await this.#waitUntilReady(kind, member);
        return pid;
      } catch (error) {
        if (this.#supervisor.endOf(member.spec.name) === null || Date.now() > untilMs) throw error;
        await sleep(READY_POLL_MS);
      }
    }
  }

  async #waitUntilReady(kind: ServerKind, { spec, address }: LaunchMember): Promise<void> {
    const untilMs = Date.now() + READY_TIMEOUT_MS;
    let last = "not asked yet";
    while (Date.now() < untilMs) {
      const end = this.#supervisor.endOf(spec.name);
      if (end !== null) throw new Error(`${spec.name} ended before it answered: ${end}. ${tailOf(spec.logFile)}`);
      try {
        await kind.check(address);
        return;
      } catch (error) {
        last = messageOf(error);
      }
      await sleep(READY_POLL_MS);
    }
    throw new Error(
      `${spec.name} did not answer within ${String(READY_TIMEOUT_MS)} ms: ${last}. ${tailOf(spec.logFile)}`,
    );
  }
}

function failure(kind: ServerKind, tried: readonly string[], cause: unknown): Error {
  return new Error(`${kind.name} can't be had. Tried: ${tried.join("; ")}`, { cause });
}

function tailOf(logFile: string): string {
  try {
    const lines = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-LOG_TAIL_LINES);
    return `End of ${logFile}:\n${lines.join("\n")}`;
  } catch {
    return `There is no log in ${logFile}.`;
  }
}
