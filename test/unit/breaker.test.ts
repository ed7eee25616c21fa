import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { ATTEMPT_OUTCOMES } from "../../src/domain/failure.js";
import { blameOf, type Blame, type OutcomeFacts } from "../../src/domain/health/blame.js";
import {
  BREAKER_TRANSITIONS,
  CLOSED,
  isTrialDue,
  isWholeAccount,
  mayCall,
  nextBreaker,
  type Breaker,
  type BreakerEvent,
  type BreakerSettings,
} from "../../src/domain/health/breaker.js";
import { beginRamp, hasRoom, promiseTurn, takeFromRamp } from "../../src/domain/health/ramp.js";
import { NO_USAGE, type Usage } from "../../src/domain/cost/usage.js";
import { failuresSince, statisticsSince, type RecentCall } from "../../src/domain/health/recent-calls.js";

const NOW = 1_000_000;
const SETTINGS: BreakerSettings = {
  degradedAfter: 2,
  openAfter: 5,
  failureRate: 0.5,
  rateCallsMin: 20,
  rateWindowMs: 60_000,
  cooldownMs: 1000,
  accountCooldownMs: 10_000,
  cooldownMaxMs: 60_000,
  rampMs: 5000,
};
const failed = (more: Partial<Extract<BreakerEvent, { kind: "failed" }>> = {}): BreakerEvent => ({
  kind: "failed",
  startedAtMs: NOW,
  recent: { calls: 1, failed: 1 },
  atOnce: false,
  barred: false,
  because: "it failed",
  ...more,
});
const alive = (startedAtMs = NOW): BreakerEvent => ({ kind: "alive", startedAtMs, isProof: false });
const told = (state: "closed" | "open" | "half_open", untilMs = NOW + 500): BreakerEvent => ({
  kind: "told",
  shared: { state, openings: 3, sinceMs: NOW - 9000, untilMs, changedMs: NOW - 100, because: "elsewhere" },
});

/** The breaker after these events, all at one time. */
function after(events: readonly BreakerEvent[], from: Breaker = CLOSED, nowMs = NOW, random = 0): Breaker {
  return events.reduce((breaker, event) => nextBreaker(breaker, event, nowMs, random, SETTINGS).breaker, from);
}
const open = (more: object = {}): Breaker => ({
  ...{ state: "open", openings: 1, sinceMs: NOW - 1000, untilMs: NOW, because: "it failed" },
  ...more,
});
const trial = (more: object = {}): Breaker => ({
  ...{ state: "half_open", openings: 1, sinceMs: NOW - 9000, untilMs: NOW + 2000, because: "it failed" },
  ...{ trial: "out", outSinceMs: NOW, ...more },
});
const times = (count: number, event: BreakerEvent = failed()) => Array.from({ length: count }, () => event);

