import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ScenarioKind } from "./scenario.js";
import type { CrashWish, SimulationResult } from "./simulation.js";

/**
 * Simulates seeds one after another in a thread of its own, outside of Jest's context, where globals and promises are dear.
 * @param crashes of each seed, routers that die at a named place; left out: none does.
 * @param each is told each result, in order; false ends it. @throws what the simulation throws.
 */
export async function simulateSeeds(
  seeds: readonly number[],
  kind: ScenarioKind,
  each: (result: SimulationResult) => boolean,
  crashes: readonly CrashWish[] = [],
): Promise<void> {
  const thread = new Worker(new URL("seeds-thread.mjs", import.meta.url), {
    workerData: { seeds, kind, crashes },
    // A world's objects die within its seed: with room for them the collector has little to look through.
    resourceLimits: { maxYoungGenerationSizeMb: 64 },
  });
  thread.on("message", (result: SimulationResult) => {
    if (!each(result)) void thread.terminate();
  });
  await once(thread, "exit"); // rejects with an error that ended the thread
}
