import { describe, expect, test } from "@jest/globals";
import { chooseMode, withMargin, type BatchOffer, type ModeFacts } from "../../src/domain/route/choose-mode.js";

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

type Offered = Extract<BatchOffer, { kind: "offered" }>;

const OFFER: Offered = {
  kind: "offered",
  turnaroundP95Ms: 4 * HOUR_MS,
  turnaroundMedianMs: HOUR_MS,
  fillMs: 600_000,
  batchMaxNanoUsd: 500n,
  tokens: 100,
  headroomTokens: null,
};

function facts(leftMs: number, offer: Partial<Offered> = {}, more: Partial<ModeFacts> = {}): ModeFacts {
  return {
    mode: "auto",
    account: "main",
    model: "m",
    nowMs: NOW_MS,
    deadlineMs: NOW_MS + leftMs,
    directMaxNanoUsd: 1_000n,
    batch: { ...OFFER, ...offer },
    again: false,
    ...more,
  };
}

/** Four hours, a quarter of them as margin, ten minutes for others to come. */
const WHOLE_MS = 5 * HOUR_MS + 600_000;

describe("mode auto", () => {
  test("takes a batch that is cheaper and ends in time with the pool's wait and the margin, to the millisecond", () => {
    expect(chooseMode(facts(WHOLE_MS))).toEqual({
      kind: "batch",
      lookAtMs: NOW_MS + 600_000,
      decision: {
        mode: "batch",
        account: "main",
        model: "m",
        because: "a batch costs 50 % of a call of its own and is counted on within 5 h 10 min, 5 h 10 min are left",
        numbers: {
          leftMs: WHOLE_MS,
          turnaroundP95Ms: 4 * HOUR_MS,
          fillMs: 600_000,
          directMaxNanoUsd: "1000",
          batchMaxNanoUsd: "500",
          tokens: 100,
          headroomTokens: null,
        },
      },
    });
    expect(chooseMode(facts(WHOLE_MS - 1))).toMatchObject({
      kind: "direct",
      decision: { mode: "direct", because: "a batch may take 5 h 10 min and 5 h 10 min are left" },
    });
  });

  test.each<[string, Partial<Offered>, Partial<ModeFacts>, string]>([
    ["a batch that costs the same", { batchMaxNanoUsd: 1_000n }, {}, "a batch is no cheaper"],
    ["a batch that costs more", { batchMaxNanoUsd: 1_001n }, {}, "a batch is no cheaper"],
    ["free calls", { batchMaxNanoUsd: 0n }, { directMaxNanoUsd: 0n }, "a batch is no cheaper"],
    ["an unknown batch price", { batchMaxNanoUsd: null }, {}, "whether a batch is cheaper is not known"],
    ["an unknown direct price", {}, { directMaxNanoUsd: null }, "whether a batch is cheaper is not known"],
    ["an unknown turnaround", { turnaroundP95Ms: null }, {}, "how long a batch takes is not known"],
    ["a line that no batch carries", {}, { batch: { kind: "impossible", because: "main has no batches" } }, "main has"],
  ])("gives a call of its own for %s", (_what, offer, more, because) => {
    const choice = chooseMode(facts(48 * HOUR_MS, offer, more));
    expect(choice).toMatchObject({ kind: "direct", decision: { mode: "direct" } });
    expect(choice.kind === "direct" ? choice.decision.because : "").toContain(because);
  });

  test.each<[string, Partial<Offered>, boolean]>([
    ["as many tokens as are left", { tokens: 100, headroomTokens: 100 }, true],
    ["one token more", { tokens: 101, headroomTokens: 100 }, false],
    ["nothing left", { tokens: 1, headroomTokens: 0 }, false],
    ["unknown tokens", { tokens: null, headroomTokens: 1_000_000 }, false],
    ["unknown tokens and no limit", { tokens: null, headroomTokens: null }, true],
  ])("with %s: fits at once is %s", (_what, offer, fits) => {
    expect(chooseMode(facts(WHOLE_MS, offer)).kind).toBe(fits ? "batch" : "direct");
    // One more turnaround: a batch that runs has to end first.
    expect(chooseMode(facts(WHOLE_MS + 4 * HOUR_MS, offer)).kind).toBe("batch");
    expect(chooseMode(facts(WHOLE_MS + 4 * HOUR_MS - 1, offer)).kind).toBe(fits ? "batch" : "direct");
  });

  test("says when the account's batches are full", () => {
    expect(chooseMode(facts(WHOLE_MS, { tokens: 2, headroomTokens: 1 }))).toMatchObject({
      decision: {
        because: "the account's batches are full; a batch may take 9 h 10 min and 5 h 10 min are left",
        numbers: { tokens: 2, headroomTokens: 1 },
      },
    });
  });

  test("takes a group of calls in the background at the same price, for the sake of others; never at a higher one", () => {
    const group = { inBackground: true, batchMaxNanoUsd: 1_000n };
    expect(chooseMode(facts(WHOLE_MS, group))).toMatchObject({
      kind: "batch",
      decision: {
        because:
          "a group in the background leaves places to jobs that can't wait and is counted on within 5 h 10 min, 5 h 10 min are left",
      },
    });
    expect(chooseMode(facts(WHOLE_MS - 1, group)).kind).toBe("direct");
    expect(chooseMode(facts(WHOLE_MS, { ...group, batchMaxNanoUsd: 1_001n })).kind).toBe("direct");
    expect(chooseMode(facts(WHOLE_MS, { ...group, batchMaxNanoUsd: 0n }, { directMaxNanoUsd: 0n })).kind).toBe("batch");
  });

  test("keeps at least a minute of margin, so that a fast batch's lines are looked at in time for a call of their own", () => {
    expect(withMargin(0)).toBe(60_000);
    expect(withMargin(240_000)).toBe(300_000);
    expect(withMargin(240_004)).toBe(300_005);
    expect(chooseMode(facts(120_000, { turnaroundP95Ms: 0, fillMs: 0 }))).toMatchObject({
      kind: "batch",
      lookAtMs: NOW_MS + 60_000,
    });
  });
});

