/** Each rule: when its alert is raised, when it stays, when it is over, and that it does not flap. */
import { describe, expect, test } from "@jest/globals";
import type { AlertReadings, BatchReading, BudgetReading } from "../../src/domain/alert/readings.js";
import { quarterOf } from "../../src/domain/alert/spend-pattern.js";
import { bucketOf, type CallCounts, type KindUse, type Tally } from "../../src/domain/alert/tally.js";
import { DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Watch } from "./alert-fixture.js";

interface Sample {
  readonly readings?: Partial<AlertReadings>;
  readonly tally?: Partial<Tally>;
}

interface RuleCase {
  readonly alert: string;
  /** Read and counted each time, from calm to calm. Given the time. */
  readonly bad: (nowMs: number) => Sample;
  /** Neither bad nor good: what it is stays. */
  readonly between: (nowMs: number) => Sample;
  readonly good: (nowMs: number) => Sample;
  /** How long good readings take at most to drive the bad ones out of the window. */
  readonly windowMs?: number;
}

const calls = (failed: number, all: number, account = "a"): Partial<Tally> => ({
  accounts: { [account]: { calls: all, failed, ms: {}, used: {} } },
});
const uses = (used: CallCounts["used"]): Partial<Tally> => ({
  accounts: { a: { calls: 1, failed: 0, ms: {}, used } },
});
const usesByKind = (usedByKind: KindUse): Partial<Tally> => ({
  accounts: { a: { calls: 1, failed: 0, ms: {}, used: {}, usedByKind } },
});
const ACME = {
  level: { of: "tenant", tenant: "acme", department: null, application: null },
  window: "day",
} as const;
const budget = (settled: bigint, reserved = 0n): Partial<AlertReadings> => ({
  budgets: [{ budget: { ...ACME, limitNanoUsd: 1000n }, settledNanoUsd: settled, reservedNanoUsd: reserved }],
});
const batch = (changes: Partial<BatchReading> = {}): BatchReading => ({
  no: 17,
  account: "a",
  model: "m",
  lines: 10,
  submittedAtMs: START_MS,
  nearestDeadlineMs: null,
  ...changes,
});
const took = (ms: number): Partial<Tally> => ({ jobMs: { [bucketOf(ms)]: 10 }, ended: 10 });
const WINDOW_MS = 5 * MINUTE_MS;

