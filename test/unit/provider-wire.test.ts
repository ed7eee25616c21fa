import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { fromAnthropicResponse } from "../../src/adapters/providers/anthropic/from-response.js";
import { anthropicRateLimits } from "../../src/adapters/providers/anthropic/rate-headers.js";
import { toAnthropicRequest } from "../../src/adapters/providers/anthropic/to-request.js";
import { errorWord } from "../../src/adapters/providers/error-table.js";
import { fromChat } from "../../src/adapters/providers/openai-like/from-chat.js";
import { fromEmbeddings } from "../../src/adapters/providers/openai-like/from-embeddings.js";
import { goDurationMs, openaiLikeRateLimits } from "../../src/adapters/providers/openai-like/rate-headers.js";
import { toChat } from "../../src/adapters/providers/openai-like/to-chat.js";
import { toEmbeddings } from "../../src/adapters/providers/openai-like/to-embeddings.js";
import { retryAfterMs } from "../../src/adapters/providers/retry-after.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import type { ProviderCall } from "../../src/ports/provider.js";

const golden = (name: string) => readFileSync(`test/golden/providers/${name}`, "utf8");

const NEW_CAP = { names: ["max_completion_tokens", "max_tokens"] } as const;
const OLD_CAP = { names: ["max_tokens", "max_completion_tokens"], renamed: true } as const;

const CALL: ProviderCall = {
  attemptId: "a1",
  format: "openai.chat",
  model: "gpt-4.1-mini",
  bodyText: "{}",
  maxOutputTokensDefault: 77,
  timeoutMs: 1,
  sendWithinMs: 1,
  maySend: () => true,
};

describe("requests", () => {
  const call = (bodyText: string): ProviderCall => ({ ...CALL, bodyText });

  test.each<[string, string, string]>([
    [
      "put model and output cap in",
      '{"model":"cheap","messages":[]}',
      '{"model":"gpt-4.1-mini","messages":[],"max_completion_tokens":77}',
    ],
    [
      "keep the caller's cap",
      '{"max_tokens":5,"messages":[]}',
      '{"model":"gpt-4.1-mini","max_tokens":5,"messages":[]}',
    ],
    [
      "keep the caller's newer cap",
      '{"max_completion_tokens":5}',
      '{"model":"gpt-4.1-mini","max_completion_tokens":5}',
    ],
    ["take a cap of null for none", '{"max_tokens":null}', '{"model":"gpt-4.1-mini","max_completion_tokens":77}'],
    [
      "drop stream and its options",
      '{"stream":true,"stream_options":{"include_usage":true},"n":1}',
      '{"model":"gpt-4.1-mini","n":1,"max_completion_tokens":77}',
    ],
    [
      "keep every number as it was written",
      '{"seed":12345678901234567890,"temperature":1.0,"top_p":1e-400,"x":-0}',
      '{"model":"gpt-4.1-mini","seed":12345678901234567890,"temperature":1.0,"top_p":1e-400,"x":-0,"max_completion_tokens":77}',
    ],
    [
      "keep escapes and line separators in a prompt",
      '{"messages":[{"content":"a\\u0000\\ud83d\u2028\\n"}]}',
      '{"model":"gpt-4.1-mini","messages":[{"content":"a\\u0000\\ud83d\u2028\\n"}],"max_completion_tokens":77}',
    ],
    [
      "replace a model whose name is written with escapes",
      '{"mod\\u0065l":"x"}',
      '{"model":"gpt-4.1-mini","max_completion_tokens":77}',
    ],
    [
      "leave nested members of the same names alone",
      '{"metadata":{"model":"x","stream":true}}',
      '{"model":"gpt-4.1-mini","metadata":{"model":"x","stream":true},"max_completion_tokens":77}',
    ],
    [
      "pass unknown and odd names on as data",
      '{"__proto__":{"a":1}}',
      '{"model":"gpt-4.1-mini","__proto__":{"a":1},"max_completion_tokens":77}',
    ],
    ["serve an empty body", "{}", '{"model":"gpt-4.1-mini","max_completion_tokens":77}'],
  ])("%s", (_what, bodyText, expected) => {
    expect(toChat(call(bodyText), NEW_CAP)).toBe(expected);
  });

  test("use the older name of the cap for servers of one's own, whatever the caller used, the only name for Anthropic", () => {
    expect(toChat(call("{}"), OLD_CAP)).toBe('{"model":"gpt-4.1-mini","max_tokens":77}');
    expect(toChat(call('{"max_completion_tokens":5,"n":1}'), OLD_CAP)).toBe(
      '{"model":"gpt-4.1-mini","max_tokens":5,"n":1}',
    );
    expect(toChat(call('{"max_completion_tokens":5,"max_tokens":6}'), OLD_CAP)).toBe(
      '{"model":"gpt-4.1-mini","max_tokens":5}',
    );
    expect(toAnthropicRequest(call('{"stream":false}'))).toBe('{"model":"gpt-4.1-mini","max_tokens":77}');
    expect(toAnthropicRequest(call('{"max_tokens":5}'))).toBe('{"model":"gpt-4.1-mini","max_tokens":5}');
  });

  test("are not made of what is no JSON object", () => {
    expect(toChat(call("[1]"), NEW_CAP)).toBeNull();
    expect(toAnthropicRequest(call('{"a":'))).toBeNull();
  });
});

