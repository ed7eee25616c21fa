// Simulates seeds on a copy of the build, outside of Jest, until one shows a violation; posts that, or null.
import { setMaxListeners } from "node:events";
import { register } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

register("../typescript-hooks.mjs", import.meta.url);
setMaxListeners(0); // many loops of many routers wait with one signal; a warning each takes its time
const { built, world, first, seeds } = workerData;
const { simulate } = await import(`../simulation/simulation.ts?built=${encodeURIComponent(built)}`);

let found = null;
for (let seed = first; seed < first + seeds && found === null; seed += 1) {
  // Serial: the first seed that shows something decides.
  const { violation } = await simulate(seed, {}, world);
  if (violation !== null) found = { seed, checker: violation.checker, message: violation.message };
}
parentPort.postMessage(found);