describe("a breaker", () => {
  test.each<[string, Breaker, object]>([
    ["one failure changes nothing", after(times(1)), { state: "closed", failuresInARow: 1 }],
    ["two in a row: degraded", after(times(2)), { state: "degraded" }],
    ["an answer between two failures: not degraded", after([failed(), alive(), failed()]), { state: "closed" }],
    ["degraded, then an answer: well", after([...times(3), alive()]), { state: "closed", failuresInARow: 0 }],
    ["degraded: its turn comes again for one call after a cool-down", after(times(2)), { againAtMs: NOW + 1000 }],
    [
      "its turn is taken: the next comes as much later",
      after([{ kind: "taken" }], after(times(2)), NOW + 1500),
      { state: "degraded", againAtMs: NOW + 2500 },
    ],
    [
      "a call before its turn moves nothing",
      after([{ kind: "taken" }], after(times(2)), NOW + 999),
      { againAtMs: NOW + 1000 },
    ],
    ["four in a row: not open", after(times(4)), { state: "degraded" }],
    [
      "five in a row: open, for the first cool-down",
      after(times(5)),
      { state: "open", untilMs: NOW + 1000, openings: 1 },
    ],
    ["half of twenty calls: open", after([failed({ recent: { calls: 20, failed: 10 } })]), { state: "open" }],
    ["half of nineteen: not", after([failed({ recent: { calls: 19, failed: 18 } })]), { state: "closed" }],
    ["less than half of many: not", after([failed({ recent: { calls: 100, failed: 49 } })]), { state: "closed" }],
    [
      "a refused key: open at once, for longer",
      after([failed({ atOnce: true, barred: true })]),
      { state: "open", untilMs: NOW + 10_000 },
    ],
    ["jitter makes it longer, by a fifth at most", after(times(5), CLOSED, NOW, 0.9999), { untilMs: NOW + 1200 }],
    ["open: late failures change nothing", after(times(9), open()), { untilMs: NOW, openings: 1 }],
    ["open: nor do late answers", after([alive()], open()), { state: "open" }],
    [
      "open: an answer to the trial of the whole account closes it",
      after([{ kind: "alive", startedAtMs: NOW, isProof: true }], open()),
      { state: "closed", rampFromMs: NOW },
    ],
    [
      "leased: a trial is free",
      after([{ kind: "leased", untilMs: NOW + 99 }], open()),
      { trial: "free", untilMs: NOW + 99 },
    ],
    [
      "the trial fails: open again, twice as long",
      after([failed()], trial()),
      { state: "open", openings: 2, untilMs: NOW + 2000, sinceMs: NOW - 9000 },
    ],
    [
      "the trial fails often: the longest cool-down",
      after([failed()], trial({ openings: 50 })),
      { untilMs: NOW + 60_000 },
    ],
    [
      "the trial is answered: closed, with a ramp",
      after([alive()], trial()),
      { state: "closed", rampFromMs: NOW, openings: 1 },
    ],
    [
      "a call from before the trial says nothing",
      after([alive(NOW - 1), failed({ startedAtMs: NOW - 1 })], trial()),
      trial(),
    ],
    [
      "the trial was not sent: another may be",
      after([{ kind: "not_sent", startedAtMs: NOW }], trial()),
      { trial: "free" },
    ],
    [
      "another call was not sent: the trial stays out",
      after([{ kind: "not_sent", startedAtMs: NOW - 1 }], trial()),
      trial(),
    ],
    [
      "in the ramp two in a row open it again, for longer",
      after([alive(), ...times(2)], trial()),
      { state: "open", openings: 2 },
    ],
    [
      "in the ramp failures of calls from before it do not count",
      after([alive(), ...times(9, failed({ startedAtMs: NOW - 1 }))], trial()),
      { state: "closed", failuresInARow: 0 },
    ],
    [
      "told that it is open: open, though its own calls were well",
      after([told("open")]),
      { state: "open", untilMs: NOW + 500 },
    ],
    [
      "told of an end far off: no longer than a cool-down",
      after([told("open", NOW + 9_999_999)]),
      { untilMs: NOW + 72_000 },
    ],
    [
      "told that a trial is out: no call",
      after([told("half_open")], open()),
      { state: "half_open", trial: "elsewhere" },
    ],
    [
      "told that it closed: closed, with a ramp",
      after([told("closed")], open()),
      { state: "closed", rampFromMs: NOW - 100 },
    ],
  ])("%s", (_what, breaker, expected) => {
    expect(breaker).toMatchObject(expected);
  });

  test("forgets how often it opened once it has been well for the whole ramp", () => {
    const closed = after([alive()], trial({ openings: 6 }));
    const later = after([alive(NOW + 6000)], closed, NOW + 6000);
    expect(later).toEqual(CLOSED);
    expect(after(times(5, failed({ startedAtMs: NOW + 6000 })), closed, NOW + 6000)).toMatchObject({ openings: 1 });
  });

  test("tells the others when it opens, opens again and closes, and of nothing else", () => {
    const changeOf = (breaker: Breaker, event: BreakerEvent) => nextBreaker(breaker, event, NOW, 0, SETTINGS).change;
    expect(changeOf(after(times(1)), failed())).toBeNull();
    expect(changeOf(after(times(4)), failed())).toBe("opened");
    expect(changeOf(trial(), failed())).toBe("reopened");
    expect(changeOf(trial(), alive())).toBe("closed");
    expect(changeOf(CLOSED, told("open"))).toBeNull();
    expect(changeOf(open(), { kind: "leased", untilMs: NOW })).toBeNull();
  });

  test("belongs to the account when several of its models fail and none is answered", () => {
    const of = (...counts: number[]) =>
      isWholeAccount(new Map(counts.map((count, at) => [String(at), count])), SETTINGS);
    expect([of(5), of(9, 1), of(2, 2), of(3, 2), of(2, 2, 1), of(1, 1, 1, 1, 1)]).toEqual([
      false,
      false,
      false,
      true,
      true,
      false,
    ]);
  });
});

type Step =
  | "answer"
  | "fail"
  | "bar"
  | "old_answer"
  | "old_failure"
  | "not_sent"
  | "lease"
  | "wait"
  | "told_open"
  | "told_closed";