const CASES: readonly RuleCase[] = [
  {
    alert: "budget:tenant acme/day/50",
    bad: () => ({ readings: budget(500n) }),
    between: () => ({ readings: budget(450n) }),
    good: () => ({ readings: budget(449n) }),
  },
  {
    alert: "budget:tenant acme/day/100",
    bad: () => ({ readings: budget(10n, 980n) }),
    between: () => ({ readings: budget(10n, 930n) }),
    good: () => ({ readings: budget(10n, 920n) }),
  },
  {
    alert: "error_rate:a",
    bad: () => ({ tally: calls(5, 25) }),
    between: () => ({ tally: calls(4, 25) }),
    good: () => ({ tally: calls(3, 25) }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "rate_limit:a requests/minute",
    bad: () => ({ tally: uses({ m: { requests: 12, tokens: 0 }, n: { requests: 12, tokens: 0 } }) }),
    between: () => ({ tally: uses({ m: { requests: 9, tokens: 0 }, n: { requests: 9, tokens: 0 } }) }),
    good: () => ({ tally: uses({ m: { requests: 7, tokens: 0 }, n: { requests: 7, tokens: 0 } }) }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "rate_limit:a/m tokens/minute",
    bad: () => ({ tally: uses({ m: { requests: 1, tokens: 240 } }) }),
    between: () => ({ tally: uses({ m: { requests: 1, tokens: 180 }, n: { requests: 1, tokens: 9000 } }) }),
    good: () => ({ tally: uses({ m: { requests: 1, tokens: 140 }, n: { requests: 1, tokens: 9000 } }) }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "rate_limit:a embeddings tokens/minute",
    bad: () => ({ tally: usesByKind({ embeddings: { requests: 1, tokens: 240 } }) }),
    between: () => ({
      tally: usesByKind({ embeddings: { requests: 1, tokens: 180 }, chat: { requests: 1, tokens: 9000 } }),
    }),
    good: () => ({
      tally: usesByKind({ embeddings: { requests: 1, tokens: 140 }, chat: { requests: 1, tokens: 9000 } }),
    }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "rate_limit:a free requests/minute",
    bad: () => ({ tally: usesByKind({ free: { requests: 24, tokens: 0 } }) }),
    between: () => ({
      tally: usesByKind({ free: { requests: 18, tokens: 0 }, standard: { requests: 900, tokens: 0 } }),
    }),
    good: () => ({ tally: usesByKind({ free: { requests: 14, tokens: 0 }, standard: { requests: 900, tokens: 0 } }) }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "provider_down:b",
    bad: () => ({ tally: calls(3, 3, "b") }),
    between: () => ({}),
    good: () => ({ tally: calls(0, 1, "b") }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "provider_down:b",
    bad: () => ({ readings: { breakers: [{ account: "b", model: null, open: true, reason: "its key was revoked" }] } }),
    between: () => ({}),
    good: () => ({
      readings: { breakers: [{ account: "b", model: null, open: false, reason: "" }] },
      tally: calls(0, 1, "b"),
    }),
  },
  {
    alert: "latency:",
    bad: () => ({ tally: took(3000) }),
    between: () => ({ tally: took(1600) }),
    good: () => ({ tally: took(1000) }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "standstill:",
    bad: (nowMs) => ({ readings: { runnable: { oldestAtMs: nowMs - 10 * MINUTE_MS } } }),
    between: () => ({}),
    good: (nowMs) => ({ readings: { runnable: { oldestAtMs: nowMs - 10 * MINUTE_MS } }, tally: { ended: 1 } }),
    windowMs: 2 * MINUTE_MS,
  },
  {
    alert: "deadlines:",
    bad: (nowMs) => ({ readings: { nearestDeadlinesMs: Array<number>(11).fill(nowMs + 9000), batches: [] } }),
    between: (nowMs) => ({ readings: { nearestDeadlinesMs: Array<number>(9).fill(nowMs + 9000), batches: [] } }),
    good: (nowMs) => ({ readings: { nearestDeadlinesMs: Array<number>(50).fill(nowMs + 11_000), batches: [] } }),
  },
  {
    alert: "in_doubt:",
    bad: () => ({ readings: { doubts: 51 } }),
    between: () => ({ readings: { doubts: 36 } }),
    good: () => ({ readings: { doubts: 35 } }),
  },
  {
    alert: "dead_letters:",
    bad: () => ({ tally: { deadLetters: 6 } }),
    between: () => ({ tally: { deadLetters: 4 } }),
    good: () => ({ tally: { deadLetters: 2 } }),
    windowMs: WINDOW_MS,
  },
  {
    alert: "batch_slow:b-17",
    bad: (nowMs) => ({ readings: { batches: [batch({ submittedAtMs: nowMs - 7 * HOUR_MS })] } }),
    between: (nowMs) => ({ readings: { batches: [batch({ submittedAtMs: nowMs - 3 * HOUR_MS })] } }),
    good: () => ({ readings: { batches: [] } }),
  },
];

/** Ten minutes of the same. */
function lookFor(watch: Watch, ms: number, sample: (nowMs: number) => Sample) {
  const turns = [];
  for (let left = ms; left > 0; left -= watch.settings.everyMs) {
    const { readings = {}, tally = {} } = sample(watch.nowMs + watch.settings.everyMs);
    turns.push(...watch.look(readings, tally));
  }
  return turns.map(({ name, turn }) => `${turn} ${name}`);
}

describe.each(CASES)("the alert $alert", ({ alert, bad, between, good, windowMs = 0 }) => {
  const own = (turns: readonly string[]) => turns.filter((turn) => turn.endsWith(alert));

  test("is raised once by readings that stay bad, and recovers once when they stay good", () => {
    const watch = new Watch();
    expect(own(lookFor(watch, 5 * MINUTE_MS, good))).toEqual([]);
    expect(own(lookFor(watch, windowMs + 20 * MINUTE_MS, bad))).toEqual([`raised ${alert}`]);
    expect(own(lookFor(watch, windowMs + 10 * MINUTE_MS, between))).toEqual([]);
    expect(own(lookFor(watch, windowMs + 20 * MINUTE_MS, good))).toEqual([`recovered ${alert}`]);
    expect(own(lookFor(watch, windowMs + 20 * MINUTE_MS, bad))).toEqual([`raised ${alert}`]);
  });

  test("is not raised by what is neither bad nor good", () => {
    expect(own(lookFor(new Watch(), HOUR_MS, between))).toEqual([]);
  });

  test("does not flap: readings that swing turn it a handful of times an hour at most", () => {
    const watch = new Watch({ windowMs: 1000 });
    const turns = [];
    for (let round = 0; round < 60; round += 1)
      turns.push(...own(lookFor(watch, 30_000, bad)), ...own(lookFor(watch, 30_000, good)));
    expect(turns.length).toBeLessThanOrEqual(2);
  });
});

describe("a rule", () => {
  test("whose source is not read changes nothing", () => {
    const watch = new Watch();
    lookFor(watch, 5 * MINUTE_MS, () => ({ readings: { doubts: 100 } }));
    expect(watch.raised).toEqual(["in_doubt:"]);
    lookFor(watch, HOUR_MS, () => ({}));
    expect(watch.raised).toEqual(["in_doubt:"]);
  });

  test("says all four levels of a budget, each once, and takes them back in the next window", () => {
    const watch = new Watch();
    const raised = (levels: readonly number[]) =>
      levels.map((level) => `raised budget:tenant acme/day/${String(level)}`);
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings: budget(600n) }))).toEqual(raised([50]));
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings: budget(960n) }))).toEqual(raised([80, 95]));
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings: budget(1000n) }))).toEqual(raised([100]));
    const over = lookFor(watch, 5 * MINUTE_MS, () => ({ readings: budget(0n) }));
    expect(over).toEqual([50, 80, 95, 100].map((level) => `recovered budget:tenant acme/day/${String(level)}`));
  });

  test("says nothing of a commitment, which is there to be used up", () => {
    const watch = new Watch();
    const [used] = budget(1000n).budgets ?? [];
    if (used === undefined) throw new Error("expected a budget");
    const readings = { budgets: [{ ...used, budget: { ...used.budget, commitment: true as const } }] };
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings }))).toEqual([]);
  });

  test("takes a budget back that the config no longer has", () => {
    const watch = new Watch();
    lookFor(watch, 5 * MINUTE_MS, () => ({ readings: budget(600n) }));
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings: { budgets: [] } }))).toEqual([
      "recovered budget:tenant acme/day/50",
    ]);
  });

  test("counts amounts beyond a double's whole numbers exactly enough", () => {
    const watch = new Watch();
    const limitNanoUsd = 9_000_000_000_000_000_000n;
    const big = (settledNanoUsd: bigint): readonly BudgetReading[] => [
      { budget: { ...ACME, window: "total", limitNanoUsd }, settledNanoUsd, reservedNanoUsd: 0n },
    ];
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings: { budgets: big(limitNanoUsd / 2n - 1n) } }))).toEqual([]);
    const half = lookFor(watch, 5 * MINUTE_MS, () => ({ readings: { budgets: big(limitNanoUsd / 2n) } }));
    expect(half).toEqual(["raised budget:tenant acme/total/50"]);
  });

  test("calls an account down only when nothing of it goes well", () => {
    const watch = new Watch();
    lookFor(watch, 20 * MINUTE_MS, () => ({ tally: calls(50, 51) }));
    expect(watch.raised).toEqual(["error_rate:a"]);
  });

  test("calls an account down whose breakers keep its calls from failing, unless another model of it answers", () => {
    const broken = {
      breakers: [{ account: "a", model: "m", open: true, reason: "its last call ended as overloaded" }],
    };
    const watch = new Watch();
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ readings: broken, tally: calls(0, 1) }))).toEqual([]);
    expect(lookFor(watch, 20 * MINUTE_MS, () => ({ readings: broken }))).toEqual(["raised provider_down:a"]);
    const closed = { breakers: [{ account: "a", model: "m", open: false, reason: "" }] };
    expect(lookFor(watch, 20 * MINUTE_MS, () => ({ readings: closed }))).toEqual([]);
    const answers = lookFor(watch, 5 * MINUTE_MS, () => ({ readings: closed, tally: calls(0, 1) }));
    expect(answers).toEqual(["recovered provider_down:a"]);
  });

  test("lets an account stay down while nobody calls it, and forgets one that is gone from the config", () => {
    const watch = new Watch();
    lookFor(watch, 5 * MINUTE_MS, () => ({ tally: calls(3, 3, "a") }));
    lookFor(watch, DAY_MS, () => ({}));
    expect(watch.raised).toContain("provider_down:a");
    expect(lookFor(watch, 5 * MINUTE_MS, () => ({ tally: calls(9, 9, "elsewhere") }))).toEqual([]);
  });

  test("says nothing of a latency that is nobody's target", () => {
    const watch = new Watch({ latencyP95Ms: null });
    lookFor(watch, HOUR_MS, () => ({ tally: took(60_000) }));
    expect(watch.raised).toEqual([]);
  });

  test("does not take a pause of all routers for a standstill", () => {
    const watch = new Watch();
    const waiting = (nowMs: number) => ({ readings: { runnable: { oldestAtMs: nowMs - 10 * HOUR_MS } } });
    lookFor(watch, 5 * MINUTE_MS, () => ({ tally: { ended: 5 } }));
    watch.look({}, {}, 5 * HOUR_MS);
    expect(lookFor(watch, 100_000, waiting)).toEqual([]);
    expect(lookFor(watch, 5 * MINUTE_MS, waiting)).toEqual(["raised standstill:"]);
  });

  test("counts a batch as late whose kind takes longer than its nearest deadline leaves", () => {
    const watch = new Watch({ deadlinesMax: 0 });
    const out = (deadlineMs: number) => (nowMs: number) => ({
      readings: {
        nearestDeadlinesMs: [],
        batches: [batch({ submittedAtMs: nowMs, nearestDeadlineMs: nowMs + deadlineMs })],
      },
    });
    expect(lookFor(watch, 5 * MINUTE_MS, out(13 * HOUR_MS))).toEqual([]);
    expect(lookFor(watch, 5 * MINUTE_MS, out(11 * HOUR_MS))).toEqual(["raised deadlines:"]);
  });

  test("knows what an account's calls take from those that it counted", () => {
    const watch = new Watch({ deadlinesMax: 0 });
    const tally = { accounts: { a: { calls: 10, failed: 0, ms: { [bucketOf(400)]: 10 }, used: {} } } };
    const near = (nowMs: number) => ({ readings: { nearestDeadlinesMs: [nowMs + 600], batches: [] }, tally });
    // Before twenty are known the prior of 10 s speaks.
    expect(lookFor(watch, 15_000, near)).toEqual([]);
    expect(lookFor(watch, 10 * MINUTE_MS, near)).toEqual([]);
    const nearer = (nowMs: number) => ({ readings: { nearestDeadlinesMs: [nowMs + 300], batches: [] }, tally });
    expect(lookFor(watch, 10 * MINUTE_MS, nearer)).toEqual(["raised deadlines:"]);
  });
});

