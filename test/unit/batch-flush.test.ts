import { describe, expect, test } from "@jest/globals";
import {
  deadlineLeadMs,
  flushAnswer,
  type AccountRoom,
  type FlushLimits,
  type FlushLoad,
} from "../../src/domain/batch/flush.js";

const NOW_MS = 1_800_000_000_000;
const TIMES = { flushAfterMs: 60_000, leadMs: 4_000 };
const LIMITS: FlushLimits = { linesMax: 100, bytesMax: 50_000, frameBytes: 30, tokensMax: 10_000 };
const ROOM: AccountRoom = { tokensLeft: null, linesLeft: null, batchesLeft: null, heldUntilMs: null };
/** Ten lines that came a second ago and have a day. */
const LOAD: FlushLoad = {
  lines: 10,
  bytes: 1_000,
  tokens: 300,
  oldestAtMs: NOW_MS - 1_000,
  nearestLookAtMs: NOW_MS + 86_400_000,
};

const answer = (load: Partial<FlushLoad>, room: Partial<AccountRoom> = {}, limits: Partial<FlushLimits> = {}) =>
  flushAnswer({ ...LOAD, ...load }, { ...LIMITS, ...limits }, { ...ROOM, ...room }, TIMES, NOW_MS);

describe("a pool becomes a batch", () => {
  // 50,000 bytes less the frame of 30 and 17 for each of ten ids: 49,800.
  test.each<[string, Partial<FlushLoad>, string | null]>([
    ["with as many lines as a batch takes", { lines: 100 }, "full_lines"],
    ["with one line fewer", { lines: 99 }, null],
    ["with as many bytes, ids and frame counted", { bytes: 49_800 }, "full_bytes"],
    ["with one byte fewer", { bytes: 49_799 }, null],
    ["with as many tokens", { tokens: 10_000 }, "full_tokens"],
    ["with one token fewer", { tokens: 9_999 }, null],
    ["when its oldest line has waited its time", { oldestAtMs: NOW_MS - 60_000 }, "oldest"],
    ["a millisecond before", { oldestAtMs: NOW_MS - 59_999 }, null],
    ["when a deadline needs it", { nearestLookAtMs: NOW_MS + 4_000 }, "deadline"],
    ["a millisecond before", { nearestLookAtMs: NOW_MS + 4_001 }, null],
    ["for a deadline first, whatever else is due", { nearestLookAtMs: NOW_MS, lines: 100 }, "deadline"],
    ["never without a line", { lines: 0, nearestLookAtMs: NOW_MS, oldestAtMs: 0 }, null],
  ])("%s", (_when, load, because) => {
    const got = answer(load);
    if (because === null) expect(got.kind).toBe("wait");
    else expect(got).toEqual({ kind: "flush", because });
  });

  test("and no limit is none", () => {
    expect(
      answer({ lines: 1_000_000, tokens: 1e9 }, {}, { linesMax: null, tokensMax: null, bytesMax: 1e12 }).kind,
    ).toBe("wait");
  });

  test("else it says when to look again: the oldest line's time or the nearest deadline's", () => {
    expect(answer({})).toEqual({ kind: "wait", dueAtMs: NOW_MS + 59_000 });
    expect(answer({ nearestLookAtMs: NOW_MS + 30_000 })).toEqual({ kind: "wait", dueAtMs: NOW_MS + 26_000 });
  });
});

describe("a pool that is due is held", () => {
  const old = { oldestAtMs: NOW_MS - 60_000 };

  test.each<[string, Partial<AccountRoom>, string, number | null]>([
    ["while a refusal's time runs", { heldUntilMs: NOW_MS + 1 }, "hold", NOW_MS + 1],
    ["while the account has as many batches as it may", { batchesLeft: 0 }, "open_batches", null],
    ["while no line may be added", { linesLeft: 0 }, "queued_lines", null],
    ["while no token is left", { tokensLeft: 0 }, "enqueued_tokens", null],
    ["while more tokens run than may", { tokensLeft: -5 }, "enqueued_tokens", null],
  ])("%s", (_when, room, limit, untilMs) => {
    expect(answer(old, room)).toEqual({ kind: "held", because: "oldest", limit, untilMs });
    expect(answer({ nearestLookAtMs: NOW_MS }, room)).toMatchObject({ kind: "held", because: "deadline", limit });
  });

  test.each<[string, Partial<AccountRoom>]>([
    ["its time is over", { heldUntilMs: NOW_MS }],
    ["one batch more may be", { batchesLeft: 1 }],
    ["one line more may be", { linesLeft: 1 }],
    ["all its tokens fit", { tokensLeft: 300 }],
  ])("no longer when %s", (_when, room) => {
    expect(answer(old, room)).toEqual({ kind: "flush", because: "oldest" });
  });

  test("while less than a twentieth of the allowance is free, unless all that waits fits or a deadline needs it", () => {
    const many = { ...old, tokens: 9_000 };
    expect(answer(many, { tokensLeft: 499 })).toMatchObject({ kind: "held", limit: "enqueued_tokens" });
    expect(answer(many, { tokensLeft: 500 })).toEqual({ kind: "flush", because: "oldest" });
    expect(answer({ ...old, tokens: 200 }, { tokensLeft: 200 })).toEqual({ kind: "flush", because: "oldest" });
    expect(answer({ ...many, nearestLookAtMs: NOW_MS }, { tokensLeft: 1 })).toEqual({
      kind: "flush",
      because: "deadline",
    });
  });

  test("and one that is not due only waits", () => {
    expect(answer({}, { batchesLeft: 0 }).kind).toBe("wait");
  });
});

test("lines are bound two looks, two seconds and the margin of a turnaround before their own look", () => {
  expect(deadlineLeadMs(0, 0)).toBe(62_000);
  expect(deadlineLeadMs(1_000, 240_000)).toBe(64_000);
  expect(deadlineLeadMs(1_000, 4 * 3_600_000)).toBe(4_000 + 3_600_000);
});