interface Seen {
  /** What was wrong, in words; empty: nothing. */
  readonly wrong: string[];
}

/** A router with one breaker: makes a call whenever it may, as far as `next` says, and a lease whenever one is due. */
function play(
  steps: readonly { readonly step: Step; readonly ms: number; readonly random: number }[],
  next = nextBreaker,
): Seen {
  const wrong: string[] = [];
  let breaker = CLOSED as Breaker; // not only what it is now: `go` changes it
  let nowMs = NOW;
  let openings = 0;
  /** Starts of calls that are out; of these, those that began as trials. */
  let out: { readonly startedAtMs: number; readonly isTrial: boolean }[] = [];
  const go = (event: BreakerEvent, random = 0): void => {
    const before = breaker;
    breaker = next(before, event, nowMs, random, SETTINGS).breaker;
    const [from, to] = [before.state, breaker.state];
    if (from !== to && !(BREAKER_TRANSITIONS[from] as readonly string[]).includes(to))
      wrong.push(`${from} became ${to}`);
    if (to === "open" && from !== "open") {
      if (breaker.state === "open" && breaker.untilMs <= nowMs && event.kind !== "told")
        wrong.push("opened for no time");
      if (breaker.state === "open" && breaker.untilMs > nowMs + 72_000)
        wrong.push("opened for longer than the longest cool-down");
      openings += 1;
    }
  };
  const end = (index: number, event: (startedAtMs: number) => BreakerEvent, random: number): void => {
    const call = out.splice(index, 1)[0];
    if (call !== undefined) go(event(call.startedAtMs), random);
  };
  for (const { step, ms, random } of steps) {
    nowMs += ms;
    if (step === "lease" && isTrialDue(breaker, nowMs)) {
      out = out.filter(({ isTrial }) => !isTrial); // the lease before this one is over: it counts no more
      go({ kind: "leased", untilMs: nowMs + 5000 });
    }
    if (step === "told_open") go({ kind: "told", shared: sharedAt(nowMs, "open", nowMs + 700) });
    if (step === "told_closed") go({ kind: "told", shared: sharedAt(nowMs, "closed", 0) });
    if (mayCall(breaker, nowMs)) {
      const { state } = breaker;
      if (state === "open") wrong.push("called while it was open");
      if (state === "half_open" && out.some(({ isTrial }) => isTrial)) wrong.push("a second trial");
      out.push({ startedAtMs: nowMs, isTrial: state === "half_open" });
      go({ kind: "taken" });
    }
    if (breaker.state === "half_open" && breaker.trial === "free" && out.some(({ isTrial }) => isTrial))
      wrong.push("a trial that is out is free");
    const last = out.length - 1;
    if (step === "answer") end(last, (startedAtMs) => ({ kind: "alive", startedAtMs, isProof: false }), random);
    if (step === "fail") end(last, (startedAtMs) => failed({ startedAtMs }), random);
    if (step === "bar") end(last, (startedAtMs) => failed({ startedAtMs, atOnce: true, barred: true }), random);
    if (step === "old_answer") end(0, (startedAtMs) => ({ kind: "alive", startedAtMs, isProof: false }), random);
    if (step === "old_failure") end(0, (startedAtMs) => failed({ startedAtMs }), random);
    if (step === "not_sent") end(last, (startedAtMs) => ({ kind: "not_sent", startedAtMs }), random);
  }
  // The provider is well from here on: the breaker closes.
  for (let round = 0; round < 20 && breaker.state !== "closed"; round += 1) {
    nowMs += 100_000;
    out = [];
    if (isTrialDue(breaker, nowMs)) go({ kind: "leased", untilMs: nowMs + 5000 });
    if (!mayCall(breaker, nowMs)) continue;
    go({ kind: "taken" });
    nowMs += 10;
    go({ kind: "alive", startedAtMs: nowMs - 10, isProof: false });
  }
  if (breaker.state !== "closed") wrong.push("it never closed though the provider is well");
  return { wrong: openings >= 0 ? wrong : [] };
}

const sharedAt = (nowMs: number, state: "open" | "closed", untilMs: number) => ({
  ...{ state, openings: 1, sinceMs: nowMs - 5, untilMs, changedMs: nowMs, because: "elsewhere" },
});

