import { describe, expect, test } from "@jest/globals";
import { BATCH_TRANSITIONS, type Batch, type BatchState } from "../../src/domain/batch/batch.js";
import {
  created,
  createBegins,
  createNotSent,
  createUnclear,
  sealed,
  uploaded,
} from "../../src/domain/batch/life-create.js";
import { afterLook, fenced, findCreated, turnedUp } from "../../src/domain/batch/life-doubt.js";
import { afterRefusal, faultyLines, linesReturned } from "../../src/domain/batch/life-refusal.js";
import { afterRead, groupStored, readBroke } from "../../src/domain/batch/life-results.js";
import { afterAbsent, afterAnswer, afterLostLook, notOurs } from "../../src/domain/batch/life-watch.js";
import { backoffMs, nextTask, pollMs, type LifeSettings, type LifeStep } from "../../src/domain/batch/life.js";
import {
  NO_COUNTS,
  type BatchRefusal,
  type BatchRefusalReason,
  type ProviderBatch,
} from "../../src/domain/batch/provider-batch.js";

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

const SETTINGS: LifeSettings = {
  pollMinMs: 1_000,
  pollMaxMs: 60_000,
  createGraceMs: 600_000,
  eraseAfterMs: 10_000,
  fence: "delete_file",
  keepsMarks: true,
  windowMs: 24 * HOUR_MS,
  resultsKeptMs: 100 * HOUR_MS,
};
const INLINE: LifeSettings = { ...SETTINGS, fence: "none", keepsMarks: false };

function batchIn(state: BatchState, more: Partial<Batch> = {}): Batch {
  return {
    ...{ no: 17, version: 3, state, account: "main", provider: "openai", pool: "main|file|*|*", way: "file" },
    ...{ lineFormat: "openai.chat", model: "m", lines: 8, linesBytes: 800, tokens: 100, createdAtMs: NOW_MS - HOUR_MS },
    ...{ sealedAtMs: NOW_MS - 60_000, submittedAtMs: null, expectedAtMs: null, endedAtMs: null, doneAtMs: null },
    ...{ nextAtMs: NOW_MS, tries: 0, trouble: null, uploads: 1, fileId: "file-1", creates: 1, createAtMs: null },
    ...{ providerBatchId: null, seen: null, parts: [], cursor: null, passes: 0, cancelAskedAtMs: null, refusal: null },
    ...{ outcomes: {}, erasedAtMs: null },
    ...more,
  };
}

function provided(more: Partial<ProviderBatch> = {}): ProviderBatch {
  return {
    ...{ batchId: "batch-1", state: "running", unknownWord: null, mark: null, fileId: null, model: null },
    ...{
      counts: NO_COUNTS,
      createdAtMs: NOW_MS - 1_000,
      endedAtMs: null,
      expiresAtMs: null,
      results: [],
      refusal: null,
    },
    ...more,
  };
}

function refusal(because: BatchRefusalReason, more: Partial<BatchRefusal> = {}): BatchRefusal {
  const provider = { status: 400, code: "code", requestId: null };
  return { because, message: because, lines: [], retryAfterMs: null, provider, ...more };
}

const kinds = (step: LifeStep): readonly string[] =>
  step.effects.map((effect) => (effect.kind === "event" ? effect.event.kind : effect.kind));

describe("what is done next for a batch that is due", () => {
  test.each<[BatchState, Partial<Batch>, string]>([
    ["building", {}, "seal"],
    ["sealed", { fileId: null }, "upload"],
    ["sealed", { fileId: null, way: "inline" }, "create"],
    ["sealed", {}, "drop_file"],
    ["sealed", { cancelAskedAtMs: NOW_MS }, "give_up"],
    ["sealed", { tries: 1, sealedAtMs: NOW_MS - 12 * 60_000 - 1 }, "give_up"],
    ["sealed", { tries: 1, sealedAtMs: NOW_MS - 12 * 60_000 }, "drop_file"],
    ["uploading", {}, "clear_upload"],
    ["uploaded", {}, "create"],
    ["uploaded", { tries: 1 }, "check_file"],
    ["uploaded", { cancelAskedAtMs: NOW_MS }, "give_up"],
    ["creating", {}, "reconcile"],
    ["creating", { cancelAskedAtMs: NOW_MS }, "reconcile"],
    ["submitted", {}, "ask"],
    ["submitted", { cancelAskedAtMs: NOW_MS }, "cancel"],
    ["cancelling", { cancelAskedAtMs: NOW_MS }, "ask"],
    ["ended", {}, "ingest"],
    ["ingesting", {}, "ingest"],
    ["failed", {}, "return_lines"],
    ["failed", { doneAtMs: NOW_MS }, "erase"],
    ["done", {}, "erase"],
  ])("%s %j: %s", (state, more, task) => {
    expect(nextTask(batchIn(state, more), SETTINGS, NOW_MS).kind).toBe(task);
  });
});

