import { describe, expect, test } from "@jest/globals";
import { answersInJson, asksForJson } from "../../src/domain/job/expected-json.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import type { ExpectedAnswer, RequestFormat } from "../../src/domain/job/job.js";
import { judgeCall } from "../../src/pipeline/dispatch/call-judge.js";
import type { ProviderAnswer } from "../../src/ports/provider.js";
import { POLICY, workOf } from "../support/work.js";

const NOW_MS = 1_800_000_000_000;

function judge(expected: Partial<ExpectedAnswer>, bodyText: string, answer: Partial<ProviderAnswer>) {
  const work = workOf(1, NOW_MS, { policy: { ...POLICY, expect: { ...POLICY.expect, ...expected } }, bodyText });
  return judgeCall(
    {
      retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
      graceMs: () => 0,
      resultBytesMax: 1_000_000,
      answeredPrice: () => work.route.price,
    },
    work,
    {
      kind: "answered",
      bodyText: "{}",
      finishReason: "stop",
      modelVersion: null,
      usage: { ...NO_USAGE, inputTokens: 10, outputTokens: 5 },
      usageSuspect: false,
      requestId: "request",
      empty: false,
      ...answer,
    },
    NOW_MS,
    0,
  );
}

const SCHEMA =
  '{"model":"sim","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}}';
const PLAIN = '{"model":"sim","messages":[]}';
const saying = (content: string): string => JSON.stringify({ choices: [{ message: { role: "assistant", content } }] });

describe("an answer to a job that expects JSON", () => {
  test.each<[string, Partial<ExpectedAnswer>, string, Partial<ProviderAnswer>, string]>([
    ["JSON text", { jsonSchema: true }, SCHEMA, { bodyText: saying('{"stars": 4}') }, "succeed"],
    ["other text", { jsonSchema: true }, SCHEMA, { bodyText: saying("Four stars!") }, "again"],
    ["cut JSON", { jsonSchema: true }, SCHEMA, { bodyText: saying('{"stars":'), finishReason: "length" }, "again"],
    ["other text, and nobody asked", { jsonSchema: true }, PLAIN, { bodyText: saying("Four stars!") }, "succeed"],
    ["other text, not expected", {}, SCHEMA, { bodyText: saying("Four stars!") }, "succeed"],
    ["a refusal", { jsonSchema: true }, SCHEMA, { bodyText: saying("I can't"), finishReason: "refusal" }, "succeed"],
  ])("%s", (_what, expected, bodyText, answer, then) => {
    const call = judge(expected, bodyText, answer);
    expect(call.verdict.kind).toBe(then);
    expect(call.outcome).toBe(then === "succeed" ? "succeeded" : "bad_answer");
    // 10 tokens at 1,000 and 5 at 4,000 nano-dollars: billed, whatever it is to us.
    expect(call.nanoUsd).toBe(30_000n);
  });

  test("is told what was missed when no route is left", () => {
    const work = { bodyText: saying("Four stars!") };
    const call = judge({ jsonSchema: true }, SCHEMA, work);
    expect(call.verdict).toMatchObject({ kind: "again", routeIndex: 1 });
    const last = judgeCall(
      {
        retry: { attemptsMax: 1, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
        graceMs: () => 0,
        resultBytesMax: 1_000_000,
        answeredPrice: () => null,
      },
      workOf(1, NOW_MS, { policy: { ...POLICY, expect: { ...POLICY.expect, jsonSchema: true } }, bodyText: SCHEMA }),
      {
        kind: "answered",
        bodyText: saying("Four stars!"),
        finishReason: "stop",
        modelVersion: null,
        usage: NO_USAGE,
        usageSuspect: false,
        requestId: null,
        empty: false,
      },
      NOW_MS,
      0,
    );
    expect(last.verdict).toMatchObject({
      kind: "fail",
      failure: {
        code: "BAD_ANSWER",
        message: "the answer is not JSON; the job expects what its body asks for, JSON text",
      },
    });
  });
});

describe("JSON is asked for", () => {
  test.each<[RequestFormat, string, boolean]>([
    ["openai.chat", '{"response_format":{"type":"json_schema"}}', true],
    ["openai.chat", '{"response_format":{"type":"json_object"}}', true],
    ["openai.chat", '{"response_format":{"type":"text"}}', false],
    ["openai.chat", '{"response_format":null}', false],
    ["openai.chat", '{"output_config":{"format":{"type":"json_schema"}}}', false],
    ["anthropic.messages", '{"output_config":{"format":{"type":"json_schema","schema":{}}}}', true],
    ["anthropic.messages", '{"output_config":{"effort":"low"}}', false],
    ["anthropic.messages", '{"response_format":{"type":"json_schema"}}', false],
    ["openai.chat", '{"response_format":{"__proto__":{"type":"json_schema"}}}', false],
  ])("%s %s: %s", (format, bodyText, asked) => {
    expect(asksForJson(format, bodyText)).toBe(asked);
  });
});

describe("JSON is answered", () => {
  const message = (...content: unknown[]): string => JSON.stringify({ type: "message", content });
  test.each<[string, RequestFormat, string, boolean]>([
    ["a scalar", "openai.chat", saying("17"), true],
    ["an empty text", "openai.chat", saying(""), false],
    ["fenced JSON", "openai.chat", saying('```json\n{"a":1}\n```'), false],
    ["a tool call", "openai.chat", '{"choices":[{"message":{"content":null,"tool_calls":[{}]}}]}', true],
    [
      "one bad choice of two",
      "openai.chat",
      '{"choices":[{"message":{"content":"{}"}},{"message":{"content":"no"}}]}',
      false,
    ],
    [
      "text in blocks",
      "anthropic.messages",
      message({ type: "text", text: '{"a":' }, { type: "text", text: "1}" }),
      true,
    ],
    [
      "thinking before it",
      "anthropic.messages",
      message({ type: "thinking", thinking: "hm" }, { type: "text", text: "[]" }),
      true,
    ],
    ["words", "anthropic.messages", message({ type: "text", text: "Sure: {}" }), false],
    ["a tool use", "anthropic.messages", message({ type: "tool_use", input: {} }), true],
  ])("%s", (_what, format, answerText, isJson) => {
    expect(answersInJson(format, answerText)).toBe(isJson);
  });
});