describe("unusual spend", () => {
  const QUARTER_NANO = 10_000_000_000n;
  /** $40 each hour of each day before now, for so many days; the last hour costs `lastHour` a quarter. */
  const history = (days: number, lastHour: bigint) => (nowMs: number) => {
    const now = quarterOf(nowMs);
    const nanoUsd = new Map<number, bigint>();
    for (let back = 4; back <= days * 96; back += 1) nanoUsd.set(now - back, QUARTER_NANO);
    for (let back = 0; back < 4; back += 1) nanoUsd.set(now - back, lastHour);
    return { readings: { spend: { firstQuarter: now - days * 96, nanoUsd } } };
  };

  test("is told when an hour costs three times what such an hour costs, and is over when it does no more", () => {
    const watch = new Watch();
    expect(lookFor(watch, 5 * MINUTE_MS, history(40, QUARTER_NANO * 2n))).toEqual([]);
    expect(lookFor(watch, 5 * MINUTE_MS, history(40, QUARTER_NANO * 3n))).toEqual(["raised spend:"]);
    expect(lookFor(watch, 5 * MINUTE_MS, history(40, QUARTER_NANO * 2n + QUARTER_NANO / 2n))).toEqual([]);
    expect(lookFor(watch, 5 * MINUTE_MS, history(40, QUARTER_NANO * 2n))).toEqual(["recovered spend:"]);
  });

  test("needs a week of days, or three of weeks", () => {
    expect(lookFor(new Watch(), HOUR_MS, history(7, QUARTER_NANO * 90n))).toEqual([]);
    expect(lookFor(new Watch(), HOUR_MS, history(8, QUARTER_NANO * 90n))).toEqual(["raised spend:"]);
  });

  test("is nothing below the least that counts", () => {
    const watch = new Watch({ spendMinNanoUsd: QUARTER_NANO * 1000n });
    expect(lookFor(watch, HOUR_MS, history(40, QUARTER_NANO * 200n))).toEqual([]);
  });

  test("goes by the same hour of the week once three weeks are known: a busy Monday is usual", () => {
    const weekly = (lastHour: bigint, usual: bigint) => (nowMs: number) => {
      const now = quarterOf(nowMs);
      const nanoUsd = new Map<number, bigint>();
      for (let week = 1; week <= 4; week += 1)
        for (let back = 0; back < 4; back += 1) nanoUsd.set(now - week * 7 * 96 - back, usual);
      for (let back = 0; back < 4; back += 1) nanoUsd.set(now - back, lastHour);
      return { readings: { spend: { firstQuarter: now - 5 * 7 * 96, nanoUsd } } };
    };
    expect(lookFor(new Watch(), HOUR_MS, weekly(QUARTER_NANO, QUARTER_NANO))).toEqual([]);
    expect(lookFor(new Watch(), HOUR_MS, weekly(QUARTER_NANO, 0n))).toEqual(["raised spend:"]);
  });
});

test("what is remembered stays small however long and however often somebody looks", () => {
  const watch = new Watch({ everyMs: 500 });
  const busy = () => ({ tally: { ...calls(1, 40), ...took(700), nanoUsd: "123456789" } });
  lookFor(watch, 5 * MINUTE_MS, busy);
  const early = watch.memoryBytes;
  lookFor(watch, 20 * MINUTE_MS, busy);
  expect(watch.memoryBytes).toBeLessThan(early * 1.1);
  expect(watch.memoryBytes).toBeLessThan(10_000);
});