describe("waits", () => {
  test.each([
    [1, 1, 1_000],
    [1, 0, 500],
    [3, 1, 4_000],
    [7, 1, 60_000],
    [50, 1, 60_000],
  ])("after %i failures, at chance %f: %i ms", (tries, random, ms) => {
    expect(backoffMs(tries, SETTINGS, random)).toBe(ms);
  });

  test.each([
    [0, 1_000],
    [80_000, 10_000],
    [24 * HOUR_MS, 60_000],
  ])("a batch of age %i ms is asked again after %i ms", (ageMs, ms) => {
    expect(pollMs(ageMs, SETTINGS, 1)).toBe(ms);
  });
});

describe("a seal", () => {
  test("fixes what was bound", () => {
    const { batch } = sealed(batchIn("building"), { lines: 3, linesBytes: 90, tokens: 9 }, NOW_MS);
    expect(batch).toMatchObject({ state: "sealed", lines: 3, linesBytes: 90, tokens: 9, sealedAtMs: NOW_MS });
  });

  test("of nothing is the end", () => {
    const { batch } = sealed(batchIn("building"), { lines: 0, linesBytes: 0, tokens: 0 }, NOW_MS);
    expect(batch).toMatchObject({ state: "failed", nextAtMs: NOW_MS });
  });
});

describe("an upload", () => {
  test.each([
    ["ready", "uploaded", 0],
    ["processing", "uploaded", 1],
    ["failed", "sealed", 1],
  ] as const)("whose file is %s makes it %s", (state, became, tries) => {
    const { batch } = uploaded(batchIn("uploading"), { fileId: "file-2", state }, SETTINGS, NOW_MS, 1);
    expect(batch).toMatchObject({ state: became, fileId: "file-2", tries });
  });

  test.each([
    [0, "uploaded"],
    [9, "uploaded"],
    [10, "sealed"],
  ])("a file that the provider does not show after %i looks leaves it %s", (tries, became) => {
    const file = { fileId: "file-2", state: "absent" } as const;
    const { batch } = uploaded(batchIn("uploaded", { tries }), file, SETTINGS, NOW_MS, 1);
    expect(batch).toMatchObject({ state: became, tries: tries + 1 });
  });

  test("a file that stays unusable for a while waits longer each time", () => {
    const file = { fileId: "file-2", state: "processing" } as const;
    const { batch } = uploaded(batchIn("uploaded", { tries: 2 }), file, SETTINGS, NOW_MS, 1);
    expect(batch).toMatchObject({ state: "uploaded", tries: 3, nextAtMs: NOW_MS + 4_000 });
  });
});

describe("a creation", () => {
  const creating = createBegins(batchIn("uploaded", { creates: 1 }), NOW_MS).batch;

  test("is announced with a mark of its own and its file before it is sent", () => {
    const step = createBegins(batchIn("uploaded", { creates: 1 }), NOW_MS);
    expect(step.batch).toMatchObject({ state: "creating", creates: 2, createAtMs: NOW_MS });
    expect(step.create).toEqual({
      kind: "intent",
      mark: `sluice-17-${(NOW_MS - HOUR_MS).toString(36)}-2`,
      fileId: "file-1",
    });
  });

  test("that is answered makes it submitted", () => {
    const step = created(creating, provided(), 5_000, SETTINGS, NOW_MS, 1);
    expect(step.batch).toMatchObject({
      ...{ state: "submitted", providerBatchId: "batch-1", submittedAtMs: NOW_MS, expectedAtMs: NOW_MS + 5_000 },
      nextAtMs: NOW_MS + 1_000,
    });
    expect(step.create).toEqual({ kind: "settled", as: "created" });
    expect(kinds(step)).toEqual(["batch.submitted"]);
  });

  test("that is not answered is a doubt and settles nothing", () => {
    const step = createUnclear(creating, "cut off", SETTINGS, NOW_MS, 1);
    expect(step.batch).toMatchObject({ state: "creating", tries: 1, trouble: "cut off" });
    expect(step.create).toBeUndefined();
    expect(kinds(step)).toEqual(["batch.doubt"]);
  });

  test.each([
    ["stopped", NOW_MS],
    ["no_connection", NOW_MS + 1_000],
  ] as const)("that did not leave (%s) is free to be made again", (because, nextAtMs) => {
    const step = createNotSent(creating, { because, message: "m" }, SETTINGS, NOW_MS, 1);
    expect(step.batch).toMatchObject({ state: "sealed", createAtMs: null, nextAtMs });
    expect(step.create).toEqual({ kind: "settled", as: "not_sent" });
  });
});

