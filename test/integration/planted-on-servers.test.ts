/** Bugs that the simulation can't show, since its ledger is not the product's: planted in a copy of the build that runs on real servers. */
import { expect, test } from "@jest/globals";
import { checkOnServers } from "../support/planted/planted-command.js";
import { readPatches } from "../support/planted/planted-patch.js";

const PATCHES = readPatches().filter(({ inCheck, runsIn }) => inCheck && runsIn.place === "servers");
const TIMEOUT_MS = 300_000;

test(
  "a hard day of two routers holds every promise as they are, and each planted bug is found by its own checker",
  async () => {
    const runs = [null, ...PATCHES];
    const verdicts = await Promise.all(runs.map((patch) => checkOnServers(patch)));
    expect(verdicts).toEqual(
      runs.map((patch) => ({ name: patch?.name ?? expect.any(String), caught: true, told: expect.any(String) })),
    );
    expect(PATCHES.length).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);