const OWN = [
  "answer",
  "fail",
  "fail",
  "fail",
  "bar",
  "old_answer",
  "old_failure",
  "not_sent",
  "lease",
  "wait",
] as const;
const stepsOf = (words: readonly Step[], lengthMax: number) =>
  fc.array(
    fc.record({
      step: fc.constantFrom<Step>(...words),
      ms: fc.integer({ min: 1, max: 4000 }),
      random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    }),
    { maxLength: lengthMax, size: "max" },
  );
/** With the words of other routers, of one router alone, and long outages. */
const STEPS = fc.oneof(
  stepsOf([...OWN, "lease", "told_open", "told_closed"], 150),
  stepsOf(OWN, 150),
  stepsOf(["fail", "old_failure", "wait", "lease", "lease"], 150),
);

describe("any run of outcomes", () => {
  const wrongIn = (next: typeof nextBreaker): readonly string[] => {
    const found = new Set<string>();
    const steps = fc.sample(STEPS, { numRuns: 400, seed: 5 });
    for (const run of steps) for (const word of play(run, next).wrong) found.add(word);
    return [...found];
  };

  test("keeps to the table: no call while it is open, one trial at a time, and it closes when the provider is well", () => {
    fc.assert(
      fc.property(STEPS, (steps) => {
        expect(play(steps).wrong).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  test.each<[string, typeof nextBreaker, string]>([
    [
      "a trial that leaves itself free",
      (breaker, event, ...rest) =>
        event.kind === "taken" ? { breaker, change: null } : nextBreaker(breaker, event, ...rest),
      "a second trial",
    ],
    [
      "a late failure that ends a trial which is out",
      (breaker, event, ...rest) =>
        breaker.state === "half_open" && event.kind === "failed"
          ? { breaker: { ...breaker, trial: "free", outSinceMs: null }, change: null }
          : nextBreaker(breaker, event, ...rest),
      "a trial that is out is free",
    ],
    [
      "an answer that never closes it",
      (breaker, event, ...rest) =>
        breaker.state === "half_open" && event.kind === "alive"
          ? { breaker, change: null }
          : nextBreaker(breaker, event, ...rest),
      "it never closed though the provider is well",
    ],
    [
      "a cool-down without a bound",
      (breaker, event, nowMs, random, settings) =>
        nextBreaker(breaker, event, nowMs, random, { ...settings, cooldownMaxMs: 1e12 }),
      "opened for longer than the longest cool-down",
    ],
    [
      "an open one that is degraded by failures",
      (breaker, event, ...rest) =>
        breaker.state === "open" && event.kind === "failed"
          ? { breaker: { ...CLOSED, state: "degraded", failuresInARow: 2, againAtMs: null }, change: null }
          : nextBreaker(breaker, event, ...rest),
      "open became degraded",
    ],
  ])("would show %s", (_what, planted, word) => {
    expect(wrongIn(planted)).toContain(word);
    expect(wrongIn(nextBreaker)).toEqual([]);
  });
});

describe("a ramp", () => {
  /** Most calls that began in any second of a run in which somebody asks all the time, and how many altogether. */
  const run = (steadyPerSecond: number, take = takeFromRamp): { readonly most: number; readonly all: number } => {
    let ramp = beginRamp(NOW, 10_000, steadyPerSecond);
    const begun: number[] = [];
    for (let nowMs = NOW; nowMs < NOW + 10_000; nowMs += 1) {
      while (hasRoom(ramp, nowMs) && begun.length < 100_000) {
        ramp = take(ramp, nowMs);
        begun.push(nowMs);
      }
    }
    const most = begun.map((at) => begun.filter((other) => other >= at && other < at + 1000).length);
    return { most: Math.max(...most), all: begun.length };
  };

  test.each([0.2, 3, 10, 50, 90])("at %d a second before, no second has more than twice as many", (steady) => {
    const { most, all } = run(steady);
    expect(most).toBeLessThanOrEqual(Math.max(1, 2 * steady) + 1);
    expect(all).toBeGreaterThanOrEqual(Math.floor(5 * steady)); // half of what there was in as long a time
  });

  test("a planted one that forgets to pay would pass the bound", () => {
    const half: typeof takeFromRamp = (ramp, nowMs) => ({
      ...ramp,
      paidUntilMs: (takeFromRamp(ramp, nowMs).paidUntilMs + Math.max(ramp.paidUntilMs, nowMs)) / 2,
    });
    expect(run(50, half).most).toBeGreaterThan(101);
  });

  test("gives those who have to wait a turn each, none further off than five seconds", () => {
    let ramp = takeFromRamp(beginRamp(NOW, 10_000, 4), NOW);
    const turns: number[] = [];
    for (let asked = 0; asked < 8; asked += 1) {
      const promised = promiseTurn(ramp, NOW);
      ({ ramp } = promised);
      turns.push(promised.runAtMs - NOW);
    }
    expect(turns).toEqual([2000, 3000, 4000, 5000, 5000, 5000, 5000, 5000]); // one a second, the first second is taken
  });
});

describe("what an outcome says of the provider", () => {
  const of = (
    outcome: OutcomeFacts["outcome"],
    httpStatus: number | null = null,
    sent: OutcomeFacts["sent"] = "answered",
  ) => blameOf({ outcome, httpStatus, sent });

  test.each<[Blame, Blame]>([
    [of("succeeded", 200), "answered"],
    [of("rate_limited", 429), "alive"],
    [of("refused", 400), "alive"],
    [of("content_refused", 400), "alive"],
    [of("context_too_long", 400), "alive"],
    [of("bad_answer", 200), "poor"],
    [of("overloaded", 503), "failed"],
    [of("connection_failed", null, "no"), "failed"],
    [of("timed_out", null, "perhaps"), "failed"],
    [of("timed_out", null, "no"), "nothing"],
    [of("bad_response", 302), "failed"],
    [of("auth_failed", 401), "account_barred"],
    [of("auth_failed", 400), "account_barred"],
    [of("auth_failed", 403), "model_barred"],
    [of("auth_failed", 404), "alive"],
    [of("quota_exhausted", 429), "account_barred"],
    [of("unclassified", 418), "alive"],
    [of("unclassified", 599), "failed"],
    [of("unclassified", null, "perhaps"), "nothing"],
    [of("cancelled", null, "perhaps"), "nothing"],
    [of("in_doubt", null, "perhaps"), "nothing"],
  ])("%s, expected %s", (found, expected) => {
    expect(found).toBe(expected);
  });

  test("is never a failure for what the request itself was", () => {
    const own = ["refused", "content_refused", "context_too_long", "rate_limited", "cancelled"] as const;
    for (const outcome of ATTEMPT_OUTCOMES.filter((one) => own.some((word) => word === one)))
      for (const status of [null, 200, 400, 401, 403, 404, 413, 422, 429, 500])
        expect(["alive", "nothing"]).toContain(of(outcome, status));
  });
});

describe("recent calls", () => {
  const call = (endedAtMs: number, ms: number, isFailed = false, usage: Partial<Usage> = {}): RecentCall => ({
    ...{ endedAtMs, ms, failed: isFailed },
    usage: { ...NO_USAGE, ...usage },
  });

  test("count within their window", () => {
    const calls = [call(1, 5, true), call(10, 5, true), call(11, 5), call(12, 5, true)];
    expect(failuresSince(calls, 10)).toEqual({ calls: 3, failed: 2 });
  });

  test("say nothing when there are fewer than ten, or none was answered", () => {
    expect(
      statisticsSince(
        [...Array(9).keys()].map((at) => call(at, 5)),
        0,
      ),
    ).toBeNull();
    expect(
      statisticsSince(
        [...Array(50).keys()].map((at) => call(at, 5)),
        45,
      ),
    ).toBeNull();
    expect(
      statisticsSince(
        [...Array(50).keys()].map((at) => call(at, 5, true)),
        0,
      ),
    ).toBeNull();
  });

  test("give the share of failures, and the times of those that were answered", () => {
    const answered = [70, 10, 20, 50, 40, 30, 60, 80, 100, 90].map((ms, at) => call(at, ms));
    const calls = [...answered, call(20, 99_999, true), call(21, 99_999, true)];
    expect(statisticsSince(calls, 0)).toEqual({ failureRate: 1 - 10 / 12, p50Ms: 50, p95Ms: 100, calls: 12 });
  });

  test("tell how much of the prompts came from the provider's cache, where it counts that", () => {
    const cached = call(1, 10, false, { inputTokens: 300, cachedInputTokens: 200 });
    const uncached = call(1, 10, false, { inputTokens: 100, cachedInputTokens: 0 });
    const untold = call(1, 10, false, { inputTokens: 5000 });
    const ten = (one: RecentCall): readonly RecentCall[] => Array.from({ length: 10 }, () => one);
    expect(statisticsSince([...ten(cached), ...ten(uncached), ...ten(untold)], 0)?.cachedInputShare).toBe(0.5);
    expect(statisticsSince(ten(untold), 0)).not.toHaveProperty("cachedInputShare");
  });
});