describe("a refusal of a creation", () => {
  const creating = batchIn("creating", { createAtMs: NOW_MS });
  test.each<[BatchRefusalReason, BatchState, readonly string[]]>([
    ["rate_limited", "sealed", []],
    ["too_many_batches", "sealed", []],
    ["auth_failed", "sealed", []],
    ["quota_exhausted", "sealed", []],
    ["file_gone", "sealed", []],
    ["file_not_ready", "sealed", []],
    ["queue_full", "failed", ["hold_account", "batch.refused"]],
    ["bad_line", "failed", ["bisect", "batch.refused"]],
    ["too_large", "failed", ["bisect", "batch.refused"]],
    ["not_accepted", "failed", ["bisect", "batch.refused"]],
    ["unclassified", "failed", ["bisect", "batch.refused"]],
  ])("%s: %s", (because, state, effects) => {
    const step = afterRefusal(creating, refusal(because), SETTINGS, NOW_MS, 1);
    expect(step.batch.state).toBe(state);
    expect(kinds(step)).toEqual(effects);
    expect(step.create).toEqual({ kind: "settled", as: "refused" });
  });

  test("for tokens halves what the account may have, for a while", () => {
    const step = afterRefusal(creating, refusal("queue_full"), SETTINGS, NOW_MS, 1);
    expect(step.effects[0]).toEqual({ kind: "hold_account", tokensMax: 50, untilMs: NOW_MS + 60_000 });
  });

  test("after the provider had it holds the account: its lines would be back at once", () => {
    const step = afterRefusal(batchIn("submitted"), refusal("quota_exhausted"), SETTINGS, NOW_MS, 1);
    expect(step.batch.state).toBe("failed");
    expect(step.effects[0]).toEqual({ kind: "hold_account", tokensMax: 0, untilMs: NOW_MS + 1_000 });
    expect(step.create).toBeUndefined();
  });

  test("without a name halves the next batch", () => {
    const step = afterRefusal(batchIn("creating", { lines: 9 }), refusal("bad_line"), SETTINGS, NOW_MS, 1);
    expect(step.effects[0]).toEqual({ kind: "bisect", linesMax: 4 });
  });

  test("names its lines, or has only one left", () => {
    const named = refusal("bad_line", { lines: [{ lineNumber: 3, code: "x" }] });
    expect(faultyLines(creating, named)).toEqual([{ lineNumber: 3, code: "x" }]);
    expect(faultyLines(creating, refusal("bad_line"))).toEqual([]);
    expect(faultyLines({ ...creating, lines: 1 }, refusal("not_accepted"))).toEqual([{ lineNumber: 1, code: "code" }]);
    expect(faultyLines({ ...creating, lines: 1 }, refusal("queue_full"))).toEqual([]);
    expect(kinds(afterRefusal(creating, named, SETTINGS, NOW_MS, 1))).toEqual(["fault_found", "batch.refused"]);
  });

  test("is waited for as long as the provider asks, at most the longest wait", () => {
    const asked = (retryAfterMs: number) =>
      afterRefusal(creating, refusal("rate_limited", { retryAfterMs }), SETTINGS, NOW_MS, 1).batch.nextAtMs;
    expect([asked(30_000), asked(10 * HOUR_MS)]).toEqual([NOW_MS + 30_000, NOW_MS + 60_000]);
  });
});