describe("mode batch", () => {
  const asked = (leftMs: number, offer: Partial<Offered> = {}, more: Partial<ModeFacts> = {}) =>
    chooseMode(facts(leftMs, offer, { mode: "batch", ...more }));

  test("does not ask for the price, the wait for others or the headroom", () => {
    const dear = { batchMaxNanoUsd: 5_000n, fillMs: 40 * HOUR_MS, headroomTokens: 0 };
    expect(asked(5 * HOUR_MS, dear)).toMatchObject({
      kind: "batch",
      lookAtMs: NOW_MS + HOUR_MS,
      decision: { mode: "batch", because: "the job asks for a batch" },
    });
  });

  test("does without the margin, to the millisecond", () => {
    expect(asked(4 * HOUR_MS)).toMatchObject({ kind: "batch", lookAtMs: NOW_MS });
  });

  test("is refused at once when no batch ends in time, with what a batch takes and what helps", () => {
    expect(asked(4 * HOUR_MS - 1)).toEqual({
      kind: "refused",
      code: "NO_ROUTE_IN_TIME",
      because:
        "95 of 100 batches end within 4 h and 4 h are left; give it a later deadline, or send it with mode auto or direct",
    });
    expect(asked(90_500)).toMatchObject({ because: expect.stringContaining("within 4 h and 1 min 31 s are left") });
  });

  test("of an execution that comes up again as long as half of the batches would make it", () => {
    expect(asked(HOUR_MS, {}, { again: true })).toMatchObject({ kind: "batch", lookAtMs: NOW_MS });
    expect(asked(HOUR_MS - 1, {}, { again: true })).toMatchObject({ kind: "refused", code: "NO_ROUTE_IN_TIME" });
    expect(asked(HOUR_MS, {}, { again: false })).toMatchObject({ kind: "refused", code: "NO_ROUTE_IN_TIME" });
  });

  test.each<[string, BatchOffer, string, string]>([
    ["no batch can be made", { kind: "impossible", because: "main has no batches" }, "NO_ROUTE", "main has no batches"],
    ["its price is unknown", { ...OFFER, batchMaxNanoUsd: null }, "NO_ROUTE", "costs is not known"],
    ["its turnaround is unknown", { ...OFFER, turnaroundP95Ms: null }, "NO_ROUTE_IN_TIME", "takes is not known"],
  ])("is refused when %s", (_what, batch, code, because) => {
    const choice = chooseMode(facts(48 * HOUR_MS, {}, { mode: "batch", batch }));
    expect(choice).toMatchObject({ kind: "refused", code, because: expect.stringContaining(because) });
  });
});

test("mode direct gets its call, with the numbers all the same", () => {
  expect(chooseMode(facts(48 * HOUR_MS, {}, { mode: "direct" }))).toMatchObject({
    kind: "direct",
    decision: { because: "the job asks for a call of its own", numbers: { batchMaxNanoUsd: "500" } },
  });
});
