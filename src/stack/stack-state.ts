import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { ProcessIdentity } from "./process-identity.js";
import type { ServerName } from "./server-kind.js";
import type { ServerOrigin, StackAddresses } from "./stack-types.js";

/** What `stack up` writes down about a stack that outlives it. */
export interface StackState {
  readonly supervisor: ProcessIdentity | null;
  readonly addresses: StackAddresses;
  readonly servers: readonly StackStateServer[];
}

export interface StackStateServer {
  readonly name: string;
  readonly kind: ServerName;
  readonly how: ServerOrigin;
  readonly address: string;
  /** Id and start time, so that a process that got the same id later is never taken for the server. */
  readonly process: ProcessIdentity | null;
}

/** @returns the state written last, or null when there is none. */
export function readStackState(file: string): StackState | null {
  if (!existsSync(file)) return null;
  // Written by ourselves below.
  return JSON.parse(readFileSync(file, "utf8")) as StackState;
}

/** Replaces the state at once, never half. The file holds the database's password: readable by us only. */
export function writeStackState(file: string, state: StackState): void {
  const writing = `${file}.writing`;
  writeFileSync(writing, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(writing, file);
}

/** Forgets the stack; does nothing when there is none. */
export function removeStackState(file: string): void {
  rmSync(file, { force: true });
}