describe("which batch at the provider is the one that was created", () => {
  const intent = { mark: "mark-1", fileId: null, lines: 8, intentAtMs: NOW_MS };
  const sized = (batchId: string, total: number | null, createdAtMs = NOW_MS) =>
    provided({ batchId, counts: { ...NO_COUNTS, total }, createdAtMs });
  const idOf = (found: ReturnType<typeof findCreated>) => (found.kind === "one" ? found.batch.batchId : found.kind);

  test("by mark; what others of ours are does not count", () => {
    const listed = [provided({ batchId: "a", mark: "mark-2" }), provided({ batchId: "b", mark: "mark-1" })];
    expect(idOf(findCreated(intent, listed, new Set(), true))).toBe("b");
    expect(idOf(findCreated(intent, listed, new Set(["b"]), true))).toBe("none");
  });

  test("by its file", () => {
    const listed = [provided({ batchId: "a", fileId: "file-9" }), provided({ batchId: "b", fileId: "file-1" })];
    expect(idOf(findCreated({ ...intent, fileId: "file-1" }, listed, new Set(), false))).toBe("b");
    expect(idOf(findCreated({ ...intent, fileId: "file-2" }, listed, new Set(), false))).toBe("none");
  });

  test("two of one mark: the older, and the other is a twin", () => {
    const twins = [1, 2].map((age) =>
      provided({ batchId: `t${String(age)}`, mark: "mark-1", createdAtMs: NOW_MS - age * 1_000 }),
    );
    expect(findCreated(intent, twins, new Set(), true)).toMatchObject({ batch: { batchId: "t2" }, twins: ["t1"] });
  });

  test.each<[string, readonly ProviderBatch[], string]>([
    ["the one of its size", [sized("a", 8), sized("b", 9)], "a"],
    ["one whose size is not told yet", [sized("a", null)], "a"],
    ["none of another size", [sized("a", 7)], "none"],
    ["none that is older than the intent", [sized("a", 8, NOW_MS - 60_001)], "none"],
    ["one that clocks make older by less", [sized("a", 8, NOW_MS - 60_000)], "a"],
    ["nobody knows with two of its size", [sized("a", 8), sized("b", 8)], "several"],
    ["not one that a marked batch of others is", [{ ...sized("a", 8), mark: "theirs" }], "none"],
  ])("without marks: %s", (_what, listed, found) => {
    expect(idOf(findCreated(intent, listed, new Set(), false))).toBe(found);
  });
});

describe("a doubt about a creation", () => {
  const NONE = { kind: "none" } as const;
  const aged = (ageMs: number, more: Partial<Batch> = {}) =>
    batchIn("creating", { createAtMs: NOW_MS - ageMs, tries: 1, ...more });

  test("waits for the grace, at most until its end", () => {
    const step = afterLook(aged(599_800, { tries: 9 }), NONE, 0, SETTINGS, NOW_MS, 1);
    expect(step).toMatchObject({ batch: { state: "creating", nextAtMs: NOW_MS + 200 }, effects: [] });
  });

  test("that a kill left is told of at the first look", () => {
    const step = afterLook(aged(1_000, { tries: 0 }), NONE, 0, SETTINGS, NOW_MS, 1);
    expect("kind" in step ? [] : kinds(step)).toEqual(["batch.doubt"]);
  });

  test("is fenced before its absence is believed, and looked at once more", () => {
    expect(afterLook(aged(600_000), NONE, 0, SETTINGS, NOW_MS, 1)).toEqual({ kind: "fence", fileId: "file-1" });
    const { batch } = fenced(aged(600_000), SETTINGS, NOW_MS);
    expect(batch).toMatchObject({ state: "creating", fileId: null, nextAtMs: NOW_MS + 60_000 });
    const step = afterLook(batch, NONE, 0, SETTINGS, NOW_MS + 60_000, 1);
    expect(step).toMatchObject({ batch: { state: "failed", nextAtMs: NOW_MS + 60_000 }, create: { as: "absent" } });
  });

  test("without a fence is absent after the grace, not before", () => {
    const inline = (ageMs: number) =>
      afterLook(aged(ageMs, { fileId: null, way: "inline" }), NONE, 0, INLINE, NOW_MS, 1);
    expect(inline(599_999)).toMatchObject({ batch: { state: "creating" } });
    expect(inline(600_000)).toMatchObject({ batch: { state: "failed" }, create: { kind: "settled", as: "absent" } });
  });

  test("is made again at once where the same mark makes no second batch", () => {
    const token = { ...SETTINGS, fence: "idempotent_token" } as const;
    expect(afterLook(aged(1), NONE, 0, token, NOW_MS, 1)).toEqual({ kind: "repeat" });
  });

  test("ends with the batch that is found, also after the fence", () => {
    const found = { kind: "one", batch: provided({ createdAtMs: NOW_MS - 7_000 }), twins: ["twin"] } as const;
    const step = afterLook(aged(HOUR_MS, { fileId: null }), found, 1_000, SETTINGS, NOW_MS, 1);
    expect(step).toMatchObject({
      batch: { state: "submitted", providerBatchId: "batch-1", submittedAtMs: NOW_MS - 7_000 },
      create: { as: "created" },
    });
    expect("kind" in step ? [] : kinds(step)).toEqual(["batch.adopted", "cancel_twin"]);
  });

  test("is held when two may be it, told once, and given up on request only", () => {
    const several = { kind: "several", batchIds: ["a", "b"] } as const;
    const first = afterLook(aged(HOUR_MS), several, 0, INLINE, NOW_MS, 1);
    if ("kind" in first) throw new Error("expected a step");
    expect(first.batch.state).toBe("creating");
    expect(kinds(first)).toEqual(["batch.held"]);
    const second = afterLook(first.batch, several, 0, INLINE, NOW_MS, 1);
    expect("kind" in second ? [] : kinds(second)).toEqual([]);
    const asked = afterLook(aged(1, { cancelAskedAtMs: NOW_MS }), several, 0, INLINE, NOW_MS, 1);
    expect(asked).toMatchObject({ batch: { state: "failed" }, create: { as: "absent" } });
  });
});

