import { describe, expect, test } from "@jest/globals";
import { BATCH_TRANSITIONS, newBatch, type Batch, type BatchState } from "../../src/domain/batch/batch.js";
import { groupConcurrency } from "../../src/domain/batch/group-rules.js";
import { groupGivenUp, groupOpens, groupSeen, groupStops, groupTask } from "../../src/domain/batch/life-group.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import type { OwnPrices } from "../../src/domain/cost/account-price.js";
import { answeredBy, modelFacts, type Account } from "../../src/domain/route/catalog.js";
import { kindFacts } from "../../src/adapters/providers/registry.js";

const NOW_MS = 1_800_000_000_000;

function groupIn(state: BatchState, more: Partial<Batch> = {}): Batch {
  const wanted = { no: 17, account: "own", provider: "openai-compatible", pool: "own|calls|openai.chat|m", lines: 4 };
  const alike = {
    way: "calls",
    lineFormat: "openai.chat",
    model: "m",
    tokens: 100,
    createdAtMs: NOW_MS - 9_000,
  } as const;
  return { ...newBatch({ ...wanted, ...alike }), state, ...more };
}

describe("the life of a group", () => {
  test.each<[BatchState, Partial<Batch>, string]>([
    ["building", {}, "seal"],
    ["sealed", {}, "open"],
    ["sealed", { cancelAskedAtMs: NOW_MS }, "give_up"],
    ["submitted", {}, "watch"],
    ["submitted", { cancelAskedAtMs: NOW_MS }, "stop"],
    ["cancelling", { cancelAskedAtMs: NOW_MS }, "watch"],
    ["failed", {}, "give_up"],
  ])("in state %s with %j: %s", (state, more, task) => {
    expect(groupTask(groupIn(state, more))).toBe(task);
  });

  test("never goes through the states of a provider's batch API", () => {
    for (const state of ["uploading", "uploaded", "creating", "ended", "ingesting", "done"] as const)
      expect(() => groupTask(groupIn(state))).toThrow("InvariantError");
  });

  test("opens for calls, and is expected to end like others did", () => {
    const { batch, effects } = groupOpens(groupIn("sealed"), 60_000, NOW_MS);
    expect(batch).toMatchObject({
      state: "submitted",
      submittedAtMs: NOW_MS,
      expectedAtMs: NOW_MS + 60_000,
      nextAtMs: NOW_MS,
    });
    expect(effects).toMatchObject([{ event: { kind: "batch.submitted" } }]);
  });

  test("goes on for as long as a line is open, and says how far the others are", () => {
    const step = groupSeen(groupIn("submitted"), { open: 1, outcomes: { succeeded: 3 } }, 500, NOW_MS);
    expect(step).toMatchObject({
      batch: { state: "submitted", outcomes: { succeeded: 3 }, nextAtMs: NOW_MS + 500, endedAtMs: null },
      effects: [],
    });
  });

  test("is done with its last line, for good", () => {
    const outcomes = { succeeded: 3, in_doubt: 1 };
    const { batch, effects } = groupSeen(
      groupIn("submitted", { submittedAtMs: NOW_MS - 700 }),
      { open: 0, outcomes },
      500,
      NOW_MS,
    );
    expect(batch).toMatchObject({ state: "done", outcomes, endedAtMs: NOW_MS, doneAtMs: NOW_MS, nextAtMs: null });
    expect(effects).toMatchObject([
      { event: { kind: "batch.ended", message: "ended as completed", details: { turnaroundMs: "700", lines: "4" } } },
    ]);
  });

  test("that was told to stop ends as cancelled, with the lines that were out", () => {
    const asked = groupIn("submitted", { cancelAskedAtMs: NOW_MS });
    const { batch } = groupStops(asked, NOW_MS);
    expect(batch).toMatchObject({ state: "cancelling", nextAtMs: NOW_MS });
    const { effects } = groupSeen(batch, { open: 0, outcomes: { succeeded: 1, not_sent: 3 } }, 500, NOW_MS);
    expect(effects).toMatchObject([{ event: { message: "ended as cancelled" } }]);
  });

  test("that is given up says why, the first reason first", () => {
    expect(groupGivenUp(groupIn("sealed"), NOW_MS).batch).toMatchObject({
      state: "failed",
      doneAtMs: NOW_MS,
      nextAtMs: null,
    });
    expect(groupGivenUp(groupIn("failed", { trouble: "no line was bound to it" }), NOW_MS).batch.trouble).toBe(
      "no line was bound to it",
    );
  });

  test("keeps to the table of transitions", () => {
    const moves: readonly (readonly [BatchState, BatchState])[] = [
      ["sealed", groupOpens(groupIn("sealed"), 1, NOW_MS).batch.state],
      ["submitted", groupStops(groupIn("submitted"), NOW_MS).batch.state],
      ["submitted", groupSeen(groupIn("submitted"), { open: 0, outcomes: {} }, 1, NOW_MS).batch.state],
      ["cancelling", groupSeen(groupIn("cancelling"), { open: 0, outcomes: {} }, 1, NOW_MS).batch.state],
      ["building", groupGivenUp(groupIn("building"), NOW_MS).batch.state],
      ["sealed", groupGivenUp(groupIn("sealed"), NOW_MS).batch.state],
    ];
    for (const [from, to] of moves) expect(BATCH_TRANSITIONS[from]).toContain(to);
  });

  test("has half of the account's places when nobody says, and always one", () => {
    expect([32, 3, 1].map(groupConcurrency)).toEqual([16, 1, 1]);
  });
});

describe("what a line of a group costs", () => {
  const prices = parsePriceTable({
    asOf: "2026-11-24",
    models: {
      "groq/fast": {
        inputPerMTok: 2,
        outputPerMTok: 8,
        batchInputPerMTok: 1,
        batchOutputPerMTok: 4,
        batchBasis: "listed",
      },
    },
  });
  const accountOf = (kind: string, own: OwnPrices | null): Account => ({
    ...{
      name: "own",
      facts: kindFacts(kind),
      regions: null,
      prices: own,
      maxOutputTokensDefault: 256,
      capabilities: null,
    },
  });
  test.each<[string, string, OwnPrices | null, readonly [bigint, bigint]]>([
    ["what a call costs, whatever the provider's own batches would", "groq", null, [2_000_000_000n, 8_000_000_000n]],
    ["nothing where calls cost nothing", "openai-compatible", { zero: true }, [0n, 0n]],
  ])("%s", (_what, kind, own, [input, output]) => {
    const account = accountOf(kind, own);
    const { price, batchPrice } = modelFacts(account, "fast", prices);
    expect(batchPrice).toEqual(price);
    expect(batchPrice).toMatchObject({ inputNanoPerMillion: input, outputNanoPerMillion: output });
  });

  test("the account's price of a line where it states one, also for the model that answered", () => {
    const stated = { input: "0.3", output: "0.9" };
    const own: OwnPrices = { perMillion: { m: { ...stated, batch: { input: "0.1", output: "0.2" } }, n: stated } };
    const account = accountOf("openai-compatible", own);
    expect(modelFacts(account, "m", prices).batchPrice).toMatchObject({ inputNanoPerMillion: 100_000_000n });
    expect(modelFacts(account, "n", prices).batchPrice).toMatchObject({ inputNanoPerMillion: 300_000_000n });
    const asked = { model: "m", price: modelFacts(account, "m", prices).batchPrice! };
    expect(answeredBy(account, asked, "n", prices, "batch").price).toMatchObject({ inputNanoPerMillion: 300_000_000n });
  });
});
