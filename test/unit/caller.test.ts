import { describe, expect, test } from "@jest/globals";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import { Caller, type CallerParts } from "../../src/pipeline/dispatch/caller.js";
import type { JudgeSettings } from "../../src/pipeline/dispatch/call-judge.js";
import { SendPatience } from "../../src/pipeline/dispatch/send-patience.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { FinishedCall } from "../../src/ports/ledger.js";
import type { ProviderAnswer, ProviderCall, ProviderNotSent } from "../../src/ports/provider.js";
import { JUDGED_BY, logInto, metricsInto, NO_HEALTH, workOf } from "../support/work.js";

const NOW_MS = 1_800_000_000_000;
const NO_CONNECTION: ProviderNotSent = { kind: "not_sent", because: "no_connection", message: "no connection" };
const STOPPED: ProviderNotSent = { kind: "not_sent", because: "stopped", message: "stopped" };
const ANSWER: ProviderAnswer = {
  kind: "answered",
  bodyText: "{}",
  finishReason: "stop",
  modelVersion: null,
  usage: { ...NO_USAGE, inputTokens: 10, outputTokens: 5 },
  usageSuspect: false,
  requestId: "request",
  empty: false,
};

function bench(reply: (call: ProviderCall) => ProviderAnswer | ProviderNotSent, judge: Partial<JudgeSettings> = {}) {
  const calls: ProviderCall[] = [];
  const finished: FinishedCall[] = [];
  const notSent: number[] = [];
  const released: string[] = [];
  const lines: string[] = [];
  const counted = new Map<string, number>();
  const state = { mayStart: true, noted: true };
  const noted: number[] = [];
  const parts: CallerParts = {
    providers: new Map([
      [
        "alpha",
        {
          account: "alpha",
          call: (call: ProviderCall) => {
            calls.push(call);
            return Promise.resolve(reply(call));
          },
          close: () => Promise.resolve(),
        },
      ],
    ]),
    callTimeoutMs: () => 60_000,
    connectTimeoutMs: () => 10_000,
    sendWithinMs: 250,
    unsentMax: 100,
    judge: {
      retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
      graceMs: () => 30_000,
      resultBytesMax: 1_000_000,
      ...JUDGED_BY,
      ...judge,
    },
    health: NO_HEALTH,
    slots: { release: (account, answered) => released.push(`${account} ${String(answered)}`) },
    clock: { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() },
    random: { next: () => 0 },
    log: logInto(lines),
    metrics: metricsInto(counted),
    mayStart: () => state.mayStart,
    sending: (no) => {
      noted.push(no);
      return state.noted;
    },
    answered: () => undefined,
    finished: (call) => finished.push(call),
    notSent: (work) => notSent.push(work.intent.no),
  };
  const caller = new Caller(parts);
  const start = async (no: number): Promise<void> => {
    caller.start(workOf(no, NOW_MS));
    while (caller.inAir > 0) await new Promise((resolve) => setImmediate(resolve));
  };
  return { parts, start, calls, finished, notSent, released, lines, counted, state };
}

describe("a call that was not sent", () => {
  test("is given back with its place still taken, and counts as no attempt that failed", async () => {
    const one = bench(() => NO_CONNECTION);
    await one.start(1);
    expect([one.notSent, one.finished, one.released]).toEqual([[1], [], []]);
    expect(one.counted.get("sluice_attempts_total alpha not_sent")).toBe(1);
  });

  test("gets the time of a connect after four tries; without a connection that is then a failed attempt", async () => {
    const one = bench(() => NO_CONNECTION);
    for (let round = 0; round < 5; round += 1) await one.start(1);
    expect(one.calls.map(({ sendWithinMs }) => sendWithinMs)).toEqual([250, 250, 250, 250, 10_000]);
    expect(one.notSent).toEqual([1, 1, 1, 1]);
    expect(one.finished).toMatchObject([
      { outcome: "connection_failed", nanoUsd: 0n, verdict: { kind: "again", routeIndex: 1 } },
    ]);
    expect(one.released).toEqual(["alpha false"]);
  });

  test("has its tries counted by execution, and anew once a call came to something", async () => {
    let sends = false;
    const one = bench(() => (sends ? ANSWER : NO_CONNECTION));
    for (const no of [1, 1, 1, 2, 1]) await one.start(no);
    sends = true;
    await one.start(1);
    sends = false;
    await one.start(1);
    await one.start(2);
    expect(one.calls.map(({ sendWithinMs }) => sendWithinMs)).toEqual([250, 250, 250, 250, 250, 10_000, 250, 250]);
  });

  test("because the router stops is given back however often, and says nothing about connections", async () => {
    const one = bench(() => STOPPED);
    for (let round = 0; round < 6; round += 1) await one.start(1);
    expect([one.notSent.length, one.finished]).toEqual([6, []]);
    expect(one.calls.map(({ sendWithinMs }) => sendWithinMs)).toEqual(Array.from({ length: 6 }, () => 250));
  });

  test("is not even begun by a session that may start nothing, and asks it again before the first byte", async () => {
    const one = bench((call) => (call.maySend() ? ANSWER : STOPPED));
    one.state.mayStart = false;
    await one.start(1);
    expect([one.calls, one.notSent]).toEqual([[], [1]]);
    one.state.mayStart = true;
    await one.start(2);
    expect(one.finished).toHaveLength(1);
  });
});

