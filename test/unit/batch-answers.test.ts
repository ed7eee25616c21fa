import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { fromAnthropicBatch } from "../../src/adapters/providers/anthropic/from-batch.js";
import { fromGeminiOperation } from "../../src/adapters/providers/gemini/from-operation.js";
import { fromGeminiFile } from "../../src/adapters/providers/gemini/from-file.js";
import { fromOpenaiBatch } from "../../src/adapters/providers/openai/from-batch.js";
import { fromOpenaiFile } from "../../src/adapters/providers/openai/from-file.js";
import type { JsonObject } from "../../src/adapters/providers/json-object.js";

const golden = (name: string): JsonObject => JSON.parse(readFileSync(`test/golden/batches/${name}`, "utf8"));
const NONE = { total: null, waiting: null, succeeded: null, failed: null, expired: null, cancelled: null };

describe("a batch of OpenAI", () => {
  test("is read with its mark, its files, its counts and its times", () => {
    expect(fromOpenaiBatch(golden("openai/completed.json"))).toEqual({
      batchId: "batch_abc123",
      state: "completed",
      unknownWord: null,
      mark: "b-17.1",
      fileId: "file-in1",
      model: "gpt-5-mini-2025-08-07",
      counts: { ...NONE, total: 100, succeeded: 95, failed: 5 },
      createdAtMs: 1_790_000_000_000,
      endedAtMs: 1_790_003_700_000,
      expiresAtMs: 1_790_086_400_000,
      results: [
        { part: "results", ref: "file-out1" },
        { part: "errors", ref: "file-err1" },
      ],
      refusal: null,
    });
  });

  test("has no counts before its file was looked at, and no mark when it is somebody else's", () => {
    expect(fromOpenaiBatch(golden("openai/validating.json"))).toMatchObject({
      state: "accepted",
      mark: null,
      counts: NONE,
      endedAtMs: null,
      results: [],
    });
  });

  test("with an empty text for a file has only the other one", () => {
    expect(fromOpenaiBatch(golden("openai/error-file-only.json"))).toMatchObject({
      state: "completed",
      results: [{ part: "errors", ref: "file-err3" }],
    });
  });

  test("that was cancelled keeps both files, and counts that don't add up", () => {
    expect(fromOpenaiBatch(golden("openai/cancelled.json"))).toMatchObject({
      state: "cancelled",
      counts: { ...NONE, total: 8, succeeded: 4, failed: 0 },
      endedAtMs: 1_790_000_600_000,
      results: [
        { part: "results", ref: "file-out4" },
        { part: "errors", ref: "file-err4" },
      ],
    });
  });

  test("that failed for its lines names them", () => {
    expect(fromOpenaiBatch(golden("openai/failed-lines.json"))?.refusal).toEqual({
      because: "bad_line",
      message: "openai refused the batch (duplicate_custom_id): a line of the file breaks its rules",
      lines: [
        { lineNumber: 12, code: "duplicate_custom_id" },
        { lineNumber: 40, code: "invalid_json_line" },
      ],
      retryAfterMs: null,
      provider: { status: null, code: "duplicate_custom_id", requestId: null },
    });
  });

  test("that failed for the account's enqueued tokens says so and names no line", () => {
    expect(fromOpenaiBatch(golden("openai/failed-queue-full.json"))).toMatchObject({
      state: "failed",
      counts: NONE,
      refusal: { because: "queue_full", lines: [] },
    });
  });

  test.each<[string, string, string | null]>([
    ["validating", "accepted", null],
    ["in_progress", "running", null],
    ["finalizing", "finishing", null],
    ["completed", "completed", null],
    ["failed", "failed", null],
    ["expired", "expired", null],
    ["cancelling", "cancelling", null],
    ["cancelled", "cancelled", null],
    ["queued", "running", "queued"],
    ["toString", "running", "toString"],
  ])("in status %s is %s", (status, state, unknownWord) => {
    expect(fromOpenaiBatch({ id: "batch_1", status })).toMatchObject({ state, unknownWord });
  });

  test("without a status, or with an id that does not fit into a path, is told apart", () => {
    expect(fromOpenaiBatch({ id: "batch_1" })).toMatchObject({ state: "running", unknownWord: "(none)" });
    expect(fromOpenaiBatch({ id: "../files", status: "completed" })).toBeNull();
    expect(fromOpenaiBatch({ error: { message: "no" } })).toBeNull();
    expect(
      fromOpenaiBatch({ id: "batch_1", status: "completed", output_file_id: "https://evil.example/f" }),
    ).toMatchObject({ results: [] });
  });

  test("comes from a file that is found by its name", () => {
    expect(fromOpenaiFile(golden("openai/file.json"))).toEqual({
      fileId: "file-in1",
      name: "b-17-1",
      bytes: 1234,
      createdAtMs: 1_790_000_000_000,
      state: "ready",
    });
    expect(fromOpenaiFile({ id: "file-1", filename: "x.jsonl", status: "error" })?.state).toBe("failed");
    expect(fromOpenaiFile({ id: "file-1", filename: "x.jsonl" })?.state).toBe("ready");
  });
});

