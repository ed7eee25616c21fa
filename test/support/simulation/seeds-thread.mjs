// Simulates seeds outside of Jest and posts each result.
import { register } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

register("../typescript-hooks.mjs", import.meta.url);
const { simulate } = await import("./simulation.ts");

for (const seed of workerData.seeds) {
  // Serial: one world at a time.
  parentPort.postMessage(await simulate(seed, {}, workerData.kind));
}
