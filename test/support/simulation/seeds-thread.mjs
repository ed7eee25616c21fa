// Simulates seeds outside of Jest and posts each result.
import { register } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

register("../typescript-hooks.mjs", import.meta.url);
const { simulate } = await import("./simulation.ts");

for (const [at, seed] of workerData.seeds.entries()) {
  // Serial: one world at a time.
  parentPort.postMessage(await simulate(seed, {}, workerData.kind, workerData.crashes[at] ?? null));
}
