// Simulates seeds outside of Jest and posts each result, then null.
import { setMaxListeners } from "node:events";
import { register } from "node:module";
import { parentPort } from "node:worker_threads";

register("../typescript-hooks.mjs", import.meta.url);
setMaxListeners(0); // many loops of many routers wait with one signal; a warning each takes its time
const { simulate } = await import("./simulation.ts");

parentPort.on("message", async ({ seeds, kind, crashes }) => {
  // Serial: one world at a time.
  for (const [at, seed] of seeds.entries())
    parentPort.postMessage(await simulate(seed, {}, kind, {}, crashes[at] ?? null));
  parentPort.postMessage(null);
});
