import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { PLANTED, type PlantedKind } from "./planted-bugs.js";

interface Found {
  readonly seed: number;
  readonly checker: string;
}

/** A bound for a run that hangs. */
const TIMEOUT_MS = 600_000;

/** Tests that each wrong rule of the ledger is found, by its checker, in worlds of this kind; in a thread outside of Jest, which is several times as fast. */
export function findsPlantedBugs(kind: PlantedKind, seeds: number): void {
  describe(`a planted bug is found within ${String(seeds)} seeds`, () => {
    let thread: Worker | null = null;

    beforeAll(() => {
      thread = new Worker(new URL("planted-thread.mjs", import.meta.url), {
        workerData: { kind },
        resourceLimits: { maxYoungGenerationSizeMb: 64 },
      });
    });

    afterAll(async () => {
      await thread?.terminate();
    });

    test.each(Object.entries(PLANTED[kind]))(
      "%s",
      async (name, { caughtBy }) => {
        if (thread === null) throw new Error("the thread was not started");
        const reply = once(thread, "message"); // rejects with an error that ended the thread
        thread.postMessage({ name, seeds });
        const [found] = (await reply) as [Found | null]; // what planted-thread.mjs posts
        if (found !== null)
          process.stdout.write(`planted: ${name}: found by ${found.checker} with seed ${String(found.seed)}\n`);
        expect(found?.checker).toBe(caughtBy);
      },
      TIMEOUT_MS,
    );
  });
}
