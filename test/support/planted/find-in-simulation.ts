import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { BuiltCopy } from "./built-copy.js";
import type { WORLDS } from "./planted-patch.js";

export interface Found {
  readonly seed: number;
  readonly checker: string;
  readonly message: string;
}

export interface Search {
  readonly world: (typeof WORLDS)[number];
  readonly first: number;
  readonly seeds: number;
}

/** A bound for a copy that hangs. */
const TIMEOUT_MS = 300_000;

/**
 * The first violation that any checker reports as the simulation runs on a copy of the build, seed after seed, in a thread of its own.
 * Null: none. @throws what broke the simulation itself, or that it hangs.
 */
export async function findInSimulation({ built }: BuiltCopy, search: Search): Promise<Found | null> {
  const thread = new Worker(new URL("planted-thread.mjs", import.meta.url), {
    workerData: { built, ...search },
    resourceLimits: { maxYoungGenerationSizeMb: 64 },
  });
  const hangs = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const [found] = (await once(thread, "message", { signal: hangs })) as [Found | null]; // what the thread posts
    return found;
  } catch (error) {
    throw hangs.aborted ? new Error(`the simulation hangs, or takes more than ${String(TIMEOUT_MS / 1000)} s`) : error;
  } finally {
    await thread.terminate();
  }
}
