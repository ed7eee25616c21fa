import { describe, expect, test } from "@jest/globals";
import {
  chooseExecution,
  type FoundExecution,
  type FoundState,
  type Joiner,
} from "../../src/domain/dedupe/choose-execution.js";
import { riskBesideDoubt, type DoubtPolicy } from "../../src/domain/execution/doubt-policy.js";

const NOW = 1_000_000;
const IN_10_S = NOW + 10_000;
const JOB: Joiner = {
  deadlineMs: IN_10_S,
  cacheRead: true,
  cacheMaxAgeMs: null,
  riskNanoUsd: 500n,
  mayWaitForBatch: true,
};

const running: FoundState = { kind: "running" };
const waits = (untilMs: number, doubtMaxNanoUsd: bigint | null = null): FoundState => ({
  kind: "waits",
  untilMs,
  doubtMaxNanoUsd,
});
const answered = (atMs: number): FoundState => ({ kind: "answered", atMs });
const over: FoundState = { kind: "over" };

/** The choice in short: "take 0", "open 1 instead of 1", "again". */
function choice(states: readonly (FoundState | null)[], job: Partial<Joiner> = {}): string {
  const found = states.flatMap((now, lane): FoundExecution[] =>
    now === null ? [] : [{ lane: lane === 0 ? 0 : 1, now }],
  );
  const chosen = chooseExecution(found, { ...JOB, ...job }, NOW);
  switch (chosen.kind) {
    case "take":
      return `take ${String(chosen.execution.lane)}`;
    case "open":
      return `open ${String(chosen.lane)} instead of ${chosen.instead === null ? "nothing" : String(chosen.instead.lane)}`;
    case "again":
      return "again";
  }
}

describe("a job whose request is known", () => {
  test.each<[string, readonly (FoundState | null)[], Partial<Joiner>, string]>([
    ["joins a call that is out", [running], {}, "take 0"],
    ["joins an execution that is due", [waits(NOW - 5)], {}, "take 0"],
    ["joins one that waits less long than its deadline", [waits(IN_10_S - 1)], {}, "take 0"],
    [
      "opens an express one beside one that waits until its deadline",
      [waits(IN_10_S)],
      {},
      "open 1 instead of nothing",
    ],
    ["joins the express one that is out", [waits(IN_10_S), running], {}, "take 1"],
    ["joins the express one even where that is late, too", [waits(IN_10_S), waits(IN_10_S + 9)], {}, "take 1"],
    ["puts an ended express one in its place", [waits(IN_10_S), over], {}, "open 1 instead of 1"],
    ["leaves the express one alone when the ordinary one is in time", [waits(NOW), running], {}, "take 0"],
    ["joins the express one when the ordinary one has ended", [over, running], {}, "take 1"],
    ["opens an ordinary one in the place of one that has ended", [over], {}, "open 0 instead of 0"],
    ["looks again when the ordinary one has gone", [], {}, "again"],
    ["looks again when only an ended express one is left", [null, over], {}, "again"],
    [
      "opens an ordinary one where only an express one is left, and late",
      [over, waits(IN_10_S)],
      {},
      "open 0 instead of 0",
    ],
  ])("%s", (_name, states, job, expected) => {
    expect(choice(states, job)).toBe(expected);
  });
});

describe("a stored answer", () => {
  test.each<[string, readonly (FoundState | null)[], Partial<Joiner>, string]>([
    ["serves at once", [answered(NOW - 50)], {}, "take 0"],
    ["serves however old, without a limit", [answered(0)], {}, "take 0"],
    ["serves at its greatest age", [answered(NOW - 50)], { cacheMaxAgeMs: 50 }, "take 0"],
    ["does not serve beyond it", [answered(NOW - 51)], { cacheMaxAgeMs: 50 }, "open 1 instead of nothing"],
    ["does not serve a job that reads none", [answered(NOW)], { cacheRead: false }, "open 1 instead of nothing"],
    [
      "stays for others, in place of an ended execution",
      [answered(NOW), over],
      { cacheRead: false },
      "open 1 instead of 1",
    ],
    [
      "stays for others, in place of an older one",
      [answered(NOW), answered(NOW - 1)],
      { cacheRead: false },
      "open 1 instead of 1",
    ],
    ["goes when it is the older one", [answered(NOW - 1), answered(NOW)], { cacheRead: false }, "open 0 instead of 0"],
    [
      "goes when a call is out beside it that comes too late",
      [answered(0), waits(IN_10_S)],
      { cacheRead: false },
      "open 0 instead of 0",
    ],
    ["of the express lane serves while the ordinary one waits", [waits(NOW), answered(NOW - 50)], {}, "take 1"],
    ["is the newest of the lanes", [answered(NOW - 50), answered(NOW - 60)], {}, "take 0"],
    ["is the newest of the lanes, in either", [answered(NOW - 60), answered(NOW - 50)], {}, "take 1"],
    [
      "in the express lane that is too old is replaced",
      [waits(IN_10_S), answered(0)],
      { cacheMaxAgeMs: 1 },
      "open 1 instead of 1",
    ],
  ])("%s", (_name, states, job, expected) => {
    expect(choice(states, job)).toBe(expected);
  });
});

describe("a call in doubt", () => {
  test.each<[string, FoundState, Partial<Joiner>, string]>([
    ["is joined when its grace ends in time", waits(IN_10_S - 1, 500n), {}, "take 0"],
    ["gets an express one beside it when it may be paid twice", waits(IN_10_S, 500n), {}, "open 1 instead of nothing"],
    ["is joined when it may have cost more than is risked", waits(IN_10_S, 501n), {}, "take 0"],
    ["is joined when nothing is risked", waits(IN_10_S, 1n), { riskNanoUsd: null }, "take 0"],
    ["that was free is joined when nothing is risked", waits(IN_10_S, 0n), { riskNanoUsd: null }, "take 0"],
  ])("%s", (_name, state, job, expected) => {
    expect(choice([state], job)).toBe(expected);
  });

  const retry = (retryMaxNanoUsd: bigint): DoubtPolicy => ({ policy: "retry", retryMaxNanoUsd });
  const fail: DoubtPolicy = { policy: "fail", retryMaxNanoUsd: 900n };
  test.each<[string, "retry" | "fail" | null, readonly DoubtPolicy[], bigint | null]>([
    ["is risked up to the account's bound", null, [retry(7n)], 7n],
    ["is risked up to the least bound of the accounts", "retry", [retry(7n), retry(3n), retry(5n)], 3n],
    ["is not risked where one account fails instead", null, [retry(7n), fail], null],
    ["is not risked by a job that fails instead", "fail", [retry(7n)], null],
    ["is not risked by a job that can't loosen its account", "retry", [fail], null],
  ])("%s", (_name, onDoubt, accounts, expected) => {
    expect(riskBesideDoubt(onDoubt, accounts)).toBe(expected);
  });
});