describe("a batch that turns up after it was given up as absent", () => {
  const givenUp = batchIn("failed", {
    ...{
      createAtMs: NOW_MS - HOUR_MS,
      doneAtMs: NOW_MS - HOUR_MS / 2,
      erasedAtMs: NOW_MS - HOUR_MS / 2,
      nextAtMs: null,
    },
    refusal: refusal("unclassified"),
  });
  const orphan = provided({ createdAtMs: NOW_MS - 7_000, batchId: "batch-9" });

  test("is submitted and asked to stop at once, with its lines out again", () => {
    const step = turnedUp(givenUp, { kind: "one", batch: orphan, twins: ["twin"] }, SETTINGS, NOW_MS);
    expect(step).toMatchObject({
      batch: {
        ...{ state: "submitted", providerBatchId: "batch-9", submittedAtMs: NOW_MS - 7_000, cancelAskedAtMs: NOW_MS },
        ...{ nextAtMs: NOW_MS, doneAtMs: null, erasedAtMs: null, refusal: null },
      },
      create: { kind: "settled", as: "created" },
      linesOut: true,
    });
    expect(kinds(step)).toEqual(["batch.orphan_found", "cancel_twin"]);
    expect(nextTask(step.batch, SETTINGS, NOW_MS)).toEqual({ kind: "cancel" });
  });

  test("and keeps no mark has to show a line of ours first", () => {
    const found = { kind: "one", batch: orphan, twins: [] } as const;
    expect(turnedUp(givenUp, found, INLINE, NOW_MS).batch.unproven).toBe(true);
    expect(turnedUp(givenUp, found, SETTINGS, NOW_MS).batch.unproven).toBeUndefined();
  });
});

