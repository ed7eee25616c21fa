import { describe, expect, test } from "@jest/globals";
import { askedJsonSchema, readAnswerTexts } from "../../src/domain/format/expected-json.js";
import type { RequestFormat } from "../../src/domain/job/job.js";

const SCHEMA = { type: "object", properties: { a: { type: "string" } } };

describe("what a request asks its answer to be", () => {
  test.each<[RequestFormat, object, object]>([
    ["openai.chat", {}, { kind: "text" }],
    ["openai.chat", { response_format: { type: "text" } }, { kind: "text" }],
    ["openai.chat", { response_format: { type: "json_object" } }, { kind: "json" }],
    [
      "openai.chat",
      { response_format: { type: "json_schema", json_schema: { name: "x", schema: SCHEMA } }, logit_bias: {} },
      { kind: "json_schema", schema: SCHEMA },
    ],
    ["anthropic.messages", { max_tokens: 5 }, { kind: "text" }],
    [
      "anthropic.messages",
      { output_config: { effort: "low", format: { type: "json_schema", schema: SCHEMA } } },
      { kind: "json_schema", schema: SCHEMA },
    ],
    ["gemini.generate", { generationConfig: { responseMimeType: "text/plain" } }, { kind: "text" }],
    ["gemini.generate", { generationConfig: { responseMimeType: "application/json" } }, { kind: "json" }],
    [
      "gemini.generate",
      { generation_config: { response_mime_type: "application/json", response_json_schema: SCHEMA } },
      { kind: "json_schema", schema: SCHEMA },
    ],
    [
      "gemini.generate",
      {
        generationConfig: {
          responseMimeType: "application/json",
          responseSchema: { type: "OBJECT", properties: { a: { type: "STRING" } } },
        },
      },
      { kind: "json_schema", schema: SCHEMA },
    ],
    ["openai.embeddings", { input: "a" }, { kind: "text" }],
    ["gemini.embed", { content: { parts: [{ text: "a" }] } }, { kind: "text" }],
    ["openai.responses", { text: { format: { type: "json_object" } } }, { kind: "text" }],
  ])("%s %j", (format, body, expected) => {
    expect(askedJsonSchema(format, JSON.stringify(body))).toEqual(expected);
  });

  test("is text when the body is no request", () => {
    for (const text of ["", "[]", "null", "7"]) expect(askedJsonSchema("openai.chat", text)).toEqual({ kind: "text" });
  });

  test("has plain numbers, as a schema checker wants them", () => {
    const body = '{"output_config":{"format":{"type":"json_schema","schema":{"maximum":12345678901234567890}}}}';
    expect(askedJsonSchema("anthropic.messages", body)).toEqual({
      kind: "json_schema",
      schema: { maximum: 12345678901234567000 },
    });
  });
});

describe("the texts of an answer", () => {
  test.each<[RequestFormat, object, string[]]>([
    ["openai.chat", { choices: [{ message: { content: "a" } }, { message: { content: "b" } }] }, ["a", "b"]],
    ["openai.chat", { choices: [{ message: { content: null, refusal: "No." } }] }, []],
    ["openai.chat", { choices: [{ message: { content: [{ type: "text", text: "a" }] } }] }, ["a"]],
    [
      "anthropic.messages",
      {
        content: [
          { type: "thinking", thinking: "hm" },
          { type: "text", text: "a" },
          { type: "tool_use", id: "t" },
          { type: "text", text: "b" },
        ],
      },
      ["ab"],
    ],
    ["anthropic.messages", { content: [{ type: "tool_use", id: "t", name: "f", input: {} }] }, []],
    [
      "gemini.generate",
      { candidates: [{ content: { parts: [{ text: "hm", thought: true }, { text: "a" }, { text: "b" }] } }, {}] },
      ["ab", ""],
    ],
    ["openai.chat", { choices: [{ message: { content: "" }, finish_reason: "stop" }] }, [""]],
    [
      "openai.chat",
      { choices: [{ message: { content: "", tool_calls: [{ id: "c", function: { name: "f" } }] } }] },
      [],
    ],
    ["gemini.generate", { promptFeedback: { blockReason: "SAFETY" } }, []],
    ["openai.embeddings", { data: [{ embedding: [1] }] }, []],
    ["gemini.embed", { embedding: { values: [1] } }, []],
  ])("%s %j", (format, answer, expected) => {
    expect(readAnswerTexts(format, JSON.stringify(answer))).toEqual(expected);
  });

  test("are none when it is no answer", () => {
    for (const text of ["", "[]", "<html>"]) expect(readAnswerTexts("gemini.generate", text)).toEqual([]);
  });
});
