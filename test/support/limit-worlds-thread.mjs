// Runs worlds of rate limits outside of Jest: `{ first, seeds }` is answered by their runs, `{ mistake, seeds }` by the first fault that shows it, or null.
import { register } from "node:module";
import { parentPort } from "node:worker_threads";

register("./typescript-hooks.mjs", import.meta.url);
const { runLimitWorld } = await import("./limit-world.ts");
const { LIMIT_MISTAKES } = await import("./limit-mistakes.ts");
const { randomScene } = await import("./limit-scene.ts");

async function runs(first, seeds) {
  const all = [];
  // Serial: they take turns on one processor anyway.
  for (let seed = first; seed < first + seeds; seed += 1) all.push(await runLimitWorld(seed));
  return all;
}

async function faultOf(mistake, seeds) {
  const { kind, parts, fault } = LIMIT_MISTAKES[mistake];
  for (let seed = 1; seed <= seeds; seed += 1) {
    if (randomScene(seed).kind !== kind) continue;
    const { faults } = await runLimitWorld(seed, parts); // serial: most are seen in the first world
    const found = faults.find((one) => fault.test(one));
    if (found !== undefined) return found;
  }
  return null;
}

parentPort.on("message", async ({ mistake, first, seeds }) => {
  parentPort.postMessage(mistake === undefined ? await runs(first, seeds) : await faultOf(mistake, seeds));
});
