import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { isPaidCall } from "../../src/chaos/network/router-paths.js";
import {
  elsewhere,
  LANES,
  planFaults,
  type FaultPlanOptions,
  type PlannedFault,
} from "../../src/chaos/plan/fault-plan.js";
import { killsWithWorkMin, minimumsFor } from "../../src/chaos/plan/minimums.js";
import { CANCEL_POINTS, pointsMin, REPLAY_POINTS, ROUTER_POINTS } from "../../src/chaos/plan/run-points.js";
import { CRASH_POINTS } from "../../src/ports/crash-points.js";

const FULL: FaultPlanOptions = { seed: 1, minutes: 20, routers: 3, brokers: 3, kills: null, clockJumps: true };

function countsOf(options: FaultPlanOptions): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { fault } of planFaults(options)) counts[fault.kind] = (counts[fault.kind] ?? 0) + 1;
  return counts;
}

const anyOptions = fc.record({
  seed: fc.nat({ max: 1_000_000_000 }),
  minutes: fc.double({ min: 0.5, max: 60, noNaN: true }),
  routers: fc.constant(3),
  brokers: fc.constantFrom(1, 3),
  kills: fc.option(fc.integer({ min: 1, max: 500 })),
  clockJumps: fc.boolean(),
});

describe("the plan of a run", () => {
  test("has what a run of twenty minutes is asked for", () => {
    const counts = countsOf(FULL);
    expect(counts["router_kill"]).toBeGreaterThanOrEqual(150);
    expect(counts["broker_kill"]).toBeGreaterThanOrEqual(10);
    expect(counts["postgres_kill"]).toBeGreaterThanOrEqual(15);
    expect(counts["redis_kill"]).toBeGreaterThanOrEqual(15);
    expect(counts["clock_jump"]).toBeGreaterThanOrEqual(5);
    expect(counts["network"]).toBeGreaterThanOrEqual(100);
    expect(killsWithWorkMin(150)).toBe(100);
  });

  test("has more of each kind than it must, whatever the seed and the length", () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const counts = countsOf(options);
        for (const [kind, minimum] of Object.entries(minimumsFor(options)))
          if (minimum > 0) expect(counts[kind] ?? 0).toBeGreaterThan(minimum);
        expect(counts["clock_jump"] ?? 0).toBe(options.clockJumps ? counts["clock_jump"] : 0);
      }),
      { numRuns: 100 },
    );
  });

  test("is the same for the same seed, and another for another", () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        expect(planFaults(options)).toEqual(planFaults({ ...options }));
        expect(planFaults({ ...options, seed: options.seed + 1 })).not.toEqual(planFaults(options));
      }),
      { numRuns: 30 },
    );
  });

  test("lies within the run, in order of time, and names only what is there", () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const plan = planFaults(options);
        const times = plan.map(({ atMs }) => atMs);
        expect(times).toEqual([...times].sort((one, other) => one - other));
        expect(Math.min(...times)).toBeGreaterThan(0);
        expect(Math.max(...times)).toBeLessThan(options.minutes * 60_000);
        for (const { fault, lane } of plan) {
          expect(LANES).toContain(lane);
          if ("router" in fault) expect([0, 1, 2]).toContain(fault.router);
          if (fault.kind === "broker_kill") expect(fault.broker).toBeLessThan(options.brokers);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("breaks every path in every way in a run of full length", () => {
    const ways = planFaults(FULL).flatMap(({ fault }) =>
      fault.kind === "network" ? [`${fault.path.to} ${fault.trouble.kind}`] : [],
    );
    for (const path of ["simulator", "postgres", "redis", "registry", "kafka"])
      for (const trouble of ["cut", "refuse", "delay", "throttle", "hold"])
        expect(ways).toContain(`${path} ${trouble}`);
  });

  test("jumps clocks forth and back, by hours and by more than a day", () => {
    const jumps = planFaults(FULL).flatMap(({ fault }) =>
      fault.kind === "clock_jump" ? [fault.byMs / 3_600_000] : [],
    );
    expect(new Set(jumps)).toEqual(new Set([2, -2, 26, -26]));
  });
});

describe("the crash points of a run", () => {
  test("are at least forty that every run of full length must hit, each once in the list of all", () => {
    const { usual, seldom } = ROUTER_POINTS;
    expect(new Set(usual).size).toBeGreaterThanOrEqual(40);
    const all = [...usual, ...seldom, ...REPLAY_POINTS.usual, ...CANCEL_POINTS.usual];
    expect(new Set(all).size).toBe(all.length);
    for (const point of all) expect(CRASH_POINTS).toContain(point);
    expect(pointsMin(150)).toBe(usual.length);
    expect(pointsMin(10)).toBe(5);
  });

  test("of operators are those of replays and cancellations", () => {
    expect(REPLAY_POINTS.usual).toContain("replay.before_commit");
    expect(CANCEL_POINTS.usual).toEqual(["cancel.before_commit", "cancel.after"]);
  });
});

describe("a paid call", () => {
  test.each([
    ["POST /v1/chat/completions HTTP/1.1", true],
    ["POST /v1/messages HTTP/1.1", true],
    ["POST /v1/embeddings HTTP/1.1", true],
    ["POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1", true],
    ["POST /v1/messages/batches HTTP/1.1", false],
    ["POST /v1/files HTTP/1.1", false],
    ["POST /v1/batches HTTP/1.1", false],
    ["GET /v1/batches/batch_1 HTTP/1.1", false],
  ])("%s: %s", (line, paid) => {
    expect(isPaidCall(line)).toBe(paid);
  });
});

test("a fault of the network that met nobody goes on to every router, or broker, and others stay where they are", () => {
  const counts = { routers: 3, brokers: 3 };
  const targetsOf = (fault: PlannedFault): readonly PlannedFault[] => {
    const second = elsewhere(fault, counts);
    return [fault, second, elsewhere(second, counts)];
  };
  for (const { fault } of planFaults(FULL)) {
    const tried = targetsOf(fault);
    if (fault.kind === "network") {
      expect(new Set(tried.map((one) => JSON.stringify(one))).size).toBe(3);
      const troubles = tried.map((one) => (one.kind === "network" ? [one.trouble, one.path.to, one.forMs] : null));
      expect(troubles).toEqual(Array.from({ length: 3 }, () => [fault.trouble, fault.path.to, fault.forMs]));
    } else expect(tried).toEqual([fault, fault, fault]);
  }
});
