import { request as httpRequest } from "node:http";
import { describe, expect, test } from "@jest/globals";
import {
  ANTHROPIC_HEADERS,
  CHAT,
  MESSAGES,
  OPENAI_HEADERS,
  chat,
  messages,
  restart,
  rows,
  send,
  simulator,
  simulatorForEachTest,
} from "../support/simulator-harness.js";
import type { Answer } from "../support/simulator-harness.js";

simulatorForEachTest();

describe("refuses, in OpenAI's shape,", () => {
  const user = { role: "user", content: "Hi" };
  const cases: [string, () => Promise<Answer>, number, { param: string | null; code: string | null }][] = [
    [
      "a call without a key",
      () => send("/v1/chat/completions", { "content-type": "application/json" }, JSON.stringify(CHAT)),
      401,
      { param: null, code: null },
    ],
    ["a call with an empty key", () => chat({}, { authorization: "Bearer " }), 401, { param: null, code: null }],
    ["another content type", () => chat({}, { "content-type": "text/plain" }), 400, { param: null, code: null }],
    ["a coded body", () => chat({}, { "content-encoding": "gzip" }), 400, { param: null, code: null }],
    [
      "a body that is not JSON",
      () => send("/v1/chat/completions", OPENAI_HEADERS, "{"),
      400,
      { param: null, code: null },
    ],
    ["an empty body", () => send("/v1/chat/completions", OPENAI_HEADERS, ""), 400, { param: null, code: null }],
    [
      "a body that is not UTF-8",
      () => send("/v1/chat/completions", OPENAI_HEADERS, new Uint8Array([123, 255, 125])),
      400,
      { param: null, code: null },
    ],
    [
      "a body that is a list",
      () => send("/v1/chat/completions", OPENAI_HEADERS, "[]"),
      400,
      { param: null, code: "invalid_type" },
    ],
    [
      "another method",
      () => send("/v1/chat/completions", OPENAI_HEADERS, null, "GET"),
      405,
      { param: null, code: null },
    ],
    ["an unknown path", () => send("/v1/chat/completion", OPENAI_HEADERS, "{}"), 404, { param: null, code: null }],
    ["a missing model", () => chat({ model: undefined }), 400, { param: "model", code: "missing_required_parameter" }],
    [
      "missing messages",
      () => chat({ messages: undefined }),
      400,
      { param: "messages", code: "missing_required_parameter" },
    ],
    ["no messages", () => chat({ messages: [] }), 400, { param: "messages", code: "empty_array" }],
    ["an unknown field", () => chat({ tenant: "acme" }), 400, { param: "tenant", code: "unknown_parameter" }],
    [
      "a field named __proto__",
      () => send("/v1/chat/completions", OPENAI_HEADERS, JSON.stringify(CHAT).replace("{", '{"__proto__":{},')),
      400,
      { param: "__proto__", code: "unknown_parameter" },
    ],
    [
      "an unknown field of a message",
      () => chat({ messages: [{ ...user, mood: "glad" }] }),
      400,
      { param: "messages[0].mood", code: "unknown_parameter" },
    ],
    [
      "an unknown role",
      () => chat({ messages: [{ role: "robot", content: "Hi" }] }),
      400,
      { param: "messages[0].role", code: "invalid_value" },
    ],
    [
      "a message without a role",
      () => chat({ messages: [{ content: "Hi" }] }),
      400,
      { param: "messages[0].role", code: "missing_required_parameter" },
    ],
    [
      "a user message without content",
      () => chat({ messages: [{ role: "user" }] }),
      400,
      { param: "messages[0].content", code: "missing_required_parameter" },
    ],
    [
      "content that is a number",
      () => chat({ messages: [{ role: "user", content: 7 }] }),
      400,
      { param: "messages[0].content", code: "invalid_type" },
    ],
    [
      "a part of unknown type",
      () => chat({ messages: [{ role: "user", content: [{ type: "video", video: "x" }] }] }),
      400,
      { param: "messages[0].content[0].type", code: "invalid_value" },
    ],
    [
      "an empty assistant message",
      () => chat({ messages: [user, { role: "assistant" }] }),
      400,
      { param: "messages[1].content", code: "invalid_type" },
    ],
    [
      "a tool message that answers nothing",
      () => chat({ messages: [user, { role: "tool", tool_call_id: "c", content: "x" }] }),
      400,
      { param: "messages[1].role", code: null },
    ],
    [
      "a temperature above 2",
      () => chat({ temperature: 2.1 }),
      400,
      { param: "temperature", code: "decimal_above_max_value" },
    ],
    [
      "a temperature that is text",
      () => chat({ temperature: "0" }),
      400,
      { param: "temperature", code: "invalid_type" },
    ],
    ["no output tokens", () => chat({ max_tokens: 0 }), 400, { param: "max_tokens", code: "integer_below_min_value" }],
    ["half a token", () => chat({ max_tokens: 1.5 }), 400, { param: "max_tokens", code: "invalid_type" }],
    [
      "more output than the model gives",
      () => chat({ max_tokens: 32_769 }),
      400,
      { param: "max_tokens", code: "invalid_value" },
    ],
    [
      "both names of the maximum",
      () => chat({ max_tokens: 5, max_completion_tokens: 5 }),
      400,
      { param: "max_tokens", code: null },
    ],
    [
      "max_tokens for a reasoning model",
      () => chat({ model: "gpt-5-mini", max_tokens: 5 }),
      400,
      { param: "max_tokens", code: "unsupported_parameter" },
    ],
    [
      "reasoning effort for a model without",
      () => chat({ reasoning_effort: "low" }),
      400,
      { param: "reasoning_effort", code: "unsupported_parameter" },
    ],
    [
      "an effort that the model's line has not",
      () => chat({ model: "gpt-5-mini", reasoning_effort: "none" }),
      400,
      { param: "reasoning_effort", code: "unsupported_value" },
    ],
    [
      "a temperature for a model that reasons",
      () => chat({ model: "o3", temperature: 0 }),
      400,
      { param: "temperature", code: "unsupported_value" },
    ],
    [
      "top_p for a model that reasons when it is told to",
      () => chat({ model: "gpt-5.1", top_p: 0.5, reasoning_effort: "low" }),
      400,
      { param: "top_p", code: "unsupported_parameter" },
    ],
    [
      "a bias for a model that reasons untold",
      () => chat({ model: "gpt-6-luna", logit_bias: { 1: 1 } }),
      400,
      { param: "logit_bias", code: "unsupported_parameter" },
    ],
    [
      "five stop sequences",
      () => chat({ stop: ["a", "b", "c", "d", "e"] }),
      400,
      { param: "stop", code: "array_above_max_length" },
    ],
    [
      "seventeen pairs of metadata",
      () => chat({ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${String(n)}`, "v"])) }),
      400,
      { param: "metadata", code: "object_above_max_length" },
    ],
    ["a tool choice without tools", () => chat({ tool_choice: "auto" }), 400, { param: "tool_choice", code: null }],
    [
      "JSON mode without the word",
      () => chat({ response_format: { type: "json_object" } }),
      400,
      { param: "messages", code: null },
    ],
    [
      "a stream, which is not simulated",
      () => chat({ stream: true }),
      400,
      { param: "stream", code: "unsupported_value" },
    ],
    [
      "a known field that is not simulated",
      () => chat({ web_search_options: {} }),
      400,
      { param: "web_search_options", code: "unsupported_parameter" },
    ],
    ["an unknown model", () => chat({ model: "gpt-9" }), 404, { param: null, code: "model_not_found" }],
    [
      "a prompt longer than the context",
      () => chat({ model: "gpt-4", messages: [{ role: "user", content: "x".repeat(4 * 8192) }] }),
      400,
      { param: "messages", code: "context_length_exceeded" },
    ],
  ];

  test.each(cases)("%s", async (_name, call, status, error) => {
    const answer = await call();
    expect({ status: answer.status, body: answer.json }).toEqual({
      status,
      body: { error: { message: expect.any(String), type: "invalid_request_error", ...error } },
    });
    expect(answer.headers["x-request-id"]).toMatch(/^req_/);
    expect(rows()).toEqual([]);
    expect(simulator.stats()).toMatchObject({ calls: 0, requests: 1, open: 0, byStatus: { [String(status)]: 1 } });
  });

  test("any key but the stated ones, whose label the bill then carries", async () => {
    await restart({ keys: { "sk-right": "production" } });
    const wrong = await chat({}, { authorization: "Bearer sk-wrong" });
    expect({ status: wrong.status, code: wrong.json.error.code }).toEqual({ status: 401, code: "invalid_api_key" });
    expect((await chat({}, { authorization: "Bearer sk-right" })).status).toBe(200);
    expect(rows().map((row) => row.key)).toEqual(["production"]);
  });

  test("a body longer than 32 MiB, before it has come in", async () => {
    const url = new URL(simulator.url);
    const status = await new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          host: url.hostname,
          port: url.port,
          path: "/v1/chat/completions",
          method: "POST",
          headers: { ...OPENAI_HEADERS, "content-length": String(33 * 1024 * 1024) },
        },
        (response) => {
          resolve(response.statusCode);
          request.destroy();
        },
      );
      request.on("error", reject);
      request.write("{");
    });
    expect(status).toBe(413);
  });
});

describe("refuses, in Anthropic's shape,", () => {
  const user = { role: "user", content: "Hi" };
  const cases: [string, () => Promise<Answer>, number, string, RegExp][] = [
    [
      "a call without a key",
      () =>
        send(
          "/v1/messages",
          { "anthropic-version": "2023-06-01", "content-type": "application/json" },
          JSON.stringify(MESSAGES),
        ),
      401,
      "authentication_error",
      /x-api-key/,
    ],
    [
      "a call without a version",
      () => send("/v1/messages", { "x-api-key": "k", "content-type": "application/json" }, JSON.stringify(MESSAGES)),
      400,
      "invalid_request_error",
      /anthropic-version/,
    ],
    [
      "an unknown version",
      () => messages({}, { "anthropic-version": "2024-01-01" }),
      400,
      "invalid_request_error",
      /anthropic-version/,
    ],
    [
      "another content type",
      () => messages({}, { "content-type": "text/plain" }),
      400,
      "invalid_request_error",
      /content-type/,
    ],
    [
      "another method",
      () => send("/v1/messages", ANTHROPIC_HEADERS, null, "GET"),
      405,
      "invalid_request_error",
      /POST/,
    ],
    ["an unknown path", () => send("/v1/message", ANTHROPIC_HEADERS, "{}"), 404, "not_found_error", /\/v1\/message/],
    [
      "missing max_tokens",
      () => messages({ max_tokens: undefined }),
      400,
      "invalid_request_error",
      /^max_tokens: Field required/,
    ],
    ["no output tokens", () => messages({ max_tokens: 0 }), 400, "invalid_request_error", /^max_tokens: /],
    [
      "more output than the model gives",
      () => messages({ max_tokens: 64_001 }),
      400,
      "invalid_request_error",
      /^max_tokens: 64001 > 64000/,
    ],
    ["a missing model", () => messages({ model: undefined }), 400, "invalid_request_error", /^model: Field required/],
    [
      "missing messages",
      () => messages({ messages: undefined }),
      400,
      "invalid_request_error",
      /^messages: Field required/,
    ],
    ["no messages", () => messages({ messages: [] }), 400, "invalid_request_error", /^messages: /],
    [
      "an unknown field",
      () => messages({ tenant: "acme" }),
      400,
      "invalid_request_error",
      /^tenant: Extra inputs are not permitted/,
    ],
    ["OpenAI's name of a field", () => messages({ stop: ["x"] }), 400, "invalid_request_error", /^stop: Extra inputs/],
    [
      "an unknown field of a message",
      () => messages({ messages: [{ ...user, name: "ann" }] }),
      400,
      "invalid_request_error",
      /^messages\.0\.name: Extra inputs/,
    ],
    [
      "a system message",
      () => messages({ messages: [{ role: "system", content: "x" }, user] }),
      400,
      "invalid_request_error",
      /^messages\.0\.role: /,
    ],
    [
      "a first message of the assistant",
      () => messages({ messages: [{ role: "assistant", content: "x" }] }),
      400,
      "invalid_request_error",
      /first message/,
    ],
    [
      "an empty text",
      () => messages({ messages: [{ role: "user", content: "" }] }),
      400,
      "invalid_request_error",
      /^messages\.0\.content: /,
    ],
    ["a null option", () => messages({ temperature: null }), 400, "invalid_request_error", /^temperature: /],
    ["a temperature above 1", () => messages({ temperature: 1.1 }), 400, "invalid_request_error", /^temperature: /],
    [
      "sampling for a model without",
      () => messages({ model: "claude-sonnet-5", temperature: 0.5 }),
      400,
      "invalid_request_error",
      /^temperature: /,
    ],
    [
      "sampling in the later version",
      () => messages({ top_k: 3 }, { "anthropic-version": "2026-10-21" }),
      400,
      "invalid_request_error",
      /^top_k: /,
    ],
    ["a stream, which is not simulated", () => messages({ stream: true }), 400, "invalid_request_error", /^stream: /],
    ["an unknown model", () => messages({ model: "claude-9" }), 404, "not_found_error", /claude-9/],
    ["a retired model", () => messages({ model: "claude-3-opus-20240229" }), 404, "not_found_error", /opus/],
    [
      "a prompt longer than the context",
      () => messages({ messages: [{ role: "user", content: "x".repeat(4 * 200_000) }] }),
      400,
      "invalid_request_error",
      /^prompt is too long: 200012 tokens > 200000 maximum/,
    ],
  ];

  test.each(cases)("%s", async (_name, call, status, type, message) => {
    const answer = await call();
    expect({ status: answer.status, body: answer.json }).toEqual({
      status,
      body: {
        type: "error",
        error: { type, message: expect.stringMatching(message) },
        request_id: answer.headers["request-id"],
      },
    });
    expect(rows()).toEqual([]);
    expect(simulator.stats()).toMatchObject({ calls: 0, open: 0 });
  });
});