describe("what the provider says of a submitted batch", () => {
  const submitted = (more: Partial<Batch> = {}) =>
    batchIn("submitted", { submittedAtMs: NOW_MS - HOUR_MS, providerBatchId: "batch-1", ...more });
  const answer = (batch: Batch, more: Partial<ProviderBatch>, nowMs = NOW_MS) =>
    afterAnswer(batch, provided(more), refusal("bad_line"), SETTINGS, nowMs, 1);
  const PARTS = [{ part: "results", ref: "file-2" }] as const;

  test.each(["accepted", "running", "finishing", "cancelling"] as const)("%s: it is asked again", (state) => {
    const { batch } = answer(submitted(), { state });
    expect(batch).toMatchObject({ state: "submitted", seen: { state, atMs: NOW_MS }, nextAtMs: NOW_MS + 60_000 });
  });

  test.each(["completed", "expired", "cancelled"] as const)("%s: it has ended", (state) => {
    const step = answer(submitted(), { state, results: PARTS, endedAtMs: NOW_MS - 5_000 });
    expect(step.batch).toMatchObject({ state: "ended", endedAtMs: NOW_MS - 5_000, parts: PARTS, nextAtMs: NOW_MS });
    expect(kinds(step)).toContain("batch.ended");
  });

  test("failed: its lines go back", () => {
    expect(answer(submitted(), { state: "failed" }).batch.state).toBe("failed");
  });

  test("complete without results is asked again before it is believed", () => {
    const tried = (tries: number) => answer(submitted({ tries }), { state: "completed" }).batch.state;
    expect([tried(0), tried(2), tried(3)]).toEqual(["submitted", "submitted", "ended"]);
  });

  test("a word that is not known means still running, and is told once", () => {
    const first = answer(submitted(), { unknownWord: "pondering" });
    expect(first.batch.state).toBe("submitted");
    expect(kinds(first)).toContain("batch.stuck");
    expect(kinds(answer(first.batch, { unknownWord: "pondering" }))).toEqual([]);
  });

  test("beyond its window it is cancelled, and without an end after that its lines go on", () => {
    const late = NOW_MS - 24.5 * HOUR_MS;
    const first = answer(submitted({ submittedAtMs: late }), {});
    expect(first.batch).toMatchObject({ state: "submitted", cancelAskedAtMs: NOW_MS, nextAtMs: NOW_MS });
    expect(kinds(first)).toContain("batch.stuck");
    const cancelling = { ...first.batch, state: "cancelling" } as const;
    expect(answer(cancelling, {}, NOW_MS + HOUR_MS / 2 - 1).batch.state).toBe("cancelling");
    const last = answer(cancelling, {}, NOW_MS + HOUR_MS / 2);
    expect(last.batch).toMatchObject({ state: "ended", parts: [] });
  });

  test("a young batch may be absent; an older one is looked for, and lost when the list lacks it too", () => {
    const seen = (agoMs: number) =>
      submitted({ seen: { state: "running", unknownWord: null, counts: NO_COUNTS, atMs: NOW_MS - agoMs } });
    expect(afterAbsent(seen(599_999), SETTINGS, NOW_MS, 1)).toMatchObject({ batch: { state: "submitted", tries: 1 } });
    expect(afterAbsent(seen(600_000), SETTINGS, NOW_MS, 1)).toEqual({ kind: "look" });
    expect(afterLostLook(seen(600_000), true, SETTINGS, NOW_MS, 1).batch.state).toBe("submitted");
    const lost = afterLostLook(seen(600_000), false, SETTINGS, NOW_MS, 1);
    expect(lost.batch).toMatchObject({ state: "ended", parts: [] });
    expect(kinds(lost)).toEqual(["batch.ended", "batch.stuck"]);
  });

  test("one that was adopted and is not ours: another is taken, or its lines go back", () => {
    const other = notOurs(submitted(), provided({ batchId: "batch-2" }), INLINE, NOW_MS, 1);
    expect(other.batch).toMatchObject({ state: "submitted", providerBatchId: "batch-2" });
    const none = notOurs(submitted(), null, INLINE, NOW_MS, 1);
    expect(none).toMatchObject({ batch: { state: "failed", providerBatchId: null }, create: { as: "absent" } });
  });
});

