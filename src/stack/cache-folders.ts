import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync, readFileSync, renameSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identifyProcess, isRunning, type ProcessIdentity } from "./process-identity.js";

/** Used when the cache folder is closed to other users and we are root: a server may have to run as another user. */
const SYSTEM_CACHE = "/var/cache/sluice";
/** The longest download on a slow line; whoever waits longer fails and says for whom it waited. */
const LOCK_TIMEOUT_MS = 15 * 60_000;
const LOCK_POLL_MS = 200;
/** A lock without a readable holder is one whose maker died between two system calls. */
const LOCK_WITHOUT_HOLDER_MS = 10_000;

/** @returns `$SLUICE_CACHE`, else `~/.cache/sluice`; made when missing. */
export function cacheFolder(): string {
  const named = process.env["SLUICE_CACHE"];
  const folder = named === undefined || named === "" ? join(homedir(), ".cache", "sluice") : named;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

/**
 * @returns a cache folder that every user of this machine can enter and read. As root that is not always the cache
 * folder: the home of root is closed, and Postgres refuses to run as root.
 */
export function openCacheFolder(): string {
  const folder = cacheFolder();
  if (process.getuid?.() !== 0 || isOpenToAll(folder)) return folder;
  mkdirSync(SYSTEM_CACHE, { recursive: true, mode: 0o755 });
  return SYSTEM_CACHE;
}

/** @returns a fresh folder that other users may enter; one made by `mkdtemp` alone is closed to them. */
export async function temporaryFolder(): Promise<string> {
  const parent = process.getuid?.() === 0 && !isOpenToAll(tmpdir()) ? "/tmp" : tmpdir();
  const folder = await mkdtemp(join(parent, "sluice-"));
  chmodSync(folder, 0o755);
  return folder;
}

/** @returns whether any user may enter this folder and all above it. */
export function isOpenToAll(folder: string): boolean {
  for (let current = folder; ; current = dirname(current)) {
    if ((statSync(current).mode & 0o001) === 0) return false;
    if (dirname(current) === current) return true;
  }
}

/**
 * Runs `work` while no other process runs work under the same lock. The lock is a folder, since making one is atomic;
 * a lock whose holder has ended is taken over.
 * @throws Error when the lock is not free within 15 minutes.
 */
export async function withLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(lock), { recursive: true, mode: 0o755 });
  const untilMs = Date.now() + LOCK_TIMEOUT_MS;
  while (!tryLock(lock)) {
    if (Date.now() > untilMs)
      throw new Error(`${lock} is held by another process for too long; remove it if none runs`);
    // One look after another on purpose: this is a poll.
    await sleep(LOCK_POLL_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function tryLock(lock: string): boolean {
  try {
    mkdirSync(lock);
  } catch {
    removeIfAbandoned(lock);
    return false;
  }
  writeFileSync(join(lock, "holder.json"), JSON.stringify(identifyProcess(process.pid)));
  return true;
}

function removeIfAbandoned(lock: string): void {
  const holder = readHolder(lock);
  if (holder === "none" ? !isOld(lock) : isRunning(holder)) return;
  // Renamed first: of two that find it abandoned only one succeeds, so a fresh lock is never removed.
  const aside = `${lock}.abandoned-${String(process.pid)}`;
  try {
    renameSync(lock, aside);
    rmSync(aside, { recursive: true, force: true });
  } catch {
    // The other one was first.
  }
}

function readHolder(lock: string): ProcessIdentity | "none" {
  try {
    // Written by ourselves above.
    return JSON.parse(readFileSync(join(lock, "holder.json"), "utf8")) as ProcessIdentity;
  } catch {
    return "none";
  }
}

function isOld(lock: string): boolean {
  try {
    return Date.now() - statSync(lock).mtimeMs > LOCK_WITHOUT_HOLDER_MS;
  } catch {
    return false;
  }
}