test("an answer of another model than asked is counted and told in the log", async () => {
  const judged = { answeredBy: (work: Work) => ({ price: work.route.price, otherModel: true }) };
  const one = bench(() => ({ ...ANSWER, modelVersion: "another" }), judged);
  await one.start(1);
  expect(one.lines).toContain("warn attempt.other_model");
  expect(one.counted.get("sluice_other_model_total alpha")).toBe(1);
  expect(one.finished).toMatchObject([{ outcome: "succeeded", modelVersion: "another" }]);
  const usual = bench(() => ANSWER);
  await usual.start(1);
  expect(usual.lines).not.toContain("warn attempt.other_model");
});

describe("a deadline that comes before the end of the call's own time", () => {
  const open = (): { readonly caller: Caller; readonly end: () => Promise<void>; readonly timeouts: number[] } => {
    const timeouts: number[] = [];
    let answer: (value: ProviderAnswer) => void = () => undefined;
    const one = bench(() => ANSWER);
    const caller = new Caller({
      ...one.parts,
      providers: new Map([
        [
          "alpha",
          {
            account: "alpha",
            call: ({ timeoutMs }: ProviderCall) => {
              timeouts.push(timeoutMs);
              return new Promise<ProviderAnswer>((resolve) => (answer = resolve));
            },
            close: () => Promise.resolve(),
          },
        ],
      ]),
    });
    const end = async (): Promise<void> => {
      answer(ANSWER);
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { caller, end, timeouts };
  };
  const named = (caller: Caller, afterMs: number): readonly number[] =>
    caller.overdue(NOW_MS + afterMs).map(({ no }) => no);

  test("does not end the call; its execution is named from then on, until its jobs were ended", () => {
    const { caller, timeouts } = open();
    caller.start(workOf(1, NOW_MS, { latestDeadlineMs: NOW_MS + 5000 }));
    expect(timeouts).toEqual([60_000]);
    expect([named(caller, 4999), named(caller, 5000), named(caller, 6000)]).toEqual([[], [1], [1]]);
    caller.expired(caller.overdue(NOW_MS + 6000));
    expect([named(caller, 7000), caller.inAir]).toEqual([[], 1]);
  });

  test("says nothing once the call has ended, or when the call ends before it by itself", async () => {
    const { caller, end } = open();
    caller.start(workOf(1, NOW_MS, { latestDeadlineMs: NOW_MS + 5000 }));
    await end();
    caller.start(workOf(2, NOW_MS, { latestDeadlineMs: NOW_MS + 60_000 }));
    expect([named(caller, 3_600_000), caller.inAir]).toEqual([[], 1]);
  });
});

test("a call that can't be judged is in doubt, at its maximum", async () => {
  const one = bench(() => ANSWER, {
    answeredBy: () => {
      throw new Error("no such price");
    },
  });
  await one.start(1);
  expect(one.lines).toContain("error dispatch.judge_failed");
  expect(one.finished).toMatchObject([
    {
      attempt: { no: 1, maxNanoUsd: 2_000_000n },
      outcome: "in_doubt",
      nanoUsd: null,
      verdict: { kind: "doubt", settleAtMs: NOW_MS + 30_000 },
    },
  ]);
});

test("patience remembers as many executions as it is told to, and forgets the oldest", () => {
  const patience = new SendPatience({ sendWithinMs: 250, connectTimeoutMs: () => 10_000, unsentMax: 100 });
  for (let round = 0; round < 4; round += 1) for (let no = 0; no < 100; no += 1) patience.missed(no);
  expect([patience.of(0, "alpha").last, patience.of(99, "alpha").last]).toEqual([true, true]);
  patience.missed(100);
  expect([patience.of(0, "alpha").last, patience.of(1, "alpha").last]).toEqual([false, true]);
});