describe("reading the results", () => {
  const parts = [{ part: "results", ref: "file-2" }] as const;
  const ingesting = (more: Partial<Batch> = {}) => batchIn("ingesting", { parts, endedAtMs: NOW_MS, ...more });
  const read = (more: Partial<Batch>, linesOpen: boolean, gone = false) =>
    afterRead(ingesting(more), { linesOpen, gone }, SETTINGS, NOW_MS, 1);
  const seenAs = (state: "completed" | "expired" | "cancelled") => ({
    passes: 1,
    seen: { state, unknownWord: null, counts: NO_COUNTS, atMs: NOW_MS },
  });

  test("is over when each line has its outcome; files stay for a while", () => {
    expect(read({}, false)).toMatchObject({ step: { batch: { state: "done", nextAtMs: NOW_MS + 10_000 } } });
  });

  test("is done once more, from the start, before a line is missing", () => {
    const cursor = { part: 0, byteOffset: 9, lineNumber: 1, checksum: 1 };
    expect(read({ cursor }, true)).toMatchObject({
      step: { batch: { state: "ingesting", cursor: null, passes: 1, nextAtMs: NOW_MS + 1_000 } },
    });
  });

  test.each([
    ["completed", "line_missing"],
    ["expired", "line_expired"],
    ["cancelled", "cancelled"],
  ] as const)("leaves lines of a %s batch as %s", (state, as) => {
    expect(read(seenAs(state), true)).toEqual({ kind: "settle", as, lost: false });
  });

  test("a batch without results has nothing to read twice", () => {
    expect(read({ parts: [] }, true)).toEqual({ kind: "settle", as: "line_missing", lost: false });
  });

  test("a part that is gone is tried again, then its lines are lost", () => {
    expect(read({ tries: 5 }, true, true)).toMatchObject({ step: { batch: { state: "ingesting", tries: 6 } } });
    expect(read({ tries: 6 }, true, true)).toEqual({ kind: "settle", as: "line_missing", lost: true });
  });

  test("a group that brought nothing new does not hide that a part stays away", () => {
    expect(groupStored(ingesting({ tries: 4 }), null, new Map(), NOW_MS).batch.tries).toBe(4);
    const step = groupStored(
      ingesting({ tries: 4, outcomes: { succeeded: 1 } }),
      null,
      new Map([["succeeded", 2]]),
      NOW_MS,
    );
    expect(step.batch).toMatchObject({ tries: 0, outcomes: { succeeded: 3 } });
  });

  test("that breaks off goes on later; half of the time gone, somebody is told, once", () => {
    const failure = { message: "cut", retryAfterMs: null };
    const seen = { state: "completed", unknownWord: null, counts: NO_COUNTS, atMs: NOW_MS } as const;
    const early = readBroke(ingesting({ seen }), failure, SETTINGS, NOW_MS, 1);
    expect(early).toMatchObject({ batch: { state: "ingesting", tries: 1 }, effects: [] });
    const late = readBroke(ingesting({ seen }), failure, SETTINGS, NOW_MS + 50 * HOUR_MS, 1);
    expect(kinds(late)).toEqual(["batch.stuck"]);
    expect(kinds(readBroke(late.batch, failure, SETTINGS, NOW_MS + 51 * HOUR_MS, 1))).toEqual([]);
  });
});

test("no step leaves the table of transitions", () => {
  const moves = (from: Batch, step: LifeStep): void => {
    const allowed: readonly BatchState[] = [from.state, ...BATCH_TRANSITIONS[from.state]];
    expect(allowed).toContain(step.batch.state);
  };
  const states = Object.keys(BATCH_TRANSITIONS) as BatchState[]; // its keys
  for (const state of states.filter((one) => one === "creating" || one === "submitted" || one === "cancelling"))
    for (const because of ["bad_line", "queue_full", "rate_limited"] as const) {
      const batch = batchIn(state, { createAtMs: NOW_MS, submittedAtMs: NOW_MS });
      moves(batch, afterRefusal(batch, refusal(because), SETTINGS, NOW_MS, 1));
    }
  for (const state of ["submitted", "cancelling"] as const)
    for (const seen of ["running", "completed", "failed", "expired", "cancelled"] as const) {
      const batch = batchIn(state, { submittedAtMs: NOW_MS, tries: 9 });
      moves(batch, afterAnswer(batch, provided({ state: seen }), refusal("not_accepted"), SETTINGS, NOW_MS, 1));
    }
});

describe("Files of a batch whose lines have gone back are erased", () => {
  const dueAt = (more: Partial<Batch>) => linesReturned(batchIn("failed", more), {}, NOW_MS).batch.nextAtMs;

  test("at once when they are known", () => {
    expect(dueAt({ fileId: "file-1", uploads: 1 })).toBe(NOW_MS);
    expect(dueAt({ fileId: null, uploads: 0 })).toBe(NOW_MS);
  });

  test("a minute later when an upload's fate is unknown: it may not be listed yet", () => {
    expect(dueAt({ fileId: null, uploads: 2 })).toBe(NOW_MS + 60_000);
    expect(dueAt({ fileId: "file-2", uploads: 2 })).toBe(NOW_MS + 60_000);
  });
});
