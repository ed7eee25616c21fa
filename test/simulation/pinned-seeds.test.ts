import { describe, expect, test } from "@jest/globals";
import { told } from "../support/simulation/seed-report.js";
import { simulate } from "../support/simulation/simulation.js";
import { PINNED_SEEDS } from "./pinned-seeds.js";

describe("seeds that once showed a bug", () => {
  test.each(PINNED_SEEDS.map((pinned) => [pinned.was, pinned] as const))("%s", async (_was, { kind, seed, kept }) => {
    expect(told(await simulate(seed, {}, kind, kept))).toBe(`seed ${String(seed)} holds`);
  });
});