describe("a batch of Anthropic", () => {
  test("is known by the sum of its counts and its time", () => {
    expect(fromAnthropicBatch(golden("anthropic/in-progress.json"))).toEqual({
      batchId: "msgbatch_1",
      state: "running",
      unknownWord: null,
      mark: null,
      fileId: null,
      model: null,
      counts: { total: 100, waiting: 100, succeeded: 0, failed: 0, expired: 0, cancelled: 0 },
      createdAtMs: Date.UTC(2026, 10, 24, 10, 0, 0, 123),
      endedAtMs: null,
      expiresAtMs: Date.UTC(2026, 10, 25, 10, 0, 0, 123),
      results: [],
      refusal: null,
    });
  });

  test("that ended has its results at its own id, wherever its results_url points", () => {
    expect(fromAnthropicBatch(golden("anthropic/ended.json"))).toMatchObject({
      state: "completed",
      counts: { total: 100, waiting: 0, succeeded: 50, failed: 30, expired: 10, cancelled: 10 },
      endedAtMs: Date.UTC(2026, 10, 24, 12, 30, 0, 500),
      results: [{ part: "results", ref: "msgbatch_2" }],
    });
  });

  test.each<[string, string, string | null]>([
    ["in_progress", "running", null],
    ["canceling", "cancelling", null],
    ["ended", "completed", null],
    ["archived", "running", "archived"],
  ])("in status %s is %s", (processing_status, state, unknownWord) => {
    expect(fromAnthropicBatch({ id: "msgbatch_1", processing_status })).toMatchObject({ state, unknownWord });
  });

  test("with a count missing has no total", () => {
    expect(
      fromAnthropicBatch({ id: "m", processing_status: "ended", request_counts: { succeeded: 1 } })?.counts,
    ).toEqual({ ...NONE, succeeded: 1 });
  });
});

describe("a batch of Gemini", () => {
  test("is read from its operation: counts are texts, those of zero are left out", () => {
    expect(fromGeminiOperation(golden("gemini/running.json"))).toEqual({
      batchId: "batches/abc123",
      state: "running",
      unknownWord: null,
      mark: "b-17.1",
      fileId: "files/b-17-1",
      model: "gemini-2.5-flash",
      counts: { ...NONE, total: 100, waiting: 100, succeeded: 0, failed: 0 },
      createdAtMs: Date.UTC(2026, 10, 24, 10, 0, 0, 123),
      endedAtMs: null,
      expiresAtMs: null,
      results: [],
      refusal: null,
    });
  });

  test("that succeeded has its results in a file, or in itself", () => {
    expect(fromGeminiOperation(golden("gemini/succeeded-file.json"))).toMatchObject({
      state: "completed",
      counts: { total: 100, succeeded: 99, failed: 1 },
      endedAtMs: Date.UTC(2026, 10, 24, 11, 0, 0, 987),
      results: [{ part: "results", ref: "files/batch-abc124" }],
    });
    expect(fromGeminiOperation(golden("gemini/succeeded-inline.json"))).toMatchObject({
      state: "completed",
      fileId: null,
      results: [{ part: "inline", ref: "batches/abc125" }],
    });
  });

  test("that failed says why, and names the line where the message does", () => {
    expect(fromGeminiOperation(golden("gemini/failed.json"))).toMatchObject({
      state: "failed",
      results: [],
      refusal: { because: "bad_line", lines: [{ lineNumber: 7 }], provider: { status: 400 } },
    });
  });

  test("that expired has no results", () => {
    expect(fromGeminiOperation(golden("gemini/expired.json"))).toMatchObject({ state: "expired", results: [] });
  });

  test.each<[JsonObject, string, string | null]>([
    [{ metadata: { state: "BATCH_STATE_PENDING" } }, "accepted", null],
    [{ metadata: { state: "JOB_STATE_RUNNING" } }, "running", null],
    [{ metadata: { state: "BATCH_STATE_CANCELLED" }, done: true, error: { code: 1 } }, "cancelled", null],
    [{ metadata: { state: "BATCH_STATE_PAUSED" } }, "running", "PAUSED"],
    // Results that are not there yet.
    [{ metadata: { state: "BATCH_STATE_SUCCEEDED" } }, "finishing", null],
    // Only the operation itself tells.
    [{ done: true, response: {} }, "completed", null],
    [{ done: true, error: { code: 13 } }, "failed", null],
    [{ done: true, error: { code: 1 } }, "cancelled", null],
    [{}, "running", "(none)"],
  ])("%j is %s", (operation, state, unknownWord) => {
    expect(fromGeminiOperation({ name: "batches/b", ...operation })).toMatchObject({ state, unknownWord });
  });

  test("is none under another name", () => {
    expect(fromGeminiOperation({ name: "operations/abc" })).toBeNull();
    expect(fromGeminiOperation({ name: "batches/../files/x" })).toBeNull();
  });

  test("comes from a file whose name we chose and that must be active", () => {
    const file = { name: "files/b-17-1", sizeBytes: "123", createTime: "2026-11-24T10:00:00.5Z", state: "ACTIVE" };
    expect(fromGeminiFile(file)).toEqual({
      fileId: "files/b-17-1",
      name: "b-17-1",
      bytes: 123,
      createdAtMs: Date.UTC(2026, 10, 24, 10, 0, 0, 500),
      state: "ready",
    });
    expect(fromGeminiFile({ ...file, state: "PROCESSING" })?.state).toBe("processing");
    expect(fromGeminiFile({ ...file, state: "FAILED" })?.state).toBe("failed");
  });
});
