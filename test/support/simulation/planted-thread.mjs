// Looks for wrong rules outside of Jest: of each that is asked for, the first seed with which its own checker finds it.
import { register } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

register("../typescript-hooks.mjs", import.meta.url);
const { simulate } = await import("./simulation.ts");
const { PLANTED } = await import("./planted-bugs.ts");

parentPort.on("message", async ({ name, seeds }) => {
  const { rules, caughtBy } = PLANTED[workerData.kind][name];
  for (let seed = 1; seed <= seeds; seed += 1) {
    // Serial: the first seed that finds it is the answer.
    const { violation } = await simulate(seed, rules, workerData.kind);
    if (violation?.checker !== caughtBy) continue;
    parentPort.postMessage({ seed, checker: violation.checker });
    return;
  }
  parentPort.postMessage(null);
});
