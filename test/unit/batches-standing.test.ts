import { describe, expect, test } from "@jest/globals";
import { batchesStanding } from "../../src/app/operator/batches-standing.js";
import type { Batch } from "../../src/domain/batch/batch.js";
import { batchOf } from "../support/batch-rows.js";

const NOW = 1_800_000_000_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const TERMS = {
  createGraceMs: (account: string): number => (account === "slow" ? HOUR : 10 * MINUTE),
  unattendedMs: 5 * MINUTE,
};

const standing = (...batches: readonly Partial<Batch>[]) =>
  batchesStanding(
    batches.map((change) => ({
      batch: batchOf({ createdAtMs: NOW - HOUR, nextAtMs: NOW + 1000, ...change }),
      session: 1,
      nearestDeadlineMs: null,
    })),
    [],
    NOW,
    TERMS,
  );

describe("how batches stand", () => {
  test("counts what is live, in doubt and overdue, and needs nobody while all goes on", () => {
    expect(
      standing(
        { no: 1, state: "building" },
        { no: 2, state: "creating", createAtMs: NOW - 5 * MINUTE },
        { no: 3, state: "submitted", submittedAtMs: NOW - HOUR, expectedAtMs: NOW - 1 },
        { no: 4, state: "submitted", submittedAtMs: NOW - HOUR, expectedAtMs: NOW + 1 },
        { no: 5, state: "ingesting", endedAtMs: NOW - MINUTE, expectedAtMs: NOW - 1 },
      ),
    ).toEqual({ open: 5, live: 4, inDoubt: 1, overdue: 1, held: [], needs: [] });
  });

  test.each([
    ["created for longer than its grace", { state: "creating", createAtMs: NOW - 12 * MINUTE }, true],
    [
      "created within its account's longer grace",
      { state: "creating", createAtMs: NOW - 12 * MINUTE, account: "slow" },
      false,
    ],
    ["due for long, and nobody looks", { state: "sealed", nextAtMs: NOW - 6 * MINUTE }, true],
    ["due a moment ago", { state: "sealed", nextAtMs: NOW - MINUTE }, false],
    ["never looked at again", { state: "ended", nextAtMs: null, endedAtMs: NOW }, true],
    ["refused, with lines that did not go back", { state: "failed", nextAtMs: NOW - 6 * MINUTE }, true],
    ["failing again and again", { state: "uploading", tries: 10 }, true],
    ["failing now and then", { state: "uploading", tries: 9 }, false],
    ["at the provider beyond any window", { state: "submitted", submittedAtMs: NOW - 51 * HOUR }, true],
    ["at the provider within its window", { state: "submitted", submittedAtMs: NOW - 30 * HOUR }, false],
  ] as const)("%s", (_name, change, needsSomebody) => {
    const { needs } = standing({ no: 17, ...change });
    expect(needs.length).toBe(needsSomebody ? 1 : 0);
    expect(needs.every((need) => need.includes("b-17") && need.includes("sluice batches show b-17"))).toBe(true);
  });

  test("names five of many", () => {
    const { needs } = standing(
      ...[1, 2, 3, 4, 5, 6, 7].map((no) => ({ no, state: "sealed", nextAtMs: null }) as const),
    );
    expect(needs).toEqual(["7 batches (b-1, b-2, b-3, b-4, b-5 and 2 more) make no progress: sluice batches show b-1"]);
  });

  test("an account that is held needs somebody who looks at its limits", () => {
    const held = [{ account: "main", tokensMax: 45_000, untilMs: NOW }];
    expect(batchesStanding([], held, NOW, TERMS)).toMatchObject({
      held,
      needs: [
        "batches of account main are held until 2027-01-15T08:00:00.000Z; it refused more than 45000 enqueued tokens: see its limits at the provider and providers.main.batch",
      ],
    });
  });
});
