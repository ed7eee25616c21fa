import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ScenarioKind } from "./scenario.js";
import type { CrashWish, SimulationResult } from "./simulation.js";

/** A thread that simulates seeds one after another, outside of Jest's context, where globals and promises are dear. */
export class SeedsThread {
  readonly #worker = new Worker(new URL("seeds-thread.mjs", import.meta.url), {
    // A world's objects die within its seed: with room for them the collector has little to look through.
    resourceLimits: { maxYoungGenerationSizeMb: 64 },
  });

  /**
   * One run at a time.
   * @param crashes of each seed, routers that die at a named place; left out: none does.
   * @param each is told each result, in order; false ends the run, and the thread with it. @throws what the simulation throws.
   */
  async run(
    seeds: readonly number[],
    kind: ScenarioKind,
    each: (result: SimulationResult) => boolean,
    crashes: readonly CrashWish[] = [],
  ): Promise<void> {
    const done = new AbortController();
    const take = (result: SimulationResult | null): void => {
      if (result === null) done.abort();
      else if (!done.signal.aborted && !each(result)) {
        done.abort();
        void this.end();
      }
    };
    this.#worker.on("message", take);
    this.#worker.postMessage({ seeds, kind, crashes });
    try {
      await once(this.#worker, "exit", { signal: done.signal }); // rejects with an error that ended the thread, too
      throw new Error("a thread that simulates ended before its seeds");
    } catch (error) {
      if (!done.signal.aborted) throw error;
    } finally {
      this.#worker.off("message", take);
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Simulates seeds in a thread of their own. @param each and crashes as `SeedsThread.run` has them. @throws what the simulation throws. */
export async function simulateSeeds(
  seeds: readonly number[],
  kind: ScenarioKind,
  each: (result: SimulationResult) => boolean,
  crashes: readonly CrashWish[] = [],
): Promise<void> {
  const thread = new SeedsThread();
  try {
    await thread.run(seeds, kind, each, crashes);
  } finally {
    await thread.end();
  }
}
