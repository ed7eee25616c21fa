import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { WIRE as ANTHROPIC } from "../../src/adapters/providers/anthropic/anthropic-provider.js";
import { fromAnthropicBatchLine } from "../../src/adapters/providers/anthropic/from-batch-line.js";
import type { ReadRecord } from "../../src/adapters/providers/batch-records.js";
import { fromGeminiBatchLine } from "../../src/adapters/providers/gemini/from-batch-line.js";
import { WIRE as GEMINI } from "../../src/adapters/providers/gemini/gemini-provider.js";
import { fromOpenaiBatchLine } from "../../src/adapters/providers/openai/from-batch-line.js";
import { WIRE as OPENAI } from "../../src/adapters/providers/openai/openai-provider.js";

const lines = (name: string): readonly string[] =>
  readFileSync(`test/golden/batches/${name}`, "utf8").trimEnd().split("\n");
const NO_USAGE = {
  inputTokens: null,
  cachedInputTokens: null,
  cacheWriteTokens: null,
  cacheWrite1hTokens: null,
  outputTokens: null,
  reasoningTokens: null,
};

/** Id, outcome and whether it may be charged, of each line. */
function summary(read: ReadRecord): readonly unknown[] {
  if (read.kind !== "line") return [read.kind];
  const { customId, outcome } = read;
  return outcome.kind === "answered" ? [customId, "answered"] : [customId, outcome.outcome, outcome.billed];
}

describe("result lines of OpenAI", () => {
  const read = lines("openai/lines.jsonl").map((text) => fromOpenaiBatchLine(OPENAI, "openai.chat", text));

  test("are told apart by their response's status, and by their error where there is no response", () => {
    expect(read.map(summary)).toEqual([
      ["a1", "answered"],
      ["a2", "context_too_long", "by_rule"],
      ["a3", "line_expired", "by_rule"],
      ["a4", "cancelled", "by_rule"],
      ["a5", "overloaded", "by_rule"],
      ["a6", "unclassified", "by_rule"],
      ["a7", "auth_failed", "by_rule"],
      ["a8", "overloaded", "by_rule"],
      ["a9", "unclassified", "by_rule"],
      ["a10", "bad_response", "perhaps"],
      ["no_id"],
    ]);
  });

  test("keep an answer's text and read its usage as a direct call does", () => {
    const [first] = read;
    expect(first).toMatchObject({
      outcome: {
        format: "openai.chat",
        finishReason: "stop",
        modelVersion: "gpt-5-mini-2025-08-07",
        usage: { ...NO_USAGE, inputTokens: 19, cachedInputTokens: 0, outputTokens: 74, reasoningTokens: 64 },
        usageSuspect: false,
        requestId: "req_1",
        empty: false,
      },
    });
    const text = lines("openai/lines.jsonl")[0]!;
    const body = text.slice(text.indexOf('"body":') + '"body":'.length, text.length - '},"error":null}'.length);
    expect(first).toMatchObject({ outcome: { bodyText: body } });
  });

  test("keep the provider's own words of an error beside ours, and never its text", () => {
    expect(read[1]).toMatchObject({
      outcome: {
        message: "openai failed the line (400 context_length_exceeded): the prompt is longer than the model's window",
        provider: { status: 400, code: "context_length_exceeded", requestId: "req_2" },
      },
    });
    expect(read[2]).toMatchObject({ outcome: { provider: { status: null, code: "batch_expired", requestId: null } } });
  });

  test("keep every number of an answer as it was written", () => {
    const body = '{"choices":[{"message":{"content":"x"}}],"usage":{},"seed":12345678901234567890,"a":1.0,"b":1e400}';
    const text = `{"custom_id":"a1","response":{"status_code":200,"body":${body}},"error":null}`;
    expect(fromOpenaiBatchLine(OPENAI, "openai.chat", text)).toMatchObject({ outcome: { bodyText: body } });
  });

  test("of embeddings are read as such", () => {
    const body =
      '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}';
    const text = `{"custom_id":"a1","response":{"status_code":200,"body":${body}}}`;
    expect(fromOpenaiBatchLine(OPENAI, "openai.embeddings", text)).toMatchObject({
      outcome: { kind: "answered", format: "openai.embeddings", usage: { inputTokens: 3 }, empty: false },
    });
  });

  test("that are no JSON are none", () => {
    expect(fromOpenaiBatchLine(OPENAI, "openai.chat", '{"custom_id":"a1","response":{"status_code":2').kind).toBe(
      "not_json",
    );
    expect(fromOpenaiBatchLine(OPENAI, "openai.chat", "\u0000\u0000").kind).toBe("not_json");
    expect(fromOpenaiBatchLine(OPENAI, "openai.chat", '"a1"').kind).toBe("not_json");
    expect(fromOpenaiBatchLine(OPENAI, "openai.chat", '{"custom_id":17}').kind).toBe("no_id");
  });
});

describe("result lines of Anthropic", () => {
  const read = lines("anthropic/lines.jsonl").map((text) => fromAnthropicBatchLine(ANTHROPIC, text));

  test("are told apart by their result's type, failed ones by the error's", () => {
    expect(read.map(summary)).toEqual([
      ["a1", "answered"],
      ["a2", "context_too_long", "by_rule"],
      ["a3", "cancelled", "by_rule"],
      ["a4", "line_expired", "by_rule"],
      ["a5", "overloaded", "by_rule"],
      ["a6", "refused", "by_rule"],
      ["a7", "unclassified", "by_rule"],
      ["a8", "unclassified", "by_rule"],
      ["a9", "bad_response", "perhaps"],
    ]);
  });

  test("keep the message's text, its usage with cache and the request's id", () => {
    expect(read[0]).toMatchObject({
      outcome: {
        finishReason: "stop",
        usage: {
          inputTokens: 152,
          cachedInputTokens: 40,
          cacheWriteTokens: 0,
          cacheWrite1hTokens: 100,
          outputTokens: 5,
          reasoningTokens: null,
        },
        usageSuspect: false,
      },
    });
    expect(read[1]).toMatchObject({
      outcome: { provider: { status: 400, code: "invalid_request_error", requestId: "req_2" } },
    });
  });
});

describe("result lines of Gemini", () => {
  const read = lines("gemini/lines.jsonl").map((text) => fromGeminiBatchLine(GEMINI, "gemini.generate", text));

  test("have an answer or an error, whose code is a status of HTTP or of RPC", () => {
    expect(read.map(summary)).toEqual([
      ["a1", "answered"],
      ["a2", "context_too_long", "by_rule"],
      ["a3", "answered"],
      ["a4", "cancelled", "by_rule"],
      ["a5", "rate_limited", "by_rule"],
      ["a6", "overloaded", "by_rule"],
      ["a7", "unclassified", "by_rule"],
      ["a8", "answered"],
      ["no_id"],
    ]);
  });

  test("count thoughts as output, and a blocked prompt as an answer", () => {
    expect(read[0]).toMatchObject({
      outcome: {
        usage: { ...NO_USAGE, inputTokens: 8, cachedInputTokens: 4, outputTokens: 32, reasoningTokens: 30 },
        requestId: "r1",
      },
    });
    expect(read[2]).toMatchObject({ outcome: { finishReason: "content_filter", empty: true } });
  });

  test("of embeddings are read as such", () => {
    const [text] = lines("gemini/embed-lines.jsonl");
    expect(fromGeminiBatchLine(GEMINI, "gemini.embed", text!)).toMatchObject({
      customId: "a1",
      outcome: { kind: "answered", format: "gemini.embed", usage: { inputTokens: 3, outputTokens: 0 }, empty: false },
    });
  });
});
