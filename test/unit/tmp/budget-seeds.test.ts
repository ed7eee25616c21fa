import { test } from "@jest/globals";
import { simulate } from "../../support/simulation/simulation.js";
test("seed", async () => {
  for (const [kind, seed] of [["grouped", 338], ["grouped", 328], ["direct", 37], ["mixed", 348]] as const) {
    const t = Date.now();
    const run = await simulate(seed, {}, kind);
    process.stdout.write(`S ${kind} ${seed} ${run.events} events ${Date.now() - t} ms ${JSON.stringify(run.violation)}\n`);
  }
}, 600000);
