import { beforeAll, expect, test } from "@jest/globals";
import { CRASH_POINTS, type CrashPoint } from "../../src/ports/crash-points.js";
import type { ScenarioKind } from "../support/simulation/scenario.js";
import { told } from "../support/simulation/seed-report.js";
import { simulateSeeds } from "../support/simulation/simulate-seeds.js";
import type { SimulationResult } from "../support/simulation/simulation.js";

/** Of each kind of world and each point. Seeds differ from those of the other tests, since a router dies in them. */
const SEEDS = Number(process.env["SLUICE_POINT_SEEDS"] ?? 2);
const FIRST = 10_000;
/** The nth time that a router passes the point differs from seed to seed, so that work of all ages is about. */
const PASSINGS = [1, 3, 2, 5];
/** What a router passes once in its life. */
const ONCE = /^(?:start|journal)\.|^session\.(?:opened|journal_opened|drain|ended)/;
/** Of the points; a few are so rare that the seeds of one run may not see them. */
const SEEN_SHARE = 0.8;
const KINDS: readonly ScenarioKind[] = ["direct", "mixed", "grouped"];
const TIMEOUT_MS = 600_000;

/** Passed inside of adapters and commands, which the simulation has its own in the place of, or so seldom that few seeds see it. */
const NOT_HERE: ReadonlySet<string> = new Set<CrashPoint>([
  ...CRASH_POINTS.filter((point) => /\.(?:before_commit|commit_sent|bind_.*|save_.*)$/.test(point)),
  ...CRASH_POINTS.filter((point) => /^(?:migrate|operator|replay|cancel|resolve|grant)\./.test(point)),
  ...(["start.schema_checked", "start.listening", "doubt.settled", "relay.in_flight"] as const),
  ...(["session.dead_declared", "session.doubts_stored", "session.recovered"] as const),
]);
const POINTS = CRASH_POINTS.filter((point) => !NOT_HERE.has(point));

const results = new Map<CrashPoint, SimulationResult[]>(POINTS.map((point) => [point, []]));

beforeAll(async () => {
  const runs = POINTS.flatMap((point, index) =>
    Array.from({ length: SEEDS }, (_unused, at) => ({
      seed: FIRST + index * SEEDS + at,
      crash: { point, passing: ONCE.test(point) ? 1 : (PASSINGS[at % PASSINGS.length] ?? 1) },
    })),
  );
  await Promise.all(
    KINDS.map((kind) => {
      let next = 0;
      return simulateSeeds(
        runs.map(({ seed }) => seed),
        kind,
        (result) => {
          const run = runs[next];
          next += 1;
          if (run !== undefined) results.get(run.crash.point)?.push(result);
          return true;
        },
        runs.map(({ crash }) => crash),
      );
    }),
  );
}, TIMEOUT_MS);

test.each(POINTS)("routers that die at %s keep every promise", (point) => {
  const seen = results.get(point) ?? [];
  expect(seen).toHaveLength(SEEDS * KINDS.length);
  for (const result of seen) expect(told(result)).toBe(`seed ${String(result.seed)} holds`);
});

test("most of the points are passed", () => {
  const seen = POINTS.filter((point) => results.get(point)?.some(({ crashes }) => crashes > 0) === true);
  const missed = POINTS.filter((point) => !seen.includes(point));
  process.stdout.write(`points that no router died at: ${missed.join(", ")}\n`);
  expect(seen.length).toBeGreaterThanOrEqual(POINTS.length * SEEN_SHARE);
});
