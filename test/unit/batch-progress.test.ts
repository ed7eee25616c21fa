import { describe, expect, test } from "@jest/globals";
import type { BatchState, SeenBatch } from "../../src/domain/batch/batch.js";
import { batchProgress, cancelMeaning, type CancelMeaning } from "../../src/domain/batch/progress.js";
import { NO_COUNTS } from "../../src/domain/batch/provider-batch.js";

const told = (counts: Partial<SeenBatch["counts"]>): SeenBatch => ({
  state: "running",
  unknownWord: null,
  counts: { ...NO_COUNTS, ...counts },
  atMs: 1,
});

describe("progress of a batch", () => {
  test.each([
    ["nothing is done before the provider has it", { providerBatchId: null, seen: null, outcomes: {} }, 0, 0],
    [
      "what the provider counts, of whatever outcome",
      { providerBatchId: "x", seen: told({ succeeded: 240, failed: 10, expired: 1, cancelled: 1 }), outcomes: {} },
      252,
      61,
    ],
    ["all but what waits", { providerBatchId: "x", seen: told({ total: 412, waiting: 400 }), outcomes: {} }, 12, 2],
    ["unknown where it is not told", { providerBatchId: "x", seen: told({ total: 412 }), outcomes: {} }, null, null],
    ["unknown before it was asked", { providerBatchId: "x", seen: null, outcomes: {} }, null, null],
    [
      "what is stored when that is more",
      { providerBatchId: "x", seen: told({ succeeded: 3 }), outcomes: { succeeded: 400, refused: 11 } },
      411,
      99,
    ],
    ["never more than there is", { providerBatchId: "x", seen: told({ succeeded: 413 }), outcomes: {} }, 412, 100],
  ] as const)("%s", (_name, batch, done, percent) => {
    expect(batchProgress({ lines: 412, ...batch })).toEqual({ done, percent });
  });

  test("a batch whose lines all went back has none to be done", () => {
    expect(batchProgress({ lines: 0, providerBatchId: null, seen: null, outcomes: {} })).toEqual({
      done: 0,
      percent: 0,
    });
  });
});

describe("asking for the end of a batch", () => {
  const expected: Readonly<Record<BatchState, readonly [first: CancelMeaning, again: CancelMeaning]>> = {
    building: ["never_sent", "asked"],
    sealed: ["never_sent", "asked"],
    uploading: ["never_sent", "asked"],
    uploaded: ["never_sent", "asked"],
    creating: ["unclear", "asked"],
    submitted: ["at_provider", "asked"],
    cancelling: ["asked", "asked"],
    ended: ["over", "over"],
    ingesting: ["over", "over"],
    done: ["over", "over"],
    failed: ["over", "over"],
  };
  // The record's own keys.
  test.each(Object.keys(expected) as BatchState[])("in state %s", (state) => {
    expect([cancelMeaning({ state, cancelAskedAtMs: null }), cancelMeaning({ state, cancelAskedAtMs: 1 })]).toEqual(
      expected[state],
    );
  });
});