describe("answers of OpenAI and of servers like it", () => {
  test.each([
    [
      "openai-answer.json",
      {
        finishReason: "stop",
        modelVersion: "gpt-5-mini-2025-08-07",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 19,
          cachedInputTokens: 0,
          cacheWriteTokens: null,
          cacheWrite1hTokens: null,
          outputTokens: 74,
          reasoningTokens: 64,
        },
      },
    ],
    [
      "openai-refusal.json",
      {
        finishReason: "refusal",
        modelVersion: "gpt-4.1-mini-2025-04-14",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 30,
          cachedInputTokens: null,
          cacheWriteTokens: null,
          cacheWrite1hTokens: null,
          outputTokens: 8,
          reasoningTokens: null,
        },
      },
    ],
    [
      "openai-tool-call.json",
      {
        finishReason: "tool_calls",
        modelVersion: "gpt-4.1-mini-2025-04-14",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 60,
          cachedInputTokens: 32,
          cacheWriteTokens: 16,
          cacheWrite1hTokens: null,
          outputTokens: 15,
          reasoningTokens: null,
        },
      },
    ],
    [
      "vllm-answer.json",
      {
        finishReason: "length",
        modelVersion: "/models/qwen3",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 11,
          cachedInputTokens: null,
          cacheWriteTokens: null,
          cacheWrite1hTokens: null,
          outputTokens: 2,
          reasoningTokens: null,
        },
      },
    ],
    [
      "ollama-answer.json",
      {
        finishReason: "stop",
        modelVersion: "qwen3:8b",
        empty: false,
        usageSuspect: false,
        usage: { ...NO_USAGE, inputTokens: 14, outputTokens: 9 },
      },
    ],
    [
      "llama-answer.json",
      {
        finishReason: "tool_calls",
        modelVersion: "gpt-3.5-turbo",
        empty: false,
        usageSuspect: false,
        usage: { ...NO_USAGE, inputTokens: 155, outputTokens: 16 },
      },
    ],
  ])("%s is read", (name, expected) => {
    expect(fromChat(golden(name))).toEqual(expected);
  });

  test.each<[string, string]>([
    ["no JSON", "<html>"],
    ["a cut body", golden("openai-answer.json").slice(0, 200)],
    ["an array", "[]"],
    ["an error under status 200", '{"error":{"message":"x"}}'],
    ["no choice", '{"choices":[]}'],
  ])("%s is no answer", (_what, bodyText) => {
    expect(fromChat(bodyText)).toMatchObject({ kind: "unusable" });
  });

  const answer = (message: string, more = '"finish_reason":"stop"') =>
    fromChat(`{"choices":[{"message":${message},${more}}]}`);

  test.each<[string, boolean]>([
    ['{"content":""}', true],
    ['{"content":" \\n"}', true],
    ['{"content":null}', true],
    ["{}", true],
    ['{"content":null,"tool_calls":[]}', true],
    ['{"content":null,"tool_calls":[{"id":"1"}]}', false],
    ['{"content":null,"function_call":{"name":"f"}}', false],
    ['{"content":[{"type":"text","text":"x"}]}', false],
    ['{"content":"x"}', false],
  ])("the message %s: empty is %p", (message, empty) => {
    expect(answer(message)).toMatchObject({ empty });
  });

  test("an unknown or absent finish reason is other", () => {
    expect(answer('{"content":"x"}', '"finish_reason":"of_tomorrow"')).toMatchObject({ finishReason: "other" });
    expect(answer('{"content":"x"}', '"index":0')).toMatchObject({ finishReason: "other" });
  });

  test.each<[string, string, boolean, object]>([
    ["missing", "null", false, { inputTokens: null, outputTokens: null }],
    ["negative", '{"prompt_tokens":-5,"completion_tokens":1}', true, { inputTokens: null, outputTokens: 1 }],
    ["not whole", '{"prompt_tokens":1.5,"completion_tokens":1}', true, { inputTokens: null }],
    ["beyond belief", '{"prompt_tokens":1e18,"completion_tokens":1}', true, { inputTokens: null }],
    ["text", '{"prompt_tokens":"NaN","completion_tokens":1}', true, { inputTokens: null }],
    [
      "a total that is not the sum",
      '{"prompt_tokens":10,"completion_tokens":1,"total_tokens":12}',
      true,
      { inputTokens: 10, outputTokens: 1 },
    ],
    [
      "more cached than sent",
      '{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":11}}',
      true,
      { cachedInputTokens: 11 },
    ],
    ["no total", '{"prompt_tokens":10,"completion_tokens":1}', false, { inputTokens: 10, outputTokens: 1 }],
  ])("usage that is %s", (_what, usage, usageSuspect, expected) => {
    const read = fromChat(`{"choices":[{"message":{"content":"x"}}],"usage":${usage}}`);
    expect(read).toMatchObject({ usageSuspect, usage: expected });
  });

  test("a tier with prices of its own is suspect, since the list does not have them", () => {
    expect(fromChat('{"choices":[{}],"service_tier":"flex"}')).toMatchObject({ usageSuspect: true });
  });
});

