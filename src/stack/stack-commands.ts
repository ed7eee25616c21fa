import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cacheFolder, openCacheFolder, withLock } from "./cache-folders.js";
import { identifyProcess, isRunning, type ProcessIdentity, signalProcess } from "./process-identity.js";
import { messageOf, type ServerName } from "./server-kind.js";
import { SERVER_KINDS } from "./server-kinds.js";
import { startStack } from "./stack.js";
import { readStackState, removeStackState, type StackState, writeStackState } from "./stack-state.js";
import type { ServerOrigin, Stack, StackAddresses } from "./stack-types.js";

/** Longer than the grace of servers that keep their data (20 s) plus the kill after it. */
const DOWN_TIMEOUT_MS = 45_000;
const DOWN_POLL_MS = 100;

/** All servers, in the order in which they are told. */
export const ALL_SERVERS: readonly ServerName[] = ["kafka", "postgres", "registry", "redis"];

export interface StackUpOptions {
  readonly servers: readonly ServerName[];
  readonly onProgress?: (line: string) => void;
}

export interface ServerStatus {
  readonly name: string;
  readonly how: ServerOrigin;
  /** With the password of the database. */
  readonly address: string;
  readonly pid: number | null;
  /** Whether the server answered a question just now. */
  readonly answers: boolean;
  /** Why it does not, or null. */
  readonly trouble: string | null;
}

export interface StackStatus {
  /** False when no stack was left running by `stackUp`. */
  readonly up: boolean;
  readonly addresses: StackAddresses;
  readonly servers: readonly ServerStatus[];
}

/** Names of the servers that were ended, in no order; empty when nothing ran. */
export interface StackDownResult {
  readonly ended: readonly string[];
}

/**
 * Starts the servers and leaves them running with their data in the cache folder, of containers in volumes of Docker's. When a
 * stack runs already and has all the servers asked for, it is left as it is.
 * @throws Error when a server can't be had, or when the running stack lacks one that is asked for.
 */
export async function stackUp(options: StackUpOptions): Promise<StackStatus> {
  const folder = stackFolder();
  return withLock(join(folder, "lock"), async () => {
    const running = runningState();
    if (running === null) await startAndLeave(options, folder);
    else refuseMissing(running, options.servers);
    return stackStatus();
  });
}

/** Ends what `stackUp` left running and waits until it has ended. The data stays for the next `stackUp`. */
export async function stackDown(): Promise<StackDownResult> {
  return withLock(join(stackFolder(), "lock"), async () => {
    const state = readStackState(stateFile());
    if (state === null) return { ended: [] };
    const processes = ownProcesses(state);
    const ended = state.servers.filter(({ process }) => process !== null && isRunning(process)).map(({ name }) => name);
    if (state.supervisor !== null) signalProcess(state.supervisor, "SIGTERM");
    // A supervisor that was killed can't end its servers any more; then we do.
    const orphaned = state.supervisor === null || !isRunning(state.supervisor);
    if (orphaned) for (const process of processes) signalProcess(process, "SIGTERM");
    await waitForEnd(processes);
    removeStackState(stateFile());
    return { ended };
  });
}

/** Asks each server of the stack that `stackUp` left running whether it answers. */
export async function stackStatus(): Promise<StackStatus> {
  const state = readStackState(stateFile());
  if (state === null) {
    return { up: false, addresses: { kafkaBrokers: "", databaseUrl: "", registryUrl: "", redisUrl: "" }, servers: [] };
  }
  const servers = await Promise.all(state.servers.map(statusOf));
  return { up: runningState() !== null, addresses: state.addresses, servers };
}

async function statusOf(server: StackState["servers"][number]): Promise<ServerStatus> {
  const running = server.process !== null && isRunning(server.process);
  const trouble = await SERVER_KINDS[server.kind].check(server.address).then(() => null, messageOf);
  return {
    name: server.name,
    how: server.how,
    address: server.address,
    pid: running ? server.process.pid : null,
    answers: trouble === null,
    trouble,
  };
}

async function startAndLeave(options: StackUpOptions, folder: string): Promise<void> {
  const dataDir = join(folder, "data");
  const stack = await startStack({ ...options, dataDir });
  try {
    // Written before the servers are let go: a crash in between ends them, and the state then names ended processes.
    writeStackState(stateFile(), stateOf(stack));
    await stack.detach();
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

function stateOf(stack: Stack): StackState {
  const servers = stack.servers.map(({ name, kind, how, address, pid }) => {
    return { name, kind, how, address, process: pid === null ? null : identifyProcess(pid) };
  });
  return { supervisor: stack.supervisor, addresses: stack.addresses, servers };
}

/** A state whose supervisor is gone names nothing that runs under our care; what is left of it is ended by `stackDown`. */
function runningState(): StackState | null {
  const state = readStackState(stateFile());
  if (state === null) return null;
  if (state.supervisor === null) return state.servers.length > 0 ? state : null;
  if (isRunning(state.supervisor)) return state;
  if (ownProcesses(state).some(isRunning)) {
    throw new Error(
      "the supervisor of the stack was killed and left servers running; end them with: sluice stack down",
    );
  }
  return null;
}

function refuseMissing(state: StackState, wanted: readonly ServerName[]): void {
  const missing = wanted.filter((name) => !state.servers.some(({ kind }) => kind === name));
  if (missing.length === 0) return;
  throw new Error(`a stack without ${missing.join(", ")} runs already; end it first with: sluice stack down`);
}

function ownProcesses(state: StackState): ProcessIdentity[] {
  const all = [state.supervisor, ...state.servers.map(({ process }) => process)];
  return all.filter((identity) => identity !== null);
}

async function waitForEnd(processes: readonly ProcessIdentity[]): Promise<void> {
  const untilMs = Date.now() + DOWN_TIMEOUT_MS;
  while (processes.some(isRunning)) {
    if (Date.now() > untilMs) for (const process of processes) signalProcess(process, "SIGKILL");
    if (Date.now() > untilMs + DOWN_POLL_MS * 50) {
      throw new Error(
        `still running after SIGKILL: ${processes
          .filter(isRunning)
          .map(({ pid }) => String(pid))
          .join(", ")}`,
      );
    }
    // A poll: these are not our children, so nobody tells us.
    await sleep(DOWN_POLL_MS);
  }
}

// In the open cache: PostgreSQL's data lie below it, and as root that server runs as another user. Several closed caches
// share one open one, so the name tells them apart.
function stackFolder(): string {
  const digest = createHash("sha256").update(cacheFolder()).digest("hex").slice(0, 8);
  const folder = join(openCacheFolder(), `stack-${digest}`);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

function stateFile(): string {
  return join(stackFolder(), "state.json");
}