describe("embeddings of OpenAI and of servers like it", () => {
  test("get the model put in, and no output cap", () => {
    const asked = { ...CALL, bodyText: '{"model":"e","input":["a","b"],"dimensions":256.0,"user":"u"}' };
    expect(toEmbeddings(asked)).toBe('{"model":"gpt-4.1-mini","input":["a","b"],"dimensions":256.0,"user":"u"}');
    expect(toEmbeddings({ ...CALL, bodyText: '"x"' })).toBeNull();
  });

  test("openai-embeddings.json is read: there is no output, and that is known", () => {
    expect(fromEmbeddings(golden("openai-embeddings.json"))).toEqual({
      finishReason: "stop",
      modelVersion: "text-embedding-3-small",
      empty: false,
      usageSuspect: false,
      usage: { ...NO_USAGE, inputTokens: 9, outputTokens: 0 },
    });
  });

  test.each<[string, object]>([
    ['{"data":[]}', { empty: true, usage: NO_USAGE }],
    ['{"data":[{"embedding":[]},{"embedding":""}]}', { empty: true }],
    [
      '{"data":[{"embedding":"zcw="}],"usage":{"prompt_tokens":3,"total_tokens":4}}',
      { empty: false, usageSuspect: true },
    ],
    ['{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":-3}}', { usageSuspect: true, usage: NO_USAGE }],
    ['{"error":{"message":"x"}}', { kind: "unusable" }],
    ["<html>", { kind: "unusable" }],
  ])("%s", (bodyText, expected) => {
    expect(fromEmbeddings(bodyText)).toMatchObject(expected);
  });
});

describe("answers of Anthropic", () => {
  test.each([
    [
      "anthropic-answer.json",
      {
        finishReason: "stop",
        modelVersion: "claude-haiku-4-5-20251001",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 12,
          cachedInputTokens: 0,
          cacheWriteTokens: 0,
          cacheWrite1hTokens: 0,
          outputTokens: 5,
          reasoningTokens: null,
        },
      },
    ],
    [
      "anthropic-cached.json",
      {
        finishReason: "length",
        modelVersion: "claude-sonnet-4-5-20250929",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 2310,
          cachedInputTokens: 2000,
          cacheWriteTokens: 200,
          cacheWrite1hTokens: 100,
          outputTokens: 50,
          reasoningTokens: 40,
        },
      },
    ],
    [
      "anthropic-refusal.json",
      {
        finishReason: "refusal",
        modelVersion: "claude-haiku-4-5-20251001",
        empty: false,
        usageSuspect: false,
        usage: {
          inputTokens: 12,
          cachedInputTokens: null,
          cacheWriteTokens: null,
          cacheWrite1hTokens: null,
          outputTokens: 1,
          reasoningTokens: null,
        },
      },
    ],
  ])("%s is read", (name, expected) => {
    expect(fromAnthropicResponse(golden(name))).toEqual(expected);
  });

  test.each<[string, string]>([
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["tool_use", "tool_calls"],
    ["pause_turn", "other"],
    ["refusal", "refusal"],
    ["of_tomorrow", "other"],
  ])("the stop reason %s is %s", (reason, finishReason) => {
    expect(fromAnthropicResponse(`{"content":[{"type":"tool_use"}],"stop_reason":"${reason}"}`)).toMatchObject({
      finishReason,
      empty: false,
    });
  });

  test("only thinking is an empty answer, and a split that is not the sum is suspect", () => {
    expect(
      fromAnthropicResponse('{"content":[{"type":"thinking","thinking":"x"}],"stop_reason":"end_turn"}'),
    ).toMatchObject({ empty: true });
    const usage =
      '{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":1}}';
    expect(fromAnthropicResponse(`{"content":[],"usage":${usage}}`)).toMatchObject({ usageSuspect: true });
  });

  test("an error under status 200 is no answer", () => {
    expect(fromAnthropicResponse('{"type":"error","error":{"type":"api_error"}}')).toMatchObject({ kind: "unusable" });
  });
});

test("a code that is a sentence is dropped: it may quote the prompt", () => {
  expect(errorWord("the prompt 'secret' is bad")).toBeNull();
  expect(errorWord("a".repeat(65))).toBeNull();
});

describe("Retry-After", () => {
  const NOW = Date.parse("2026-11-24T12:00:00Z");
  test.each<[Record<string, string>, number | null]>([
    [{ "retry-after": "7" }, 7_000],
    [{ "retry-after": "0.25" }, 250],
    [{ "retry-after": "864000" }, 864_000_000],
    [{ "retry-after": "Tue, 24 Nov 2026 12:00:30 GMT" }, 30_000],
    [{ "retry-after": "Tue, 24 Nov 2026 11:00:00 GMT" }, 0],
    [{ "retry-after-ms": "120", "retry-after": "9" }, 120],
    [{ "retry-after": "-5" }, null],
    [{ "retry-after": "soon" }, null],
    [{ "retry-after": "" }, null],
    [{ "retry-after": "999999999999999" }, 31_536_000_000],
    [{}, null],
  ])("%p", (headers, expected) => {
    expect(retryAfterMs(headers, NOW)).toBe(expected);
  });
});

describe("rate headers", () => {
  test.each<[string | null, number | null]>([
    ["1s", 1_000],
    ["6m0s", 360_000],
    ["20ms", 20],
    ["1h2m3.5s", 3_723_500],
    ["1.5ms", 2],
    ["", null],
    ["soon", null],
    [null, null],
  ])("the Go duration %p is %p ms", (text, expected) => {
    expect(goDurationMs(text)).toBe(expected);
  });

  test("are read by name; a limit that is not said is left out", () => {
    const headers = {
      "x-ratelimit-limit-requests": "500",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "120ms",
    };
    expect(openaiLikeRateLimits(headers)).toEqual([{ name: "requests", limit: 500, remaining: 0, resetMs: 120 }]);
    const now = Date.parse("2026-11-24T12:00:00Z");
    const theirs = {
      "anthropic-ratelimit-input-tokens-limit": "80000",
      "anthropic-ratelimit-input-tokens-remaining": "79000",
      "anthropic-ratelimit-input-tokens-reset": "2026-11-24T12:00:02Z",
    };
    expect(anthropicRateLimits(theirs, now)).toEqual([
      { name: "input-tokens", limit: 80_000, remaining: 79_000, resetMs: 2_000 },
    ]);
  });
});
